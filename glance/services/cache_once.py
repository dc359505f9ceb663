"""Do one piece of work on the image cache and end: for the programs that cron starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from glance.config import Loaded
from glance.config.twistd import logs_somewhere
from glance.domain.errors import GlanceError
from glance.services.cache_work import CacheWork
from glance.services.logs import start_logging
from glance.services.signals import catch_end, stop_once
from glance.services.telling import Voices, is_watched, print_error, teller


class IWork(Protocol):
    """What is worked with."""

    async def start(self) -> None:
        """Get ready.

        :raises GlanceError: it is not possible.
        """

    async def stop(self) -> None:
        """Break off what is under way, and let go of everything."""


W = TypeVar("W", bound=IWork)

_log = Logger()


def thd_speak(loaded: Loaded) -> Voices:
    """Start logging, and tell where the operator is told."""
    start_logging(loaded.conf, loaded.program)
    for warning in loaded.warnings:
        _log.warn("{text}", text=warning)
    logs = logs_somewhere(loaded.conf)
    return Voices(
        teller(print, _log.info if logs else None),
        teller(print_error, _log.error if logs else None),
        teller(print if is_watched(loaded.conf) else None, _log.info if logs else None),
    )


class CacheOnce(Service, Generic[W]):
    """Does one thing, and stops the reactor.

    :param do: does it; returns whether all went well.
    :ivar failed: whether the process is to end with an exit code of 1.
    """

    def __init__(
        self,
        work: W,
        do: Callable[[W], Awaitable[bool]],
        reactor: Any,
        complain: Callable[[str], None],
    ) -> None:
        self.failed = False
        self._work = work
        self._do = do
        self._reactor = reactor
        self._complain = complain

    def startService(self) -> None:
        """Begin; to be called when the reactor runs."""
        super().startService()
        Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        try:
            await self._work.start()
            if self.running:
                self.failed = not await self._do(self._work)
        except (GlanceError, OSError) as error:
            # Whoever was told to end has taken away what is worked with.
            if self.running:
                self._complain(f"ERROR: {error}")
                self.failed = True
        except Exception:
            _log.failure("The program broke off")
            self._complain("ERROR: The program has a fault; its log says more.")
            self.failed = True
        stop_once(self._reactor)

    def stopService(self) -> Deferred[None]:
        """Break off what is under way, and end the threads."""
        super().stopService()
        return Deferred.fromCoroutine(self._work.stop())


def run_once(
    make: Callable[[Any], W], do: Callable[[W], Awaitable[bool]], complain: Callable[[str], None]
) -> int:
    """Run a reactor for as long as something takes.

    :param make: makes what is worked with, for a reactor.
    :param do: works; returns whether all went well.
    :returns: the exit code.
    """
    from twisted.internet import reactor

    run: Any = reactor
    service = CacheOnce(make(reactor), do, reactor, complain)
    catch_end(reactor)
    run.callWhenRunning(service.startService)
    run.addSystemEventTrigger("before", "shutdown", service.stopService)
    run.run()
    return int(service.failed)


def clean_once(loaded: Loaded, *, catalogue: bool) -> int:
    """Clean, for ``glance-cache-cleaner``.

    :param catalogue: whether to work on the catalogue.
    :returns: the exit code.
    """
    return _chore(loaded, "clean", lambda work: work.chores.clean(), catalogue)


def prune_once(loaded: Loaded, *, catalogue: bool) -> int:
    """Prune, for ``glance-cache-pruner``.

    :param catalogue: whether to work on the catalogue.
    :returns: the exit code.
    """
    return _chore(loaded, "prune", lambda work: work.chores.prune(), catalogue)


def _chore(
    loaded: Loaded, verb: str, do: Callable[[CacheWork], Awaitable[bool]], catalogue: bool
) -> int:
    voices = thd_speak(loaded)
    said = []

    def say(line: str) -> None:
        said.append(line)
        voices.say(line)

    async def do_all(work: CacheWork) -> bool:
        if not await do(work):
            voices.mention(f"Another process of this node is at it: nothing to {verb} for us.")
        elif not said:
            voices.mention(f"Nothing to {verb}.")
        return True

    return run_once(
        lambda reactor: CacheWork(loaded.conf, reactor, say, catalogue=catalogue),
        do_all,
        voices.complain,
    )
