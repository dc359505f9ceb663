"""Rates and time left, by a clock that a test turns."""

from __future__ import annotations

import pytest

from glance.replicate.pace import WINDOW, Pace

MIB = 1024**2


def test_too_early_to_tell():
    pace = Pace(100.0)
    pace.add(100.1, MIB)
    assert pace.rate(100.2) is None
    assert pace.left(100.2, MIB) is None


def test_a_steady_rate():
    pace = Pace(0.0)
    for tenth in range(1, 51):
        pace.add(tenth / 10, MIB)
    assert pace.rate(5.0) == pytest.approx(10 * MIB)
    assert pace.left(5.0, 25 * MIB) == pytest.approx(2.5)


def test_what_was_long_ago_does_not_count():
    pace = Pace(0.0)
    for second in range(1, 21):
        pace.add(float(second), 100)
    for second in range(21, 41):
        pace.add(float(second), 1000)
    # Samples are as coarse as what came; the window never is longer than one of them more.
    assert pace.rate(40.0) == pytest.approx(1000, rel=0.11)


def test_a_standstill():
    pace = Pace(0.0)
    pace.add(1.0, 1000)
    assert pace.rate(2.0) == pytest.approx(500)
    assert pace.rate(1.0 + 3 * WINDOW) is not None
    pace.add(40.0, 0)
    assert pace.rate(40.0 + WINDOW + 1) == 0
    assert pace.left(40.0 + WINDOW + 1, 5) is None


def test_times_that_nobody_believes():
    pace = Pace(0.0)
    pace.add(1.0, 1)
    assert pace.left(1.0, 10) == pytest.approx(10)
    assert pace.left(1.0, 10**9) is None


def test_memory_is_bounded():
    pace = Pace(0.0)
    for step in range(100_000):
        pace.add(step / 1000, 1)
    assert len(pace._samples) < 2 * WINDOW / 0.5 + 3
