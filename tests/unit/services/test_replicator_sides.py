"""The sides of runs, one after the other."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock

from glance.remote.endpoint import Endpoint
from glance.remote.side import Side
from glance.replicate.dump_source import DumpSource
from glance.replicate.dump_target import DumpTarget
from glance.replicate.plan import Plan
from glance.replicate.service_target import ServiceTarget
from glance.services.replicator_sides import Sides


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
    job = SimpleNamespace(
        source=tmp_path, target=target, plan=Plan(), chunk=1024, seconds=1.0, command=None
    )
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
