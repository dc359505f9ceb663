"""Requests that two parsers could read in two ways: refused, or read in the one way there is.

Behind a proxy, a request that it and the service delimit differently lets one client's bytes become
part of another's request (RFC 9112, section 11.2).
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.api.limits import Limits
from tests.unit.api.channels import UPLOAD, ChannelCase, answer

HOST = b"Host: x"
#: What an attacker wants to be taken for a request.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


class Wire(ChannelCase):
    """One connection on which everything is answered at once."""

    limits = Limits(line=8000)

    def runTest(self):
        pass

    def ask(self, *lines, body=b"", end=b"\r\n"):
        """Send a request and what is to be smuggled; return the statuses of the answers."""
        self.setUp()
        self.resource.render = self.render
        self.channel.dataReceived(end.join([*lines, b"", b""]) + body + SMUGGLED)
        told = self.sent()
        return [int(part[:3]) for part in told.split(b"HTTP/1.1 ")[1:]], told

    def render(self, request):
        self.resource.requests.append(request)
        return answer(request)

    @property
    def paths(self):
        return [request.path for request in self.resource.requests]


REFUSED = {
    "both lengths": [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
    "both lengths, turned round": [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
    "two lengths": [b"Content-Length: 5", b"Content-Length: 6"],
    "two equal lengths": [b"Content-Length: 5", b"Content-Length: 5"],
    "list of lengths": [b"Content-Length: 5, 5"],
    "signed length": [b"Content-Length: +5"],
    "negative length": [b"Content-Length: -5"],
    "hexadecimal length": [b"Content-Length: 0x5"],
    "length with an underscore": [b"Content-Length: 1_0"],
    "length with a fraction": [b"Content-Length: 5.0"],
    "length in other digits": ["Content-Length: \u0665".encode()],
    "empty length": [b"Content-Length:"],
    "length with a space inside": [b"Content-Length: 5 5"],
    "length with a line feed inside": [b"Content-Length: 5\n5"],
    "length of many digits": [b"Content-Length: " + b"0" * 30 + b"5"],
    "folded length": [b"Content-Length: 5", b" 5"],
    "folded coding": [b"Transfer-Encoding:", b" chunked"],
    "folded header": [b"X: y", b"\tz"],
    "space before the colon": [b"Content-Length : 5"],
    "tab before the colon": [b"Transfer-Encoding\t: chunked"],
    "space before the name": [b" Transfer-Encoding: chunked"],
    "control before the name": [b"\x0bTransfer-Encoding: chunked"],
    "name of nothing": [b": chunked"],
    "no colon": [b"Transfer-Encoding chunked"],
    "name with a line feed": [b"X\nTransfer-Encoding: chunked"],
    "value with a line feed": [b"X: y\nTransfer-Encoding: chunked"],
    "value with a carriage return": [b"X: y\rTransfer-Encoding: chunked"],
    "value with a NUL": [b"X: y\0"],
    "name beyond ASCII": [b"X\xe9: y"],
    "coding that is none": [b"Transfer-Encoding: xchunked"],
    "coding with a parameter": [b"Transfer-Encoding: chunked;a=b"],
    "two codings": [b"Transfer-Encoding: gzip, chunked"],
    "chunked twice": [b"Transfer-Encoding: chunked, chunked"],
    "chunked in two headers": [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
    "chunked and nothing": [b"Transfer-Encoding: chunked", b"Transfer-Encoding: "],
    "coding with a vertical tab": [b"Transfer-Encoding: \x0bchunked"],
    "quoted coding": [b'Transfer-Encoding: "chunked"'],
    "identity and chunked": [b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"],
    "identity": [b"Transfer-Encoding: identity"],
    "identity with a length": [b"Transfer-Encoding: identity", b"Content-Length: 5"],
}


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT"])
@pytest.mark.parametrize("path", [b"/", UPLOAD])
@pytest.mark.parametrize("lines", REFUSED.values(), ids=REFUSED)
def test_refused(method, path, lines):
    head = b"\r\n".join([method + b" " + path + b" HTTP/1.1", HOST, *lines, b"", b""])
    data = head + b"0\r\n\r\n" + SMUGGLED
    # However the bytes come.
    for size in (len(data), 1):
        wire = Wire()
        wire.setUp()
        for start in range(0, len(data), size):
            wire.channel.dataReceived(data[start : start + size])
        told = wire.sent()
        assert told.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
        assert told.count(b"HTTP/1.1") == 1
        assert b"Connection: close" in told
        assert wire.paths == []


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1 x",
        b"GET  / HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET /",
        b"GET",
        b"/ HTTP/1.1",
        b"G ET / HTTP/1.1",
        b"GET / HTTP/2.0",
        b"GET / HTTP/1.10",
        b"GET / http/1.1",
        b"GET / HTTP/0.9",
        b"GET /\x00 HTTP/1.1",
        b"GET /\n HTTP/1.1",
        b"GET /a\rb HTTP/1.1",
        b"GE\x7fT / HTTP/1.1",
        b"GET x HTTP/1.1",
        b"GET ftp://x/ HTTP/1.1",
        b"PRI * HTTP/2.0",
    ],
)
def test_request_lines_refused(line):
    wire = Wire()
    statuses, told = wire.ask(line, HOST)
    assert statuses == [400]
    assert b"Connection: close" in told
    assert wire.paths == []


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\n\r"])
def test_lines_that_end_otherwise_are_no_lines(end):
    wire = Wire()
    # What looks like two requests is the garbled head of one.
    statuses, _ = wire.ask(b"GET / HTTP/1.1", HOST, end=end)
    assert statuses == [400]
    assert wire.paths == []


CHUNKS = {
    "size of nothing": b"\r\nhello\r\n0\r\n\r\n",
    "size with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "size with a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size with an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "size after a space": b" 5\r\nhello\r\n0\r\n\r\n",
    "size before a space": b"5 \r\nhello\r\n0\r\n\r\n",
    "size before a line feed": b"5\nhello\r\n0\r\n\r\n",
    "line feed in an extension": b"5;x\n\r\nhello\r\n0\r\n\r\n",
    "carriage return in an extension": b"5;x\ry\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;x\0\r\nhello\r\n0\r\n\r\n",
    "extension without an end": b"5;" + b"x" * 2000,
    "no end of data": b"5\r\nhelloX0\r\n\r\n",
    "line feed as end of data": b"5\r\nhello\n0\r\n\r\n",
    "more data than the size": b"5\r\nhello!\r\n0\r\n\r\n",
    "size of many digits": b"0" * 2000 + b"5\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("path", [b"/", UPLOAD])
@pytest.mark.parametrize("body", CHUNKS.values(), ids=CHUNKS)
def test_chunks_refused(path, body):
    wire = Wire()
    wire.setUp()
    wire.channel.dataReceived(
        b"PUT %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % path
    )
    wire.channel.dataReceived(body + SMUGGLED)
    if path == UPLOAD:
        waiting = wire.request.body.next()
        assert waiting.called
        waiting.addErrback(lambda f: None)
        answer(wire.request, 400)
    told = wire.sent()
    assert told.startswith(b"HTTP/1.1 400 ")
    assert told.count(b"HTTP/1.1") == 1
    assert wire.paths == ([UPLOAD] if path == UPLOAD else [])


def test_old_version_with_chunks_is_refused():
    wire = Wire()
    wire.ask(b"POST / HTTP/1.0", HOST, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")
    assert wire.paths == []
    assert wire.logged[0].code == 400


def test_old_version_ends_the_connection():
    wire = Wire()
    wire.ask(b"GET / HTTP/1.0", HOST, b"Connection: keep-alive")
    assert wire.paths == [b"/"]
    assert wire.transport.disconnecting


READ = {
    "length": ([b"Content-Length: 5"], b"hello", b"hello"),
    "length after blanks": ([b"Content-Length: \t 5 \t"], b"hello", b"hello"),
    "length in any case": ([b"cOnTeNt-lEnGtH: 5"], b"hello", b"hello"),
    "chunks": ([b"Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "chunks in any case": ([b"transfer-encoding: CHUNKED"], b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "size with zeros": ([b"Transfer-Encoding: chunked"], b"0005\r\nhello\r\n00\r\n\r\n", b"hello"),
    "trailer of a length": (
        [b"Transfer-Encoding: chunked"],
        b"5\r\nhello\r\n0\r\nContent-Length: 50\r\nHost: y\r\n\r\n",
        b"hello",
    ),
    "no body": ([b"X: y"], b"", b""),
}


@pytest.mark.parametrize(("lines", "body", "read"), READ.values(), ids=READ)
def test_read_in_one_way(lines, body, read):
    wire = Wire()
    seen = []

    def render(request):
        seen.append((request.path, request.content.read(), request.getHeader(b"Host")))
        return answer(request)

    wire.setUp()
    wire.resource.render = render
    data = b"\r\n".join([b"POST / HTTP/1.1", HOST, *lines, b"", b""]) + body + SMUGGLED
    # However the bytes come.
    for size in (len(data), 7, 1):
        seen.clear()
        wire.connect()
        for start in range(0, len(data), size):
            wire.channel.dataReceived(data[start : start + size])
        # The next request is one of its own, as any proxy would see it too.
        assert seen == [(b"/", read, b"x"), (b"/smuggled", b"", b"x")]


@given(st.lists(st.sampled_from([*b"\r\n\t :;,0123456789abcx"]), max_size=40).map(bytes))
def test_no_body_swallows_or_yields_more_than_its_length(noise):
    """Whatever is in a body of known length, the request behind it is found."""
    wire = Wire()
    lines = b"Content-Length: %d" % len(noise)
    statuses, _ = wire.ask(b"POST / HTTP/1.1", HOST, lines, body=noise)
    assert statuses == [200, 200]
    assert wire.paths == [b"/", b"/smuggled"]
