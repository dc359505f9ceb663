"""What a JSON patch may do to an image's locations.

Pure: whether the data is really there, and how large it is, was found out before
(:class:`NewPlaces`), and what happens to data that is no longer wanted comes after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from glance.domain.errors import Conflict, Invalid
from glance.domain.image import ACTIVE, QUEUED, Image, Location, check_transition
from glance.domain.locations import (
    NewLocation,
    check_addition,
    check_removal,
    check_replacement,
    new_digests,
    parse_patch_value,
)
from glance.domain.quotas import Quotas
from glance.domain.text import shape

#: What every operation on locations answers where they are kept from callers.
HIDDEN = "Locations can only be changed where show_multiple_locations is on."


@dataclass(frozen=True, slots=True)
class NewPlaces:
    """What is known of the places that a patch may name.

    :param place: makes a location of URL and metadata, with the store that it belongs to.
    :param schemes: of the URLs that our stores take.
    :param algorithm: ``[DEFAULT] hashing_algorithm``: hashes that are stated must be its.
    :param sizes: bytes of the data, by URL, as it was found to be.
    """

    place: Callable[[str, Mapping[str, Any]], Location]
    schemes: frozenset[str]
    algorithm: str
    sizes: Mapping[str, int] = field(default_factory=dict)

    def read(self, value: object) -> NewLocation:
        """Read a location as a patch gives it; errors are those of ``parse_patch_value``."""
        return parse_patch_value(value, self.schemes, self.algorithm)


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
    wanted = places.read(value)
    location = places.place(wanted.url, wanted.metadata)
    check_addition(image, location, patch=True)
    quotas.check_locations(len(image.locations) + 1)
    size = places.sizes.get(wanted.url)
    if size is None:
        # What was looked at was another image: it was changed in between.
        raise Conflict(f"Image {image.id} was changed by another request; try again.")
    quotas.check_size(size)
    for name, digest in new_digests(image, wanted.digests).items():
        setattr(image, name, digest)
    if image.status == QUEUED:
        check_transition(image, ACTIVE)
        image.status, image.size = ACTIVE, size
    elif image.size is not None and size != image.size:
        raise Invalid("The location's data has another length than the image.")
    index = len(image.locations) if position == "-" else int(position)
    image.locations.insert(index, location)


def remove(image: Image, position: str) -> None:
    """Remove a location.

    :param position: its number, or ``-`` for the last.
    :raises InvalidStatus: the image is not active.
    :raises Forbidden: it is the last one.
    :raises Invalid: there is no such number.
    """
    check_removal(image)
    index = len(image.locations) - 1 if position == "-" else int(position)
    if index >= len(image.locations):
        raise Invalid(f"The image has no location number {position}.")
    del image.locations[index]


def replace_all(image: Image, value: object, places: NewPlaces, quotas: Quotas) -> None:
    """Give an image that has no locations some, or those that it has other metadata.

    :raises Forbidden: the list is empty.
    :raises Invalid: it is no list, or names other places than the image has.
    """
    if not isinstance(value, list):
        raise Invalid(f"locations must be a list, not {shape(value)}.")
    wanted = [places.read(item) for item in value]
    placed = {new.url: places.place(new.url, new.metadata) for new in wanted}
    check_replacement(image, [placed[new.url] for new in wanted])
    if not image.locations:
        for item in value:
            add(image, "-", item, places, quotas)
    else:
        image.locations = [
            replace(old, metadata=placed[old.url].metadata) for old in image.locations
        ]
