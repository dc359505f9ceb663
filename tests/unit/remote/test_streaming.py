"""Image data as it comes from a service."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from glance.remote.errors import (
    Absent,
    Failed,
    NotAuthenticated,
    Unintelligible,
    Unreachable,
    WrongLength,
)
from tests.unit.remote.wire import SECONDS, STALL, Sink, WireTestCase

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class StreamTestCase(WireTestCase):
    def opened(self, *answer, offset=0):
        opening = self.open(offset)
        self.line = self.link()
        self.request = self.line.head()
        self.line.answer(*answer)
        return self.successResultOf(opening)

    def started(self, *answer, **more):
        self.stream = self.opened(*answer, **more)
        self.sink = Sink()
        return self.stream.start(self.sink)


class TestOpening(StreamTestCase):
    token = "canary-token"

    def test_what_is_asked(self):
        self.opened(OK)
        line, headers = self.request
        self.assertTrue(line.startswith("GET /v2/images/1111"))
        self.assertTrue(line.endswith("/file HTTP/1.1"))
        self.assertEqual(headers["x-auth-token"], "canary-token")
        self.assertEqual(headers["accept-encoding"], "identity")
        self.assertNotIn("range", headers)

    def test_what_is_announced(self):
        stream = self.opened(OK)
        self.assertEqual((stream.size, stream.offset), (10, 0))
        stream = self.opened(CHUNKED)
        self.assertEqual((stream.size, stream.offset), (None, 0))

    def test_nothing_is_taken_before_the_start(self):
        self.opened(OK, b"abcd")
        self.assertTrue(self.line.paused)

    def test_rest(self):
        answer = b"HTTP/1.1 206 P\r\nContent-Length: 6\r\nContent-Range: bytes 4-9/10\r\n\r\n"
        stream = self.opened(answer, offset=4)
        self.assertEqual(self.request[1]["range"], "bytes=4-")
        self.assertEqual((stream.size, stream.offset), (6, 4))

    def test_all_instead_of_the_rest(self):
        stream = self.opened(OK, offset=4)
        self.assertEqual((stream.size, stream.offset), (10, 0))

    def test_another_rest(self):
        for value in (b"bytes 3-9/10", b"bytes */10", b"", b"items 4-9/10"):
            opening = self.open(4)
            line = self.link()
            line.answer(b"HTTP/1.1 206 P\r\nContent-Length: 6\r\nContent-Range: %b\r\n\r\n" % value)
            self.failed(opening, Unintelligible)
            self.assertTrue(line.wire.aborted)

    def test_encoded(self):
        opening = self.open()
        self.link().answer(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        self.failed(opening, Unintelligible)

    def test_no_data(self):
        done = self.started(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.successResultOf(done)
        self.assertEqual((self.stream.size, self.sink.data), (0, b""))

    def test_errors(self):
        for status, kind in ((404, Absent), (416, Failed), (503, Failed), (401, NotAuthenticated)):
            self.setUp()
            opening = self.open()
            self.link().answer(
                b'HTTP/1.1 %d X\r\nContent-Length: 18\r\n\r\n{"message": "Why"}' % status
            )
            error = self.failed(opening, kind)
            self.assertEqual(error.status, status)

    def test_error_of_which_the_text_does_not_come(self):
        opening = self.open()
        line = self.link()
        line.answer(b"HTTP/1.1 404 N\r\nContent-Length: 18\r\n\r\n{")
        self.reactor.advance(SECONDS)
        self.failed(opening, Absent)
        self.assertTrue(line.wire.aborted or line.wire.disconnecting)

    def test_nothing_listens(self):
        opening = self.open()
        self.refuse()
        self.assertIn("nothing listens", self.failed(opening, Unreachable).message)

    def test_no_answer(self):
        opening = self.open()
        line = self.link()
        self.reactor.advance(SECONDS)
        self.assertIn("did not answer within 20 s", self.failed(opening, Unreachable).message)
        self.assertTrue(line.wire.aborted)

    def test_cancelled(self):
        opening = self.open()
        line = self.link()
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.assertTrue(line.wire.aborted)

    def test_cancelled_before_there_is_a_connection(self):
        opening = self.open()
        opening.cancel()
        self.failureResultOf(opening, CancelledError)


class TestStream(StreamTestCase):
    def test_all(self):
        done = self.started(OK, b"0123")
        self.assertFalse(self.line.paused)
        self.line.answer(b"456789")
        self.successResultOf(done)
        self.assertEqual(self.sink.data, b"0123456789")
        self.assertEqual(self.reactor.getDelayedCalls()[1:], [])

    def test_all_before_the_start(self):
        done = self.started(OK + b"0123456789")
        self.successResultOf(done)
        self.assertEqual(self.sink.data, b"0123456789")

    def test_without_length(self):
        done = self.started(b"HTTP/1.1 200 OK\r\n\r\n", b"0123")
        self.line.lose()
        self.successResultOf(done)
        self.assertEqual(self.sink.data, b"0123")

    def test_connection_serves_the_next_one(self):
        self.successResultOf(self.started(OK, b"0123456789"))
        stream = self.stream
        opening = self.open()
        self.assertEqual(self.reactor.tcpClients, [])
        # What is over does not touch what others do.
        stream.stop()
        stream._exchange.abort()
        self.line.answer(OK)
        self.assertEqual(self.successResultOf(opening).size, 10)
        self.assertFalse(self.line.wire.aborted)

    def test_shorter_than_announced(self):
        done = self.started(OK, b"0123")
        self.line.lose()
        error = self.failed(done, Unreachable)
        self.assertEqual(
            error.message,
            "127.0.0.1:9292 broke off after 4 of 10 bytes of data: Connection was closed cleanly.",
        )

    def test_lost_in_a_chunk(self):
        done = self.started(CHUNKED, b"4\r\n0123\r\n4\r\n01")
        self.line.lose(ConnectionLost())
        self.assertIn("after 6 bytes of data", self.failed(done, Unreachable).message)

    def test_lost_before_the_start(self):
        stream = self.opened(OK, b"01")
        self.line.lose()
        self.failed(stream.start(Sink()), Unreachable)

    def test_longer_than_announced(self):
        done = self.started(OK, b"0123456789abc")
        error = self.failed(done, WrongLength)
        self.assertIn("more data than the 10 bytes that it announced", error.message)
        self.assertTrue(self.line.wire.disconnecting)

    def test_pace(self):
        self.started(OK, b"01")
        self.stream.pause()
        self.assertTrue(self.line.paused)
        self.stream.resume()
        self.assertFalse(self.line.paused)

    def test_paused_before_the_start(self):
        stream = self.opened(OK)
        stream.pause()
        stream.start(Sink())
        self.assertTrue(self.line.paused)
        stream.resume()
        self.assertFalse(self.line.paused)

    def test_stalled(self):
        done = self.started(OK)
        for _ in range(3):
            self.reactor.advance(STALL - 1)
            self.line.answer(b"0")
        self.assertNoResult(done)
        self.reactor.advance(STALL)
        error = self.failed(done, Unreachable)
        self.assertIn("has sent no data for 7 s", error.message)
        self.assertTrue(self.line.wire.aborted)

    def test_paused_is_not_stalled(self):
        done = self.started(OK)
        self.stream.pause()
        self.reactor.pump([STALL] * 5)
        # What was on its way already does not make it due.
        self.line.answer(b"0")
        self.reactor.pump([STALL] * 5)
        self.assertNoResult(done)
        self.stream.resume()
        self.reactor.advance(STALL - 1)
        self.assertNoResult(done)
        self.reactor.advance(1)
        self.failed(done, Unreachable)

    def test_cancelled(self):
        done = self.started(OK, b"01")
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertTrue(self.line.wire.aborted)
        self.line.lose()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stopped_before_the_start(self):
        stream = self.opened(OK, b"01")
        stream.stop()
        self.assertTrue(self.line.wire.aborted)
        self.failureResultOf(stream.start(Sink()), CancelledError)

    def test_nothing_comes_after_the_end(self):
        self.started(OK, b"01")
        self.stream.stop()
        self.line.protocol.dataReceived(b"23")
        self.assertEqual(self.sink.data, b"01")

    def test_receiver_that_fails(self):
        self.stream = self.opened(OK)
        done = self.stream.start(object())
        self.line.answer(b"01")
        self.failureResultOf(done, AttributeError)
        self.assertTrue(self.line.wire.aborted)


class TestChunkings(SynchronousTestCase):
    @given(st.binary(max_size=300), st.booleans(), st.data())
    def test_however_it_comes(self, data, chunked, draws):
        case = TestStream("test_all")
        case.setUp()
        if chunked:
            cuts = sorted(draws.draw(st.sets(st.integers(0, len(data)), max_size=5)))
            pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces if one)
            whole = CHUNKED + body + b"0\r\n\r\n"
        else:
            whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)
        opening, line = case.open(), case.link()
        ends = sorted(draws.draw(st.sets(st.integers(1, len(whole)), max_size=8)) | {len(whole)})
        sink, stream, done, begin = Sink(), None, None, 0
        for end in ends:
            line.answer(whole[begin:end])
            begin = end
            if opening.called and stream is None:
                stream = case.successResultOf(opening)
                done = stream.start(sink)
            elif done is not None and draws.draw(st.booleans()):
                stream.pause()
                stream.resume()
        self.successResultOf(done)
        self.assertEqual(sink.data, data)
        self.assertFalse(line.wire.aborted)
