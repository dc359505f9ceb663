from threading import Thread

import pytest

from glance.domain.correlation import Correlation, begin, carried, current, end, working_on

REQUEST = Correlation("req-1", user="u")


def test_nothing_is_worked_on_by_default() -> None:
    assert current() is None


def test_begin_and_end() -> None:
    token = begin(REQUEST)
    assert current() is REQUEST
    end(token)
    assert current() is None


def test_block_ends_even_with_an_error() -> None:
    with pytest.raises(ValueError, match="x"), working_on(REQUEST):
        assert current() is REQUEST
        with working_on(None):
            assert current() is None
        assert current() is REQUEST
        raise ValueError("x")
    assert current() is None


def test_threads_know_the_request_of_a_carried_call_only() -> None:
    seen: list[Correlation | None] = []

    def look(note: str, *, more: int) -> None:
        assert (note, more) == ("a", 1)
        seen.append(current())

    with working_on(REQUEST):
        calls = [look, carried(look)]
    for call in calls:
        thread = Thread(target=call, args=("a",), kwargs={"more": 1})
        thread.start()
        thread.join()
    assert seen == [None, REQUEST]
