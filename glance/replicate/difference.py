"""What differs between an image here and the image of the same id there, and how to mend it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from glance.replicate.documents import DONT_REPLICATE, without
from glance.replicate.reading import pointer
from glance.replicate.record import FIELDS, ImageRecord

#: Stands for a value where there is none.
UNDEFINED: Final = "undefined"

#: Fields that an image with data keeps for ever.
_FORMATS = ("disk_format", "container_format")
#: States in which an image has all of its data.
_WITH_DATA = ("active", "deactivated")


class _Nothing:
    """Nothing at all; null is something."""

    def __repr__(self) -> str:
        return UNDEFINED


NOTHING: Final = _Nothing()


@dataclass(frozen=True, slots=True)
class Change:
    """One thing of an image that has another value there.

    :param name: of a field or custom property, or ``tags``.
    :param source: its value here; :data:`NOTHING` where there is none.
    :param target: its value there; :data:`NOTHING` where there is none.
    :param custom: whether it is a custom property.
    """

    name: str
    source: Any
    target: Any
    custom: bool = False

    def shown(self) -> dict[str, Any]:
        """Return both values as JSON can hold them."""
        return {"source": _shown(self.source), "target": _shown(self.target)}


@dataclass(frozen=True, slots=True)
class Difference:
    """What is different. It is true if anything is.

    :param changes: what a PATCH can mend: fields, tags and custom properties.
    :param conflicts: what nothing can: the data, or formats of an image that has data.
    :param status: the states, where they differ.
    :param members_added: status by project of those to add; each begins as pending.
    :param members_changed: status to set by project.
    :param members_removed: projects to remove.
    :param members_there: what the target has of those in ``members_changed`` and
        ``members_removed``.
    """

    changes: tuple[Change, ...] = ()
    conflicts: tuple[Change, ...] = ()
    status: Change | None = None
    members_added: Mapping[str, str] = field(default_factory=dict)
    members_changed: Mapping[str, str] = field(default_factory=dict)
    members_removed: tuple[str, ...] = ()
    members_there: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.changes or self.conflicts or self.status or self.members_differ)

    @property
    def members_differ(self) -> bool:
        """Whether members are to be added, changed or removed."""
        return bool(self.members_added or self.members_changed or self.members_removed)

    @property
    def all_changes(self) -> tuple[Change, ...]:
        """Everything that is different, members as one."""
        return tuple(self._everything())

    def _everything(self) -> Iterator[Change]:
        if self.status is not None:
            yield self.status
        yield from self.conflicts
        yield from self.changes
        if self.members_differ:
            source = {**self.members_added, **self.members_changed}
            yield Change("members", source, dict(self.members_there))

    def shown(self) -> dict[str, dict[str, Any]]:
        """Return both sides' values by name, as JSON can hold them."""
        found: dict[str, dict[str, Any]] = {}
        for change in self._everything():
            # Only "members" can be both.
            name = f"{change.name} (property)" if change.name == "members" and change.custom else ""
            found[name or change.name] = change.shown()
        return found


def compare_records(
    source: ImageRecord,
    target: ImageRecord,
    dontreplicate: Collection[str] = DONT_REPLICATE,
) -> Difference:
    """Tell what is different between two records of an image.

    What one side does not know is never different.

    :param dontreplicate: names that do not matter, as of
        :func:`~glance.replicate.documents.without`; also ``status``, ``size``, ``checksum`` and
        ``os_hash_value``.
    """
    here, there = without(source, dontreplicate), without(target, dontreplicate)
    changes: list[Change] = []
    conflicts: list[Change] = []
    for change in _fields(here, there):
        fixed = change.name in _FORMATS and target.status != "queued"
        (conflicts if fixed else changes).append(change)
    if here.tags is not None and there.tags is not None and here.tags != there.tags:
        changes.append(Change("tags", here.tags, there.tags))
    changes += _properties(here.properties, there.properties)
    conflicts += [change for change in _data(source, target) if change.name not in dontreplicate]
    status = None
    if source.status != target.status and "status" not in dontreplicate:
        status = Change("status", source.status, target.status)
    added, changed, removed = _members(here, there)
    known = there.members or {}
    return Difference(
        tuple(changes),
        tuple(conflicts),
        status,
        added,
        changed,
        removed,
        {project: known[project] for project in (*changed, *removed)},
    )


def same_data(source: ImageRecord, target: ImageRecord) -> bool:
    """Tell whether nothing known of two images' data is different; neither need have any."""
    return not any(True for _ in _proofs(source, target))


def to_patch(difference: Difference, leave: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the operations that make the target's image the same, for the media type v2.1.

    :param leave: names to leave as they are, such as an owner that the target did not take.
    """
    return [_operation(change) for change in difference.changes if change.name not in leave]


def _operation(change: Change) -> dict[str, Any]:
    path = pointer(change.name)
    if change.source is NOTHING:
        return {"op": "remove", "path": path}
    op = "add" if change.target is NOTHING else "replace"
    value = sorted(change.source) if isinstance(change.source, frozenset) else change.source
    return {"op": op, "path": path, "value": value}


def _fields(here: ImageRecord, there: ImageRecord) -> Iterator[Change]:
    for name in FIELDS:
        if name in here.fields and name in there.fields:
            source, target = here.fields[name], there.fields[name]
            if source != target:
                yield Change(name, source, target)


def _properties(here: Mapping[str, str], there: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted(here.keys() | there.keys()):
        source, target = here.get(name, NOTHING), there.get(name, NOTHING)
        if source != target:
            yield Change(name, source, target, custom=True)


def _data(source: ImageRecord, target: ImageRecord) -> Iterator[Change]:
    # What is shown of an image without data, or in the midst of an upload, is no proof.
    if source.status in _WITH_DATA and target.status in _WITH_DATA:
        yield from _proofs(source, target)


def _proofs(source: ImageRecord, target: ImageRecord) -> Iterator[Change]:
    pairs = [
        ("size", source.size, target.size),
        ("checksum", source.checksum, target.checksum),
    ]
    for name, one, other in pairs:
        if one is not None and other is not None and one != other:
            yield Change(name, one, other)
    comparable = source.hash_algorithm == target.hash_algorithm
    one, other = source.hash_value, target.hash_value
    if comparable and one is not None and other is not None and one != other:
        yield Change("os_hash_value", one, other)


def _members(
    here: ImageRecord, there: ImageRecord
) -> tuple[dict[str, str], dict[str, str], tuple[str, ...]]:
    # Members count only while the image is shared; what is left of them otherwise is not copied.
    shared = here.fields.get("visibility", "shared") == "shared"
    if not shared or here.members is None or there.members is None:
        return {}, {}, ()
    added, changed = {}, {}
    for project, status in sorted(here.members.items()):
        if project not in there.members:
            added[project] = status
        elif there.members[project] != status:
            changed[project] = status
    return added, changed, tuple(sorted(there.members.keys() - here.members.keys()))


def _shown(value: Any) -> Any:
    if value is NOTHING:
        return UNDEFINED
    return sorted(value) if isinstance(value, frozenset) else value
