"""Which images a run is about: the filters that every command of the replicator takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from glance.domain.errors import Invalid
from glance.domain.image import VISIBILITIES
from glance.domain.text import check_storable, shorten
from glance.replicate.documents import is_property
from glance.replicate.record import ImageRecord

_GLOB = re.compile(r"[*?\[]")
# Names that a list's query takes for custom properties beyond doubt. Others may be parameters of
# the list or columns of some release's tables; they are filtered by here alone.
_PLAIN_PROPERTY = re.compile(r"[a-z][a-z0-9]*[_:.][a-z0-9_:.-]+", re.ASCII)
_NOT_PLAIN = re.compile(
    r"(?:sort|member|changes|is|os_hidden|os_hash|min|max|created|updated|deleted)(?:[_:.-].*)?"
    r"|.*_(?:min|max|at|id)"
)


@dataclass(frozen=True, slots=True)
class Selection:
    """The images that fit all of these; those that fit none of nothing are all.

    :param names: patterns of the shell (``*``, ``?``, ``[…]``), one of which the name must fit.
    :param tags: all of which an image must have.
    :param properties: custom properties and their values, all of which an image must have.
    :param visibilities: one of which it must have.
    :param owners: to one of which it must belong.
    :param since: the image must have changed then or later; in UTC, with its zone.
    """

    names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    visibilities: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    since: datetime | None = None

    def __bool__(self) -> bool:
        """Tell whether there is any filter at all."""
        return bool(
            self.names
            or self.tags
            or self.properties
            or self.visibilities
            or self.owners
            or self.since
        )

    def matches(self, record: ImageRecord) -> bool:
        """Tell whether an image is among them.

        An image that could not be read is, and so is one whose time of change nobody knows.
        """
        if record.trouble:
            return True
        fields = record.fields
        name = fields.get("name") or ""
        return (
            (not self.names or any(fnmatchcase(name, pattern) for pattern in self.names))
            and (record.tags or frozenset()).issuperset(self.tags)
            and all(record.properties.get(key) == value for key, value in self.properties)
            and (not self.visibilities or fields.get("visibility") in self.visibilities)
            and (not self.owners or (fields.get("owner") or "") in self.owners)
            and self._is_new(record.updated_at)
        )

    def _is_new(self, text: str | None) -> bool:
        if self.since is None or text is None:
            return True
        try:
            return _moment(text) >= self.since
        except (ValueError, OverflowError):
            return True

    def to_query(self) -> dict[str, str]:
        """Return the filters that the list of the Image API knows just so, for its query.

        It leaves out no image that :meth:`matches`, but may let others through.
        """
        query = {}
        if len(self.names) == 1 and _can_ask(self.names[0]) and not _GLOB.search(self.names[0]):
            name = self.names[0]
            query["name"] = f"eq:{name}" if ":" in name else name
        if self.tags and _can_ask(self.tags[0]):
            # One, since a query in this form has each name but once.
            query["tag"] = self.tags[0]
        for key, value in self.properties:
            plain = _PLAIN_PROPERTY.fullmatch(key) and not _NOT_PLAIN.fullmatch(key)
            if plain and _can_ask(value):
                query[key] = value
        if len(self.visibilities) == 1:
            query["visibility"] = self.visibilities[0]
        if len(self.owners) == 1 and _can_ask(self.owners[0]):
            query["owner"] = self.owners[0]
        if self.since is not None:
            moment = self.since.replace(tzinfo=None).isoformat(timespec="seconds")
            query["updated_at"] = f"gte:{moment}Z"
        return query


def read_selection(
    names: Sequence[str] = (),
    tags: Sequence[str] = (),
    properties: Sequence[str] = (),
    visibilities: Sequence[str] = (),
    owners: Sequence[str] = (),
    since: str | None = None,
) -> Selection:
    """Read the values of the options ``--name``, ``--tag``, ``--property`` and so on.

    :param properties: each as ``NAME=VALUE``.
    :param since: a date or a time in ISO 8601; in UTC where it has no zone.
    :raises Invalid: one cannot be used; the message names the option.
    """
    for tag in tags:
        if not tag:
            raise Invalid("--tag must not be empty.")
    for visibility in visibilities:
        if visibility not in VISIBILITIES:
            choices = ", ".join(VISIBILITIES)
            raise Invalid(f"--visibility must be one of {choices}, not {shorten(visibility)}.")
    wanted: dict[str, str] = {}
    for text in properties:
        key, value = _property(text)
        if wanted.setdefault(key, value) != value:
            raise Invalid(f"--property asks for two values of {shorten(key)}; none has both.")
    return Selection(
        _once(names), _once(tags), tuple(wanted.items()), _once(visibilities), _once(owners),
        None if since is None else _since(since),
    )  # fmt: skip


def _once(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _property(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise Invalid(f"--property must be NAME=VALUE, not {shorten(text)}.")
    if not is_property(key):
        raise Invalid(f"--property: {shorten(key)} is no custom property.")
    return key, value


def _since(text: str) -> datetime:
    try:
        # Services show whole seconds, of a time that may have been a fraction later.
        return _moment(text.strip()).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise Invalid(
            "--since must be a date or a time in ISO 8601, such as 2026-01-31 or"
            f" 2026-01-31T12:00:00Z, not {shorten(text)}."
        ) from None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)


def _can_ask(value: str) -> bool:
    """Tell whether a service can look for a value: an empty one may be stored as null."""
    try:
        check_storable(value, "")
    except Invalid:
        return False
    return bool(value)
