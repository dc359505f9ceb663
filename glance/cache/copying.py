"""One image on its way into the cache, as one process of the node sees it.

It begins when somebody asks for an image that is not there, and everybody in the process who asks
for it meanwhile joins. The process fills the copy if it gets the right to; otherwise it follows the
one that does, and takes its place should that die. It ends with a copy, or without one; readers may
outlast it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.cache.claims import BAD, GIVEN_UP, GOOD, Claim
from glance.cache.filling import Filler, OpenStore
from glance.cache.following import SOON, Follower
from glance.cache.growing import GrowingFile, GrowingReader
from glance.cache.held import Held
from glance.cache.keeper import CacheKeeper
from glance.cache.layout import thd_close
from glance.cache.pieces import Pieces
from glance.cache.proof import expected_hashes
from glance.cache.room import Refusal, Room
from glance.domain.errors import GlanceError
from glance.domain.image import Image
from glance.stores.errors import ReadElsewhere
from glance.stores.threads import Threads

#: Times that a copy is looked for which somebody is said to write, ``SOON`` apart.
_TRIES: Final = 50

_log = Logger()


@dataclass(frozen=True, slots=True)
class Means:
    """What copies are made with.

    :param threads: run what is done to the directory, with a deadline.
    :param data: run what reads and writes copies.
    :param hashing: the pool for hashes.
    :param trouble: told of a directory that cannot be used.
    :param bad: by image, how often its data turned out wrong: the next attempt begins with
        another of its copies in the stores.
    """

    keeper: CacheKeeper
    room: Room
    threads: Threads
    data: Threads
    hashing: Any
    reactor: Any
    trouble: Callable[[Exception], None]
    pieces: Pieces = field(default_factory=Pieces)
    bad: dict[str, int] = field(default_factory=dict)


class Copying:
    """Makes, or follows, the copy of one image.

    :param image: its size is known, and more than 0.
    :param left: called with this once nobody is to join it any more.
    :ivar cached: whether there is a copy now; tells only once it has ended.
    :ivar is_over: whether it has ended.
    """

    def __init__(
        self, image: Image, open_store: OpenStore, means: Means, left: Callable[[Copying], None]
    ) -> None:
        assert image.size
        self.image = image
        self.size = image.size
        self.cached = False
        self._open_store = open_store
        self._means = means
        self._left = left
        self._growing = GrowingFile(self.size)
        self._held: Held | None = None
        self._work: Filler | Follower | None = None
        self._users = 0
        self._started = False
        self._stopping = False
        self.is_over = False
        self._waiting: list[Deferred[None]] = []

    async def reader(self) -> GrowingReader | None:
        """Return a reader, as soon as there is something to read. The first one makes it begin.

        :returns: ``None`` if there will be nothing.
        :raises GlanceError: the image's data cannot be read, or is not the image's.
        """
        self._enter()
        try:
            await self._growing.wait(1)
            return GrowingReader(self._means.data, self._growing, self._leave)
        except (ReadElsewhere, OSError):
            # The latter where no more files may be open.
            self._leave()
            return None
        except BaseException:
            self._leave()
            raise

    async def end(self) -> bool:
        """Wait until it has ended; tell whether there is a copy now.

        :raises GlanceError: the image's data cannot be read, or is not the image's.
        """
        self._enter()
        try:
            await self._growing.wait(self.size)
            await self.over()
        except ReadElsewhere:
            await self.over()
        finally:
            self._leave()
        return self.cached

    async def over(self) -> None:
        """Wait until nothing is done any more."""
        if not self.is_over:
            waiting: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(waiting)
            await waiting

    def stop(self) -> None:
        """Break off, unless all bytes are there; what there is of the copy stays."""
        if self.is_over:
            return
        # Before: what is told to stop may end at once.
        self._stopping = True
        if self._work is None or self._work.stop():
            self._left(self)

    def _enter(self) -> None:
        self._users += 1
        if not self._started:
            self._started = True
            Deferred.fromCoroutine(self._run()).addBoth(self._ended)

    def _leave(self) -> None:
        self._users -= 1
        if not self._users:
            self.stop()
            self._tidy()

    def _tidy(self) -> None:
        """Let go of the file when nobody can want it any more."""
        if self._held is not None and self.is_over and not self._users:
            self._held.close()

    # The work.

    async def _run(self) -> None:
        means, image = self._means, self.image
        resume = bool(expected_hashes(image))
        for _ in range(_TRIES):
            while not self._stopping:
                outcome = await means.keeper.claim(image.id, self.size, resume=resume)
                if isinstance(outcome, Claim):
                    await self._fill(outcome)
                    return
                if outcome is Refusal.NO_ROOM:
                    _log.info("Image {id} is not cached: there is no room for it", id=image.id)
                    return
                if outcome is Refusal.PRESENT:
                    await self._compare()
                    return
                found = await means.threads.run(
                    means.room.thd_follow, image.id, late=_thd_close_found
                )
                if found is None:
                    break
                if await self._follow(*found):
                    return
            if self._stopping:
                return
            # It has just ended, or just begun; or the image was deleted meanwhile.
            await deferLater(means.reactor, SOON)

    async def _fill(self, claim: Claim) -> None:
        means, growing = self._means, self._growing
        filler = Filler(
            self.image,
            self._open_store,
            claim,
            growing,
            means.keeper,
            means.data,
            means.hashing,
            means.reactor,
            means.pieces,
            means.bad.get(self.image.id, 0),
            means.trouble,
        )
        self._work = filler
        if not self._takes(claim):
            growing.settle(GIVEN_UP)
            filler.stop()
        elif self._stopping:
            filler.stop()
        self.cached = await filler.run()
        if self.cached:
            means.bad.pop(self.image.id, None)
        elif growing.verdict == BAD:
            means.bad[self.image.id] = means.bad.get(self.image.id, 0) + 1

    def _takes(self, claim: Claim) -> bool:
        """Tell whether a claim is on the very file that is being read here."""
        growing = self._growing
        if growing.fd >= 0:
            return _is_same(claim.fd, growing.fd) and claim.offset >= growing.available
        try:
            self._attach(os.dup(claim.fd))
        except OSError as error:
            self._means.trouble(error)
            return False
        return True

    async def _follow(self, fd: int, lock: int) -> bool:
        """Follow another process; tell whether that ended with a verdict."""
        means, growing = self._means, self._growing
        if growing.fd < 0:
            self._attach(fd)
        else:
            same = _is_same(fd, growing.fd)
            Held(means.threads, fd).close()
            if not same:
                Held(means.threads, lock).close()
                growing.settle(GIVEN_UP)
                return True
        follower = Follower(growing, lock, means.room, means.threads, means.reactor)
        self._work = follower
        if self._stopping:
            follower.stop()
        done = await follower.run()
        self._work = None
        self.cached = growing.verdict == GOOD
        return done

    async def _compare(self) -> None:
        """Find out whether the copy that there is now is the one that was being read."""
        means, growing = self._means, self._growing
        self.cached = True
        if growing.fd < 0:
            return
        fd = await means.threads.run(means.room.thd_open, self.image.id, self.size, late=thd_close)
        if fd is not None:
            if _is_same(fd, growing.fd):
                growing.settle(GOOD)
            Held(means.threads, fd).close()

    def _attach(self, fd: int) -> None:
        self._held = Held(self._means.threads, fd)
        self._growing.attach(fd)

    def _ended(self, result: Any) -> None:
        self.is_over = True
        self._left(self)
        if isinstance(result, Failure):
            error = result.value
            if isinstance(error, GlanceError | OSError):
                self._means.trouble(error)
            else:
                _log.failure("Caching image {id}", result, id=self.image.id)
        # Where nothing has been said yet.
        self._growing.settle(GIVEN_UP)
        self._tidy()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)


def _is_same(fd: int, other: int) -> bool:
    return os.path.samestat(os.fstat(fd), os.fstat(other))


def _thd_close_found(found: tuple[int, int] | None) -> None:
    for fd in found or ():
        os.close(fd)
