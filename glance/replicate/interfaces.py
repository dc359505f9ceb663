"""The contracts between the replicator's work and the two kinds of sides that it works on.

A side is an image service or a directory with a dump. Methods are coroutines on the reactor's
thread; whatever blocks runs in threads. All of them fail with a
:class:`~glance.domain.errors.GlanceError`; those of :mod:`glance.remote.errors` tell whether to
try again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from glance.replicate.outcome import Outcome
from glance.replicate.record import ImageRecord

#: Told how many more bytes of an image's data went through.
Moved = Callable[[int], None]


class Source(Protocol):
    """Where images come from."""

    @property
    def place(self) -> str:
        """What to call it in messages; without secrets."""

    def records(self, wanted: Mapping[str, str] | None = None) -> AsyncIterator[ImageRecord]:
        """Yield all images that can be seen, of whatever status, with members where known.

        :param wanted: filters that the side may use to leave out what is not asked for, as the
            Image API's list has them; whoever asks filters again.
        """

    def open(self, record: ImageRecord, offset: int = 0) -> Awaitable[Any]:
        """Open an image's data.

        :param offset: bytes to leave out at the beginning; a side that cannot do so starts at 0.
        :returns: a :class:`~glance.remote.streams.IByteStream`, whose ``offset`` says where it
            begins.
        :raises Vanished: the image is not there any more, or has no data.
        """


class Target(Protocol):
    """Where images go to."""

    @property
    def place(self) -> str:
        """What to call it in messages; without secrets."""

    def records(self, wanted: Mapping[str, str] | None = None) -> AsyncIterator[ImageRecord]:
        """Yield all images that are there already."""

    def foresee(self, record: ImageRecord, there: ImageRecord | None) -> Outcome:
        """Tell what :meth:`put` would do, by what is known; nothing is asked or done.

        :returns: with the size of the data that would be copied.
        """

    def put(
        self, record: ImageRecord, there: ImageRecord | None, source: Source, moved: Moved
    ) -> Awaitable[Outcome]:
        """Make an image there what it is here; to be called again after a failure.

        :param record: as the source has it.
        :param there: as the target has it, if it does. It may be out of date by now.
        :param moved: told how many bytes went through, also those of attempts that failed.
        :returns: what was done.
        :raises GlanceError: it was not done.
        """

    def remove(self, record: ImageRecord) -> Awaitable[None]:
        """Delete an image that the source has not."""
