"""Connections that are ended: nobody who has begun to ask is left without an answer."""

import socket

from twisted.internet.testing import StringTransport

from glance.api.draining import FIRST_GRACE, FLUSH_TIME, GRACE, INTERVAL, MOST_ANSWERS
from tests.unit.api.channels import TIMEOUT, ChannelCase, answer, chunk, head

GET = head(b"GET", b"/")


class Socket:
    """What the kernel holds of a connection."""

    def __init__(self):
        self.waiting = b""

    def recv(self, size, flags):
        assert flags & socket.MSG_PEEK
        if not self.waiting:
            raise BlockingIOError
        return self.waiting[:size]


class Transport(StringTransport):
    aborting = False

    def abortConnection(self):
        self.aborting = True

    def __init__(self):
        super().__init__()
        self.socket = Socket()


class DrainCase(ChannelCase):
    def connect(self, transport=None):
        super().connect(transport or Transport())

    def end(self):
        return self.site.connections.end()

    def ask(self):
        """Ask, get an answer, and let some time pass."""
        self.send(GET)
        answer(self.request)
        self.sent()
        self.reactor.advance(GRACE)

    @property
    def closing(self):
        return self.transport.disconnecting


class TestIdle(DrainCase):
    def test_no_connection(self):
        self.lose()
        self.successResultOf(self.end())

    def test_unused_for_long(self):
        self.ask()
        ended = self.end()
        assert self.closing
        self.assertNoResult(ended)
        self.lose()
        self.successResultOf(ended)

    def test_used_a_moment_ago(self):
        self.send(GET)
        answer(self.request)
        self.end()
        assert not self.closing
        self.reactor.pump([INTERVAL] * 5)
        assert not self.closing
        self.reactor.pump([INTERVAL] * 6)
        assert self.closing

    def test_the_next_request_comes_in_time(self):
        self.send(GET)
        answer(self.request)
        self.end()
        self.reactor.advance(GRACE / 2)
        self.sent()
        self.send(GET)
        self.reactor.pump([INTERVAL] * 50)
        assert not self.closing
        answer(self.request)
        assert b"Connection: close\r\n" in self.sent()
        assert self.closing

    def test_never_used(self):
        """Its request may still be on the way, behind a TLS handshake."""
        self.end()
        self.reactor.pump([INTERVAL] * int(FIRST_GRACE / INTERVAL - 1))
        assert not self.closing
        self.reactor.pump([INTERVAL] * 2)
        assert self.closing

    def test_request_that_the_kernel_holds(self):
        self.ask()
        self.transport.socket.waiting = b"G"
        self.end()
        self.reactor.pump([INTERVAL] * 5)
        assert not self.closing
        self.transport.socket.waiting = b""
        self.send(GET)
        answer(self.request)
        assert b"Connection: close\r\n" in self.sent()
        assert self.closing

    def test_request_of_which_a_byte_has_come(self):
        self.ask()
        self.send(b"G")
        self.end()
        self.reactor.pump([INTERVAL] * 20)
        assert not self.closing
        self.send(GET[1:])
        answer(self.request)
        assert b"Connection: close\r\n" in self.sent()

    def test_connection_that_comes_late(self):
        self.ask()
        ended = self.end()
        first = self.channel
        self.connect()
        self.send(GET)
        first.connectionLost(None)
        self.assertNoResult(ended)
        answer(self.request)
        self.lose()
        self.successResultOf(ended)
        assert self.reactor.getDelayedCalls() == []


