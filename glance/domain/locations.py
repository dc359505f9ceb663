"""Locations that users give: what they may look like, and what may be said of the data there.

Two requests give them: PATCH of an image (``/locations``) and ``POST /v2/images/{id}/locations``.
They differ in which algorithms they take and in how they refuse. No message repeats a URL, which
may hold credentials. Whether a URL may be fetched is for :mod:`glance.domain.urifilter`; what
store it belongs to, for the stores.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from glance.domain import urifilter
from glance.domain.errors import Conflict, Duplicate, Forbidden, Invalid, InvalidStatus
from glance.domain.image import ACTIVE, QUEUED, Image, Location
from glance.domain.text import check_storable, shape

#: Longest URL, in characters.
LONGEST_URL = 255

#: Largest metadata of one location: what the smallest column for it holds, in bytes.
LARGEST_METADATA = 65535

#: Schemes that would lead into the service's own file system or configuration.
REFUSED_SCHEMES = frozenset({"file", "filesystem", "swift+config"})

#: What the newer request takes as ``os_hash_algo``.
ALGORITHMS = ("sha1", "sha256", "sha512", "md5")

RESERVED_METADATA = "os_glance"

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.A | re.I)
_HEX = re.compile("[0-9a-f]+", re.A | re.I)


@dataclass(frozen=True, slots=True)
class Digests:
    """What the user knows of the data; in lower case."""

    os_hash_algo: str
    os_hash_value: str
    checksum: str | None = None


@dataclass(frozen=True, slots=True)
class NewLocation:
    """A location as a user gives it.

    :param scheme: of the URL, in lower case.
    """

    url: str = field(repr=False)
    scheme: str
    metadata: dict[str, Any] = field(default_factory=dict)
    digests: Digests | None = None


def parse_patch_value(value: object, known: Collection[str], algorithm: str) -> NewLocation:
    """Read the value of an ``add`` or ``replace`` operation.

    :param known: schemes of the configured stores.
    :param algorithm: the configured ``hashing_algorithm``.
    :raises Invalid: it is malformed, or its URL is none that may be given.
    :raises Conflict: the digests are of another algorithm or cannot be digests.
    """
    given = _object(value, "location", {"url", "metadata"}, {"validation_data"})
    url, scheme = check_url(given["url"], known)
    digests = None
    if "validation_data" in given:
        digests = _patch_digests(given["validation_data"], algorithm)
    return NewLocation(url, scheme, check_metadata(given["metadata"]), digests)


def parse_post_body(body: object, known: Collection[str], *, trusted: bool) -> NewLocation:
    """Read the body of ``POST /v2/images/{id}/locations``.

    :param known: schemes of the configured stores.
    :param trusted: whether the caller is a service; others may only point at web servers.
    :raises Invalid: it is malformed, or its URL is none that may be given.
    :raises Forbidden: only services may give such a URL.
    """
    given = _object(body, "location", {"url"}, {"validation_data"})
    url, scheme = _read_url(given["url"])
    if not trusted and scheme not in {"http", "https"}.intersection(known):
        raise Forbidden("Only services may add locations that are not on web servers.")
    _check_scheme(scheme, known)
    return NewLocation(url, scheme, {}, _post_digests(given.get("validation_data")))


def check_url(url: object, known: Collection[str]) -> tuple[str, str]:
    """Check the form of a URL; return it with its scheme in lower case.

    What is refused is refused in every spelling: nothing is trimmed or decoded, so there is nothing
    that a later reader could see in it and we did not.

    :param known: schemes of the configured stores.
    :raises Invalid: it is malformed, of a refused scheme, or of one that no store has.
    """
    url, scheme = _read_url(url)
    _check_scheme(scheme, known)
    return url, scheme


def _read_url(url: object) -> tuple[str, str]:
    if not isinstance(url, str):
        raise Invalid(f"The url of a location must be a string, not {shape(url)}.")
    if len(url) > LONGEST_URL:
        raise Invalid(f"The url of a location must not be longer than {LONGEST_URL} characters.")
    check_storable(url, "The url of a location")
    found = _SCHEME.match(url)
    if found is None or urifilter.ODD.search(url):
        raise Invalid(
            "The url of a location must be of the form scheme://…, without spaces, control "
            "characters or backslashes."
        )
    scheme = found[1].lower()
    if scheme in ("http", "https"):
        # A fragment may stay: users tell copies at one place apart by it, and nobody sends it.
        urifilter.parse(url)
    return url, scheme


def _check_scheme(scheme: str, known: Collection[str]) -> None:
    if scheme in REFUSED_SCHEMES:
        raise Invalid("Locations of that scheme cannot be added.")
    if scheme not in known:
        raise Invalid("No configured store is one for locations of that scheme.")


def check_metadata(metadata: object) -> dict[str, Any]:
    """Check the metadata of a location.

    :raises Invalid: it is no object, too large, or has characters that cannot be stored.
    :raises Forbidden: it has keys that are the service's own.
    """
    if not isinstance(metadata, dict):
        raise Invalid(f"The metadata of a location must be an object, not {shape(metadata)}.")
    text = json.dumps(metadata, ensure_ascii=False)
    check_storable(text, "The metadata of a location")
    if len(text.encode()) > LARGEST_METADATA:
        raise Invalid(f"The metadata of a location must not exceed {LARGEST_METADATA} bytes.")
    if any(key.startswith(RESERVED_METADATA) for key in metadata):
        raise Forbidden(f"Keys that begin with {RESERVED_METADATA} are reserved for the service.")
    return metadata


def check_addition(image: Image, location: Location, *, patch: bool) -> None:
    """Check that an image may get one location more, its quota apart.

    :param location: as it would be saved, with its store in the metadata.
    :param patch: whether PATCH asks for it.
    :raises InvalidStatus: the image's status does not allow it.
    :raises Invalid: PATCH gives a location that is there already.
    :raises Duplicate: POST does.
    """
    if image.status != QUEUED and not (patch and image.status == ACTIVE):
        raise InvalidStatus(f"Image {image.id} is {image.status}; it takes no location.")
    for other in image.locations:
        if other.url != location.url:
            continue
        if not patch:
            raise Duplicate("The image has that location already.")
        if other.metadata == location.metadata:
            raise Invalid("The image has that location, with that metadata, already.")


def check_replacement(image: Image, locations: Iterable[Location]) -> None:
    """Check that PATCH may put other locations in the place of those that an image has.

    Only metadata can be changed so: what an image's data is must not change once it has some.

    :raises InvalidStatus: the image's status does not allow it.
    :raises Forbidden: the list is empty.
    :raises Invalid: it names one URL twice, or other URLs than those that are there.
    """
    if image.status not in (ACTIVE, QUEUED):
        raise InvalidStatus(f"Image {image.id} is {image.status}; its locations stay as they are.")
    urls = [location.url for location in locations]
    if not urls:
        raise Forbidden("The locations of an image cannot all be removed; delete the image.")
    if len(set(urls)) != len(urls):
        raise Invalid("The same url stands in the list twice.")
    if image.locations and set(urls) != {location.url for location in image.locations}:
        raise Invalid("Only the metadata of locations can be replaced, not their urls.")


def check_removal(image: Image) -> None:
    """Check that PATCH may remove one of an image's locations.

    :raises InvalidStatus: the image is not active.
    :raises Forbidden: it is the last one.
    """
    if image.status != ACTIVE:
        raise InvalidStatus(f"Image {image.id} is {image.status}; its locations stay as they are.")
    if len(image.locations) < 2:
        raise Forbidden("The last location of an image cannot be removed; delete the image.")


def new_digests(image: Image, digests: Digests | None) -> dict[str, str]:
    """Return the fields that become known by what a user says of the data.

    :raises Conflict: it contradicts what is known, or adds to it when the image has data.
    """
    if digests is None:
        return {}
    said = {
        "checksum": digests.checksum,
        "os_hash_algo": digests.os_hash_algo,
        "os_hash_value": digests.os_hash_value,
    }
    new = {}
    for name, value in said.items():
        stored = getattr(image, name)
        if value is None or value == stored:
            continue
        if stored is not None:
            raise Conflict(f"{name} in validation_data is not that of the image.")
        if image.status != QUEUED:
            raise Conflict(f"{name} can only be set while the image is queued.")
        new[name] = value
    return new


def _object(
    value: object, what: str, required: Collection[str], optional: Collection[str]
) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"The {what} must be an object, not {shape(value)}.")
    missing = sorted(required - value.keys())
    if missing:
        raise Invalid(f"The {what} lacks {', '.join(missing)}.")
    if value.keys() - {*required, *optional}:
        allowed = ", ".join(sorted({*required, *optional}))
        raise Invalid(f"The {what} may have nothing but {allowed}.")
    return value


def _patch_digests(data: object, algorithm: str) -> Digests:
    given = _object(data, "validation_data", {"os_hash_algo", "os_hash_value"}, {"checksum"})
    named = _texts(
        given, {"os_hash_algo": (0, 64), "os_hash_value": (0, 128), "checksum": (32, 32)}
    )
    if named["os_hash_algo"] != algorithm:
        raise Conflict(f"os_hash_algo in validation_data must be {algorithm}.")
    if not is_digest(named["os_hash_value"], algorithm):
        raise Conflict(f"os_hash_value in validation_data is not a digest of {algorithm}.")
    if "checksum" in named and not is_digest(named["checksum"], "md5"):
        raise Conflict("checksum in validation_data is not a digest of md5.")
    checksum = named["checksum"].lower() if "checksum" in named else None
    return Digests(algorithm, named["os_hash_value"].lower(), checksum)


def _post_digests(data: object) -> Digests | None:
    if data is None:
        return None
    names = {"os_hash_algo", "os_hash_value"}
    given = _object(data, "validation_data", set(), names)
    if not given:
        return None
    if given.keys() != names:
        raise Invalid("validation_data must have both os_hash_algo and os_hash_value, or neither.")
    named = _texts(given, {"os_hash_algo": (0, 64), "os_hash_value": (0, 128)})
    algorithm, value = named["os_hash_algo"], named["os_hash_value"]
    if algorithm not in ALGORITHMS:
        raise Invalid(f"os_hash_algo must be one of {', '.join(ALGORITHMS)}.")
    if not is_digest(value, algorithm):
        raise Invalid(f"os_hash_value is not a digest of {algorithm}.")
    return Digests(algorithm, value.lower())


def _texts(given: Mapping[str, Any], bounds: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    for name, value in given.items():
        if not isinstance(value, str):
            raise Invalid(f"{name} in validation_data must be a string, not {shape(value)}.")
        least, most = bounds[name]
        if not least <= len(value) <= most:
            span = f"{most}" if least == most else f"at most {most}"
            raise Invalid(f"{name} in validation_data must have {span} characters.")
    return dict(given)


def is_digest(text: str, algorithm: str) -> bool:
    """Tell whether a text can be a digest: hexadecimal, and of the algorithm's length."""
    return bool(_HEX.fullmatch(text)) and len(text) == 2 * hashlib.new(algorithm).digest_size
