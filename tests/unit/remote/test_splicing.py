"""Data that goes from one socket into another, by turns that the test gives."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import socket
from typing import Any

from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from glance.remote import splicing
from glance.remote.splicing import LEAST, TAIL, Inlet, Outlet, splice
from glance.remote.streams import ISpliceable
from glance.replicate.counting import Counted
from tests.unit.remote.wire import Bytes, Sink, WireTestCase

DATA = random.Random(1).randbytes(3_000_000)


class Transport:
    """What Twisted has of a socket."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.reads = self.writes = True
        self.plain_turns = 0
        #: Bytes that were written and are not with the system yet.
        self.unsent = 0

    def fileno(self) -> int:
        return self.end.fileno()

    def doRead(self) -> Any:
        raise AssertionError("not now")

    def doWrite(self) -> Any:
        """Write one byte of them. As Twisted does, end with the last; it knows of no pause."""
        self.plain_turns += 1
        self.unsent -= 1
        if not self.unsent:
            self.stopWriting()
        return None

    def startWriting(self) -> None:
        self.writes = True

    def stopWriting(self) -> None:
        self.writes = False


class Count:
    contentLength = len(DATA)


class SpliceTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not hasattr(os, "splice"):
            raise SkipTest("this system has no splice(2)")
        self.sender, inner = socket.socketpair()
        outer, self.receiver = socket.socketpair()
        for one in (self.sender, inner, outer, self.receiver):
            one.setblocking(False)
            self.addCleanup(one.close)
        self.inlet, self.outlet = Transport(inner), Transport(outer)
        self.count = Count()
        self.calls: list[str] = []
        self.passed: list[int] = []
        self.received = b""
        self.sent = 0

    # As a flow.

    def pauseProducing(self) -> None:
        self.calls.append("pause")
        self.inlet.reads = False

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        self.inlet.reads = True

    def begin(self) -> Any:
        outlet = Outlet(self.outlet, lambda: self.outlet.unsent)
        began = splice(Inlet(self.inlet, self.count), outlet, self, self.passed.append)
        assert began is not None
        self.addCleanup(began.stop)
        return began

    def turn(self, *, take: bool = True) -> None:
        """Let everybody do a little."""
        with contextlib.suppress(BlockingIOError):
            self.sent += self.sender.send(DATA[self.sent :])
        if self.inlet.reads and "doRead" in vars(self.inlet):
            self.assertIsNone(self.inlet.doRead())
        if self.outlet.writes and "doWrite" in vars(self.outlet):
            self.assertIsNone(self.outlet.doWrite())
        if take:
            with contextlib.suppress(BlockingIOError):
                self.received += self.receiver.recv(1 << 20)

    def test_all_but_the_end(self) -> None:
        self.begin()
        for _ in range(1000):
            self.turn()
        self.assertEqual(self.received, DATA[:-TAIL])
        self.assertEqual(sum(self.passed), len(DATA) - TAIL)
        self.assertEqual(self.count.contentLength, TAIL)
        # Both are as they were; the rest is still to be read.
        self.assertEqual(
            (vars(self.inlet).get("doRead"), vars(self.outlet).get("doWrite")), (None,) * 2
        )
        self.assertTrue(self.inlet.reads)
        self.assertEqual(self.inlet.end.recv(1 << 20), DATA[-TAIL:])

    def test_an_outlet_that_takes_nothing(self) -> None:
        self.begin()
        for _ in range(100):
            self.turn(take=False)
        self.assertEqual(self.calls, ["pause"])
        self.assertFalse(self.inlet.reads)
        self.assertTrue(self.outlet.writes)
        self.assertLess(self.sent, len(DATA))
        for _ in range(1000):
            self.turn()
        self.assertEqual(self.calls[:2], ["pause", "resume"])
        self.assertEqual(self.received, DATA[:-TAIL])

    def test_what_is_in_a_buffer_goes_first(self) -> None:
        self.begin()
        self.outlet.unsent = 2
        self.turn()
        self.assertEqual(self.calls, ["pause"])
        self.assertEqual(self.outlet.plain_turns, 1)
        self.assertEqual(self.passed, [])
        for _ in range(1000):
            self.turn()
        self.assertEqual(self.outlet.plain_turns, 2)
        self.assertEqual(self.received, DATA[:-TAIL])

    def test_an_inlet_that_ends(self) -> None:
        self.begin()
        self.sender.send(b"abc")
        self.sender.close()
        self.assertIsNone(self.inlet.doRead())
        self.assertIs(self.inlet.doRead(), CONNECTION_DONE)
        self.assertEqual(self.receiver.recv(10), b"abc")

    def test_an_inlet_that_is_closed(self) -> None:
        self.begin()
        self.inlet.end.close()
        self.assertIs(self.inlet.doRead(), CONNECTION_LOST)

    def test_an_outlet_that_is_lost(self) -> None:
        """It is told by its own turn, not by the inlet's."""
        self.begin()
        self.receiver.close()
        self.sender.send(b"abc")
        self.assertIsNone(self.inlet.doRead())
        self.assertTrue(self.outlet.writes)
        self.assertFalse(self.inlet.reads)
        self.assertIs(self.outlet.doWrite(), CONNECTION_LOST)

    def test_nothing_to_read(self) -> None:
        self.begin()
        self.assertIsNone(self.inlet.doRead())
        self.assertEqual(self.calls, [])

    def test_an_end_in_the_midst(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        began = self.begin()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before + 2)
        self.turn()
        began.stop()
        began.stop()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.assertNotIn("doRead", vars(self.inlet))

    def test_an_end_by_whoever_is_told(self) -> None:
        began = self.begin()
        self.passed = []
        began._passed = lambda count: began.stop()
        self.turn()
        self.assertNotIn("doWrite", vars(self.outlet))

    def test_what_is_not_worth_it(self) -> None:
        self.count.contentLength = LEAST + TAIL - 1
        outlet = Outlet(self.outlet, int)
        self.assertIsNone(splice(Inlet(self.inlet, self.count), outlet, self, int))
        self.assertNotIn("doRead", vars(self.inlet))

    def test_no_more_descriptors(self) -> None:
        def refuse(flags: int) -> Any:
            raise OSError(errno.EMFILE, "")

        self.patch(os, "pipe2", refuse)
        outlet = Outlet(self.outlet, int)
        self.assertIsNone(splice(Inlet(self.inlet, self.count), outlet, self, int))

    def test_a_small_pipe(self) -> None:
        self.patch(splicing, "ROOM", 1 << 40)  # More than anybody gets.
        self.begin()
        for _ in range(3000):
            self.turn()
        self.assertEqual(self.received, DATA[:-TAIL])


