"""What a verification of catalogue and stores may find, and what is to be done about it.

Pure: whoever walks catalogue and stores says what was seen, and here it is judged. What is done
never destroys the last of anything: a copy is struck off only where another was found to be good,
data that no image refers to is set aside, and an image without good data is only deactivated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from glance.domain.image import (
    ACTIVE,
    DEACTIVATED,
    IMPORTING,
    PENDING_DELETE,
    SAVING,
    UPLOADING,
    Image,
)

MISSING_DATA: Final = "missing_data"
NO_LOCATION: Final = "no_location"
SIZE_MISMATCH: Final = "size_mismatch"
HASH_MISMATCH: Final = "hash_mismatch"
UNREACHABLE: Final = "unreachable"
NO_HASH: Final = "no_hash"
ORPHAN: Final = "orphan"
LEFTOVER: Final = "leftover"
UNKNOWN: Final = "unknown"

ERROR: Final = "error"
WARNING: Final = "warning"
NOTE: Final = "note"

#: Every kind of finding: how grave it is. A note is nothing that has to be dealt with.
SEVERITY: Final = {
    MISSING_DATA: ERROR,
    NO_LOCATION: ERROR,
    SIZE_MISMATCH: ERROR,
    HASH_MISMATCH: ERROR,
    UNREACHABLE: ERROR,
    NO_HASH: WARNING,
    ORPHAN: WARNING,
    LEFTOVER: WARNING,
    UNKNOWN: NOTE,
}

#: Those that tell that a copy of an image's data is not what it should be.
DAMAGE: Final = frozenset({MISSING_DATA, SIZE_MISMATCH, HASH_MISMATCH})

NOTHING: Final = "none"
STRIKE_OFF: Final = "strike_off"
DEACTIVATE: Final = "deactivate"
FILL_IN: Final = "fill_in_hashes"
SET_ASIDE: Final = "set_aside"
DROP: Final = "remove_leftover"

#: What each repair does, in words.
REPAIRS: Final = {
    STRIKE_OFF: "strike the copy off the image, which has a good one elsewhere",
    DEACTIVATE: "deactivate the image, so that nobody uses data that is not what it should be",
    FILL_IN: "record the hashes of the data",
    SET_ASIDE: "move the data out of the store's reach, beside it",
    DROP: "remove the leftover",
}

#: The states in which an image's data is all there.
SETTLED: Final = frozenset({ACTIVE, DEACTIVATED})

#: States in which somebody may be bringing data.
ARRIVING: Final = frozenset({SAVING, UPLOADING, IMPORTING})

GOOD: Final = "good"
BAD: Final = "bad"
UNTOLD: Final = "untold"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    :param kind: a key of :data:`SEVERITY`.
    :param store: the store's id, where there is one.
    :param image: the image's id, where there is one.
    :param location: number of the row in the catalogue.
    :param object: what the store calls it.
    :param expected: what the catalogue says, by field.
    :param found: what was found instead.
    :param action: what repairs it, a key of :data:`REPAIRS` or ``none``.
    :param reason: why nothing is to be done, where that is so.
    """

    kind: str
    store: str | None = None
    image: str | None = None
    location: int | None = None
    object: str | None = None
    expected: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)
    action: str = NOTHING
    reason: str | None = None

    @property
    def severity(self) -> str:
        """How grave it is."""
        return SEVERITY[self.kind]


@dataclass(frozen=True, slots=True)
class Digests:
    """Hashes of data that was read: hexadecimal, as the catalogue keeps them."""

    algorithm: str
    value: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out about one copy of an image's data.

    :param location: number of its row.
    :param state: :data:`GOOD`, :data:`BAD`, or :data:`UNTOLD` where nothing can be said.
    :param ours: whether the data is the service's to do something about.
    :param kind: of the finding, if it is one.
    :param error: why nothing can be said, for the operator.
    :param digests: where the data was read.
    :param read: how many bytes of it were.
    """

    location: int | None
    store: str | None
    state: str
    ours: bool = True
    kind: str | None = None
    expected: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    digests: Digests | None = None
    read: int = 0


def differs_in_size(image: Image, size: int) -> bool:
    """Tell whether data has another length than its image says; one may not say."""
    return image.size is not None and image.size != size


def differing_hashes(image: Image, digests: Digests) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the hashes that are not what an image says, by field: those expected, those found."""
    expected: dict[str, Any] = {}
    found: dict[str, Any] = {}
    if image.os_hash_value and image.os_hash_algo == digests.algorithm:
        expected["os_hash_value"], found["os_hash_value"] = image.os_hash_value, digests.value
    if image.checksum:
        expected["checksum"], found["checksum"] = image.checksum, digests.checksum
    same = [name for name in expected if expected[name].lower() == found[name]]
    for name in same:
        del expected[name], found[name]
    return expected, found


