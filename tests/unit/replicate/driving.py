"""Runs of the replicator in memory: services, a clock, and somebody who listens."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from glance.replicate.outcome import Outcome, Summary
from glance.replicate.plan import Plan
from glance.replicate.record import ImageRecord
from glance.replicate.run import replicate
from glance.replicate.service_source import ServiceSource
from glance.replicate.service_target import ServiceTarget
from glance.stores.threads import InlinePool, Threads
from tests.unit.replicate.services import FakeImages

T = TypeVar("T")


def ident(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


def finish(clock: Clock, deferred: Deferred[T], steps: int = 100_000) -> T:
    """Let time pass until something has come to its end; return or raise what came out."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    for _ in range(steps):
        if found:
            break
        calls = clock.getDelayedCalls()
        assert calls, "it waits for nothing"
        clock.advance(max(min(call.getTime() for call in calls) - clock.seconds(), 0))
    assert found, "it takes too long"
    if hasattr(found[0], "raiseException"):
        found[0].raiseException()
    return found[0]


def drive(clock: Clock, work: Coroutine[Any, Any, T]) -> T:
    return finish(clock, Deferred.fromCoroutine(work))


class Ear:
    """Notes all that it is told."""

    def __init__(self) -> None:
        self.total: tuple[int, int] | None = None
        self.started: dict[str, int] = {}
        self.bytes: dict[str, int] = {}
        self.retries: list[tuple[str, str, float]] = []
        self.outcomes: list[Outcome] = []

    def run_started(self, images: int, size: int) -> None:
        self.total = (images, size)

    def image_started(self, record: ImageRecord, size: int) -> None:
        self.started[record.image_id] = size

    def moved(self, record: ImageRecord, count: int) -> None:
        self.bytes[record.image_id] = self.bytes.get(record.image_id, 0) + count

    def retrying(self, record: ImageRecord, reason: str, seconds: float) -> None:
        self.retries.append((record.image_id, reason, seconds))

    def image_done(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class Pair:
    """Two services, from one of which images are copied into the other."""

    def __init__(self, **target: Any) -> None:
        self.clock = Clock()
        self.source = FakeImages("source:1", self.clock)
        self.target = FakeImages("target:2", self.clock, **target)
        self.ear = Ear()

    def target_side(self, plan: Plan) -> ServiceTarget:
        threads = Threads(self.clock, "test", 4, pool=InlinePool())
        threads.start()
        return ServiceTarget(self.target, plan, self.clock, threads)  # type: ignore[arg-type]

    def begin(self, plan: Plan | None = None, confirm: Any = None) -> Deferred[Summary]:
        plan = plan or Plan()
        self.ear = Ear()
        return Deferred.fromCoroutine(
            replicate(
                ServiceSource(self.source),  # type: ignore[arg-type]
                self.target_side(plan),
                plan,
                self.clock,
                self.ear,
                confirm,
            )
        )

    def run(self, plan: Plan | None = None, confirm: Any = None) -> Summary:
        return finish(self.clock, self.begin(plan, confirm))
