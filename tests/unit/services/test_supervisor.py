"""Generations that follow each other, and the end of all of them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel

from glance.domain.errors import ConfigError
from glance.services import messages
from glance.services.generation import STOP_TIME
from glance.services.supervisor import READY_TIME, Supervisor, template_command
from tests.unit.services.processes import LoggedCase, Port, Process, Reactor


class Listeners:
    """Listening sockets; ``main`` is anew when a plan wants another port."""

    def __init__(self) -> None:
        self.current = self.opened(9)
        self.given_up: list[Any] = []
        self.refusal: Exception | None = None
        self.closed = False

    def opened(self, port: int) -> dict[str, Any]:
        return {"main": SimpleNamespace(socket=Port(port))}

    def open(self, wanted: int) -> dict[str, Any]:
        if self.refusal is not None:
            raise self.refusal
        return self.opened(wanted)

    def take_over(self, opened: dict[str, Any]) -> bool:
        before, self.current = self.current, opened
        return before["main"].socket.fileno() != opened["main"].socket.fileno()

    def give_up(self, opened: dict[str, Any]) -> None:
        self.given_up.append(opened)

    def close(self) -> None:
        self.closed = True


class Notifier:
    """What the service manager is told."""

    def __init__(self, watchdog_time: float | None) -> None:
        self.watchdog_time = watchdog_time
        self.told: list[str] = []

    def ready(self, status: str = "") -> None:
        self.told.append(f"ready: {status}")

    def reloading(self, status: str = "") -> None:
        self.told.append("reloading")

    def stopping(self, status: str = "") -> None:
        self.told.append(f"stopping: {status}")

    def alive(self) -> None:
        self.told.append("alive")


def plan(count: int = 2, port: int = 9, shutdown: float = 60, reload: float = 0) -> Any:
    return SimpleNamespace(count=count, wanted=port, shutdown_time=shutdown, reload_time=reload)


class SupervisorCase(LoggedCase):
    def setUp(self) -> None:
        super().setUp()
        self.reactor = Reactor()
        self.listeners = Listeners()
        self.readings: list[Deferred[Any]] = []
        self.used: list[Any] = []

    def start(self, first: Any = None, watchdog: float | None = None, serve: bool = True) -> None:
        self.notifier = Notifier(watchdog)
        listeners: Any = self.listeners
        notifier: Any = self.notifier
        self.supervisor = Supervisor(
            self.reactor,
            first or plan(),
            lambda: plan(),
            listeners,
            notifier,
            self.read,
            self.used.append,
            command=lambda count: ["python", "-m", "t", str(count)],
        )
        self.supervisor.startService()
        if serve:
            self.template.serve()

    def read(self, function: Any) -> Deferred[Any]:
        self.readings.append(Deferred())
        return self.readings[-1]

    def reload(self, anew: Any = None, serve: bool = True) -> Process:
        """Have the configuration read anew; return the new generation's template."""
        self.supervisor.reload()
        self.readings[-1].callback(anew or plan())
        if serve:
            self.template.serve()
        return self.template

    @property
    def template(self) -> Process:
        return self.reactor.spawned[-1]


