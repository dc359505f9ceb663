"""What a running service does when it is told to reload, whatever processes it is made of.

One reload at a time: a new configuration is read and judged in a thread, its ports are opened, and
only when what serves by it accepts requests does what served before have to finish. Whatever goes
wrong on the way is one line in the log, and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.domain.errors import GlanceError
from glance.services.generation import GenerationFailed
from glance.services.listening import Listener, Listeners
from glance.services.notify import Notifier
from glance.services.plan import Plan


class Serving(Service):
    """A service that can be told to reload, and to end sooner than gracefully.

    :param reactor: the reactor.
    :param plan: what to serve by at first.
    :param thd_replan: reads the configuration anew and judges it.
    :param listeners: the listening sockets, open already.
    :param notifier: tells the service manager.
    :param run: runs a blocking function in a thread.
    :param use: takes what concerns this very process, such as logging, from a new configuration.
    """

    _log = Logger()

    #: Whether the service gave up: the process then ends with an exit code of 1.
    failed = False

    def __init__(
        self,
        reactor: Any,
        plan: Plan,
        thd_replan: Callable[[], Plan],
        listeners: Listeners,
        notifier: Notifier,
        run: Callable[..., Deferred[Any]],
        use: Callable[[Plan], None] = lambda plan: None,
    ) -> None:
        self._reactor = reactor
        self._plan = plan
        self._thd_replan = thd_replan
        self._listeners = listeners
        self._notifier = notifier
        self._run = run
        self._use = use
        self._reloading = False
        self._again = False
        self._quick = False
        self._stopping = False
        #: Whether requests have been accepted since the start.
        self._accepting = False
        self._watchdog = LoopingCall(self._feed_watchdog)
        self._watchdog.clock = reactor

    def startService(self) -> None:
        """Start to serve."""
        super().startService()
        if self._notifier.watchdog_time is not None:
            self._watchdog.start(self._notifier.watchdog_time / 3, now=False)

    def reload(self) -> None:
        """Serve by the configuration as it is now; one reload comes after the other."""
        if self._stopping:
            return
        if self._reloading:
            self._again = True
            return
        self._reloading = True
        ensureDeferred(self._reload()).addBoth(self._reloaded)

    async def _reload(self) -> None:
        self._log.info("Reloading the configuration")
        self._notifier.reloading("reloading the configuration")
        plan = await self._run(self._thd_replan)
        if self._is_stopping():
            return
        self.check(plan)
        opened = self._listeners.open(plan.wanted)
        try:
            finish_before = await self.begin(plan, opened)
        except BaseException:
            self._listeners.give_up(opened)
            raise
        if self._is_stopping():
            return
        queues_left = self._listeners.take_over(opened)
        self._plan = plan
        self._accepting = True
        finish_before(queues_left)
        try:
            self._use(plan)
        except GlanceError as error:
            self._log.error("Reloaded, but for this process's own log: {error}", error=error)

    def _is_stopping(self) -> bool:
        return self._stopping

    def _reloaded(self, result: Any) -> None:
        self._reloading = False
        if isinstance(result, Failure) and not self._stopping:
            if result.check(GlanceError, GenerationFailed):
                self._log.error(
                    "Reload given up, everything stays as it was: {error}", error=result.value
                )
            else:
                self._log.failure("Reload given up, everything stays as it was", result)
        if self._stopping:
            return
        if self._accepting:
            given_up = "; the last reload was given up, see the log" if result is not None else ""
            self._notifier.ready(self.describe() + given_up)
        if self._again:
            self._again = False
            self.reload()

    def _first_accepts(self, result: None) -> None:
        """Take note that what was started first accepts requests."""
        self._accepting = True
        # At the end of a reload it is told anyway.
        if not (self._stopping or self._reloading):
            self._notifier.ready(self.describe())

    def check(self, plan: Plan) -> None:
        """Judge whether it is possible to go on by a plan without a restart.

        :raises ConfigError: it is not.
        """
        raise NotImplementedError

    async def begin(self, plan: Plan, opened: Mapping[str, Listener]) -> Callable[[bool], None]:
        """Begin to serve by a plan, next to what is served by the one before.

        :returns: what makes the others finish; told whether queues are left to them.
        :raises GlanceError: it is not possible; everything is as before.
        """
        raise NotImplementedError

    def describe(self) -> str:
        """Say for the service manager what serves."""
        raise NotImplementedError

    def is_well(self) -> bool:
        """Tell whether requests are served, for the watchdog."""
        raise NotImplementedError

    def _feed_watchdog(self) -> None:
        if self.is_well():
            self._notifier.alive()

    def hurry(self) -> None:
        """Break off what is under way when stopping; to be called before that, or meanwhile."""
        self._quick = True
        if self._stopping:
            self._log.info("Ending: breaking off what is under way")

    def stopService(self) -> Any:
        """Begin to stop."""
        super().stopService()
        self._stopping = True
        seconds = self._plan.shutdown_time
        how = "breaking off" if self._quick else "finishing"
        limit = f", for {seconds:g} s at most" if seconds and not self._quick else ""
        self._log.info("Ending: {how} what is under way{limit}", how=how, limit=limit)
        self._notifier.stopping("finishing requests" if not self._quick else "stopping")

    def _stop_watchdog(self, result: Any = None) -> Any:
        if self._watchdog.running:
            self._watchdog.stop()
        return result
