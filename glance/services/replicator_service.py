"""Keep two sides in step for ever: ``--watch`` of the replicator, and the service below twistd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from glance.domain.errors import GlanceError
from glance.replicate.outcome import Summary
from glance.replicate.reports import summary_text
from glance.replicate.run import replicate
from glance.replicate.watching import Watch
from glance.services.notify import Notifier
from glance.services.reloading import reload_aloud
from glance.services.replicator_job import Job
from glance.services.replicator_sides import Sides
from glance.services.replicator_telling import Teller

#: Seconds between two lines for the service manager.
_STATUS_EVERY = 5.0


class ReplicatorService(Service):
    """Makes one run after the other.

    :param job: what to do, and how often.
    :param thd_reload: finds out anew what to do; returns that, and what has this very process, such
        as its logging, go by it too.
    :param run: runs a blocking function in a thread.
    :param make_teller: makes what is told how a run gets on.
    :param told: told what became of each run, or why there was none.
    """

    _log = Logger()

    def __init__(
        self,
        job: Job,
        reactor: Any,
        *,
        thd_reload: Callable[[], tuple[Job, Callable[[], None]]],
        run: Callable[..., Deferred[Any]],
        make_teller: Callable[[Job], Teller],
        told: Callable[[Summary | GlanceError], None],
        notifier: Notifier | None = None,
        make_sides: Callable[[Job, Any], Sides] = Sides,
    ) -> None:
        self._job = job
        self._reactor = reactor
        self._thd_reload = thd_reload
        self._run = run
        self._make_teller = make_teller
        self._told = told
        self._notifier = notifier or Notifier()
        self._make_sides = make_sides
        self._sides: Sides | None = None
        self._watch: Watch | None = None
        self._teller: Teller | None = None
        self._reloading: Deferred[None] | None = None
        self._again = False
        self._status = LoopingCall(self._tell_status)
        self._status.clock = reactor

    def startService(self) -> None:
        """Begin as soon as the reactor runs."""
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        if not self.running:
            return
        self._go_by(self._job)
        self._notifier.ready(self._doing())
        self._status.start(_STATUS_EVERY, now=False)

    def _go_by(self, job: Job) -> None:
        """Make runs of a job from now on, the first one at once."""
        self._job = job
        self._sides = self._make_sides(job, self._reactor)
        self._watch = Watch(self._round, job.watch, self._reactor, self._ended)
        self._watch.start()

    async def _round(self) -> Summary:
        assert self._sides is not None
        job, sides = self._job, self._sides
        self._teller = teller = self._make_teller(job)
        try:
            source, target = await sides.source(), await sides.target()
            return await replicate(source, target, job.plan, self._reactor, teller)
        finally:
            await sides.close()

    def _ended(self, result: Summary | GlanceError) -> None:
        self._teller = None
        self._told(result)
        said = summary_text(result) if isinstance(result, Summary) else result.message
        self._notifier.status(f"last run: {said}")

    def _doing(self) -> str:
        return f"{self._job.command.name}, every {self._job.watch:g} s"

    def _tell_status(self) -> None:
        if self._teller is not None:
            self._notifier.status(f"{self._doing()}: {self._teller.board.status()}")

    def reload(self) -> None:
        """Go on by the configuration as it is now; a run under way is gone on with by the next."""
        if not self.running:
            return
        if self._reloading is not None:
            self._again = True
            return
        self._reloading = Deferred.fromCoroutine(self._reload())

    async def _reload(self) -> None:
        while True:
            self._again = False
            await self._reload_once()
            if not (self._again and self.running):
                break
        self._reloading = None

    async def _reload_once(self) -> None:
        await reload_aloud(
            self._change,
            doing=self._doing,
            running=lambda: bool(self.running),
            notifier=self._notifier,
            log=self._log,
        )

    async def _change(self) -> Callable[[], None]:
        job, use = await self._run(self._thd_reload)
        if self.running:
            await self._leave()
        if self.running:
            self._go_by(job)
        return use

    async def _leave(self) -> None:
        """Break off what is under way."""
        # A reload and a stop may both wait for its end.
        if self._watch is not None:
            await self._watch.stop()

    def hurry(self) -> None:
        """Do nothing: a stop is quick anyway."""

    def stopService(self) -> Deferred[None]:
        """Break off what is under way; the next start goes on with it."""
        super().stopService()
        self._notifier.stopping()
        if self._status.running:
            self._status.stop()
        return Deferred.fromCoroutine(self._leave())
