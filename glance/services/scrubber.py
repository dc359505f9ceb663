"""The scrubber as a service: one pass, one every ``wakeup_time``, or one image restored."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, TimeoutError, inlineCallbacks
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from glance.config import Loaded
from glance.config.twistd import logs_somewhere
from glance.domain.errors import GlanceError
from glance.scrub.reaper import Reaper
from glance.scrub.restoring import Restorer
from glance.scrub.scrubber import Scrubber
from glance.scrub.summary import Summary
from glance.services.catalogue import make_database
from glance.services.notify import Notifier
from glance.services.signals import act_upon, catch_end, stop_once
from glance.services.telling import print_error, teller
from glance.stores.registry import Stores, start_in_time
from glance.transfers.heartbeat import Heartbeat
from glance.transfers.watch import LeaseWatch
from glance.transfers.worker import WorkerIdentity

#: Seconds that a single pass waits at its end for stores that seem to hang.
LAST_WAIT = 600.0

#: Seconds that a stop waits for the images in hand, which a store that hangs may hold up.
STOP_TIME = 10.0

_log = Logger()


class ScrubberService(MultiService):
    """Does what the configuration says, and stops the reactor unless that is to go on for ever.

    :param loaded: the configuration.
    :param say: tells the operator how a pass went.
    :param complain: tells the operator what failed.
    :param progress: tells the operator how far a pass is that takes long.
    :param notifier: tells the service manager, where that goes on for ever.
    :ivar failed: whether the process is to end with an exit code of 1.
    """

    def __init__(
        self,
        loaded: Loaded,
        reactor: Any,
        *,
        say: Callable[[str], None],
        complain: Callable[[str], None],
        progress: Callable[[str], None],
        notifier: Notifier | None = None,
    ) -> None:
        super().__init__()
        self.failed = False
        self._conf = loaded.conf
        self._reactor = reactor
        self._say = say
        self._complain = complain
        self._progress = progress
        self._notifier = notifier or Notifier()
        conf = loaded.conf
        self._database = make_database(conf, reactor)
        self._stores = Stores(conf, reactor, make_directories=False)
        self._scrubber: Scrubber | None = None
        self._loop: LoopingCall | None = None
        # What there is to wait for: the beginning with all that is done once, and the last pass.
        self._working: list[Deferred[None]] = []

    def startService(self) -> None:
        """Begin as soon as the reactor runs."""
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        self._database.start()
        working: Deferred[None] = Deferred.fromCoroutine(self._work())
        self._working.append(working.addErrback(self._broke_off))

    async def _work(self) -> None:
        conf = self._conf
        await start_in_time(self._stores, self._reactor)
        if not self.running:
            return
        # Only now: twistd may have made another process of us since.
        identity = WorkerIdentity.of_this_process()
        heartbeat = Heartbeat(self._database, self._reactor, conf.transfer_heartbeat_interval)
        heartbeat.setServiceParent(self)
        if conf.restore:
            restorer = Restorer(self._database, self._stores, heartbeat, identity, self._reactor)
            await self._attempt(restorer.restore(conf.restore))
            self._end()
            return
        self._scrubber = self._make_scrubber(heartbeat, identity)
        if conf.daemon:
            _log.info(
                "Scrubbing every {seconds} s as worker {worker}",
                seconds=max(1, conf.wakeup_time),
                worker=identity.worker,
            )
            self._loop = LoopingCall(self._pass_again)
            self._loop.clock = self._reactor
            self._loop.start(max(1, conf.wakeup_time), now=True)
            self._notifier.ready()
        else:
            await self._attempt(self._pass_once(self._scrubber))
            self._end()

    def _make_scrubber(self, heartbeat: Heartbeat, identity: WorkerIdentity) -> Scrubber:
        conf = self._conf
        interval = conf.transfer_heartbeat_interval
        watch = LeaseWatch(
            self._database,
            identity,
            self._reactor,
            stale_time=conf.transfer_stale_time,
            interval=interval,
        )
        reaper = Reaper(self._database, watch, self._reactor, interval)
        reaper.setServiceParent(self)
        return Scrubber(
            self._database,
            self._stores,
            heartbeat,
            reaper,
            identity,
            self._reactor,
            stale_time=conf.transfer_stale_time,
            scrub_time=conf.scrub_time,
            pool_size=conf.scrub_pool_size,
            report=self._report,
        )

    async def _attempt(self, work: Any) -> None:
        try:
            await work
        except GlanceError as error:
            self._complain(f"ERROR: {error.message}")
            self.failed = True

    async def _pass_once(self, scrubber: Scrubber) -> None:
        summary = await scrubber.run(LAST_WAIT)
        self._tell(summary)
        self.failed = summary.failed > 0

    def _pass_again(self) -> Deferred[None]:
        assert self._scrubber is not None
        passing: Deferred[None] = Deferred.fromCoroutine(self._pass_quietly(self._scrubber))
        self._working = [passing]
        return passing

    async def _pass_quietly(self, scrubber: Scrubber) -> None:
        # Whatever it was, the next pass tries again.
        try:
            summary = await scrubber.run()
        except GlanceError as error:
            _log.error("This pass broke off: {error}", error=error.message)
        except Exception:
            _log.failure("This pass broke off")
        else:
            if not summary.idle:
                self._tell(summary)
            self._notifier.status(summary.line())

    def _tell(self, summary: Summary) -> None:
        if summary.idle:
            # Others were faster. Cron would send by mail what is said.
            self._progress(summary.line())
            return
        for line in summary.details():
            self._complain(line)
        (self._complain if summary.failed else self._say)(summary.line())

    def _report(self, summary: Summary) -> None:
        self._progress(f"So far: {summary.line()}")

    def _broke_off(self, failure: Any) -> None:
        _log.failure("The scrubber broke off", failure)
        self._complain(f"ERROR: {failure.getErrorMessage()}")
        self.failed = True
        self._end()

    def _end(self) -> None:
        stop_once(self._reactor)

    @inlineCallbacks
    def stopService(self) -> Any:
        """Begin no more images, finish those in hand, and end the threads."""
        self._notifier.stopping()
        if self._loop is not None and self._loop.running:
            self._loop.stop()
        if self._scrubber is not None:
            self._scrubber.stop()
        waiting: Deferred[Any] = Deferred()
        # The time limit ends the waiting, not the work.
        DeferredList(self._working).addCallback(waiting.callback)
        waiting.addTimeout(STOP_TIME, self._reactor)
        yield waiting.addErrback(self._give_up)
        yield MultiService.stopService(self)
        yield self._stores.stop()
        yield self._database.stop()

    def _give_up(self, failure: Any) -> None:
        failure.trap(TimeoutError)
        _log.warn("A store does not answer; the next scrubber goes on with what is in its hands")


def scrub(loaded: Loaded) -> int:
    """Run the scrubber in the foreground, for the console program.

    :returns: the exit code.
    """
    from twisted.internet import reactor

    run: Any = reactor
    logs = logs_somewhere(loaded.conf)
    service = ScrubberService(
        loaded,
        reactor,
        say=teller(print, _log.info if logs else None),
        complain=teller(print_error, _log.error if logs else None),
        progress=teller(print_error if sys.stderr.isatty() else None, _log.info if logs else None),
        notifier=Notifier.from_environment(),
    )
    catch_end(reactor)
    if loaded.conf.daemon:
        outlive_hangups(reactor)
    run.callWhenRunning(service.startService)
    run.addSystemEventTrigger("before", "shutdown", service.stopService)
    run.run()
    return 1 if service.failed else 0


def outlive_hangups(reactor: Any) -> None:
    """Let SIGHUP, which whatever rotates logs may send, not end the program."""

    def stay() -> None:
        _log.warn("SIGHUP changes nothing; restart the scrubber for another configuration")

    reactor.callWhenRunning(act_upon, reactor, {signal.SIGHUP: stay})
