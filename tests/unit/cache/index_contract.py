"""What every index driver promises, whatever it keeps its book in.

Mix :class:`IndexContract` into a class of tests that has the fixtures ``directory`` and ``index``,
a started index. Times here are whole seconds, sizes those of the files, since not every driver has
a place for others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from zope.interface.verify import verifyObject

from glance.cache.interfaces import ICacheIndex
from glance.cache.layout import CacheDirectory
from glance.domain.caching import CachedImage
from tests.unit.cache.index_doubles import (
    IMAGE,
    IMAGES,
    OTHER,
    T0,
    THIRD,
    cached,
    result,
    write_copy,
)


class IndexContract:
    """Tests of a driver."""

    #: How many runs of how many steps the comparison with a dictionary takes.
    runs: ClassVar[int] = 40

    @pytest.fixture
    def entries(self, index: Any) -> Any:
        """Return the entries by image."""

        def entries() -> dict[str, CachedImage]:
            found = result(index.entries())
            assert len({e.image_id for e in found}) == len(found)
            return {e.image_id: e for e in found}

        return entries

    @pytest.fixture(autouse=True)
    def copies(self, directory: CacheDirectory) -> Iterator[None]:
        for image_id in (IMAGE, OTHER, THIRD):
            write_copy(directory, image_id)
        yield

    def forget(self, index: Any, directory: CacheDirectory, *image_ids: str) -> None:
        """Remove copies as the cache does."""
        for image_id in image_ids:
            os.unlink(directory.copy(image_id))
        result(index.remove(list(image_ids)))

    def test_is_an_index(self, index: Any) -> None:
        assert verifyObject(ICacheIndex, index)

    def test_start_may_be_repeated(self, index: Any, entries: Any) -> None:
        result(index.add([cached(hits=3)]))
        result(index.start())
        assert entries()[IMAGE].hits == 3

    def test_add(self, index: Any, entries: Any) -> None:
        first = cached(hits=2, last_accessed=T0 + 9, checksum="0" * 32)
        second = cached(OTHER)
        result(index.add([first, second]))
        assert entries()[IMAGE] == first
        assert entries()[OTHER] == second

    def test_nothing_to_do(self, index: Any) -> None:
        result(index.add([]))
        result(index.remove([]))
        result(index.touch({}))

    def test_add_replaces(self, index: Any, entries: Any) -> None:
        result(index.add([cached(hits=2, last_accessed=T0 + 9, checksum="0" * 32)]))
        result(index.add([cached(last_accessed=T0 + 1, last_modified=T0 + 1)]))
        assert entries()[IMAGE] == cached(last_accessed=T0 + 1, last_modified=T0 + 1)

    def test_remove(self, index: Any, directory: CacheDirectory, entries: Any) -> None:
        result(index.add([cached(), cached(OTHER, hits=1), cached(THIRD)]))
        self.forget(index, directory, IMAGE, THIRD)
        assert entries() == {OTHER: cached(OTHER, hits=1)}

    def test_remove_of_nothing_known(self, index: Any, entries: Any) -> None:
        result(index.add([cached()]))
        result(index.remove([IMAGES[9]]))
        assert entries()[IMAGE] == cached()

    def test_touch(self, index: Any, entries: Any) -> None:
        result(index.add([cached(), cached(OTHER, hits=5)]))
        result(index.touch({IMAGE: (2, T0 + 5), OTHER: (1, T0 + 7)}))
        result(index.touch({IMAGE: (1, T0 + 6)}))
        assert entries()[IMAGE] == cached(hits=3, last_accessed=T0 + 6)
        assert entries()[OTHER] == cached(OTHER, hits=6, last_accessed=T0 + 7)

    def test_last_access_is_never_set_back(self, index: Any, entries: Any) -> None:
        result(index.add([cached(last_accessed=T0 + 5)]))
        result(index.touch({IMAGE: (1, T0 + 4)}))
        assert entries()[IMAGE] == cached(hits=1, last_accessed=T0 + 5)

    def test_touch_of_nothing_known(self, index: Any, entries: Any) -> None:
        result(index.add([cached()]))
        result(index.touch({IMAGES[9]: (1, T0), IMAGE: (1, T0 + 1)}))
        assert IMAGES[9] not in entries()
        assert entries()[IMAGE].hits == 1

    def test_many(self, index: Any, directory: CacheDirectory, entries: Any) -> None:
        many = [f"{n:08x}-0000-4000-9000-000000000000" for n in range(1200)]
        for image_id in many:
            write_copy(directory, image_id)
        result(index.add([cached(each) for each in many]))
        result(index.touch(dict.fromkeys(many, (1, T0 + 1))))
        found = entries()
        assert all(found[each].hits == 1 for each in many)
        self.forget(index, directory, *many[:-1])
        assert set(entries()) & set(many) == {many[-1]}

    def test_agrees_with_a_dictionary(
        self, index: Any, directory: CacheDirectory, entries: Any
    ) -> None:
        self.forget(index, directory, IMAGE, OTHER, THIRD)
        forget = self.forget
        times = st.integers(0, 100).map(lambda n: T0 + n)
        images = st.sampled_from(IMAGES[:6])

        class Comparison(RuleBasedStateMachine):
            def __init__(self) -> None:
                super().__init__()
                self.model: dict[str, CachedImage] = {}

            @initialize()
            def empty(self) -> None:
                forget(index, directory, *entries())

            @rule(
                which=st.dictionaries(
                    images, st.tuples(st.integers(0, 9), times, times), max_size=4
                )
            )
            def add(self, which: dict[str, tuple[int, float, float]]) -> None:
                added = [
                    cached(image_id, hits=hits, last_accessed=accessed, last_modified=modified)
                    for image_id, (hits, accessed, modified) in which.items()
                ]
                for entry in added:
                    write_copy(directory, entry.image_id)
                    self.model[entry.image_id] = entry
                result(index.add(added))

            @rule(which=st.sets(images, max_size=3))
            def remove(self, which: set[str]) -> None:
                known = which & set(self.model)
                forget(index, directory, *known)
                result(index.remove(sorted(which)))
                for image_id in known:
                    del self.model[image_id]

            @rule(hits=st.dictionaries(images, st.tuples(st.integers(1, 5), times), max_size=4))
            def touch(self, hits: dict[str, tuple[int, float]]) -> None:
                result(index.touch(hits))
                for image_id, (more, at) in hits.items():
                    if image_id in self.model:
                        old = self.model[image_id]
                        self.model[image_id] = cached(
                            image_id,
                            hits=old.hits + more,
                            last_accessed=max(old.last_accessed, at),
                            last_modified=old.last_modified,
                        )

            @invariant()
            def same(self) -> None:
                assert entries() == self.model

        run_state_machine_as_test(
            Comparison,
            settings=settings(
                max_examples=self.runs,
                stateful_step_count=12,
                deadline=None,
                phases=[Phase.explicit, Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
