"""One process that reloads: a service beside the one before, until that is done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import LogLevel

from glance.domain.errors import ConfigError
from glance.services.single import SingleProcess
from tests.unit.services.test_supervisor import Listeners, SupervisorCase, plan


class Api:
    """A service that does as a test says."""

    def __init__(
        self, loaded: Any, prepared: Any, reactor: Any, *sockets: Any, stores: Any
    ) -> None:
        if loaded == "wrong":
            raise ConfigError("it cannot be made")
        self.sockets = sockets
        self.accepting: Deferred[None] = Deferred()
        self.drained: Deferred[None] = Deferred()
        self.told: list[Any] = []
        self.draining = False

    def startService(self) -> None:
        self.told.append("start")

    def drain(self, seconds: float, *, leaving: bool, take_waiting: bool) -> None:
        self.told.append((seconds, leaving, take_waiting))
        self.draining = True
        if not self.accepting.called:
            # It has no connections.
            self.drained.callback(None)

    def hurry(self) -> None:
        self.told.append("hurry")
        if not self.drained.called:
            self.drained.callback(None)

    def stopService(self) -> Deferred[None]:
        self.told.append("stop")
        return succeed(None)


class Socket:
    """A socket that knows whether it was closed."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.closed = False

    def fileno(self) -> int:
        return self.descriptor

    def dup(self) -> Socket:
        return Socket(self.descriptor)

    def close(self) -> None:
        self.closed = True


class Sockets(Listeners):
    def opened(self, port: int) -> dict[str, Any]:
        return {"main": SimpleNamespace(socket=Socket(port))}


def single(loaded: Any = None, **more: Any) -> Any:
    found = plan(count=0, **more)
    found.loaded, found.prepared, found.stores = loaded, None, None
    return found


class SingleCase(SupervisorCase):
    def setUp(self) -> None:
        super().setUp()
        self.listeners = Sockets()
        self.made: list[Api] = []

    def make(self, *args: Any, **more: Any) -> Api:
        self.made.append(Api(*args, **more))
        return self.made[-1]

    def start_single(self, accept: bool = True, **more: Any) -> None:
        from tests.unit.services.test_supervisor import Notifier

        self.notifier = Notifier(None)
        parts: Any = (
            self.reactor,
            single(**more),
            single,
            self.listeners,
            self.notifier,
            self.read,
            self.used.append,
        )
        self.service = SingleProcess(*parts, make=self.make)
        self.service.startService()
        if accept:
            self.made[0].accepting.callback(None)

    def reload_by(self, anew: Any, accept: bool = True) -> None:
        self.service.reload()
        self.readings[-1].callback(anew)
        if accept:
            self.made[-1].accepting.callback(None)


class TestReload(SingleCase):
    def test_one_beside_the_other(self) -> None:
        self.start_single()
        assert self.notifier.told == ["ready: one process serves"]
        self.reload_by(single(reload=300), accept=False)
        old, new = self.made
        assert (old.told, new.told) == (["start"], ["start"])
        # A service closes what it is given, and the next needs it as well.
        assert old.sockets[0] is not self.listeners.current["main"].socket
        assert old.sockets[0].fileno() == self.listeners.current["main"].socket.fileno()
        new.accepting.callback(None)
        assert old.told[1:] == [(300, False, False)]
        old.drained.callback(None)
        assert old.told[-1] == "stop"
        assert new.told == ["start"]
        assert self.notifier.told[1:] == ["reloading", "ready: one process serves"]
        assert len(self.used) == 1

    def test_port_that_is_left(self) -> None:
        self.start_single()
        self.reload_by(single(port=10))
        assert self.made[0].told[-1] == (0, False, True)

    def test_one_that_never_accepted(self) -> None:
        """It waits for a store that hangs, which the next one does not have."""
        self.start_single(accept=False)
        self.reload_by(single())
        old, new = self.made
        assert old.told[1:] == [(0, False, False), "stop"]
        old.accepting.errback(ConfigError("it was told to end"))
        assert not self.service.failed
        assert self.reactor.stopped == 0
        assert new.told == ["start"]
        assert self.notifier.told == ["reloading", "ready: one process serves"]

    def test_several_workers(self) -> None:
        self.start_single()
        anew = single()
        anew.count = 4
        self.reload_by(anew, accept=False)
        assert any("workers cannot become 4 from 0" in line for line in self.lines)
        assert len(self.made) == 1

    def test_what_cannot_be_made(self) -> None:
        self.start_single()
        self.reload_by(single("wrong"), accept=False)
        assert any("everything stays as it was: it cannot be made" in line for line in self.lines)
        assert [one.told for one in self.made] == [["start"]]

    def test_what_cannot_start(self) -> None:
        self.start_single()
        self.reload_by(single(), accept=False)
        self.made[1].accepting.errback(ConfigError("no"))
        assert any("everything stays as it was: no" in line for line in self.lines)
        old, new = self.made
        assert old.told == ["start"]
        assert new.told[1:] == [(0, False, False)]
        self.successResultOf(self.stop())
        assert not self.service.failed

    def stop(self) -> Deferred[Any]:
        stopping = self.service.stopService()
        for one in self.made:
            if not one.drained.called:
                one.drained.callback(None)
        return stopping


class TestEnd(SingleCase):
    def test_all_are_drained(self) -> None:
        self.start_single(shutdown=60)
        self.reload_by(single(shutdown=30))
        stopping = self.service.stopService()
        old, new = self.made
        assert old.told[1:] == [(0, False, False), (30, True, True)]
        assert new.told[1:] == [(30, True, True)]
        new.drained.callback(None)
        self.assertNoResult(stopping)
        assert self.lines[-1] == "Ending: finishing what is under way, for 30 s at most"
        old.drained.callback(None)
        self.successResultOf(stopping)
        assert self.listeners.closed

    def test_quickly(self) -> None:
        self.start_single()
        self.service.hurry()
        self.successResultOf(self.service.stopService())
        assert "Ending: breaking off what is under way" in self.lines
        assert self.made[0].told[-2:] == ["hurry", "stop"]

    def test_quickly_after_all(self) -> None:
        self.start_single()
        stopping = self.service.stopService()
        self.assertNoResult(stopping)
        self.service.hurry()
        self.successResultOf(stopping)
        assert "Ending: breaking off what is under way" in self.lines

    def test_service_that_cannot_start(self) -> None:
        self.start_single(accept=False)
        self.made[0].accepting.errback(ZeroDivisionError())
        assert self.service.failed
        assert self.reactor.stopped == 1
        assert self.levels[-1] == LogLevel.critical
        self.flushLoggedErrors(ZeroDivisionError)

    def test_told_to_end_before_it_accepts(self) -> None:
        self.start_single(accept=False)
        self.successResultOf(self.service.stopService())
        self.made[0].accepting.errback(ConfigError("it was told to end"))
        assert not self.service.failed
        assert self.notifier.told == ["stopping: finishing requests"]
