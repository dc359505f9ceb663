"""What a terminal shows of a run: a line for all of it, and one for each image in hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from glance.domain.amounts import human_size
from glance.replicate.outcome import BAD, Outcome
from glance.replicate.pace import Pace
from glance.replicate.record import ImageRecord
from glance.replicate.wording import duration, fitted, plain, title, width

#: Characters of the bar: as many as there is room for.
_BAR = 24
_SHORTEST_BAR = 5


@dataclass(slots=True)
class _InHand:
    """An image that something is being done about.

    :param size: bytes that are going to be copied.
    :param moved: how many of them went through.
    :param waiting: why it is going to be tried again, and when.
    """

    title: str
    size: int
    pace: Pace
    began: float
    moved: int = 0
    waiting: tuple[str, float] | None = None


class Board:
    """Keeps account of a run; told as a :class:`~glance.replicate.listening.Listener` is.

    :param seconds: the clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._images = self._done = self._bad = 0
        self._size = self._moved = 0
        self._pace = Pace(seconds())
        self._in_hand: dict[str, _InHand] = {}
        self._listing = True

    def run_started(self, images: int, size: int) -> None:
        """Note how much there is to do."""
        now = self._seconds()
        self._images, self._size = images, size
        self._done = self._bad = self._moved = 0
        self._pace = Pace(now)
        self._in_hand = {}
        self._listing = False

    def image_started(self, record: ImageRecord, size: int) -> None:
        """Note that something is being done about an image."""
        now = self._seconds()
        named = title(record.image_id, record.fields.get("name"))
        self._in_hand[record.image_id] = _InHand(named, size, Pace(now), now)

    def moved(self, record: ImageRecord, count: int) -> None:
        """Note that data went through."""
        now = self._seconds()
        self._moved += count
        # What has to be done again is not progress, but no bytes went back either.
        if count > 0:
            self._pace.add(now, count)
        image = self._in_hand.get(record.image_id)
        if image is not None:
            image.moved += count
            image.waiting = None
            if count > 0:
                image.pace.add(now, count)

    def retrying(self, record: ImageRecord, reason: str, seconds: float) -> None:
        """Note that an image is going to be tried again."""
        image = self._in_hand.get(record.image_id)
        if image is not None:
            image.waiting = (plain(reason), self._seconds() + seconds)

    def image_done(self, outcome: Outcome) -> float | None:
        """Note what became of an image.

        :returns: seconds that it took, where that is known.
        """
        self._done += 1
        self._bad += outcome.deed in BAD
        image = self._in_hand.pop(outcome.image_id, None)
        if image is None:
            return None
        # What was expected and did not come would keep the bar from its end.
        self._size += image.moved - image.size
        return self._seconds() - image.began

    def lines(self, columns: int, rows: int) -> list[str]:
        """Return what to show.

        :param columns: of the terminal that may be used.
        :param rows: likewise.
        """
        now = self._seconds()
        if self._listing:
            return [fitted("Listing images...", columns)]
        images = list(self._in_hand.values())
        room = max(rows - 1, 0)
        hidden = len(images) - room
        if hidden > 0 and room:
            images = images[: room - 1]
        found = [self._line(image, now, columns) for image in images[:room]]
        if hidden > 0 and room:
            found.append(fitted(f"  and {hidden + 1} more", columns))
        return [*found, fitted(self._total(now, columns), columns)]

    def status(self) -> str:
        """Return how far the run is, for a service manager."""
        if self._listing:
            return "listing images"
        return f"{self._done} of {self._images} images, {human_size(self._moved)} copied"

    def _total(self, now: float, columns: int) -> str:
        share = self._share()
        done = f"{share:4.0%} {self._done} of {self._images} images"
        if self._bad:
            done += f", {self._bad} failed"
        if not self._size:
            return _barred(share, done, columns)
        data = f"{human_size(self._moved)} of {human_size(self._size)}"
        speed = _speed(self._pace, now, self._size - self._moved)
        text = ", ".join([done, data, *speed])
        if len(text) > columns:
            # How long it will yet take is what whoever waits wants to know.
            text = ", ".join([done, data, *speed[1:]])
        return _barred(share, text, columns)

    def _share(self) -> float:
        # By bytes while there are some to copy; images that differ in size say little.
        if self._size > 0 and self._moved < self._size:
            return max(0.0, self._moved / self._size)
        return min(1.0, self._done / self._images) if self._images else 1.0

    def _line(self, image: _InHand, now: float, columns: int) -> str:
        if image.waiting is not None:
            reason, at = image.waiting
            said = f"again in {duration(max(at - now, 0))}: {reason}"
        elif not image.size:
            said = "..."
        else:
            share = min(max(image.moved / image.size, 0.0), 1.0)
            speed = _speed(image.pace, now, image.size - image.moved)
            said = ", ".join([f"{share:.0%} of {human_size(image.size)}", *speed])
        # Rather the name is cut than how far it is.
        named = fitted(image.title, max(columns - width(said) - 4, 12))
        return fitted(f"  {named}  {said}", columns)


def _barred(share: float, text: str, columns: int) -> str:
    """Put a bar in front, unless there is no room for one that shows anything."""
    # Its brackets and a blank come along.
    room = min(_BAR, columns - len(text) - 3)
    if room < _SHORTEST_BAR:
        return text.lstrip()
    full = int(share * room)
    return f"[{'#' * full}{'.' * (room - full)}] {text}"


def _speed(pace: Pace, now: float, remaining: int) -> list[str]:
    rate = pace.rate(now)
    if rate is None:
        return []
    found = [f"{human_size(round(rate))}/s"]
    left = pace.left(now, max(remaining, 0))
    if left is not None and remaining > 0:
        found.append(f"{duration(left)} left")
    return found
