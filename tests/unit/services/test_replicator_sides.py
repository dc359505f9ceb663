"""The two sides of a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.testing import MemoryReactorClock

from glance.domain.errors import ConfigError
from glance.remote.endpoint import Endpoint, read_endpoint
from glance.remote.errors import LoginFailed
from glance.remote.side import Side
from glance.replicate.dump_source import DumpSource
from glance.replicate.dump_target import DumpTarget
from glance.replicate.outcome import SideLost
from glance.replicate.plan import Plan
from glance.replicate.selection import Selection
from glance.replicate.service_target import ServiceTarget
from glance.services import replicator_sides
from glance.services.replicator_commands import COMMANDS
from glance.services.replicator_job import Job
from glance.services.replicator_sides import Sides


def make(command: str, source: str, target: str) -> Sides:
    plan = Plan(Selection(), frozenset(), False, 4, 5, False, False)
    sides = [
        Side(f"the {name}", read_endpoint(text))
        for name, text in (("source", source), ("target", target))
    ]
    job = Job(COMMANDS[command], plan, sides[0], sides[1], 1024, 10.0, False, 60.0)
    return Sides(job, MemoryReactorClock())


async def both(sides: Sides) -> str:
    source, target = await sides.source(), await sides.target()
    return f"{source.place} {target.place}"


def result(sides: Sides) -> str:
    found: list[Any] = []
    doing: Deferred[Any] = ensureDeferred(both(sides))
    doing.addBoth(found.append)
    (one,) = found
    if isinstance(one, str):
        return one
    raise one.value


@pytest.mark.parametrize(
    "place", ["b.example:1", "http://a.example:1/image", "https://a.example:1"]
)
def test_two_services(place):
    assert result(make("livecopy", "a.example:1", place)).startswith("a.example:1 ")


def test_a_service_is_not_copied_into_itself():
    with pytest.raises(ConfigError, match="are the same service, a.example:9292"):
        result(make("livecopy", "a.example", "http://a.example:9292/v2"))


def test_two_views_of_a_service_are_compared():
    assert result(make("compare", "a.example:1", "a.example:1")) == "a.example:1 a.example:1"


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_side_that_nobody_tells_of_is_named(monkeypatch, side):
    async def connect(reactor: Any, asked: Side, pace: Any) -> Any:
        if asked.name == f"the {side}":
            raise LoginFailed("no token")
        return SimpleNamespace(place="x", endpoint=asked.endpoint)

    monkeypatch.setattr(replicator_sides, "connect_images", connect)
    with pytest.raises(SideLost, match=f"The {side} cannot be asked: no token"):
        result(make("livecopy", "a.example", "b.example"))


@pytest.fixture
def closed(monkeypatch):
    """Note what is closed."""
    closed = []

    def close(side):
        closed.append(side)
        return succeed(None)

    for kind in (ServiceTarget, DumpSource, DumpTarget):
        monkeypatch.setattr(kind, "close", close)
    return closed


@pytest.mark.parametrize("service", [True, False])
def test_a_run_leaves_nothing_open(closed, tmp_path, service):
    target = Side("target", Endpoint("127.0.0.1")) if service else tmp_path
    job = Job(COMMANDS["load"], Plan(), tmp_path, target, 1024, 1.0, False, 60.0)
    sides = Sides(job, MemoryReactorClock())

    async def run():
        made = [await sides.source(), await sides.target()]
        await sides.close()
        return made

    for _ in range(2):
        results = []
        Deferred.fromCoroutine(run()).addCallback(results.append)
        assert set(closed) == set(results[0])
        closed.clear()