class TestReload(SupervisorCase):
    def test_the_new_serve_before_the_old_finish(self) -> None:
        self.start()
        old = self.template
        assert self.notifier.told == ["ready: generation 1 serves with 2 worker(s)"]
        new = self.reload(plan(count=3, reload=600), serve=False)
        assert new is not old
        assert new.load() == [0, 1, 2]
        new.make(0)
        new.make(1)
        assert old.told == []
        assert self.used == []
        new.make(2)
        (drain,) = old.told
        assert drain == {"do": "drain", "seconds": 600, "leaving": False, "take_waiting": False}
        assert (
            "Generation 2 serves with 3 worker(s); requests under way in: generation 1"
            in self.lines[-1]
        )
        assert [used.count for used in self.used] == [3]
        assert self.notifier.told[1:] == [
            "reloading",
            "ready: generation 2 serves with 3 worker(s)",
        ]
        old.end()
        self.reactor.advance(3600)
        assert len(self.reactor.spawned) == 2

    def test_the_queue_of_a_port_that_is_left(self) -> None:
        self.start()
        old = self.template
        new = self.reload(plan(port=10))
        assert new.arguments["childFDs"][5] == 10
        assert old.told[0]["take_waiting"]

    def test_several_generations_may_still_finish(self) -> None:
        self.start()
        first = self.template
        second = self.reload()
        self.reload()
        assert len(first.told) == 2
        assert len(second.told) == 1
        stopping = self.supervisor.stopService()
        for template in list(self.reactor.spawned):
            assert template.told[-1]["leaving"]
            self.assertNoResult(stopping)
            template.end()
        self.successResultOf(stopping)

    def test_those_that_do_not_end_in_time(self) -> None:
        self.start()
        old = self.template
        new = self.reload(plan(reload=300))
        self.reactor.advance(300 + STOP_TIME - 1)
        assert [message["do"] for message in old.told] == ["drain"]
        self.reactor.advance(1)
        assert old.told[-1] == {"do": "kill"}
        assert new.told == []

    def test_one_at_a_time(self) -> None:
        self.start()
        self.supervisor.reload()
        for _ in range(5):
            self.supervisor.reload()
        assert len(self.readings) == 1
        self.readings[0].callback(plan())
        self.template.serve()
        assert len(self.readings) == 2
        self.readings[1].callback(plan())
        self.template.serve()
        assert len(self.readings) == 2
        assert len(self.reactor.spawned) == 3

    def test_reload_before_the_first_accept(self) -> None:
        self.start(serve=False)
        first = self.template
        self.reload()
        assert first.told[0]["do"] == messages.DRAIN
        first.end()
        assert self.notifier.told[-1] == "ready: generation 2 serves with 2 worker(s)"

    def test_reload_before_the_first_accept_is_given_up(self) -> None:
        self.start(serve=False)
        self.supervisor.reload()
        self.readings[0].errback(ConfigError("[DEFAULT]x is wrong"))
        assert self.notifier.told == ["reloading"]
        self.template.serve()
        assert self.notifier.told[1:] == ["ready: generation 1 serves with 2 worker(s)"]

    def test_the_first_accept_while_a_reload_is_given_up(self) -> None:
        self.start(serve=False)
        self.supervisor.reload()
        self.template.serve()
        assert self.notifier.told == ["reloading"]
        self.readings[0].errback(ConfigError("[DEFAULT]x is wrong"))
        assert self.notifier.told[1].startswith("ready: generation 1 serves with 2 worker(s); ")


class TestReloadGivenUp(SupervisorCase):
    def given_up(self, old: Process, reason: str) -> None:
        assert LogLevel.error in self.levels
        assert any(f"everything stays as it was: {reason}" in line for line in self.lines)
        assert old.told == []
        assert self.used == []
        told = self.notifier.told[-1]
        assert told.startswith("ready: generation 1 serves with 2 worker(s); the last reload was")

    def test_wrong_configuration(self) -> None:
        self.start()
        self.supervisor.reload()
        self.readings[0].errback(ConfigError("[DEFAULT]x is wrong"))
        self.given_up(self.template, "[DEFAULT]x is wrong")
        assert len(self.reactor.spawned) == 1

    def test_a_fault_of_ours(self) -> None:
        self.start()
        self.supervisor.reload()
        self.readings[0].errback(ZeroDivisionError())
        assert self.levels[-1] == LogLevel.critical
        self.flushLoggedErrors(ZeroDivisionError)
        self.reload()
        assert self.notifier.told[-1] == "ready: generation 2 serves with 2 worker(s)"

    def test_no_workers(self) -> None:
        self.start()
        self.reload(plan(count=0), serve=False)
        self.given_up(self.template, "[DEFAULT]workers cannot become 0")

    def test_port_that_cannot_be_opened(self) -> None:
        self.start()
        self.listeners.refusal = ConfigError("Cannot listen")
        self.reload(serve=False)
        self.given_up(self.template, "Cannot listen")
        assert len(self.reactor.spawned) == 1

    def test_worker_that_does_not_get_there(self) -> None:
        self.start()
        old = self.template
        new = self.reload(plan(port=10), serve=False)
        new.load()
        new.make(0)
        new.make(1, ready=False)
        new.lose(1, 1)
        self.given_up(old, "worker 1 ended badly")
        # The first one may have accepted requests.
        assert new.told[-1]["do"] == messages.DRAIN
        (left,) = self.listeners.given_up
        assert left["main"].socket.fileno() == 10
        assert self.listeners.current["main"].socket.fileno() == 9

    def test_worker_that_takes_too_long(self) -> None:
        self.start()
        old = self.template
        new = self.reload(serve=False)
        new.load()
        new.make(0)
        self.reactor.advance(READY_TIME)
        self.given_up(old, f"not all new workers accepted requests within {READY_TIME:.0f} s")
        assert new.told[-1]["do"] == messages.DRAIN
        new.make(1)
        # It may hang for good, and the next reload's as well.
        self.reactor.advance(60 + STOP_TIME)
        assert new.told[-1] == {"do": "kill"}
        assert old.told == []

    def test_a_worker_of_before_is_still_replaced(self) -> None:
        self.start()
        old = self.template
        new = self.reload(serve=False)
        new.end(1)
        old.lose(0)
        self.reactor.advance(1)
        assert old.wanted() == [0]


