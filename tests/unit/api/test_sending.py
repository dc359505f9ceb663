"""Sending stored data, by copying and by the kernel: what arrives, and how it breaks off."""

import errno
import os
import socket
import tempfile

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from glance.api import sending
from glance.api.sending import send
from glance.domain.errors import Unavailable
from glance.stores.errors import DataNotFound, ReadElsewhere, StoreError
from glance.stores.interfaces import IFileReader, IStoreReader

STALL = 10.0
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


@implementer(IStoreReader)
class MemoryReader:
    """Stored bytes whose reads a test can hold back."""

    def __init__(self, data):
        self.data = data
        self.size = len(data)
        self.held = None
        self.reads = 0

    def read(self, offset, length):
        self.reads += 1
        if self.held is not None:
            waiting = Deferred()
            self.held.append((waiting, self.data[offset : offset + length]))
            return waiting
        return succeed(self.data[offset : offset + length])

    def close(self):
        pass


class AbortableTransport(StringTransport):
    aborted = False

    def abortConnection(self):
        self.aborted = True
        super().abortConnection()


class FakeRequest:
    """A request whose head is written by the first ``write``, as ``twisted.web`` does it."""

    def __init__(self, transport):
        self.transport = transport
        self.producer = None
        self.sentLength = 0
        self._disconnected = False
        self._head = HEAD

    def write(self, data):
        self.transport.write(self._head + data)
        self._head = b""
        self.sentLength += len(data)

    def registerProducer(self, producer, streaming):
        assert self.producer is None and streaming
        self.producer = producer

    def unregisterProducer(self):
        self.producer = None


class SendingCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()

    def send(self, offset=0, length=None, stall=STALL, elsewhere=None):
        length = self.reader.size - offset if length is None else length
        sent = send(self.request, self.reader, offset, length, self.clock, stall, elsewhere)
        return Deferred.fromCoroutine(sent)

    def vanish(self, sending_):
        """Do what happens, in this order, when the transport has lost its connection."""
        self.request.producer.stopProducing()
        self.assertNoResult(sending_)
        self.request._disconnected = True
        sending_.cancel()
        self.failureResultOf(sending_, CancelledError)

    def assertOver(self):
        """Nothing is left behind: no producer, no timer."""
        self.assertIsNone(self.request.producer)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TestCopying(SendingCase):
    def setUp(self):
        super().setUp()
        self.patch(sending, "READ_SIZE", 4)
        self.transport = AbortableTransport()
        self.request = FakeRequest(self.transport)
        self.reader = MemoryReader(b"0123456789")

    def test_whole(self):
        self.successResultOf(self.send())
        self.assertEqual(self.transport.value(), HEAD + b"0123456789")
        self.assertOver()

    def test_ranges(self):
        for offset, length in [(0, 1), (3, 4), (9, 1), (5, 0), (2, 8)]:
            self.request = FakeRequest(self.transport)
            self.transport.clear()
            self.successResultOf(self.send(offset, length))
            expected = HEAD + self.reader.data[offset : offset + length]
            self.assertEqual(self.transport.value(), expected)
            self.assertOver()

    def test_reads_one_piece_at_a_time(self):
        self.reader.held = []
        sending_ = self.send()
        self.assertEqual(self.reader.reads, 1)
        while self.reader.held:
            waiting, data = self.reader.held.pop()
            waiting.callback(data)
        self.assertEqual(self.reader.reads, 3)
        self.successResultOf(sending_)

    def test_reads_nothing_while_the_client_is_behind(self):
        self.reader.held = []
        sending_ = self.send()
        self.request.producer.pauseProducing()
        waiting, data = self.reader.held.pop()
        waiting.callback(data)
        self.assertEqual(self.reader.reads, 1)
        self.reader.held = None
        self.request.producer.resumeProducing()
        self.successResultOf(sending_)
        self.assertEqual(self.transport.value(), HEAD + b"0123456789")

    def test_data_that_ends_early_is_an_error(self):
        self.failureResultOf(self.send(0, 11), Unavailable)
        self.assertOver()

    def test_store_that_fails_is_an_error(self):
        self.reader.held = []
        sending_ = self.send()
        self.reader.held.pop()[0].errback(StoreError("broken"))
        self.failureResultOf(sending_, StoreError)
        self.assertOver()

    def test_goes_on_elsewhere(self):
        self.reader.held = []
        sending_ = self.send(1, elsewhere=self.elsewhere)
        waiting, data = self.reader.held.pop()
        waiting.callback(data)
        self.reader.held.pop()[0].errback(ReadElsewhere("here no more"))
        # The other one is not open yet.
        self.assertNoResult(sending_)
        self.opening.callback(MemoryReader(b"abcdefghij"))
        self.successResultOf(sending_)
        self.assertEqual(self.transport.value(), HEAD + b"1234" + b"fghij")
        self.assertOver()

    def elsewhere(self):
        self.opening = Deferred()
        return self.opening

    def test_elsewhere_there_is_nothing(self):
        self.reader.held = []
        sending_ = self.send(elsewhere=self.elsewhere)
        self.reader.held.pop()[0].errback(ReadElsewhere("here no more"))
        self.opening.errback(DataNotFound("gone"))
        self.failureResultOf(sending_, DataNotFound)
        self.assertOver()

    def test_there_is_no_elsewhere(self):
        self.reader.held = []
        sending_ = self.send()
        self.reader.held.pop()[0].errback(ReadElsewhere("here no more"))
        self.failureResultOf(sending_, ReadElsewhere)
        self.assertOver()

    def test_client_that_vanishes_on_the_way_elsewhere(self):
        self.reader.held = []
        sending_ = self.send(elsewhere=self.elsewhere)
        self.reader.held.pop()[0].errback(ReadElsewhere("here no more"))
        sending_.cancel()
        self.failureResultOf(sending_, CancelledError)
        self.assertTrue(self.opening.called)
        self.assertOver()

    def test_vanished_client_ends_it(self):
        self.reader.held = []
        sending_ = self.send()
        self.vanish(sending_)
        # The read under way comes to an end that nobody waits for any more.
        waiting, data = self.reader.held.pop()
        waiting.callback(data)
        self.assertEqual(self.transport.value(), HEAD)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelling_ends_it(self):
        self.reader.held = []
        sending_ = self.send()
        sending_.cancel()
        self.failureResultOf(sending_, CancelledError)
        self.assertOver()

    def test_client_that_takes_nothing_is_cut_off(self):
        self.reader.held = []
        self.send().addErrback(lambda f: None)
        self.clock.advance(STALL)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(STALL)
        self.assertTrue(self.transport.aborted)

    def test_client_that_takes_a_little_is_not(self):
        self.reader.held = []
        self.send().addErrback(lambda f: None)
        for _ in range(2):
            self.clock.advance(STALL)
            waiting, data = self.reader.held.pop()
            waiting.callback(data)
        self.clock.advance(STALL)
        self.assertFalse(self.transport.aborted)

    def test_without_a_limit_there_is_no_timer(self):
        self.reader.held = []
        self.send(stall=0).addErrback(lambda f: None)
        self.assertEqual(self.clock.getDelayedCalls(), [])


@implementer(IFileReader)
class FileReader:
    """A file whose prefetching a test can hold back."""

    def __init__(self, file):
        self._file = file
        self.size = os.fstat(file.fileno()).st_size
        self.held = None
        self.fetched = []
        #: How much of the file is there.
        self.there = self.size

    def fileno(self):
        return self._file.fileno()

    def prefetch(self, offset, length):
        self.fetched.append((offset, length))
        fetching = Deferred()
        fetching.addCallback(lambda _: min(length, max(0, self.there - offset)))
        if self.held is None:
            fetching.callback(None)
        else:
            self.held.append(fetching)
        return fetching

    def read(self, offset, length):
        raise AssertionError("the kernel reads")

    def close(self):
        pass


