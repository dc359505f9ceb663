"""Image data as it goes to a service."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHostnameResolver
from zope.interface import implementer

from glance.domain.errors import Invalid
from glance.remote import exchanges, uploading
from glance.remote.errors import (
    Failed,
    NotAllowed,
    NotAuthenticated,
    TokenExpired,
    Unintelligible,
    Unreachable,
    WrongLength,
)
from glance.remote.tokens import GivenToken
from tests.unit.remote.wire import STALL, Bytes, Link, Sink, WireTestCase

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
DONE = b"HTTP/1.1 204 No Content\r\n\r\n"


def refusal(status: int, body: bytes = b'{"message": "Why"}') -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


class Renewing(GivenToken):
    """Has another token for each that is refused."""

    given = 1

    async def current(self):
        return f"canary-{self.given}"

    async def renewed(self, refused):
        self.given += 1
        return await self.current()


@implementer(IHostnameResolver)
class Lookup:
    """Looks up names, and does not come to an end."""

    def resolveHostName(self, receiver, name, portNumber=0, types=None, semantics="TCP"):
        receiver.resolutionBegan(None)


class UploadTestCase(WireTestCase):
    def begun(self, size=10, **more):
        """Begin an upload, up to the head of its request."""
        self.stream = Bytes(size)
        self.uploading = self.upload(self.stream, **more)
        self.line = self.link() if self.reactor.tcpClients else self.line
        self.request, self.headers = self.line.head()

    def wanted(self, size=10, **more):
        """Begin an upload whose data the service wants."""
        self.begun(size, **more)
        self.line.answer(CONTINUE)

    def send(self, data, *, end=False):
        self.stream.receiver.write(data)
        if end:
            self.stream.done.callback(None)

    def over(self):
        """Check that nothing is left of the upload."""
        self.assertIn("stop", self.stream.calls)
        self.assertIsNone(self.line.wire.producer)


class TestUpload(UploadTestCase):
    token = "canary-token"

    def test_what_is_sent(self):
        digest = ("sha256", "00" * 32)
        self.wanted(digest=digest)
        self.assertTrue(self.request.startswith("PUT /v2/images/1111"))
        for name, value in (
            ("content-type", "application/octet-stream"),
            ("content-length", "10"),
            ("x-openstack-image-size", "10"),
            ("expect", "100-continue"),
            ("content-digest", f"sha-256=:{'A' * 43}=:"),
            ("x-auth-token", "canary-token"),
        ):
            self.assertEqual(self.headers[name], value)
        self.send(b"01234")
        self.send(b"56789", end=True)
        self.assertEqual(self.line.wire.take(), b"0123456789")
        self.assertNoResult(self.uploading)
        self.line.answer(DONE)
        self.successResultOf(self.uploading)
        self.over()
        self.assertFalse(self.line.wire.aborted)

    def test_digest_that_cannot_be_stated(self):
        self.begun(digest=("sha3_512", "00" * 64))
        self.assertNotIn("content-digest", self.headers)

    def test_size_that_the_stream_does_not_know(self):
        self.stream = Bytes()
        self.upload(self.stream, size=4)
        self.line = self.link()
        self.headers = self.line.head()[1]
        self.assertEqual(self.headers["content-length"], "4")

    def test_size_that_nobody_knows(self):
        self.wanted(None)
        self.assertNotIn("x-openstack-image-size", self.headers)
        self.send(b"0123", end=True)
        self.assertEqual(self.line.wire.take(), b"4\r\n0123\r\n0\r\n\r\n")
        self.line.answer(DONE)
        self.successResultOf(self.uploading)

    def test_nothing(self):
        self.begun(0)
        # Nobody says that nothing is wanted.
        self.assertNotIn("expect", self.headers)
        self.stream.done.callback(None)
        self.line.answer(DONE)
        self.successResultOf(self.uploading)

    def test_stream_that_has_come_at_once(self):
        self.begun()
        self.stream.start = lambda receiver: succeed(receiver.write(b"0123456789"))
        self.line.answer(CONTINUE, DONE)
        self.successResultOf(self.uploading)

    def test_connection_serves_the_next_one(self):
        for _ in range(2):
            self.wanted()
            # As Twisted's leave it behind.
            self.line.wire.producer.pauseProducing()
            self.send(b"0123456789", end=True)
            self.line.wire.take()
            self.line.answer(DONE)
            self.successResultOf(self.uploading)
        self.assertEqual(self.reactor.tcpClients, [])

    # Waiting to be wanted.

    def test_data_waits_until_it_is_wanted(self):
        self.begun()
        # A kept connection tells that its last request's body may go on.
        self.line.wire.producer.resumeProducing()
        self.assertEqual(self.stream.calls, [])
        self.line.answer(b"HTTP/1.1 102 Processing\r\n\r\n")
        self.assertEqual(self.stream.calls, [])
        self.line.answer(CONTINUE)
        self.assertEqual(self.stream.calls, ["start"])
        self.line.answer(CONTINUE)
        self.assertEqual(self.stream.calls, ["start"])

    def test_service_that_does_not_say_that_it_wants_data(self):
        for wait in (uploading.WANTED_TIME, 0):
            self.begun()
            self.assertEqual("expect" in self.headers, bool(wait))
            self.reactor.advance(wait)
            self.assertEqual(self.stream.calls, ["start"])
            self.send(b"0123456789", end=True)
            self.line.wire.take()
            self.line.answer(DONE)
            self.successResultOf(self.uploading)

    def test_service_that_once_said_so(self):
        self.test_connection_serves_the_next_one()
        for _ in range(2):
            self.begun()
            self.assertIn("expect", self.headers)
            self.reactor.advance(uploading.WANTED_TIME)
            self.send(b"0123456789", end=True)
            self.line.wire.take()
            self.line.answer(DONE)
            self.successResultOf(self.uploading)

    def test_service_that_knows_nothing_of_it(self):
        self.begun()
        self.line.answer(refusal(417))
        if self.reactor.tcpClients:
            self.line = self.link()
        self.assertNotIn("expect", self.line.head()[1])
        self.assertEqual(self.stream.calls, ["start"])

    # Answers in between.

    def test_refusal_before_any_data(self):
        for status, kind in ((403, NotAllowed), (409, Failed), (413, Failed)):
            for body in (b"", b'{"message": "Why"}'):
                self.setUp()
                self.begun()
                self.line.answer(refusal(status, body))
                error = self.failed(self.uploading, kind)
                self.assertEqual((error.status, error.said), (status, "Why" if body else ""))
                self.assertEqual(self.stream.calls, ["stop"])
                self.assertTrue(self.line.wire.aborted)
                self.over()

    def test_refusal_in_the_middle(self):
        for body in (b"", b'{"message": "Why"}'):
            self.setUp()
            self.wanted()
            self.send(b"0123")
            self.line.answer(
                *(refusal(413, body)[n : n + 1] for n in range(len(refusal(413, body))))
            )
            error = self.failed(self.uploading, Failed)
            self.assertEqual(error.status, 413)
            self.over()
            self.assertTrue(self.line.wire.aborted)
            # What still comes of the stream is nobody's.
            self.send(b"456789")
            self.assertEqual(self.line.wire.take(), b"0123")

    def test_refusal_whose_text_is_lost(self):
        self.wanted()
        self.send(b"0123")
        self.line.answer(refusal(409)[:-4])
        self.line.lose(ConnectionLost())
        self.assertEqual(self.failed(self.uploading, Failed).status, 409)

    def test_success_in_the_middle(self):
        self.wanted()
        self.line.answer(DONE)
        self.successResultOf(self.uploading)
        self.over()

    # Tokens.

    def test_refused_token(self):
        self.begun()
        self.line.answer(refusal(401))
        self.failed(self.uploading, NotAuthenticated)

    def make_renewing(self):
        self.tokens = self.transfers._service._tokens = Renewing(None)

    def test_token_is_renewed_before_any_data(self):
        self.make_renewing()
        self.begun()
        self.line.answer(refusal(401))
        self.line = self.link()
        self.assertEqual(self.line.head()[1]["x-auth-token"], "canary-2")
        self.line.answer(CONTINUE)
        self.assertEqual(self.stream.calls, ["start"])

    def test_token_is_renewed_once(self):
        self.make_renewing()
        self.begun()
        self.line.answer(refusal(401))
        self.link().answer(refusal(401))
        self.failed(self.uploading, NotAuthenticated)
        self.assertEqual(self.reactor.tcpClients, [])

    def test_token_that_expires_in_the_middle(self):
        self.make_renewing()
        self.wanted()
        self.send(b"0123")
        self.line.answer(refusal(401))
        self.failed(self.uploading, TokenExpired)
        self.assertEqual(self.tokens.given, 2)

    # What goes wrong.

    def test_nothing_listens(self):
        self.stream = Bytes(10)
        uploading = self.upload(self.stream)
        self.refuse()
        self.failed(uploading, Unreachable)
        self.assertEqual(self.stream.calls, ["stop"])

    def test_kept_connection_that_is_closed(self):
        self.begun()
        self.line.lose()
        other = self.link()
        self.line.answer = None
        other.answer(CONTINUE)
        self.assertEqual(self.stream.calls, ["start"])

    def test_connection_that_is_closed_twice(self):
        self.begun()
        self.line.lose()
        self.link().lose()
        self.failed(self.uploading, Unreachable)

    def test_connection_that_is_lost_in_the_middle(self):
        self.wanted()
        self.send(b"0123")
        self.line.lose(ConnectionLost())
        self.failed(self.uploading, Unreachable)
        self.assertIn("cancel", self.stream.calls)
        self.over()
        self.assertEqual(self.reactor.tcpClients, [])

    def test_answer_that_is_none_in_the_middle(self):
        for begin in (self.begun, self.wanted):
            for answer in (
                b"SSH-2.0-x y z\r\n\r\n",
                b"HTTP/1.1 400 X\r\nContent-Length: x\r\n\r\n",
                b"HTTP/1.1 400 X\r\nTransfer-Encoding: x\r\n\r\n",
            ):
                self.setUp()
                begin()
                self.line.answer(answer)
                # What is sent on from here is sent for nothing.
                self.failed(self.uploading, Unintelligible)
                self.over()
                self.assertTrue(self.line.wire.aborted)
                self.line.lose()
                self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_stream_that_breaks_off(self):
        self.wanted()
        self.send(b"0123")
        self.stream.done.errback(Invalid("So it is."))
        self.assertEqual(self.failed(self.uploading, Invalid).message, "So it is.")
        self.assertTrue(self.line.wire.aborted)
        self.over()

    def test_stream_that_does_not_begin(self):
        self.begun()
        self.stream.start = lambda receiver: fail(Invalid("So it is."))
        self.line.answer(CONTINUE)
        self.failed(self.uploading, Invalid)
        self.assertTrue(self.line.wire.aborted)

    def test_too_little(self):
        self.wanted()
        self.send(b"0123", end=True)
        self.assertIn("4 bytes of data, not 10", self.failed(self.uploading, WrongLength).message)
        self.assertTrue(self.line.wire.aborted)

    def test_too_much(self):
        self.wanted()
        self.send(b"0123")
        self.send(b"4567890")
        self.assertIn("more than 10 bytes", self.failed(self.uploading, WrongLength).message)
        self.assertTrue(self.line.wire.aborted)
        self.assertEqual(self.line.wire.take(), b"0123")
        self.over()

    def test_cancelled(self):
        for stage in ("begun", "wanted"):
            self.setUp()
            getattr(self, stage)()
            self.uploading.cancel()
            self.failureResultOf(self.uploading, CancelledError)
            self.assertTrue(self.line.wire.aborted)
            self.over()
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_cancelled_before_there_is_a_connection(self):
        stream = Bytes(10)
        uploading = self.upload(stream)
        uploading.cancel()
        self.failureResultOf(uploading, CancelledError)
        self.assertEqual(stream.calls, ["stop"])

    def test_cancelled_while_a_name_is_looked_up(self):
        self.reactor.nameResolver = Lookup()
        stream = Bytes(10)
        uploading = self.upload(stream)
        uploading.cancel()
        self.failureResultOf(uploading, CancelledError)
        self.assertEqual(stream.calls, ["stop"])

    def test_cancelled_while_the_answer_is_awaited(self):
        self.wanted()
        self.send(b"0123456789", end=True)
        self.uploading.cancel()
        self.failureResultOf(self.uploading, CancelledError)
        self.assertTrue(self.line.wire.aborted)
        self.over()

    # Time.

    def test_pace(self):
        self.wanted()
        self.line.wire.producer.pauseProducing()
        self.line.wire.producer.resumeProducing()
        self.line.wire.producer.resumeProducing()
        self.assertEqual(self.stream.calls, ["start", "pause", "resume"])

    def test_paused_before_it_is_wanted(self):
        self.begun()
        self.line.wire.producer.pauseProducing()
        self.assertEqual(self.stream.calls, [])
        self.line.answer(CONTINUE)
        self.assertEqual(self.stream.calls, ["start", "pause"])

    def test_service_that_takes_nothing(self):
        self.wanted()
        self.send(b"0123")
        self.line.wire._tempDataLen = 4
        self.line.wire.producer.pauseProducing()
        self.reactor.advance(STALL - 1)
        # It is slow, but takes something.
        self.line.wire._tempDataLen = 3
        self.reactor.advance(1)
        self.assertNoResult(self.uploading)
        self.reactor.advance(STALL)
        error = self.failed(self.uploading, Unreachable)
        self.assertEqual(error.message, "127.0.0.1:9292 has taken no data for 7 s.")
        self.assertTrue(self.line.wire.aborted)
        self.over()

    def test_source_that_is_slow(self):
        # Is for the stream itself to notice.
        self.wanted()
        self.reactor.pump([STALL] * 5)
        self.assertNoResult(self.uploading)

    def test_service_that_does_not_answer(self):
        self.wanted()
        self.send(b"0123456789", end=True)
        self.reactor.advance(uploading.ANSWER_TIME - 1)
        self.assertNoResult(self.uploading)
        self.reactor.advance(2)
        error = self.failed(self.uploading, Unreachable)
        self.assertIn("had all data, but no answer, for 120 s", error.message)
        self.assertTrue(self.line.wire.aborted)

    def test_answers_after_large_data_take_longer(self):
        self.patch(uploading, "ANSWER_RATE", 1)
        self.wanted()
        self.send(b"0123456789", end=True)
        self.reactor.advance(uploading.ANSWER_TIME + 9)
        self.assertNoResult(self.uploading)


class TestSizes(WireTestCase):
    def test_connections_are_read_and_written_in_large_pieces(self):
        self.upload(Bytes(1))
        line: Link = self.link()
        self.assertEqual((line.wire.bufferSize, line.wire.SEND_LIMIT), (1000, 1000))

    def test_heads_are_read_in_small_pieces(self):
        self.patch(exchanges, "_NARROW", 100)
        opening = self.open()
        line = self.link()
        line.head()
        line.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        stream = self.successResultOf(opening)
        self.assertEqual(line.wire.bufferSize, 100)
        stream.start(Sink())
        self.assertEqual(line.wire.bufferSize, 1000)
        line.answer(b"0123456789")
        # The next one goes over the same connection.
        self.upload(Bytes(1))
        self.assertEqual(line.head()[0].split()[0], "PUT")
        self.assertEqual(line.wire.bufferSize, 100)


class TestWriting(UploadTestCase):
    """What the system takes at once is not kept."""

    def taking(self, *counts):
        """Have the system take so many bytes each time it is asked."""
        self.wanted(size=9000)
        self.line.wire.take()
        self.taken = []
        left = list(counts)

        def write_some(data):
            count = left.pop(0)
            self.taken.append(bytes(data[: max(0, count)]) if isinstance(count, int) else count)
            return count

        self.line.wire.writeSomeData = write_some

    def test_all(self):
        self.taking(1000, 2000)
        self.send(b"a" * 1000)
        self.send(b"b" * 2000)
        self.assertEqual(self.taken, [b"a" * 1000, b"b" * 2000])
        self.assertEqual(self.line.wire.take(), b"")

    def test_a_part(self):
        self.taking(600)
        self.send(b"a" * 600 + b"b" * 900)
        self.assertEqual(self.taken, [b"a" * 600])
        self.assertEqual(self.line.wire.take(), b"b" * 900)

    def test_nothing(self):
        self.taking(0)
        self.send(b"a" * 1000)
        self.assertEqual(self.line.wire.take(), b"a" * 1000)

    def test_what_is_kept_goes_first(self):
        self.taking()
        self.line.wire._tempDataLen = 1
        self.send(b"a" * 1000)
        self.assertEqual(self.line.wire.take(), b"a" * 1000)

    def test_small_pieces_are_gathered(self):
        self.taking()
        self.send(b"a" * 999)
        self.assertEqual(self.line.wire.take(), b"a" * 999)

    def test_a_connection_that_is_lost(self):
        """Twisted notices when it writes itself."""
        self.taking(ConnectionLost())
        self.send(b"a" * 1000)
        self.assertEqual(self.line.wire.take(), b"a" * 1000)
