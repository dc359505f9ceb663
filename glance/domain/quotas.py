"""How much one image may hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from glance.domain.errors import LimitExceeded

#: Names of properties that the service keeps for itself start so.
INTERNAL_PREFIX = "os_glance"


@dataclass(frozen=True, slots=True)
class Quotas:
    """The limits of the configuration; a negative number is no limit.

    The option of the same name sets each; ``image_size_cap`` is in bytes.
    """

    image_property_quota: int = 128
    image_tag_quota: int = 128
    image_member_quota: int = 128
    image_location_quota: int = 10
    image_size_cap: int = 2**40

    def check_properties(self, names: Iterable[str]) -> None:
        """Check the custom properties that an image would have.

        :param names: the names of all of them; those kept for the service do not count.
        :raises LimitExceeded: they are too many.
        """
        if self.image_property_quota >= 0:
            count = sum(not name.startswith(INTERNAL_PREFIX) for name in names)
            _check("custom properties", count, self.image_property_quota)

    def check_tags(self, count: int) -> None:
        """Check the number of tags that an image would have.

        :param count: how many.
        :raises LimitExceeded: they are too many.
        """
        _check("tags", count, self.image_tag_quota)


def _check(what: str, count: int, quota: int) -> None:
    if 0 <= quota < count:
        raise LimitExceeded(f"The image would have {count} {what}; at most {quota} are allowed.")
