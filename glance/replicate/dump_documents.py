"""The JSON file of an image in a dump, in both of the layouts that there are.

Layout 2, ours, is the image as the Image API v2 shows it, less what the service alone knows, with
its members, and with a note under ``glance_replicator`` that says which layout it is. The layout of
the releases before is the image as the Image API v1 listed it. A file without either's marks is
read as an answer of the Image API v2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from glance.replicate.documents import is_property, read_fields, read_image, read_proof
from glance.replicate.errors import BadDocument
from glance.replicate.reading import Reader
from glance.replicate.record import FIELDS, ImageRecord

LAYOUT = 2
NOTE = "glance_replicator"

#: Longest file that is read: a service's own limit of an image's attributes is far below.
LONGEST = 64 * 1024 * 1024

#: What a document has besides custom properties, which it would hide if they were called so.
_OURS = (NOTE, "members")
_V1_MARKS = ("is_public", "deleted", "location")


def write_dump(record: ImageRecord) -> bytes:
    """Return the content of an image's file in layout 2."""
    hidden = {name: value for name, value in record.properties.items() if name in _OURS}
    document: dict[str, Any] = {
        name: value for name, value in sorted(record.properties.items()) if name not in _OURS
    }
    document["id"] = record.image_id
    document["status"] = record.status
    for name in FIELDS:
        if name in record.fields:
            document[name] = record.fields[name]
    document["size"] = record.size
    document["checksum"] = record.checksum
    document["os_hash_algo"] = record.hash_algorithm
    document["os_hash_value"] = record.hash_value
    document["created_at"] = record.created_at
    document["updated_at"] = record.updated_at
    if record.tags is not None:
        document["tags"] = sorted(record.tags)
    if record.members is not None:
        document["members"] = [
            {"member_id": project, "status": status}
            for project, status in sorted(record.members.items())
        ]
    document[NOTE] = {"layout": LAYOUT} | ({"properties": hidden} if hidden else {})
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def read_dump(content: bytes, where: str, image_id: str | None = None) -> ImageRecord:
    """Read an image's file, in whatever layout.

    :param where: the file is, for messages.
    :param image_id: that it has to be of.
    :raises BadDocument: it cannot be read.
    """
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        # What the parser says of it repeats nothing of the file but places.
        raise BadDocument(f"{where}: it is no JSON: {error}.") from None
    reader = Reader(document, where)
    note = document.get(NOTE)
    if isinstance(note, Mapping):
        record = _read_noted(reader)
    elif _is_v1(document):
        record = read_image_v1(document, where)
    else:
        record = read_image(document, where)
    if image_id is not None and record.image_id.lower() != image_id.lower():
        raise BadDocument(f"{where}: /id must be {image_id}, as the file's name has it.")
    return record


def read_image_v1(document: object, where: str) -> ImageRecord:
    """Read an image as the Image API v1 listed it.

    It knew neither tags nor members, so they are unknown. What was not public could be shared.

    :raises BadDocument: it cannot be read.
    """
    reader = Reader(document, where, lax=True)
    fields = read_fields(reader)
    public = reader.truth("is_public")
    if public is not None and "visibility" not in fields:
        fields["visibility"] = "public" if public else "shared"
    inner = reader.inner("properties")
    properties = {}
    if inner is not None:
        properties = {name: inner.property(name) for name in inner.document if is_property(name)}
    proof = read_proof(reader)
    if reader.truth("deleted"):
        proof = replace(proof, status="deleted")
    return replace(proof, fields=fields, tags=reader.texts("tags"), properties=properties)


def _read_noted(reader: Reader) -> ImageRecord:
    note = reader.inner(NOTE)
    assert note is not None
    layout = note.number("layout")
    if layout != LAYOUT:
        raise note.wrong(f"{LAYOUT}, the one that this release knows", layout, "layout")
    rest = {name: value for name, value in reader.document.items() if name != NOTE}
    record = read_image(rest, reader.where)
    hidden = note.inner("properties")
    if hidden is not None:
        more = {name: hidden.property(name) for name in hidden.document if name in _OURS}
        record = replace(record, properties={**record.properties, **more})
    return record if "tags" in rest else replace(record, tags=None)


def _is_v1(document: Mapping[str, Any]) -> bool:
    # In v2 these would be custom properties, which are text, or cannot be at all.
    return isinstance(document.get("properties"), Mapping) or any(
        mark in document and not isinstance(document[mark], str) for mark in _V1_MARKS
    )
