"""Reading a JSON object member by member, with errors that say where in it something is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from glance.domain.text import shape
from glance.replicate.errors import BadDocument

_UUID = re.compile("[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.I | re.A)
_HEX = re.compile("[0-9a-f]{1,128}", re.I | re.A)
_NUMBER = re.compile("[0-9]{1,18}", re.A)
_LARGEST = 2**63 - 1
_TRUTH = {"true": True, "false": False}


def is_image_id(text: object) -> bool:
    """Tell whether something is an image's id: a UUID, and so also fit to be a file's name."""
    return isinstance(text, str) and _UUID.fullmatch(text) is not None


def pointer(*names: str | int) -> str:
    """Return the JSON pointer to a member (RFC 6901)."""
    return "".join(f"/{str(name).replace('~', '~0').replace('/', '~1')}" for name in names)


class Reader:
    """Takes members of one JSON object.

    A member that is not there, and one that is null, are ``None``.

    :param document: what ``json.loads`` returned.
    :param where: it was found, for messages: a file, or a service and image.
    :param lax: whether texts such as ``"True"`` and ``"10"`` do for what they say.
    :raises BadDocument: it is no object.
    """

    def __init__(
        self, document: object, where: str, *, lax: bool = False, at: tuple[str | int, ...] = ()
    ) -> None:
        self.where = where
        self._at = at
        self._lax = lax
        if not isinstance(document, Mapping):
            raise self.wrong("an object", document)
        self.document: Mapping[str, Any] = document

    def wrong(self, wanted: str, value: object, *names: str | int) -> BadDocument:
        """Return the error for a member that is something else."""
        place = pointer(*self._at, *names) or "it"
        return BadDocument(f"{self.where}: {place} must be {wanted}, not {shape(value)}.")

    def image_id(self, name: str) -> str:
        """Return an image's id, which has to be there."""
        value = self.document.get(name)
        if not isinstance(value, str) or not is_image_id(value):
            raise self.wrong("a UUID", value, name)
        return value

    def needed(self, name: str) -> str:
        """Return a text that has to be there."""
        value = self.text(name)
        if value is None:
            raise self.wrong("a string", value, name)
        return value

    def text(self, name: str) -> str | None:
        """Return a text."""
        value = self.document.get(name)
        if value is not None and not isinstance(value, str):
            raise self.wrong("a string", value, name)
        return value

    def digest(self, name: str) -> str | None:
        """Return hexadecimal digits in lower case, ``None`` where there are none."""
        value = self.text(name)
        if not value:
            return None
        if not _HEX.fullmatch(value):
            raise self.wrong("hexadecimal digits", value, name)
        return value.lower()

    def number(self, name: str) -> int | None:
        """Return a whole number from 0 up, of those that JSON can be written with."""
        value = self.document.get(name)
        if self._lax and isinstance(value, str) and _NUMBER.fullmatch(value):
            return int(value)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
            raise self.wrong("a whole number from 0 up", value, name)
        return value

    def truth(self, name: str) -> bool | None:
        """Return true or false."""
        value = self.document.get(name)
        if self._lax:
            if isinstance(value, str):
                value = _TRUTH.get(value.lower(), value)
            elif value in (0, 1):
                value = bool(value)
        if value is not None and not isinstance(value, bool):
            raise self.wrong("true or false", value, name)
        return value

    def texts(self, name: str) -> frozenset[str] | None:
        """Return the texts of a list."""
        value = self.document.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.wrong("a list", value, name)
        for place, item in enumerate(value):
            if not isinstance(item, str):
                raise self.wrong("a string", item, name, place)
        return frozenset(value)

    def objects(self, name: str) -> list[Reader]:
        """Return the objects of a list, none where there is none."""
        value = self.document.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong("a list", value, name)
        return [
            Reader(item, self.where, at=(*self._at, name, place))
            for place, item in enumerate(value)
        ]

    def inner(self, name: str) -> Reader | None:
        """Return an object."""
        value = self.document.get(name)
        if value is None:
            return None
        return Reader(value, self.where, lax=self._lax, at=(*self._at, name))

    def property(self, name: str) -> str:
        """Return a custom property's value.

        Services hold text; a null is shown as an empty one, and anything that is no text was
        let in by an operator's own schema.
        """
        value = self.document[name]
        if isinstance(value, str):
            return value
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        raise self.wrong("a string", value, name)