class TestBusy(DrainCase):
    def test_request_under_way(self):
        self.send(GET)
        ended = self.end()
        self.reactor.pump([10] * 60)
        self.assertNoResult(ended)
        answer(self.request)
        assert b"Connection: close\r\n" in self.sent()
        assert self.closing

    def test_answer_under_way(self):
        """It has promised to keep the connection, so it is kept for a moment."""
        self.send(GET)
        request = self.request
        request.setHeader(b"content-length", b"4")
        request.write(b"ab")
        self.end()
        self.reactor.pump([10] * 6)
        request.write(b"cd")
        request.finish()
        assert self.sent().endswith(b"abcd")
        assert not self.closing
        self.reactor.pump([INTERVAL] * 11)
        assert self.closing

    def test_upload_under_way(self):
        self.send(head(b"PUT", b"/data", b"Transfer-Encoding: chunked"), chunk(b"one"))
        self.end()
        self.reactor.pump([10] * 5)
        self.send(chunk(b"two"), b"0\r\n\r\n")
        assert self.drain(self.request.body) == (b"onetwo", True)
        answer(self.request, 204, b"")
        assert b"Connection: close\r\n" in self.sent()

    def test_pipelined_before_the_first_is_answered(self):
        self.send(GET, GET, GET)
        self.end()
        for last in (False, False, True):
            assert not self.closing
            answer(self.request)
            assert (b"Connection: close\r\n" in self.sent()) == last
        assert self.closing
        assert len(self.resource.requests) == 3

    def test_pipelined_in_one_piece_with_what_is_answered_at_once(self):
        self.ask()
        self.send(b"G")
        self.end()
        self.resource.refuse = 404
        self.send((GET + GET)[1:])
        sent = self.sent()
        assert sent.count(b"HTTP/1.1 404") == 2
        assert sent.count(b"Connection: close") == 1
        assert self.closing

    def test_pipelined_in_the_kernel(self):
        self.send(GET)
        self.transport.socket.waiting = b"G"
        self.end()
        answer(self.request)
        assert b"Connection: close\r\n" not in self.sent()
        self.transport.socket.waiting = b""
        self.send(GET)
        answer(self.request)
        assert b"Connection: close\r\n" in self.sent()

    def test_pipelining_without_end(self):
        self.end()
        self.transport.socket.waiting = b"G"
        for _ in range(MOST_ANSWERS):
            self.send(GET)
            answer(self.request)
            assert not self.closing
        self.send(GET)
        answer(self.request)
        assert self.closing


class TestGivenUp(DrainCase):
    def test_stop_waiting(self):
        self.send(GET)
        ended = self.end()
        self.site.connections.stop()
        self.successResultOf(ended)
        assert not self.closing
        self.site.connections.stop()
        self.lose()

    def test_close(self):
        self.send(GET)
        self.site.connections.close()
        assert self.closing
        assert not self.transport.aborting
        self.reactor.advance(FLUSH_TIME)
        assert self.transport.aborting

    def test_close_what_ends_by_itself(self):
        self.send(GET)
        self.site.connections.close()
        self.lose()
        self.reactor.advance(FLUSH_TIME + TIMEOUT)
        assert not self.transport.aborting

    def test_close_nothing(self):
        self.lose()
        self.site.connections.close()
        assert self.reactor.getDelayedCalls() == []


class Port:
    """A port with some connections in its queue."""

    def __init__(self, case, waiting):
        self.case = case
        self.waiting = waiting
        self.sessionno = 0
        self.stopped = False

    def doRead(self):
        for _ in range(min(self.waiting, self.numberAccepts)):
            self.waiting -= 1
            self.sessionno += 1
            self.case.connect()

    def stopListening(self):
        self.stopped = True

    def pauseProducing(self):
        pass


class TestQueue(DrainCase):
    def setUp(self):
        super().setUp()
        self.lose()

    def stop(self, waiting, take):
        port = Port(self, waiting)
        self.site.serve(port)
        self.site.stop_serving(take)
        assert port.stopped
        return port.waiting

    def test_taken_by_us(self):
        assert self.stop(3, True) == 0
        ended = self.end()
        assert len(self.site.connections) == 3
        self.assertNoResult(ended)
        self.send(GET)
        answer(self.request)
        assert self.closing

    def test_left_to_others(self):
        assert self.stop(3, False) == 3

    def test_twice(self):
        self.stop(1, True)
        self.successResultOf(self.site.stop_serving(True))
