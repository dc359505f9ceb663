"""Look after a node's image cache for ever: ``glance-cache``, on the console and below twistd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from glance.cache.upkeep import Upkeep
from glance.config import Loaded
from glance.domain.errors import GlanceError
from glance.services.notify import Notifier
from glance.services.reloading import reload_aloud
from glance.services.signals import stop_once

#: What the service manager is told.
DOING = "looking after the image cache"

#: Seconds that a stop waits for a start under way, which a database that hangs may hold up.
STOP_TIME = 10.0


class ITended(Protocol):
    """What is looked after: a cache, by one configuration.

    :ivar upkeep: does the work.
    """

    upkeep: Upkeep

    async def start(self) -> None:
        """Get ready.

        :raises GlanceError: it is not possible.
        """

    async def stop(self) -> None:
        """Let go of everything."""


class CacheService(Service):
    """Runs the upkeep, and at a reload that of the configuration as it is then.

    :param loaded: the configuration to begin with.
    :param make: makes what is looked after.
    :param thd_reload: reads the configuration anew and checks it.
    :param run: runs a blocking function in a thread.
    :param use: takes what concerns this very process, such as logging, from a new configuration.
    :ivar failed: whether the process is to end with an exit code of 1.
    """

    _log = Logger()

    def __init__(
        self,
        loaded: Loaded,
        reactor: Any,
        *,
        make: Callable[[Loaded], ITended],
        thd_reload: Callable[[], Loaded],
        run: Callable[..., Deferred[Any]],
        use: Callable[[Loaded], None] = lambda loaded: None,
        notifier: Notifier | None = None,
    ) -> None:
        self.failed = False
        self._loaded = loaded
        self._reactor = reactor
        self._make = make
        self._thd_reload = thd_reload
        self._run = run
        self._use = use
        self._notifier = notifier or Notifier()
        self._tended: ITended | None = None
        self._busy = False
        self._again = False
        # What a stop has to wait for.
        self._working: Deferred[None] | None = None

    def startService(self) -> None:
        """Begin as soon as the reactor runs."""
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        self._working = Deferred.fromCoroutine(self._work(self._first))

    async def _work(self, do: Callable[[], Any]) -> None:
        """Do something, and then whatever reload was asked for meanwhile."""
        self._busy = True
        await do()
        while self._again and self.running:
            self._again = False
            await self._reload()
        self._busy = False

    async def _first(self) -> None:
        try:
            await self._change(self._loaded)
        except GlanceError as error:
            self._log.critical("The cache cannot be looked after: {error}", error=error.message)
            self.failed = True
        except Exception:
            self._log.failure("The cache cannot be looked after")
            self.failed = True
        if self.failed:
            stop_once(self._reactor)
        elif self.running:
            self._notifier.ready(DOING)

    async def _change(self, loaded: Loaded) -> None:
        """Go on by a configuration. If that fails, everything is as before."""
        new = self._make(loaded)
        try:
            await new.start()
        except BaseException:
            await new.stop()
            raise
        before, self._tended = self._tended, new
        if before is not None:
            # First this one: what it has in hand is then free to be gone on with.
            await _end(before)
        if self.running:
            new.upkeep.startService()

    def reload(self) -> None:
        """Go on by the configuration as it is now; one reload comes after the other."""
        if not self.running:
            return
        if self._busy:
            self._again = True
        else:
            self._working = Deferred.fromCoroutine(self._work(self._reload))

    async def _reload(self) -> None:
        await reload_aloud(
            self._renew,
            doing=lambda: DOING,
            running=lambda: bool(self.running),
            notifier=self._notifier,
            log=self._log,
        )

    async def _renew(self) -> Callable[[], None]:
        loaded = await self._run(self._thd_reload)
        if self.running:
            await self._change(loaded)
        return lambda: self._use(loaded)

    def hurry(self) -> None:
        """Do nothing: a stop is quick anyway."""

    def stopService(self) -> Deferred[None]:
        """Break off what is under way, and let go of everything."""
        super().stopService()
        self._notifier.stopping()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._working is not None:
            # The time limit ends the waiting, not the work.
            waiting: Deferred[None] = Deferred()
            self._working.addCallback(waiting.callback)
            waiting.addTimeout(STOP_TIME, self._reactor)
            await waiting.addErrback(lambda failure: failure.trap(TimeoutError) and None)
        if self._tended is not None:
            await _end(self._tended)


async def _end(tended: ITended) -> None:
    await tended.upkeep.stopService()
    await tended.stop()
