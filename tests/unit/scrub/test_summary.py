"""The words of a summary."""

from collections import Counter

import pytest

from glance.domain.amounts import human_size
from glance.scrub.summary import Summary


def test_idle():
    assert Summary().idle
    assert Summary().line() == "Nothing to scrub."


def test_everything():
    summary = Summary(
        images=12345,
        size=3 << 30,
        missing=1,
        foreign=2,
        skipped=3,
        failed=1,
        failures=Counter({("fast", "away"): 2, ("slow", "full"): 1}),
    )
    assert summary.line() == (
        "Scrubbed 12,345 images (3.0 GiB); the data of 1 location was gone already; "
        "2 locations on foreign servers left there; 3 images in the hands of others; "
        "1 image failed and will be tried again."
    )
    assert summary.details() == [
        "Store fast: 2 locations not deleted: away",
        "Store slow: 1 location not deleted: full",
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (1 << 60, "1024.0 PiB")],
)
def test_size(size, text):
    assert human_size(size) == text
