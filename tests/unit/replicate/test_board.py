"""What a terminal shows of a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from glance.replicate.board import Board
from glance.replicate.outcome import Deed, Outcome
from glance.replicate.record import ImageRecord
from glance.replicate.wording import width

MIB = 1024**2


def record(number: int, name: str | None = "image") -> ImageRecord:
    return ImageRecord(str(number), "active", fields={"name": name})


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def board(clock):
    return Board(clock.seconds)


def test_listing(board):
    assert board.lines(80, 24) == ["Listing images..."]
    assert board.status() == "listing images"
    assert board.lines(5, 24) == ["List…"]


def test_a_run(board, clock):
    board.run_started(4, 30 * MIB)
    assert board.lines(80, 24) == [
        "[........................]   0% 0 of 4 images, 0 bytes of 30.0 MiB"
    ]
    board.image_started(record(1), 20 * MIB)
    board.image_started(record(2, None), 10 * MIB)
    for _ in range(10):
        clock.advance(1)
        board.moved(record(1), MIB)
    assert board.lines(120, 24) == [
        "  image (1)  50% of 20.0 MiB, 1.0 MiB/s, 10 s left",
        "  2  0% of 10.0 MiB, 0 bytes/s",
        "[########................]  33% 0 of 4 images, 10.0 MiB of 30.0 MiB, 1.0 MiB/s, 20 s left",
    ]
    assert board.status() == "0 of 4 images, 10.0 MiB copied"
    assert board.image_done(Outcome("1", Deed.COPIED, size=10 * MIB)) == 10
    # Half of it never came, so less is expected in all.
    assert "1 of 4 images, 10.0 MiB of 20.0 MiB" in board.lines(120, 24)[-1]
    assert len(board.lines(120, 24)) == 2
    board.image_done(Outcome("2", Deed.FAILED, "x"))
    assert board.image_done(Outcome("3", Deed.SAME)) is None
    board.image_done(Outcome("4", Deed.CONFLICT, "x"))
    (line,) = board.lines(120, 24)
    assert line.startswith("[########################] 100% 4 of 4 images, 2 failed, 10.0 MiB of")
    assert line.endswith("10.0 MiB, 1.0 MiB/s")


def test_trying_again(board, clock):
    board.run_started(1, 4 * MIB)
    board.image_started(record(1), 4 * MIB)
    clock.advance(1)
    board.moved(record(1), 2 * MIB)
    board.retrying(record(1), "it broke\noff", 3.0)
    clock.advance(1)
    assert board.lines(80, 24)[0] == "  image (1)  again in 2.0 s: it broke off"
    # It begins anew: less is done, but the rate is what came in.
    board.moved(record(1), -2 * MIB)
    assert board.lines(80, 24)[0] == "  image (1)  0% of 4.0 MiB, 1.0 MiB/s, 4.0 s left"
    assert board.lines(120, 24)[1] == (
        "[........................]   0% 0 of 1 images, 0 bytes of 4.0 MiB, 1.0 MiB/s, 4.0 s left"
    )


def test_nothing_of_an_image_that_is_not_in_hand(board):
    board.run_started(1, 0)
    board.moved(record(1), 5)
    board.retrying(record(1), "x", 1)
    assert board.lines(80, 24) == ["[........................]   0% 0 of 1 images"]


def test_nothing_to_do(board):
    board.run_started(0, 0)
    assert board.lines(80, 24) == ["[########################] 100% 0 of 0 images"]


def test_metadata_alone_takes_no_time_worth_telling(board):
    board.run_started(2, 0)
    board.image_started(record(1), 0)
    assert board.lines(80, 24)[0] == "  image (1)  ..."


def test_more_images_than_rows(board):
    board.run_started(10, 10)
    for number in range(10):
        board.image_started(record(number), 1)
    lines = board.lines(80, 5)
    assert len(lines) == 5
    assert lines[3] == "  and 7 more"
    assert [len(board.lines(80, rows)) for rows in (1, 2, 11, 12)] == [1, 2, 11, 11]
    assert board.lines(80, 2)[0] == "  and 10 more"


DONE, DATA = "1 of 2 images, 1 failed", "2.0 MiB of 4.0 MiB"


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (100, f"[############............]  50% {DONE}, {DATA}, 1.0 MiB/s, 2.0 s left"),
        (79, f"[##...]  50% {DONE}, {DATA}, 1.0 MiB/s, 2.0 s left"),
        (78, f"50% {DONE}, {DATA}, 1.0 MiB/s, 2.0 s left"),
        (68, f"[##...]  50% {DONE}, {DATA}, 2.0 s left"),
        (30, "50% 1 of 2 images, 1 failed, …"),
    ],
)
def test_the_bar_makes_room_for_how_far_it_is(board, clock, columns, line):
    board.run_started(2, 4 * MIB)
    board.image_started(record(1), 4 * MIB)
    board.image_done(Outcome("2", Deed.FAILED, "x"))
    clock.advance(2)
    board.moved(record(1), 2 * MIB)
    assert board.lines(columns, 1) == [line]


@given(st.integers(1, 100), st.integers(1, 30), st.text(max_size=80))
def test_it_fits(columns, rows, text):
    clock = Clock()
    board = Board(clock.seconds)
    board.run_started(3, 300)
    board.image_started(record(1, text), 100)
    board.image_started(record(2, text), 100)
    clock.advance(2)
    board.moved(record(1), 50)
    board.retrying(record(2), text, 5)
    lines = board.lines(columns, rows)
    assert 1 <= len(lines) <= rows
    assert all(width(line) <= columns and line.isprintable() for line in lines)
