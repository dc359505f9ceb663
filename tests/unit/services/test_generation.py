"""Workers and templates that die, cannot be started or do not want to end."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel

from glance.services import messages
from glance.services.generation import (
    BURIAL_TIME,
    LONGEST_PAUSE,
    STOP_TIME,
    YOUNG,
    YOUNG_TEMPLATE,
    BackOff,
    Generation,
    GenerationFailed,
)
from glance.services.template import COMMANDS_FD, LISTENERS_FD, REPORTS_FD
from tests.unit.services.processes import LoggedCase, Port, Process, Reactor

DRAIN = {"do": "drain", "seconds": 60, "leaving": False, "take_waiting": False}


def when(pause: float) -> str:
    return f"in {pause:.1f} s" if pause else "at once"


class GenerationCase(LoggedCase):
    def setUp(self) -> None:
        super().setUp()
        self.reactor = Reactor()

    def start(self, count: int = 2, **more: Any) -> Generation:
        ports: Any = [Port(9), Port(11)]
        generation = Generation(
            self.reactor, 7, ["python", "-m", "t"], ports, count, why="start", **more
        )
        generation.start()
        return generation

    @property
    def template(self) -> Process:
        return self.reactor.spawned[-1]


class TestStart(GenerationCase):
    def test_template(self) -> None:
        self.start()
        arguments = self.template.arguments
        assert (arguments["executable"], arguments["args"]) == ("python", ["python", "-m", "t"])
        descriptors = arguments["childFDs"]
        assert descriptors[COMMANDS_FD] == "w"
        assert descriptors[REPORTS_FD] == "r"
        assert (descriptors[LISTENERS_FD], descriptors[LISTENERS_FD + 1]) == (9, 11)
        assert self.template.told == []

    def test_ready_when_all_are(self) -> None:
        generation = self.start(2)
        assert self.template.load() == [0, 1]
        self.template.make(0)
        self.template.make(1, ready=False)
        self.assertNoResult(generation.ready)
        assert self.lines[-1] == "Worker 1, process 10002, generation 7: started (start)"
        self.template.report(messages.READY, number=1, pid=10002)
        self.successResultOf(generation.ready)

    def test_alive(self) -> None:
        generation = self.start(2, beat=3.0)
        assert self.template.load() == [0, 1]
        assert not generation.alive(10)
        self.template.make(0)
        self.reactor.advance(9)
        assert generation.alive(10)
        self.reactor.advance(2)
        assert not generation.alive(10)
        self.template.report(messages.BEAT, number=0, pid=1)
        assert generation.alive(10)


class TestDeaths(GenerationCase):
    def test_one_that_dies_is_replaced(self) -> None:
        self.start(2)
        self.template.serve()
        self.reactor.advance(YOUNG + 0.1)
        self.template.lose(1)
        assert self.levels[-1] == LogLevel.error
        assert self.lines[-1] == (
            "Worker 1, process 10002, generation 7: ended badly, killed by SIGKILL; "
            "starting another at once"
        )
        self.reactor.advance(0)
        assert self.template.wanted() == [1]
        self.template.make(1)
        assert self.lines[-1].endswith("generation 7: started (in place of process 10002)")

    def test_how_it_ended(self) -> None:
        self.start(1)
        self.template.serve()
        for code, how in ((0, "by itself"), (1, "badly, with exit code 1"), (-70, "by 70")):
            self.template.lose(0, code)
            assert how in self.lines[-1]
            self.reactor.advance(60)
            self.template.make(*self.template.wanted())

    def test_each_place_has_its_own_pauses(self) -> None:
        self.start(2)
        self.template.serve()
        for number, pause in ((0, 0.0), (1, 0.0), (0, 0.2), (1, 0.2), (0, 0.4)):
            self.template.lose(number)
            assert f"another {when(pause)}" in self.lines[-1]
            self.reactor.advance(pause)
            assert self.template.wanted() == [number]
            self.template.make(number)

    def test_one_that_never_accepts_is_young_however_long_it_takes(self) -> None:
        self.start(1)
        self.template.load()
        for pause in (0.0, 0.2, 0.4):
            self.template.make(0, ready=False)
            self.reactor.advance(YOUNG * 10)
            self.template.lose(0)
            assert f"another {when(pause)}" in self.lines[-1]
            self.reactor.advance(pause)

    def test_one_that_cannot_be_made(self) -> None:
        self.start(1)
        self.template.load()
        for pause in (0.0, 0.2, 0.4):
            self.template.report(messages.REFUSED, number=0, error="no memory")
            assert "could not be started: no memory" in self.lines[-1]
            assert when(pause) in self.lines[-1]
            self.reactor.advance(pause)
            assert self.template.wanted() == [0]

    def test_template_that_dies(self) -> None:
        generation = self.start(2)
        self.template.serve()
        self.reactor.advance(YOUNG_TEMPLATE)
        self.template.end(1)
        assert self.lines[-1] == (
            "Generation 7: its template ended badly, with exit code 1; starting it anew, by the "
            "configuration files as they are now, at once"
        )
        assert not generation.alive(100)
        self.reactor.advance(0)
        assert len(self.reactor.spawned) == 2
        assert self.template.load() == [0, 1]

    def test_template_that_dies_while_a_worker_is_waited_for(self) -> None:
        self.start(1)
        self.template.serve()
        self.template.lose(0)
        self.template.end(1)
        self.reactor.advance(100)
        assert len(self.reactor.spawned) == 2
        assert self.template.load() == [0]
        assert self.reactor.getDelayedCalls() == []

    def test_template_that_cannot_be_started(self) -> None:
        self.reactor.refusals = [MemoryError(), BlockingIOError(11, "try again")]
        self.start(1)
        assert "could not be started" in self.lines[-1]
        self.reactor.advance(0)
        assert "try again" in self.lines[-1]
        self.reactor.advance(0.2)
        assert self.template.load() == [0]

    def test_what_a_dead_template_had_said(self) -> None:
        self.start(1)
        old = self.template
        old.report(messages.REFUSED, error="the file is wrong")
        old.end(1)
        assert "Generation 7: the file is wrong; starting it anew" in self.lines[-1]
        self.reactor.advance(0)
        old.report(messages.LOADED)
        assert self.template.told == []


class TestTrial(GenerationCase):
    def failed(self, generation: Generation) -> str:
        return str(self.failureResultOf(generation.ready, GenerationFailed).value)

    def test_configuration_is_refused(self) -> None:
        generation = self.start(trial=True)
        self.template.report(messages.REFUSED, error="the file is wrong")
        self.template.end(1)
        assert self.failed(generation) == "the file is wrong"
        self.successResultOf(generation.ended)
        assert self.reactor.getDelayedCalls() == []

    def test_worker_dies_before_it_accepts(self) -> None:
        generation = self.start(trial=True)
        self.template.load()
        self.template.make(0)
        self.template.make(1, ready=False)
        self.template.lose(1, 1)
        assert "worker 1 ended badly, with exit code 1 before" in self.failed(generation)
        assert self.reactor.getDelayedCalls() == []
        generation.drain(60, leaving=False, take_waiting=False)
        assert self.template.told == [DRAIN]

    def test_after_it_is_as_any_other(self) -> None:
        generation = self.start(1, trial=True)
        self.template.serve()
        self.successResultOf(generation.ready)
        self.template.lose(0)
        self.reactor.advance(0)
        assert self.template.wanted() == [0]

    def test_told_to_end_before_it_is_ready(self) -> None:
        generation = self.start(trial=True)
        self.template.load()
        generation.hurry()
        self.template.end()
        self.failed(generation)
        self.successResultOf(generation.ended)


class TestEnd(GenerationCase):
    def test_drain(self) -> None:
        generation = self.start(2)
        self.template.serve()
        generation.drain(60, leaving=False, take_waiting=False)
        assert self.template.told == [DRAIN]
        self.template.lose(0, 0)
        self.template.lose(1, -15)
        assert self.template.wanted() == []
        self.assertNoResult(generation.ended)
        self.template.end()
        self.successResultOf(generation.ended)
        assert self.reactor.getDelayedCalls() == []
        assert LogLevel.error not in self.levels

    def test_hurry_after_drain(self) -> None:
        generation = self.start(1)
        self.template.serve()
        generation.drain(60, leaving=False, take_waiting=False)
        generation.hurry()
        assert [message["do"] for message in self.template.told] == ["drain", "hurry"]

    def test_end_while_one_is_to_be_started(self) -> None:
        generation = self.start(1)
        self.template.serve()
        self.template.lose(0)
        generation.drain(60, leaving=False, take_waiting=False)
        self.reactor.advance(60)
        assert self.template.wanted() == []

    def test_end_without_a_template(self) -> None:
        self.reactor.refusals = [MemoryError()]
        generation = self.start(1)
        generation.drain(60, leaving=False, take_waiting=False)
        self.successResultOf(generation.ended)
        self.failureResultOf(generation.ready, GenerationFailed)
        assert self.reactor.getDelayedCalls() == []

    def test_template_that_hangs(self) -> None:
        generation = self.start(1)
        self.template.serve()
        generation.drain(60, leaving=False, take_waiting=False)
        self.reactor.advance(60 + STOP_TIME)
        assert self.template.told == [DRAIN, {"do": "kill"}]
        assert "Generation 7: killing the processes that have not ended" in self.lines
        self.reactor.advance(BURIAL_TIME)
        assert self.template.signals == ["KILL"]
        self.template.end()
        self.successResultOf(generation.ended)
        assert self.reactor.getDelayedCalls() == []

    def test_the_soonest_deadline_counts(self) -> None:
        generation = self.start(1)
        self.template.serve()
        generation.drain(0, leaving=False, take_waiting=False)
        assert self.reactor.getDelayedCalls() == []
        for seconds in (60, 30, 90):
            generation.drain(seconds, leaving=False, take_waiting=False)
        self.reactor.advance(30 + STOP_TIME)
        assert self.template.told[-1] == {"do": "kill"}
        # It is too late for anything else.
        generation.hurry()
        self.template.end()
        self.successResultOf(generation.ended)
        assert self.reactor.getDelayedCalls() == []


def test_pauses() -> None:
    back_off = BackOff()
    pauses = [back_off.pause(True) for _ in range(1200)]
    assert pauses[:4] == [0.0, 0.2, 0.4, 0.8]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
    assert back_off.pause(False) == 0.0
    assert [back_off.pause(True), back_off.pause(True)] == [0.0, 0.2]
