"""What comes of signals before, while and after a reactor runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.error import ReactorNotRunning

from glance.services.signals import catch_end, catch_signals, hold_reload

CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Reactor:
    """Runs when a test says so."""

    def __init__(self) -> None:
        self.stops = 0
        self._starting: list[Callable[[], object]] = []
        self._ending: list[Callable[[], object]] = []

    def callWhenRunning(self, function: Any, *args: Any) -> None:
        self._starting.append(lambda: function(*args))

    def callFromThread(self, function: Any) -> None:
        function()

    def addSystemEventTrigger(self, phase: str, event: str, function: Any, *args: Any) -> None:
        assert (phase, event) == ("after", "shutdown")
        self._ending.append(lambda: function(*args))

    def stop(self) -> None:
        self.stops += 1
        if self.stops > 1:
            raise ReactorNotRunning

    def run(self) -> None:
        for start in self._starting:
            start()

    def end(self) -> None:
        for end in self._ending:
            end()


class Service:
    def __init__(self) -> None:
        self.told: list[str] = []

    def reload(self) -> None:
        self.told.append("reload")

    def hurry(self) -> None:
        self.told.append("hurry")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    former = {number: signal.getsignal(number) for number in CAUGHT}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


def raise_twice(number: signal.Signals) -> None:
    signal.raise_signal(number)
    signal.raise_signal(number)


def test_service() -> None:
    reactor, service = Reactor(), Service()
    catch_signals(reactor, service)
    reactor.run()
    signal.raise_signal(signal.SIGHUP)
    assert (service.told, reactor.stops) == (["reload"], 0)
    raise_twice(signal.SIGTERM)
    assert (service.told, reactor.stops) == (["reload"], 2)
    raise_twice(signal.SIGINT)
    assert service.told == ["reload", "hurry", "hurry"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_program_that_only_ends(number: signal.Signals) -> None:
    reactor = Reactor()
    catch_end(reactor)
    reactor.run()
    raise_twice(number)
    assert reactor.stops == 2


def test_after_the_end() -> None:
    """Whoever sends one more must not change the exit code of what has done all its work."""
    reactor = Reactor()
    catch_signals(reactor, Service())
    reactor.run()
    reactor.end()
    assert {signal.getsignal(number) for number in CAUGHT} == {signal.SIG_IGN}


def test_interrupt_that_is_ignored() -> None:
    """A shell has what it runs in the background ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reactor, service = Reactor(), Service()
    catch_signals(reactor, service)
    reactor.run()
    signal.raise_signal(signal.SIGINT)
    assert (service.told, reactor.stops) == ([], 0)


@pytest.mark.parametrize("come", [True, False])
def test_reload_before_the_reactor_runs(come: bool) -> None:
    hold_reload()
    reactor, service = Reactor(), Service()
    catch_signals(reactor, service)
    if come:
        raise_twice(signal.SIGHUP)
    assert service.told == []
    reactor.run()
    assert service.told == ["reload"] * come
