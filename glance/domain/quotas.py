"""How much one image may hold, and how much all images of one owner may take together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from glance.domain.errors import LimitExceeded

#: Names of properties that the service keeps for itself start so.
INTERNAL_PREFIX = "os_glance"

MIB = 2**20

_UNITS = {"": 1, "B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}

#: Names of an owner's limits in Keystone (unified limits). The first two are in MiB.
SIZE_TOTAL = "image_size_total"
STAGE_TOTAL = "image_stage_total"
COUNT_TOTAL = "image_count_total"
COUNT_UPLOADING = "image_count_uploading"
UNIFIED = (SIZE_TOTAL, STAGE_TOTAL, COUNT_TOTAL, COUNT_UPLOADING)


def parse_bytes(text: str) -> int:
    """Return the bytes that ``user_storage_quota`` means, whose units are powers of 1024.

    :param text: a number with or without a unit of B, KB, MB, GB or TB.
    """
    number = text.rstrip("BKMGTbkmgt")
    return int(number) * _UNITS[text[len(number) :].upper()]


@dataclass(frozen=True, slots=True)
class Quotas:
    """The limits of the configuration on one image; a negative number is no limit.

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

    def check_members(self, count: int) -> None:
        """Check the number of members that an image would have.

        :param count: how many.
        :raises LimitExceeded: they are too many.
        """
        _check("members", count, self.image_member_quota)

    def check_size(self, size: int) -> None:
        """Check how many bytes an image's data would have.

        :raises LimitExceeded: they are too many.
        """
        if size > self.image_size_cap:
            raise LimitExceeded(
                f"The image data is larger than the {self.image_size_cap} bytes that an image may "
                "have."
            )

    def check_locations(self, count: int) -> None:
        """Check the number of locations that an image would have.

        :param count: how many.
        :raises LimitExceeded: they are too many.
        """
        _check("locations", count, self.image_location_quota)


def _check(what: str, count: int, quota: int) -> None:
    if 0 <= quota < count:
        raise LimitExceeded(f"The image would have {count} {what}; at most {quota} are allowed.")


@dataclass(frozen=True, slots=True)
class Room:
    """What a limit leaves an owner.

    :param noun: what is counted.
    :param limit: how many there may be.
    :param taken: how many there are, with what is reserved.
    :param told: whether the caller may know these numbers; another project's are not told.
    """

    noun: str
    limit: int
    taken: int
    told: bool = True

    def check(self, more: int) -> None:
        """Check that there is room for more.

        :param more: how many.
        :raises LimitExceeded: there is not.
        """
        if self.taken + more > self.limit:
            raise LimitExceeded(self._words())

    def _words(self) -> str:
        if not self.told:
            return "The quota of the image's owner does not leave room for this."
        left = max(0, self.limit - self.taken)
        return (
            f"The quota of the image's owner is {self.limit} {self.noun}; {self.taken} are taken, "
            f"so {left} are left."
        )


@dataclass(frozen=True, slots=True)
class OwnerLimits:
    """What all images of one owner may take together; ``None`` is no limit.

    :param owner: whose limits these are.
    :param of_all: they are everybody's, whatever ``owner`` says.
    :param size_total: bytes of data, once for each place that holds them.
    :param stage_total: bytes that are being imported.
    :param count_total: images.
    :param count_uploading: images whose data is arriving or being copied.
    """

    owner: str | None = None
    of_all: bool = False
    size_total: int | None = None
    stage_total: int | None = None
    count_total: int | None = None
    count_uploading: int | None = None

    @classmethod
    def of_project(cls, project_id: str, limits: Mapping[str, int]) -> OwnerLimits:
        """Return the limits that Keystone has for a project.

        :param limits: by the names in :data:`UNIFIED`: a negative number is no limit, a name that
            is missing allows nothing, as unified limits have it everywhere.
        """
        size, stage, count, uploading = (
            None if (limit := limits.get(name, 0)) < 0 else limit for name in UNIFIED
        )
        return cls(
            owner=project_id,
            size_total=None if size is None else size * MIB,
            stage_total=None if stage is None else stage * MIB,
            count_total=count,
            count_uploading=uploading,
        )

    def check_owner(self, owner: str | None) -> None:
        """Check that these are the limits of an image's owner.

        :raises OtherOwner: they are another's.
        """
        if not self.of_all and owner != self.owner:
            raise OtherOwner(owner)

    def room_for_data(self, taken: int, told: bool = True) -> Room | None:
        """Return how many bytes of data are left; ``None`` when there is no limit.

        :param taken: bytes, with those reserved.
        :param told: whether the caller may know how many.
        """
        return _room("bytes of image data", self.size_total, taken, told)

    def room_for_staging(self, taken: int, told: bool = True) -> Room | None:
        """Return how many bytes to be imported are left, likewise."""
        return _room("bytes of data being imported", self.stage_total, taken, told)

    def room_for_images(self, taken: int, told: bool = True) -> Room | None:
        """Return how many images are left, likewise."""
        return _room("images", self.count_total, taken, told)

    def room_for_uploads(self, taken: int, told: bool = True) -> Room | None:
        """Return how many uploads are left, likewise."""
        return _room("uploads and imports at once", self.count_uploading, taken, told)


#: Where nothing is limited.
NO_LIMITS = OwnerLimits(of_all=True)


class OtherOwner(Exception):
    """Internal: limits were brought for one owner, and the image turned out to be another's."""

    def __init__(self, owner: str | None) -> None:
        super().__init__("these are another owner's limits")
        self.owner = owner


def _room(noun: str, limit: int | None, taken: int, told: bool) -> Room | None:
    return None if limit is None else Room(noun, limit, taken, told)


@dataclass(frozen=True, slots=True)
class Usage:
    """What all images of one owner take together, counted as :class:`OwnerLimits` limits it."""

    size_total: int = 0
    stage_total: int = 0
    count_total: int = 0
    count_uploading: int = 0


def render_usage(usage: Usage, limits: OwnerLimits) -> dict[str, dict[str, int]]:
    """Describe an owner's usage as the API does.

    :returns: by the names in :data:`UNIFIED`, ``usage`` in whole units and ``limit``, -1 for none.
    """
    units = (MIB, MIB, 1, 1)
    taken = (usage.size_total, usage.stage_total, usage.count_total, usage.count_uploading)
    most = (limits.size_total, limits.stage_total, limits.count_total, limits.count_uploading)
    return {
        name: {"usage": used // unit, "limit": -1 if limit is None else limit // unit}
        for name, unit, used, limit in zip(UNIFIED, units, taken, most, strict=True)
    }
