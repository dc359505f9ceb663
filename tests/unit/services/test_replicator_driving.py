"""A piece of work under the reactor, and signals that come meanwhile."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import Clock

from glance.domain.errors import GlanceError
from glance.services.replicator_driving import END_TIME, run_until_done


class Reactor(Clock):
    """Runs a test's steps until it is stopped."""

    def __init__(self, *steps: Any) -> None:
        super().__init__()
        self._starting: list[Any] = []
        self._steps = [*steps]
        self._stopped = False

    def callWhenRunning(self, function: Any, *args: Any) -> None:
        self._starting.append(lambda: function(*args))

    def callFromThread(self, function: Any) -> None:
        function()

    def addSystemEventTrigger(self, *_: Any) -> None:
        """Do nothing: no test sees the end of the process."""

    def run(self) -> None:
        for start in self._starting:
            start()
        while self._steps and not self._stopped:
            self._steps.pop(0)()
        assert self._stopped

    def stop(self) -> None:
        if self._stopped:
            raise ReactorNotRunning
        self._stopped = True


@pytest.fixture(autouse=True)
def handlers():
    """Signals are handled as before after each test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def tidied():
    return []


def sends(number: signal.Signals) -> Any:
    return lambda: signal.raise_signal(number)


def drive(tidied: list[str], work: Any, *steps: Any) -> int:
    return run_until_done(Reactor(*steps), work, lambda: tidied.append("tidy"), _gone)


class Gone(Exception):
    """The process would not be there any more."""


def _gone(code: int) -> None:
    raise Gone(code)


async def never() -> int:
    """Bear being cancelled, and come to no end."""
    try:
        await Deferred()
    except CancelledError:
        await Deferred()
    return 1


def test_its_exit_code(tidied):
    async def work() -> int:
        return 3

    assert drive(tidied, work) == 3
    assert tidied == ["tidy"]


def test_its_error(tidied):
    async def work() -> int:
        raise GlanceError("no")

    with pytest.raises(GlanceError, match="no"):
        drive(tidied, work)
    assert tidied == ["tidy"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("bears", [True, False])
def test_a_signal_cancels_it(tidied, number, code, bears):
    """Whether it comes to an end of its own or not."""

    async def work() -> int:
        try:
            await Deferred()
        except CancelledError:
            if not bears:
                raise
        return 1

    assert drive(tidied, work, sends(number)) == code


def test_its_end_is_waited_for(tidied):
    ending: Deferred[None] = Deferred()
    order = []

    async def work() -> int:
        try:
            await Deferred()
        except CancelledError:
            await ending
            order.append("ended")
        return 1

    def end() -> None:
        order.append("now")
        ending.callback(None)

    term = sends(signal.SIGTERM)
    assert drive(tidied, work, sends(signal.SIGINT), term, end) == 130
    assert order == ["now", "ended"]


def test_a_second_interrupt_is_at_once(tidied):
    with pytest.raises(Gone) as caught:
        drive(tidied, never, sends(signal.SIGTERM), sends(signal.SIGINT))
    assert caught.value.args == (130,)
    assert tidied[0] == "tidy"


def test_an_end_that_hangs(tidied):
    reactor = Reactor(
        sends(signal.SIGTERM),
        lambda: reactor.advance(END_TIME - 0.1),
        lambda: tidied.append("still there"),
        lambda: reactor.advance(0.1),
    )
    with pytest.raises(Gone) as caught:
        run_until_done(reactor, never, lambda: tidied.append("tidy"), _gone)
    assert caught.value.args == (143,)
    assert tidied[:2] == ["still there", "tidy"]
