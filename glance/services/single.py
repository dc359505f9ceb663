"""Serve in one process (``workers = 0``), which can be told to reload all the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from glance.domain.errors import ConfigError
from glance.services.api import ApiService
from glance.services.listening import Listener
from glance.services.plan import Plan
from glance.services.serving import Serving


class SingleProcess(Serving):
    """Run an :class:`ApiService`, and at a reload another one beside it until it is done."""

    def __init__(self, *args: Any, make: Any = ApiService, **more: Any) -> None:
        super().__init__(*args, **more)
        self._make_service = make
        #: Those that have not ended, with what fires when they have.
        self._services: dict[Any, Deferred[None]] = {}

    def startService(self) -> None:
        """Start to serve."""
        super().startService()
        # Made only now: a daemon's process number is another than that of the process it was made
        # ready in.
        service = self._make(self._plan, self._listeners.current)
        service.accepting.addCallbacks(self._first_accepts, self._failed, errbackArgs=(service,))
        service.startService()

    def _make(self, plan: Plan, opened: Mapping[str, Listener]) -> Any:
        # The service closes what it is given.
        sockets = [listener.socket.dup() for listener in opened.values()]
        try:
            service = self._make_service(
                plan.loaded, plan.prepared, self._reactor, *sockets, stores=plan.stores
            )
        except BaseException:
            for one in sockets:
                one.close()
            raise
        self._services[service] = service.drained.addCallback(
            lambda _: service.stopService()
        ).addCallback(lambda _: self._services.pop(service) and None)
        return service

    def _failed(self, failure: Failure, service: Any) -> None:
        # One that was told to end before it accepted requests fails, too.
        if not service.draining:
            self._log.failure("The service could not start", failure)
            self.failed = True
            self._reactor.stop()

    def check(self, plan: Plan) -> None:
        """Refuse to become several processes."""
        if plan.count:
            raise ConfigError(
                f"[DEFAULT]workers cannot become {plan.count} from 0 by a reload; "
                "restart the service."
            )

    async def begin(self, plan: Plan, opened: Mapping[str, Listener]) -> Callable[[bool], None]:
        """Start another service and wait until it accepts requests."""
        before = list(self._services)
        new = self._make(plan, opened)
        new.startService()
        try:
            await new.accepting
        except BaseException:
            new.drain(0, leaving=False, take_waiting=False)
            raise

        def finish_before(queues_left: bool) -> None:
            for service in before:
                service.drain(plan.reload_time, leaving=False, take_waiting=queues_left)
            self._log.info("Serving by the configuration as it is now")

        return finish_before

    def describe(self) -> str:
        """Say that one process serves."""
        return "one process serves"

    def is_well(self) -> bool:
        """Tell that the reactor runs, since it is the one that asks."""
        return True

    def hurry(self) -> None:
        """See :meth:`Serving.hurry`."""
        super().hurry()
        if self._stopping:
            for service in list(self._services):
                service.hurry()

    def stopService(self) -> Deferred[Any]:
        """Finish the requests, then stop everything."""
        super().stopService()
        ended = DeferredList(list(self._services.values()))
        for service in list(self._services):
            service.drain(self._plan.shutdown_time, leaving=True, take_waiting=True)
            if self._quick:
                service.hurry()
        self._listeners.close()
        return ended.addCallback(self._stop_watchdog)