@implementer(ISpliceable)
class Straight(Bytes):
    """A stream that can, and is told to."""

    def __init__(self) -> None:
        super().__init__(10)
        self.asked: list[Any] = []

    def splice(self, outlet: Any, expected: int, flow: Any, passed: Any) -> bool:
        self.asked.append((outlet, expected, flow))
        passed(7)
        return True


class CountedTests(SynchronousTestCase):
    def test_bytes_that_are_never_seen_count_too(self) -> None:
        moved: list[int] = []
        passed: list[int] = []
        inner = Straight()
        counted = Counted(inner, moved.append)
        self.assertTrue(counted.splice("outlet", 9, "flow", passed.append))  # type: ignore[arg-type]
        self.assertEqual(inner.asked, [("outlet", 9, "flow")])
        self.assertEqual((moved, passed), ([7], [7]))
        counted.lose()
        self.assertEqual(moved, [7, -7])

    def test_a_stream_that_cannot(self) -> None:
        counted = Counted(Bytes(10), int)  # type: ignore[arg-type]
        self.assertFalse(counted.splice(Outlet(None, int), 10, self, int))  # type: ignore[arg-type]


class StreamTests(WireTestCase):
    """What asks for it, and what can do it."""

    def test_a_stream_over_what_is_no_socket(self) -> None:
        opening = self.open()
        line = self.link()
        line.head()
        line.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        stream = self.successResultOf(opening)
        verifyObject(ISpliceable, stream)
        done = stream.start(Sink())
        self.assertFalse(stream.splice(Outlet(None, int), 1_000_000, None, int))
        stream.stop()
        self.assertNoResult(done)
