"""Sides and streams in memory, and threads that do everything at once."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from glance.domain.errors import GlanceError
from glance.remote.streams import IByteReceiver, IByteStream
from glance.replicate.record import ImageRecord
from glance.stores.threads import HeldPool, InlinePool, Threads

IMAGE = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"


class Broken(GlanceError):
    """A connection broke."""


def record_of(data, image_id=IMAGE, **known):
    """Return the record of an active image that has some data."""
    known = {
        "size": len(data),
        "checksum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        "hash_algorithm": "sha512",
        "hash_value": hashlib.sha512(data).hexdigest(),
        "fields": {"name": "n", "visibility": "private"},
        **known,
    }
    return ImageRecord(image_id, **{"status": "active", **known})


@implementer(IByteReceiver)
class Receiver:
    """Takes bytes.

    :ivar pieces: as they came.
    :ivar on_write: called after each, if it is set.
    """

    def __init__(self, on_write=None):
        self.pieces = []
        self.on_write = on_write

    @property
    def data(self):
        return b"".join(self.pieces)

    def write(self, data):
        self.pieces.append(data)
        if self.on_write is not None:
            self.on_write()


@implementer(IByteStream)
class Stream:
    """Bytes that come at once, or when a test says so.

    :param error: what it fails with at the end.
    :param held: whether it waits for :meth:`go`.
    """

    def __init__(self, data, offset=0, piece=7, error=None, held=False, size=None):
        self.left = data
        self.size = len(data) if size is None else size
        self.offset = offset
        self.piece = piece
        self.error = error
        self.held = held
        self.paused = False
        self.stopped = False
        self.most_unpaused = 0
        self.done = None
        self._receiver = None
        self._going = False

    def start(self, receiver):
        self._receiver = receiver
        self.done = Deferred(lambda _: self.stop())
        self.go()
        return self.done

    def go(self, count=None):
        """Let pieces come: some of them, or all."""
        if self._going or (self.held and count is None):
            return
        self._going = True
        while not self.stopped and self.left and not self.paused and count != 0:
            piece, self.left = self.left[: self.piece], self.left[self.piece :]
            self._receiver.write(piece)
            count = None if count is None else count - 1
        self._going = False
        if not self.left and not self.stopped and not self.done.called and count is None:
            self.end()

    def end(self):
        if self.error is None:
            self.done.callback(None)
        else:
            self.done.errback(Failure(self.error))

    def pause(self):
        self.paused = True

    def resume(self):
        self.paused = False
        if self._receiver is not None:
            self.go()

    def stop(self):
        self.stopped = True


class MemorySource:
    """Images in memory.

    :ivar streams: called with data and offset, in turn; makes a stream of all the rest by itself.
    :ivar opened: offsets that were asked for.
    """

    place = "memory"

    def __init__(self, data):
        self.data = data
        self.streams = []
        self.opened = []

    async def open(self, record, offset=0):
        self.opened.append(offset)
        if self.streams:
            made = self.streams.pop(0)
            if isinstance(made, Exception):
                raise made
            return made(self.data, offset)
        return Stream(self.data[offset:], offset)


class DumpTestCase(SynchronousTestCase):
    """Tests with a directory, and with threads that do everything at once."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="glance-test-")
        self.addCleanup(shutil.rmtree, self.directory)
        # Waiting for disks would take most of the time.
        self.patch(os, "fsync", lambda fd: None)
        self.clock = Clock()
        self.threads = Threads(self.clock, "dump", 4, pool=InlinePool())
        self.threads.start()
        self.held = HeldPool()
        self.slow = Threads(self.clock, "dump", 4, pool=self.held)
        self.slow.start()

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, content):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(content)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def run_now(self, coroutine):
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def fails(self, coroutine, *kinds):
        return self.failureResultOf(Deferred.fromCoroutine(coroutine), *kinds).value

    def all_of(self, side):
        async def read():
            return [record async for record in side.records()]

        return self.run_now(read())
