"""Who is told how a run gets on: a terminal, whoever reads lines, or the log of a service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from glance.domain.amounts import counted, human_size
from glance.replicate.board import Board
from glance.replicate.outcome import BAD, Deed, Outcome
from glance.replicate.record import ImageRecord
from glance.replicate.wording import duration, outcome_line, plain, title
from glance.services.telling import Voices

Tell = Callable[[str], None]


class Teller:
    """A :class:`~glance.replicate.listening.Listener` that tells of images as they are done.

    :param reactor: the reactor; only its clock is used here.
    :param voices: to tell by. What went well is said, what is just as it was is mentioned, and what
        failed, is in conflict or is tried again is complained of.
    :param dry_run: whether nothing is really done.
    :ivar board: keeps account.
    """

    def __init__(self, reactor: Any, voices: Voices, *, dry_run: bool = False) -> None:
        self.board = Board(reactor.seconds)
        self._voices = voices
        self._dry_run = dry_run

    def run_started(self, images: int, size: int) -> None:
        """Tell how much there is to do."""
        self.board.run_started(images, size)
        data = f", {human_size(size)} to copy" if size else ""
        self._voices.mention(f"{counted(images, 'image')}{data}")

    def image_started(self, record: ImageRecord, size: int) -> None:
        """Note that something is being done about an image."""
        self.board.image_started(record, size)

    def moved(self, record: ImageRecord, count: int) -> None:
        """Note that data went through."""
        self.board.moved(record, count)

    def retrying(self, record: ImageRecord, reason: str, seconds: float) -> None:
        """Tell that an image is going to be tried again."""
        self.board.retrying(record, reason, seconds)
        named = title(record.image_id, record.fields.get("name"))
        self._voices.mention(f"{named}: again in {duration(seconds)}: {plain(reason)}")

    def image_done(self, outcome: Outcome) -> None:
        """Tell what became of an image."""
        seconds = self.board.image_done(outcome)
        line = outcome_line(outcome, dry_run=self._dry_run, seconds=seconds)
        if outcome.deed in BAD:
            self._voices.complain(line)
        elif outcome.deed in (Deed.SAME, Deed.SKIPPED) and not outcome.notes:
            self._voices.mention(line)
        else:
            self._voices.say(line)
