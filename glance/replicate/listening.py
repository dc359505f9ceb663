"""Who is told how a run gets on."""

from __future__ import annotations

from typing import Protocol

from glance.replicate.outcome import Outcome
from glance.replicate.record import ImageRecord


class Listener(Protocol):
    """Shows or logs what happens; all calls come on the reactor's thread and must be quick."""

    def run_started(self, images: int, size: int) -> None:
        """Note that both sides are listed.

        :param images: that will have an outcome.
        :param size: bytes of data that are going to be copied, as far as can be foreseen.
        """

    def image_started(self, record: ImageRecord, size: int) -> None:
        """Note that something is being done about an image; not called where nothing is to do.

        :param size: bytes of data that are going to be copied.
        """

    def moved(self, record: ImageRecord, count: int) -> None:
        """Note that more of an image's data went through, also in a try that fails later.

        :param count: bytes; below zero where a try begins with less than the one before had.
        """

    def retrying(self, record: ImageRecord, reason: str, seconds: float) -> None:
        """Note that an image is going to be tried again.

        :param reason: why the last try failed.
        :param seconds: until the next one.
        """

    def image_done(self, outcome: Outcome) -> None:
        """Note what became of an image."""


class Silent:
    """Is told everything and tells nobody."""

    def run_started(self, images: int, size: int) -> None:
        """Do nothing."""

    def image_started(self, record: ImageRecord, size: int) -> None:
        """Do nothing."""

    def moved(self, record: ImageRecord, count: int) -> None:
        """Do nothing."""

    def retrying(self, record: ImageRecord, reason: str, seconds: float) -> None:
        """Do nothing."""

    def image_done(self, outcome: Outcome) -> None:
        """Do nothing."""