def judge(image: Image, verdicts: Sequence[Verdict]) -> list[Finding]:
    """Say what is wrong with an image's copies, and what repairs it.

    :param verdicts: on all its copies.
    """
    if not verdicts:
        # Software of old made images that consist of properties alone, and gave them no length.
        if not image.size:
            return []
        return [
            _with_repair(Finding(NO_LOCATION, image=image.id, expected={"size": image.size}), image)
        ]
    agreed = _agreed(verdicts)
    findings = []
    for verdict in verdicts:
        kind, expected, found = verdict.kind, verdict.expected, verdict.found
        if kind is None:
            if verdict.digests is None or agreed:
                continue
            # Nothing says which of them is right.
            kind = HASH_MISMATCH
            expected, found = {}, {"os_hash_value": verdict.digests.value}
        finding = Finding(
            kind, verdict.store, image.id, verdict.location, expected=expected, found=found
        )
        findings.append(_planned(finding, image, verdict, verdicts))
    if not image.os_hash_value and agreed:
        findings += _missing_hash(image, verdicts)
    return findings


def _agreed(verdicts: Sequence[Verdict]) -> bool:
    read = [v.digests for v in verdicts if v.digests is not None and v.state == GOOD]
    return len({digests.value for digests in read}) < 2


def _missing_hash(image: Image, verdicts: Sequence[Verdict]) -> list[Finding]:
    for verdict in verdicts:
        if verdict.digests is None or verdict.state != GOOD:
            continue
        found = {
            "os_hash_algo": verdict.digests.algorithm,
            "os_hash_value": verdict.digests.value,
            "checksum": verdict.digests.checksum,
        }
        finding = Finding(NO_HASH, verdict.store, image.id, verdict.location, found=found)
        if any(other.state != GOOD for other in verdicts):
            return [_left(finding, "not all copies of the data could be compared")]
        return [_with(finding, FILL_IN)]
    return []


def _planned(
    finding: Finding, image: Image, verdict: Verdict, verdicts: Sequence[Verdict]
) -> Finding:
    if finding.kind == UNREACHABLE:
        return _left(finding, "no configured store can tell anything about the data")
    if not verdict.ours:
        return _left(finding, "the data is on a foreign server, which may have it again")
    if verdict.state == GOOD:
        return _left(finding, "nothing tells which of the image's copies is the right one")
    if any(other.state == GOOD for other in verdicts):
        if not _agreed(verdicts):
            return _left(finding, "nothing tells which of the image's copies is the right one")
        return _with(finding, STRIKE_OFF)
    if any(other.state != BAD or not other.ours for other in verdicts):
        return _left(finding, "of another copy of the image it is not known whether it is good")
    return _with_repair(finding, image)


def _with_repair(finding: Finding, image: Image) -> Finding:
    if image.status == ACTIVE:
        return _with(finding, DEACTIVATE)
    return _left(finding, "the image has no good data left, and is deactivated already")


def _with(finding: Finding, action: str) -> Finding:
    return replace(finding, action=action)


def _left(finding: Finding, reason: str) -> Finding:
    return replace(finding, reason=reason)


def image_id_of(name: str) -> str | None:
    """Return the image's id that a name is, if it is one as services write it."""
    try:
        return name if str(UUID(name)) == name.lower() else None
    except ValueError:
        return None


def judge_object(
    store: str,
    held: Mapping[str, Any],
    *,
    leftover: bool,
    foreign: bool,
    status: str | None,
    writable: bool,
    unreadable: int,
    age: float,
    grace: float,
) -> Finding:
    """Say what something in a store is that no image refers to, and what is to be done with it.

    :param held: ``key``, ``name``, ``size`` and ``modified`` of it.
    :param leftover: whether a dead writer left it unfinished.
    :param foreign: whether it is something that no store writes, such as a directory.
    :param status: of the image that it is named after, if there is one.
    :param unreadable: how many locations there are of which nobody knows what they refer to.
    :param age: seconds since it was last written.
    :param grace: age in seconds from which on it may be set aside.
    """
    image_id = None if foreign else image_id_of(held["name"])
    kind = LEFTOVER if leftover else ORPHAN if image_id is not None else UNKNOWN
    found = {"size": held["size"], "modified": held["modified"]}
    finding = Finding(kind, store, image_id, object=held["key"], found=found)
    if kind == UNKNOWN:
        return _left(finding, "the service did not put it there")
    if not writable:
        return _left(finding, "the store cannot be written")
    if kind == LEFTOVER:
        return _with(finding, DROP)
    if status == PENDING_DELETE:
        return _left(finding, "the image of that name is waiting to be scrubbed")
    if unreadable:
        return _left(
            finding, f"{unreadable} locations cannot be read, and one may refer to it; see the key"
        )
    if age < grace:
        return _left(finding, "it was written too recently")
    return _with(finding, SET_ASIDE)


def too_many(damaged: int, looked_at: int) -> bool:
    """Tell whether so much is wrong that the fault must be elsewhere: a mount, a wrong database."""
    return damaged > 2 and 2 * damaged > looked_at