class TestEnd(SupervisorCase):
    def stop(self) -> Deferred[Any]:
        return self.supervisor.stopService()

    def test_drain(self) -> None:
        self.start(plan(shutdown=60))
        stopping = self.stop()
        assert self.listeners.closed
        assert self.template.told == [
            {"do": "drain", "seconds": 60, "leaving": True, "take_waiting": True}
        ]
        assert self.notifier.told[-1] == "stopping: finishing requests"
        self.reactor.advance(60 + STOP_TIME - 1)
        self.assertNoResult(stopping)
        self.template.end()
        self.successResultOf(stopping)
        assert self.reactor.getDelayedCalls() == []
        assert LogLevel.error not in self.levels

    def test_those_that_do_not_end_are_killed(self) -> None:
        self.start(plan(shutdown=60))
        stopping = self.stop()
        self.reactor.advance(60 + STOP_TIME)
        assert self.template.told[-1] == {"do": "kill"}
        self.template.end()
        self.successResultOf(stopping)

    def test_as_long_as_it_takes(self) -> None:
        self.start(plan(shutdown=0))
        stopping = self.stop()
        self.reactor.advance(1e6)
        assert [message["do"] for message in self.template.told] == ["drain"]
        self.template.end()
        self.successResultOf(stopping)

    def test_quickly(self) -> None:
        self.start()
        self.supervisor.hurry()
        stopping = self.stop()
        assert self.template.told[-1] == {"do": "hurry"}
        self.reactor.advance(STOP_TIME)
        assert self.template.told[-1] == {"do": "kill"}
        self.template.end()
        self.successResultOf(stopping)

    def test_quickly_after_all(self) -> None:
        self.start(plan(shutdown=0))
        stopping = self.stop()
        self.reactor.advance(100)
        self.supervisor.hurry()
        assert self.template.told[-1] == {"do": "hurry"}
        self.reactor.advance(STOP_TIME)
        assert self.template.told[-1] == {"do": "kill"}
        self.template.end()
        self.successResultOf(stopping)

    def test_during_a_reload(self) -> None:
        self.start()
        self.reload(serve=False)
        stopping = self.stop()
        for template in self.reactor.spawned:
            assert template.told[-1]["do"] == messages.DRAIN
            template.end()
        self.successResultOf(stopping)
        assert LogLevel.error not in self.levels
        assert self.reactor.getDelayedCalls() == []

    def test_while_the_configuration_is_read(self) -> None:
        self.start()
        self.supervisor.reload()
        stopping = self.stop()
        self.template.end()
        self.successResultOf(stopping)
        self.readings[0].callback(plan())
        assert len(self.reactor.spawned) == 1

    def test_reload_comes_too_late(self) -> None:
        self.start()
        self.stop()
        self.supervisor.reload()
        assert self.readings == []


class TestWatchdog(SupervisorCase):
    def test_fed_while_a_worker_lives(self) -> None:
        self.start(watchdog=30.0)
        assert self.template.told == []
        self.notifier.told.clear()
        self.reactor.pump([10, 10])
        assert self.notifier.told == ["alive"] * 2
        self.template.report(messages.BEAT, number=1, pid=1)
        self.reactor.pump([10, 10])
        assert self.notifier.told == ["alive"] * 4
        self.reactor.pump([10, 10, 10])
        assert self.notifier.told == ["alive"] * 5

    def test_workers_are_told_to_give_signs_of_life(self) -> None:
        self.start(watchdog=30.0, serve=False)
        self.template.report(messages.LOADED)
        assert [message["beat"] for message in self.template.told] == [10.0, 10.0]


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/usr/local/bin:/usr/lib/python", ["-P"]),
        (":/usr/lib/python", []),
        ("{here}:/usr/lib/python", []),
        ("/usr/lib/python:{here}", []),
    ],
)
def test_a_template_looks_for_modules_where_its_parent_does(
    path: str, options: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What lies in the directory that the service was started in is not to be run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", path.format(here=tmp_path).split(":"))
    command = template_command(["--debug"], embedded=False)(2)
    assert command == [
        sys.executable,
        *options,
        "-m",
        "glance.services.template",
        "2",
        "configured",
        "--debug",
    ]
