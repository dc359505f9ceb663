"""What is told of single images."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from glance.replicate.outcome import Deed, Outcome
from glance.replicate.record import ImageRecord
from glance.services.replicator_telling import Teller
from glance.services.telling import Voices

RECORD = ImageRecord("1", "active", fields={"name": "one"})


@pytest.fixture
def told():
    """Pairs of who said it and what."""
    return []


@pytest.fixture
def make(told):
    def make(**details) -> tuple[Teller, Clock]:
        clock = Clock()

        def voice(name):
            return lambda line: told.append((name, line))

        voices = Voices(voice("say"), voice("complain"), voice("mention"))
        return Teller(clock, voices, **details), clock

    return make


def test_an_image(make, told):
    teller, clock = make()
    teller.run_started(1, 2048)
    teller.image_started(RECORD, 2048)
    teller.moved(RECORD, 1024)
    teller.retrying(RECORD, "it broke off", 1.5)
    clock.advance(2)
    teller.moved(RECORD, 1024)
    teller.image_done(Outcome("1", Deed.COPIED, size=2048, name="one"))
    assert told == [
        ("mention", "1 image, 2.0 KiB to copy"),
        ("mention", "one (1): again in 1.5 s: it broke off"),
        ("say", "one (1): copied, 2.0 KiB in 2.0 s (1.0 KiB/s)"),
    ]
    assert teller.board.status() == "1 of 1 images, 2.0 KiB copied"


@pytest.mark.parametrize(
    ("outcome", "who"),
    [
        (Outcome("1", Deed.COPIED), "say"),
        (Outcome("1", Deed.COMPLETED), "say"),
        (Outcome("1", Deed.UPDATED), "say"),
        (Outcome("1", Deed.DELETED), "say"),
        (Outcome("1", Deed.SAME), "mention"),
        (Outcome("1", Deed.SAME, notes=("hm",)), "say"),
        (Outcome("1", Deed.SKIPPED, "it is queued"), "mention"),
        (Outcome("1", Deed.CONFLICT, "x"), "complain"),
        (Outcome("1", Deed.FAILED, "x"), "complain"),
    ],
)
def test_who_tells(make, told, outcome, who):
    teller, _ = make()
    teller.image_done(outcome)
    assert [name for name, _ in told] == [who]


def test_dry_run(make, told):
    teller, _ = make(dry_run=True)
    teller.run_started(2000, 0)
    teller.image_done(Outcome("1", Deed.COPIED, name="one"))
    assert told == [("mention", "2,000 images"), ("say", "one (1): would be copied")]
