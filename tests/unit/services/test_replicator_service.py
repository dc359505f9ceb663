"""The replicator as a service: runs, reloads and its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock

from glance.domain.errors import ConfigError, GlanceError
from glance.replicate.outcome import Deed, Outcome, Summary
from glance.services import replicator_service
from glance.services.replicator_console import RoundTeller
from glance.services.replicator_service import ReplicatorService
from glance.services.telling import Voices


class Reactor(Clock):
    def callWhenRunning(self, function: Any, *args: Any) -> None:
        function(*args)


class Notifier:
    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda text="": self.told.append(f"{name}: {text}" if text else name)


def job(name: str = "livecopy", watch: float = 60.0) -> Any:
    return SimpleNamespace(command=SimpleNamespace(name=name), plan=name, watch=watch)


class Scene:
    """A service whose runs a test ends."""

    def __init__(self, monkeypatch: Any) -> None:
        self.reactor = Reactor()
        self.notifier = Notifier()
        self.told: list[Any] = []
        self.running: list[Deferred[Summary]] = []
        self.begun: list[str] = []
        self.closed = 0
        self.reloads: list[Deferred[Any]] = []
        self.trouble: GlanceError | None = None
        self.end_of_run: Deferred[None] = succeed(None)
        monkeypatch.setattr(replicator_service, "replicate", self._replicate)
        self.service = ReplicatorService(
            job(),
            self.reactor,
            thd_reload=lambda: None,  # type: ignore[arg-type, return-value]
            run=lambda function: self.reloads.pop(0),
            make_teller=lambda job: SimpleNamespace(board=SimpleNamespace(status=lambda: "far")),
            told=self.told.append,
            notifier=self.notifier,  # type: ignore[arg-type]
            make_sides=lambda job, reactor: self,  # type: ignore[arg-type, return-value]
        )

    async def source(self) -> str:
        if self.trouble is not None:
            raise self.trouble
        return "source"

    async def target(self) -> str:
        return "target"

    async def close(self) -> None:
        self.closed += 1

    async def _replicate(self, source: str, target: str, plan: str, *_: Any) -> Summary:
        assert (source, target) == ("source", "target")
        self.begun.append(plan)
        ending: Deferred[Summary] = Deferred()
        self.running.append(ending)
        try:
            return await ending
        except CancelledError:
            await self.end_of_run
            return Summary("a", "b", interrupted=True)

    def end(self) -> None:
        self.running.pop(0).callback(Summary("a", "b"))


@pytest.fixture
def scene(monkeypatch):
    return Scene(monkeypatch)


def test_one_run_after_the_other(scene):
    scene.service.startService()
    assert scene.begun == ["livecopy"]
    assert scene.notifier.told == ["ready: livecopy, every 60 s"]
    scene.end()
    assert [summary.source for summary in scene.told] == ["a"]
    assert scene.closed == 1
    assert scene.notifier.told[-1] == "status: last run: a to b: no images."
    scene.reactor.advance(59)
    assert len(scene.begun) == 1
    scene.reactor.advance(1)
    assert len(scene.begun) == 2
    # One that takes long is not overtaken.
    scene.reactor.pump([60] * 3)
    assert len(scene.begun) == 2


def test_how_far_it_is(scene):
    scene.service.startService()
    scene.reactor.advance(5)
    assert scene.notifier.told[-1] == "status: livecopy, every 60 s: far"
    scene.end()
    count = len(scene.notifier.told)
    scene.reactor.advance(5)
    assert len(scene.notifier.told) == count


def test_a_run_that_cannot_begin_is_told_and_the_next_one_tries(scene):
    scene.trouble = GlanceError("no catalogue")
    scene.service.startService()
    assert [error.message for error in scene.told] == ["no catalogue"]
    assert scene.closed == 1
    scene.trouble = None
    scene.reactor.advance(60)
    assert scene.begun == ["livecopy"]


def test_a_stop_breaks_off_what_is_under_way(scene):
    scene.service.startService()
    stopped = scene.service.stopService()
    assert stopped.called
    assert scene.told[0].interrupted
    assert scene.closed == 1
    assert scene.notifier.told[1] == "stopping"
    assert scene.reactor.getDelayedCalls() == []


def test_a_stop_before_anything_began(scene, monkeypatch):
    begins: list[Any] = []
    monkeypatch.setattr(scene.reactor, "callWhenRunning", begins.append)
    scene.service.startService()
    assert scene.service.stopService().called
    begins[0]()
    assert scene.begun == []
    assert scene.reactor.getDelayedCalls() == []


def test_a_reload(scene):
    used = []
    scene.reloads.append(succeed((job("dump", 30.0), lambda: used.append(True))))
    scene.service.startService()
    scene.service.reload()
    assert scene.told[0].interrupted
    assert scene.begun == ["livecopy", "dump"]
    assert used == [True]
    assert scene.notifier.told[-1] == "ready: dump, every 30 s"
    scene.running[-1].callback(Summary("a", "b"))
    scene.reactor.advance(30)
    assert scene.begun == ["livecopy", "dump", "dump"]


@pytest.mark.parametrize("error", [ConfigError("x"), ValueError("x")])
def test_a_reload_that_is_given_up(scene, error):
    scene.reloads.append(fail(error))
    scene.service.startService()
    scene.service.reload()
    assert scene.begun == ["livecopy"]
    assert scene.told == []
    assert scene.notifier.told[-1].startswith("ready: livecopy, every 60 s; the last reload")
    scene.end()
    scene.reactor.advance(60)
    assert len(scene.begun) == 2


def test_reloads_come_one_after_the_other(scene):
    first: Deferred[Any] = Deferred()
    scene.reloads += [first, succeed((job("load"), lambda: None))]
    scene.service.startService()
    scene.service.reload()
    scene.service.reload()
    scene.service.reload()
    assert len(scene.reloads) == 1
    first.callback((job("dump"), lambda: None))
    assert scene.begun == ["livecopy", "dump", "load"]
    assert scene.reloads == []


def test_a_log_that_cannot_be_changed_is_no_reason_to_stop(scene):
    def use() -> None:
        raise ConfigError("no log")

    scene.reloads.append(succeed((job("dump"), use)))
    scene.service.startService()
    scene.service.reload()
    assert scene.begun == ["livecopy", "dump"]


def test_a_stop_during_a_reload(scene):
    reloading: Deferred[Any] = Deferred()
    scene.reloads.append(reloading)
    scene.service.startService()
    scene.service.reload()
    assert scene.service.stopService().called
    reloading.callback((job("dump"), lambda: None))
    assert scene.begun == ["livecopy"]
    scene.service.reload()
    assert scene.reloads == []


def test_a_stop_waits_for_the_end_of_a_run_that_a_reload_breaks_off(scene):
    scene.service.startService()
    scene.reloads.append(succeed((job("dump"), lambda: None)))
    scene.end_of_run = Deferred()
    scene.service.reload()
    stopping = scene.service.stopService()
    assert not stopping.called
    scene.end_of_run.callback(None)
    assert stopping.called
    assert scene.begun == ["livecopy"]
    assert scene.closed == 1
    assert scene.told[0].interrupted


class TestRounds:
    """What is told of run after run."""

    @pytest.fixture
    def told(self):
        """Pairs of who said it and what."""
        return []

    @pytest.fixture
    def rounds(self, told):
        def voice(name: str) -> Any:
            return lambda line: told.append((name, line))

        voices = Voices(voice("say"), voice("complain"), voice("mention"))
        return RoundTeller(voices)

    def test_nothing_new_is_only_mentioned(self, rounds, told):
        made = Summary("a", "b")
        made.add(Outcome("1", Deed.SAME))
        rounds.told(made)
        assert told == [("mention", "a to b: 1 the same.")]

    def test_what_was_done_is_said(self, rounds, told):
        made = Summary("a", "b")
        made.add(Outcome("1", Deed.UPDATED))
        rounds.told(made)
        rounds.told(made)
        assert told == [("say", "a to b: 1 updated.")] * 2

    def test_what_stays_as_it_is_is_complained_of_once(self, rounds, told):
        bad, good = Summary("a", "b"), Summary("a", "b")
        bad.add(Outcome("1", Deed.FAILED, "no room"))
        for made in (bad, bad, good, bad):
            rounds.told(made)
        line, summary = "1: failed; no room", "a to b: 1 failed."
        assert told == [
            ("complain", line),
            ("say", summary),
            ("mention", line),
            ("mention", summary),
            ("say", "a to b: no images."),
            ("complain", line),
            ("say", summary),
        ]

    def test_what_nobody_has_to_mend_is_said_once(self, rounds, told):
        made = Summary("a", "b")
        made.add(Outcome("1", Deed.SKIPPED, "it is queued"))
        rounds.told(made)
        rounds.told(made)
        assert [name for name, _ in told] == ["say", "say", "mention", "mention"]

    def test_no_run(self, rounds, told):
        rounds.told(GlanceError("b is away"))
        rounds.told(GlanceError("b is away"))
        assert told == [("complain", "No run: b is away"), ("mention", "No run: b is away")]

    def test_json(self, told):
        shown: list[str] = []
        silent = Voices(told.append, told.append, told.append)
        RoundTeller(silent, shown.append).told(Summary("a", "b"))
        assert shown[0].startswith('{"source": "a"')
