"""What a JSON patch may do to an image's locations.

Pure: whether the data is really there, and how large it is, was found out before
(:class:`NewPlaces`), and what happens to data that is no longer wanted comes after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from glance.domain.errors import Conflict, Forbidden, Invalid, InvalidStatus
from glance.domain.image import ACTIVE, QUEUED, Image, Location, check_transition
from glance.domain.locations import Validation, parse_patch_location
from glance.domain.quotas import Quotas
from glance.domain.text import shape

#: What every operation on locations answers where they are kept from callers.
HIDDEN = "Locations can only be changed where show_multiple_locations is on."


@dataclass(frozen=True, slots=True)
class NewPlaces:
    """What was found out of the URLs that a patch adds.

    :param sizes: bytes of the data, by URL.
    :param metadata: what the location's metadata has to say of its store, by URL.
    :param hashing_algorithm: ``[DEFAULT] hashing_algorithm``: hashes that are stated must be its.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    hashing_algorithm: str = "sha512"


def add(image: Image, position: str, value: object, places: NewPlaces, quotas: Quotas) -> None:
    """Add a location; the first one makes a queued image active.

    :param image: the image, which is changed.
    :param position: where in the list it is to be: a number, or ``-`` for the end.
    :param value: of the patch: URL, metadata and perhaps hashes.
    :raises InvalidStatus: the image is neither queued nor active.
    :raises Invalid: the location is malformed, there already, or of another size than the image.
    :raises Conflict: the hashes stated are not the image's.
    :raises LimitExceeded: the image would get too many.
    """
    _check_status(image, QUEUED, ACTIVE)
    index = len(image.locations) if position == "-" else int(position)
    wanted = parse_patch_location(value, places.hashing_algorithm)
    metadata = {**wanted.metadata, **places.metadata.get(wanted.url, {})}
    location = Location(wanted.url, metadata)
    if any(old.url == location.url and old.metadata == metadata for old in image.locations):
        raise Invalid("The location is one of the image's already.")
    quotas.check_locations(len(image.locations) + 1)
    size = places.sizes.get(wanted.url)
    if size is None:
        # The patch was not the same when its URLs were looked at: it cannot happen.
        raise Conflict("The location was not looked at; try again.")
    if wanted.validation is not None:
        _take_hashes(image, wanted.validation)
    if image.status == QUEUED:
        check_transition(image, ACTIVE)
        image.status, image.size = ACTIVE, size
    elif image.size is not None and size != image.size:
        raise Invalid("The location's data has another length than the image.")
    image.locations.insert(index, location)


def remove(image: Image, position: str) -> None:
    """Remove a location.

    :param position: its number, or ``-`` for the last.
    :raises InvalidStatus: the image is not active.
    :raises Forbidden: it is the last one.
    :raises Invalid: there is no such number.
    """
    _check_status(image, ACTIVE)
    index = len(image.locations) - 1 if position == "-" else int(position)
    if not 0 <= index < len(image.locations):
        raise Invalid(f"The image has no location number {position}.")
    if len(image.locations) == 1:
        raise Forbidden("The last location of an image cannot be removed.")
    del image.locations[index]


def replace_all(image: Image, value: object, places: NewPlaces, quotas: Quotas) -> None:
    """Give an image that has no locations some, or those that it has other metadata.

    :raises Forbidden: the list is empty.
    :raises Invalid: it is no list, or names other places than the image has.
    """
    _check_status(image, QUEUED, ACTIVE)
    if not isinstance(value, list):
        raise Invalid(f"locations must be a list, not {shape(value)}.")
    if not value:
        raise Forbidden("The locations of an image cannot be replaced by none.")
    if not image.locations:
        for item in value:
            add(image, "-", item, places, quotas)
        return
    wanted = [parse_patch_location(item, places.hashing_algorithm) for item in value]
    left = list(image.locations)
    for new in wanted:
        index = next((n for n, old in enumerate(left) if old.url == new.url), None)
        if index is None:
            break
        del left[index]
    if left or len(wanted) != len(image.locations):
        raise Invalid(
            "The image has locations already: a replacement must have the same URLs, and may "
            "change their metadata only."
        )
    left, image.locations = image.locations, []
    for new in wanted:
        index = next(n for n, old in enumerate(left) if old.url == new.url)
        old = left.pop(index)
        kept = {k: v for k, v in old.metadata.items() if k in ("store", "backend")}
        image.locations.append(replace(old, metadata={**new.metadata, **kept}))


def _check_status(image: Image, *statuses: str) -> None:
    if image.status not in statuses:
        raise InvalidStatus(
            f"Image {image.id} is {image.status}; its locations can be changed so only while it "
            f"is {' or '.join(statuses)}."
        )


def _take_hashes(image: Image, stated: Validation) -> None:
    """Take over hashes that a caller states; those that the image has must be the same."""
    for name, value in (
        ("checksum", stated.checksum),
        ("os_hash_algo", stated.os_hash_algo),
        ("os_hash_value", stated.os_hash_value),
    ):
        present = getattr(image, name)
        if value is None or value == present:
            continue
        if present is not None or image.status != QUEUED:
            raise Conflict(
                f"{name} of the image is another already, or can be set only while it is queued."
            )
        setattr(image, name, value)
