"""What is said of tempest's results when they are not as the table of known ones says."""

from __future__ import annotations

import pytest

from tests.services.tempest import Known, Result, judged, summary

PASSED = Result("v2.mod.Class.test_a", "success", "")
FAILED = Result("v2.mod.Class.test_b", "fail", "Traceback\n1\n2\n3\nBad: request")
SKIPPED = Result("v2.mod.Other", "skip", "no such thing here")
RESULTS = [PASSED, FAILED, SKIPPED]
TABLE = [
    Known("fail", "v2.mod.Class.test_b", "of a reason"),
    Known("skip", "v2.mod.Other", "of another"),
]


def test_nothing_is_said_of_what_is_known() -> None:
    assert judged(RESULTS, TABLE) == []


def test_what_is_not_known_is_told() -> None:
    assert judged(RESULTS, TABLE[1:]) == [
        "v2.mod.Class.test_b: fail: 1\n    2\n    3\n    Bad: request"
    ]
    assert judged(RESULTS, TABLE[:1]) == ["v2.mod.Other: skip: no such thing here"]


@pytest.mark.parametrize("tests", ["v2.mod.Class", "v2.mod", "v2"])
def test_what_passes_must_not_be_in_the_table(tests: str) -> None:
    table = [Known("fail", tests, "of a reason")]
    assert judged([PASSED], table) == ["v2.mod.Class.test_a passes, though of a reason"]


def test_another_status_is_told() -> None:
    table = [Known("skip", "v2.mod.Class.test_b", "of a reason"), TABLE[1]]
    [said] = judged(RESULTS, table)
    assert said.startswith("v2.mod.Class.test_b: fail, not skip: ")


def test_a_line_for_no_test_is_told() -> None:
    # The beginning of a name is none.
    table = [*TABLE, Known("fail", "v2.mod.Cl", "of a reason")]
    assert judged(RESULTS, table) == ["there is no test v2.mod.Cl"]


def test_summary() -> None:
    assert summary([*RESULTS, PASSED]) == "1 fail, 1 skip, 2 success"