class FakeReactor(Clock):
    """Knows who wants to write."""

    def __init__(self):
        super().__init__()
        self.writers = set()

    def addWriter(self, writer):
        self.writers.add(writer)

    def removeWriter(self, writer):
        self.writers.discard(writer)

    def addReader(self, reader):
        pass

    def removeReader(self, reader):
        pass


class SocketTransport(FileDescriptor):
    """A plain socket's transport, written to when the test says so."""

    aborted = False

    def __init__(self, reactor, ours):
        super().__init__(reactor)
        self._ours = ours
        self.connected = True

    def fileno(self):
        return self._ours.fileno()

    def writeSomeData(self, data):
        try:
            return self._ours.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return CONNECTION_LOST

    def abortConnection(self):
        self.aborted = True


class TestKernel(SendingCase):
    def setUp(self):
        self.clock = FakeReactor()
        self.patch(sending, "FIRST_STRETCH", 400_000)
        self.patch(sending, "TURN", 100_000)
        ours, self.peer = socket.socketpair()
        for end in (ours, self.peer):
            end.setblocking(False)
            self.addCleanup(end.close)
        self.transport = SocketTransport(self.clock, ours)
        self.request = FakeRequest(self.transport)
        file = self.enterContext(tempfile.TemporaryFile())
        self.data = os.urandom(1_000_003)
        file.write(self.data)
        file.flush()
        self.reader = FileReader(file)

    def take(self, limit=None):
        """Play reactor and client until nothing moves; return what arrived."""
        got = bytearray()
        moved = True
        while moved and (limit is None or len(got) < limit):
            moved = False
            if self.transport in self.clock.writers and self.transport.doWrite() is not None:
                self.clock.removeWriter(self.transport)
            try:
                piece = self.peer.recv(1 << 20)
            except BlockingIOError:
                continue
            got += piece
            moved = bool(piece)
        return bytes(got)

    def test_whole_with_its_head_first(self):
        sending_ = self.send()
        self.assertEqual(self.take(), HEAD + self.data)
        self.successResultOf(sending_)
        self.assertEqual(self.request.sentLength, len(self.data))
        self.assertOver()

    def test_ranges(self):
        for offset, length in [(0, 1), (399_999, 2), (5, 0), (1_000_002, 1), (7, 800_001)]:
            self.request = FakeRequest(self.transport)
            sending_ = self.send(offset, length)
            self.assertEqual(self.take(), HEAD + self.data[offset : offset + length])
            self.successResultOf(sending_)
            self.assertOver()

    def test_nothing_is_sent_before_it_was_brought_in(self):
        self.reader.held = []
        self.send().addErrback(lambda f: None)
        self.assertEqual(self.take(), HEAD)
        self.reader.held.pop().callback(None)
        self.assertEqual(self.take(), self.data[:400_000])
        self.assertEqual([offset for offset, _ in self.reader.fetched], [0, 400_000])

    def test_file_that_grows(self):
        self.reader.held = []
        self.reader.there = 250_000
        sending_ = self.send()
        self.take()
        self.reader.held.pop().callback(None)
        # What is there goes out, though it is less than was asked for.
        self.assertEqual(self.take(), self.data[:250_000])
        self.assertNotIn(self.transport, self.clock.writers)
        self.assertEqual(self.reader.fetched[-1][0], 250_000)
        self.reader.there = self.reader.size
        while self.reader.held:
            self.reader.held.pop().callback(None)
            self.take()
        self.successResultOf(sending_)
        self.assertEqual(self.request.sentLength, len(self.data))
        self.assertOver()

    def test_nothing_brought_in_is_an_error(self):
        self.reader.there = 0
        self.failureResultOf(self.send(), Unavailable)
        self.assertOver()

    def test_goes_on_elsewhere_from_where_the_client_is(self):
        self.reader.held = []
        self.reader.there = 250_000
        other = MemoryReader(self.data)
        sending_ = self.send(7, elsewhere=lambda: succeed(other))
        got = self.take()
        self.reader.held.pop().callback(None)
        got += self.take()
        self.reader.held.pop().errback(ReadElsewhere("here no more"))
        got += self.take()
        self.successResultOf(sending_)
        self.assertEqual(got, HEAD + self.data[7:])
        self.assertEqual(self.request.sentLength, len(self.data) - 7)
        self.assertOver()

    def test_idle_while_it_waits_for_the_disk(self):
        self.reader.held = []
        self.send().addErrback(lambda f: None)
        self.take()
        self.assertNotIn(self.transport, self.clock.writers)

    def test_transport_writes_by_itself_again_afterwards(self):
        self.successResultOf(self.sent_whole())
        self.transport.write(b"next answer")
        self.assertEqual(self.take(), b"next answer")

    def sent_whole(self):
        sending_ = self.send()
        self.take()
        return sending_

    def test_file_that_ends_early_is_an_error(self):
        os.ftruncate(self.reader.fileno(), 500_000)
        sending_ = self.send()
        self.assertEqual(self.take(), HEAD + self.data[:500_000])
        self.failureResultOf(sending_, Unavailable)
        self.assertOver()

    def test_disk_that_fails_is_an_error(self):
        self.reader.held = []
        sending_ = self.send()
        self.reader.held.pop().errback(StoreError("broken"))
        self.failureResultOf(sending_, StoreError)
        self.assertOver()

    def test_disk_that_fails_as_the_kernel_reads(self):
        """It is not taken for the client's fault: the reader says what it means."""
        sendfile = os.sendfile

        def fails(out, fd, offset, count):
            if offset >= 300_000:
                raise OSError(errno.EIO, "bad sector")
            return sendfile(out, fd, offset, min(count, 300_000 - offset))

        self.patch(os, "sendfile", fails)
        asked = []

        def read(offset, length):
            asked.append((offset, length))
            return fail(ReadElsewhere("broken"))

        self.reader.read = read
        other = MemoryReader(self.data)
        sending_ = self.send(elsewhere=lambda: succeed(other))
        # What is taken first ends where the disk fails.
        self.assertEqual(self.take() + self.take(), HEAD + self.data)
        self.successResultOf(sending_)
        self.assertEqual(asked, [(300_000, 1)])
        self.assertOver()
        # What has no reason to go on elsewhere, or can be read after all, ends here.
        broken = StoreError("broken")
        for answer, error in ((fail(broken), StoreError), (succeed(b"x"), Unavailable)):
            self.request = FakeRequest(self.transport)
            self.reader.read = lambda offset, length, answer=answer: answer
            sending_ = self.send(300_000)
            self.assertEqual(self.take(), HEAD)
            self.failureResultOf(sending_, error)
            self.assertOver()

    def test_client_that_hung_up_is_noticed(self):
        sending_ = self.send()
        self.take(limit=100_000)
        self.peer.close()
        while (result := self.transport.doWrite()) is None:
            pass
        self.assertIs(result, CONNECTION_LOST)
        self.vanish(sending_)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelling_gives_the_transport_back(self):
        self.reader.held = []
        sending_ = self.send()
        sending_.cancel()
        self.failureResultOf(sending_, CancelledError)
        self.reader.held.pop().callback(None)
        self.assertEqual(self.take(), HEAD)
        self.assertOver()

    def test_client_that_takes_nothing_is_cut_off(self):
        self.send().addErrback(lambda f: None)
        self.take(limit=1)
        while not self.transport.aborted:
            self.assertLess(self.clock.seconds(), 3 * STALL)
            # The kernel's own buffers fill up, and then nothing moves.
            if self.transport in self.clock.writers:
                self.transport.doWrite()
            self.clock.advance(STALL / 4)
        self.assertGreaterEqual(self.clock.seconds(), STALL)
