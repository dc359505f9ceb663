"""What a process remembers: for how long, and how much."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from glance.identity.memory import Memory


def test_value_is_good_for_its_life():
    clock = Clock()
    memory = Memory(10, clock.seconds)
    memory.put(b"k", "v", 5)
    clock.advance(4.9)
    assert memory.get(b"k") == "v"
    clock.advance(0.1)
    assert memory.get(b"k") is None
    assert len(memory) == 0


def test_value_without_a_life_is_not_kept():
    memory = Memory(10, Clock().seconds)
    memory.put(b"k", "v", 0)
    memory.put(b"l", "v", -1)
    assert len(memory) == 0


def test_least_recently_used_goes_first():
    memory = Memory(2, Clock().seconds)
    memory.put(b"a", 1, 5)
    memory.put(b"b", 2, 5)
    assert memory.get(b"a") == 1
    memory.put(b"c", 3, 5)
    assert (memory.get(b"a"), memory.get(b"b"), memory.get(b"c")) == (1, None, 3)


def test_value_put_again_has_a_new_life():
    clock = Clock()
    memory = Memory(2, clock.seconds)
    memory.put(b"a", 1, 5)
    clock.advance(4)
    memory.put(b"a", 2, 5)
    clock.advance(4)
    assert memory.get(b"a") == 2


@given(st.lists(st.tuples(st.binary(max_size=1), st.integers(-1, 5), st.integers(0, 3))))
def test_it_never_grows_beyond_its_bound_nor_tells_what_is_over(steps):
    clock = Clock()
    memory = Memory(4, clock.seconds)
    ends = {}
    for key, life, later in steps:
        memory.put(key, key, life)
        if life > 0:
            ends[key] = clock.seconds() + life
        clock.advance(later)
        assert len(memory) <= 4
        for known, end in ends.items():
            assert memory.get(known) in ((None,) if clock.seconds() >= end else (None, known))
