"""What a pass over the queue has done, counted and put into words. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from glance.domain.amounts import counted, human_size


@dataclass(slots=True)
class Prefetched:
    """What a pass has done.

    :ivar images: cached now.
    :ivar size: their bytes.
    :ivar present: wishes for images that were cached already.
    :ivar present_size: the bytes of those.
    :ivar gone: wishes for images that there are not any more.
    :ivar busy: images that another process writes just now.
    :ivar left: why the others stay in the queue, by image.
    :ivar elsewhere: whether another process works through the queue.
    """

    images: int = 0
    size: int = 0
    present: int = 0
    present_size: int = 0
    gone: int = 0
    busy: int = 0
    left: dict[str, str] = field(default_factory=dict)
    elsewhere: bool = False

    @property
    def seen(self) -> int:
        """How many wishes it has dealt with."""
        return self.images + self.present + self.gone + self.busy + len(self.left)

    def line(self) -> str:
        """Sum up in one line."""
        if not self.seen:
            return "No image waits to be cached."
        parts = [f"Cached {counted(self.images, 'image')} ({human_size(self.size)})"]
        if self.present:
            parts.append(f"{self.present} cached already")
        if self.gone:
            parts.append(f"{self.gone} deleted since, no longer queued")
        if self.busy:
            parts.append(f"{self.busy} being cached by another process")
        if self.left:
            parts.append(f"{len(self.left)} left in the queue")
        return "; ".join(parts) + "."


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a pass is.

    :param done: wishes that it has dealt with.
    :param total: those that it knows of.
    :param written: bytes that are in the cache of what was wished for.
    :param size: all bytes of that.
    """

    done: int
    total: int
    written: int
    size: int
