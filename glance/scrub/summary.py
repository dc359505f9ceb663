"""What a pass of the scrubber has done, counted and put into words. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from glance.domain.amounts import counted, human_size


@dataclass(slots=True)
class Summary:
    """The figures of one pass.

    :ivar images: finished by us: their data is gone and the catalogue says so.
    :ivar size: bytes deleted from the stores.
    :ivar missing: copies that were gone already.
    :ivar foreign: copies on other people's servers, which stay.
    :ivar shared: copies that other images have too, which stay.
    :ivar skipped: images that another process was at work on.
    :ivar failed: images that have data left; the next pass tries them again.
    :ivar failures: copies that could not be deleted, by store and reason.
    """

    images: int = 0
    size: int = 0
    missing: int = 0
    foreign: int = 0
    shared: int = 0
    skipped: int = 0
    failed: int = 0
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def idle(self) -> bool:
        """Tell whether there was nothing to do."""
        return not (self.images or self.failed or self.skipped)

    def line(self) -> str:
        """Sum up in one line."""
        if self.idle:
            return "Nothing to scrub."
        parts = [f"Scrubbed {counted(self.images, 'image')} ({human_size(self.size)})"]
        if self.missing:
            parts.append(f"the data of {counted(self.missing, 'location')} was gone already")
        if self.foreign:
            parts.append(f"{counted(self.foreign, 'location')} on foreign servers left there")
        if self.shared:
            parts.append(
                f"{counted(self.shared, 'location')} left to other images that have it too"
            )
        if self.skipped:
            parts.append(f"{counted(self.skipped, 'image')} in the hands of others")
        if self.failed:
            parts.append(f"{counted(self.failed, 'image')} failed and will be tried again")
        return "; ".join(parts) + "."

    def details(self) -> list[str]:
        """Return a line for each kind of failure, the most frequent first."""
        return [
            f"Store {store}: {counted(count, 'location')} not deleted: {reason}"
            for (store, reason), count in self.failures.most_common()
        ]
