"""Indexes whose threads are the caller's own, and a directory for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from glance.cache.layout import CacheDirectory
from glance.domain.caching import CachedImage

IMAGES = [f"{n:08x}-0000-4000-8000-000000000000" for n in range(40)]
IMAGE, OTHER, THIRD, *_ = IMAGES
#: A whole second: not all databases keep parts of one.
T0 = 1_700_000_000.0


class InlineThreads:
    """Threads that do everything at once."""

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def run(self, job: Callable[[], Any]) -> Deferred[Any]:
        return maybeDeferred(job)


def result(answer: Deferred[Any]) -> Any:
    """Return what a Deferred that has fired holds, or raise it."""
    outcomes: list[Any] = []
    failures: list[Any] = []
    answer.addCallbacks(outcomes.append, failures.append)
    if failures:
        failures[0].raiseException()
    (outcome,) = outcomes
    return outcome


def cached(image_id: str = IMAGE, **values: Any) -> CachedImage:
    """Return an entry of a copy of four bytes."""
    values = {"size": 4, "hits": 0, "last_accessed": T0, "last_modified": T0, **values}
    return CachedImage(image_id, **values)


def make_directory(path: Path) -> CacheDirectory:
    directory = CacheDirectory(str(path / "cache"))
    directory.thd_prepare()
    return directory


def write_copy(directory: CacheDirectory, image_id: str, data: bytes = b"data") -> Path:
    path = Path(directory.copy(image_id))
    path.write_bytes(data)
    return path
