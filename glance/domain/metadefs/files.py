"""The files that namespaces are loaded from and exported to: one JSON object for each namespace.

It is what the API shows of a namespace and takes for a new one. Members that only the API gives are
passed over, so that what was copied from there can be loaded; others that mean nothing are told of.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn

import orjson

from glance.domain.errors import Invalid
from glance.domain.metadefs.checking import LONGEST_TEXT, Checker, Problem, below
from glance.domain.metadefs.definition import (
    OWN_FIELDS,
    Association,
    Definition,
    Kind,
    Object,
)
from glance.domain.metadefs.names import (
    LONGEST_NAME,
    LONGEST_OWNER,
    SEPARATOR,
    TYPES,
    VISIBILITIES,
    fits_path,
)
from glance.domain.text import shorten

#: What the API adds to what it shows.
_SHOWN_ONLY = {"self", "schema", "created_at", "updated_at"}
_NAMESPACE = {
    "namespace", *OWN_FIELDS, "resource_type_associations", "properties", "objects", "tags",
}  # fmt: skip


class _Repeating(dict[str, Any]):
    """A JSON object that has members of the same name.

    :param repeated: those names; of each the last value is kept.
    """

    repeated: list[str]


class BadFile(Invalid):
    """A file whose namespace cannot be loaded.

    :param problems: all that is wrong with it.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def read(content: bytes) -> tuple[Definition, list[Problem]]:
    """Read a file's content.

    :returns: the namespace, and what in the file has no effect, or not the one that it should have.
    :raises BadFile: it is not what it should be.
    """
    document = _parse(content)
    reader = _Reader()
    if reader.mapping(document, "") and reader.storable(document):
        definition = reader.read(document)
        if not reader.problems:
            return definition, reader.strangers
    raise BadFile(reader.problems)


def render(definition: Definition) -> bytes:
    """Return the content of a namespace's file."""
    document = {"namespace": definition.name} | {
        name: definition.own[name] for name in OWN_FIELDS if definition.own.get(name) is not None
    }
    parts = definition.parts
    members = {
        "resource_type_associations": [
            {"name": name} | _said(prefix=one.prefix, properties_target=one.properties_target)
            for name, one in parts[Kind.RESOURCE_TYPE].items()
        ],
        "properties": parts[Kind.PROPERTY],
        "objects": [
            {"name": name}
            | _said(
                description=one.description,
                required=list(one.required) or None,
                properties=one.properties or None,
            )
            for name, one in parts[Kind.OBJECT].items()
        ],
        "tags": [{"name": name} for name in parts[Kind.TAG]],
    }
    document |= {name: value for name, value in members.items() if value}
    try:
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        # Other software may have kept what cannot be loaded again, and shall be able to look at.
        return json.dumps(document, indent=2).encode() + b"\n"


def _said(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _parse(content: bytes) -> Any:
    def refuse(name: str) -> NoReturn:
        raise BadFile([Problem("", f"is not JSON that can be kept: {name} is no JSON")])

    try:
        return json.loads(
            content.decode("utf-8-sig"), parse_constant=refuse, object_pairs_hook=_members
        )
    except UnicodeDecodeError as error:
        what = f"is not UTF-8: the byte at offset {error.start} cannot be read"
    except json.JSONDecodeError as error:
        what = f"is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        what = "is nested too deeply"
    except ValueError:
        # Python reads some thousands of digits.
        what = "is not JSON that can be kept: a number in it has far too many digits"
    raise BadFile([Problem("", what)])


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    repeating = _Repeating(members)
    times = Counter(name for name, _ in pairs)
    repeating.repeated = [name for name, number in times.items() if number > 1]
    return repeating


class _Reader(Checker):
    """Reads the parts of a file that was parsed.

    :param strangers: what has no effect, or not the one that it should have.
    """

    def __init__(self) -> None:
        super().__init__()
        self.strangers: list[Problem] = []
        self._property_fields: dict[str, Callable[[Any, str], bool]] = {
            "name": lambda value, at: self.text(value, at, LONGEST_NAME),
            "title": self.text,
            "description": self.text,
            "type": lambda value, at: self.choice(value, at, TYPES),
            "operators": self.texts,
            "required": self.texts,
            "minimum": self.number,
            "maximum": self.number,
            "minLength": self.count,
            "maxLength": self.count,
            "minItems": self.count,
            "maxItems": self.count,
            "pattern": self.text,
            "enum": self.sequence,
            "readonly": self.boolean,
            "confidential": self.boolean,
            "uniqueItems": self.boolean,
            "additionalItems": self.boolean,
            "items": self._items,
        }

    def read(self, document: dict[str, Any]) -> Definition:
        """Read a namespace; what is returned is good if there are no problems."""
        self._known(document, "", _NAMESPACE)
        if "namespace" not in document:
            self.wrong("", "has no member 'namespace'")
        else:
            self._namespace_name(document["namespace"], "/namespace")
        own = _said(**{name: document.get(name) for name in OWN_FIELDS})
        for name, value in own.items():
            at = below("", name)
            if name == "visibility":
                self.choice(value, at, VISIBILITIES)
            elif name == "protected":
                self.boolean(value, at)
            elif name == "owner":
                self.name(value, at, LONGEST_OWNER)
            else:
                self.text(value, at, LONGEST_NAME if name == "display_name" else None)
        parts = {
            Kind.RESOURCE_TYPE: self._named(
                document, "resource_type_associations", self._association
            ),
            Kind.PROPERTY: self._own_properties(document),
            Kind.OBJECT: self._named(document, "objects", self._object),
            Kind.TAG: self._named(document, "tags", self._tag),
        }
        return Definition(document.get("namespace", ""), own, parts)

    def storable(self, value: Any, at: str = "", depth: int = 0) -> bool:
        """Check that every database keeps a value, and that no part of it is there twice."""
        for name in value.repeated if isinstance(value, _Repeating) else ():
            self.wrong(below(at, name), "stands there a second time")
        return super().storable(value, at, depth)

    def _namespace_name(self, value: Any, at: str) -> bool:
        return self.name(value, at, LONGEST_NAME) and (
            fits_path(value)
            or self.wrong(at, f"cannot be {shorten(value)}, which no path could have as a part")
        )

    def _known(self, value: dict[str, Any], at: str, known: set[str]) -> None:
        for name in value:
            if name not in known and name not in _SHOWN_ONLY:
                what = "means nothing here and was left out"
                self.strangers.append(Problem(below(at, name), what))

    def _reachable(self, name: str, at: str) -> None:
        if not fits_path(name):
            self.strangers.append(
                Problem(at, "is a name that no path can have, so clients cannot ask for it alone")
            )

    def _named(
        self,
        document: dict[str, Any],
        member: str,
        read: Callable[[dict[str, Any], str], Any],
    ) -> dict[str, Any]:
        """Read a list of objects that have names of their own."""
        found: dict[str, Any] = {}
        items = document.get(member)
        if items is None or not self.sequence(items, below("", member)):
            return found
        for number, item in enumerate(items):
            at = below(below("", member), number)
            if not self.mapping(item, at):
                continue
            name = item.get("name")
            if name is None:
                self.wrong(at, "has no member 'name'")
            elif not self.name(name, below(at, "name"), LONGEST_NAME):
                continue
            elif name in found:
                self.wrong(below(at, "name"), f"{shorten(name)} stands there a second time")
            else:
                self._reachable(name, below(at, "name"))
                found[name] = read(item, at)
        return found

    def _association(self, item: dict[str, Any], at: str) -> Association:
        self._known(item, at, {"name", "prefix", "properties_target"})
        said = _said(prefix=item.get("prefix"), properties_target=item.get("properties_target"))
        for name, value in said.items():
            self.text(value, below(at, name), LONGEST_NAME)
        return Association(**said)

    def _tag(self, item: dict[str, Any], at: str) -> None:
        self._known(item, at, {"name"})

    def _object(self, item: dict[str, Any], at: str) -> Object:
        self._known(item, at, {"name", "description", "required", "properties"})
        description, required = item.get("description"), item.get("required")
        if description is not None:
            self.text(description, below(at, "description"))
        if required is None or not self.every(required, below(at, "required"), self._required):
            required = []
        elif len(set(required)) < len(required):
            self.wrong(below(at, "required"), "has a name twice")
        properties = self._properties(item, at)
        self._short(properties, below(at, "properties"))
        return Object(description, tuple(required), properties)

    def _required(self, value: Any, at: str) -> bool:
        return self.name(value, at, LONGEST_NAME) and (
            SEPARATOR not in value or self.wrong(at, "must not have a comma in it")
        )

    def _own_properties(self, document: dict[str, Any]) -> dict[str, dict[str, Any]]:
        properties = self._properties(document, "")
        for name in properties:
            self._reachable(name, below("/properties", name))
        return properties

    def _properties(self, holder: dict[str, Any], at: str) -> dict[str, dict[str, Any]]:
        at = below(at, "properties")
        properties = holder.get("properties")
        if properties is None or not self.mapping(properties, at):
            return {}
        return {
            name: self._property(schema, name, below(at, name))
            for name, schema in properties.items()
        }

    def _property(self, schema: Any, name: str, at: str) -> dict[str, Any]:
        """Read the schema of a property; where it has no title, the name is that."""
        self.name(name, at, LONGEST_NAME)
        if not self.mapping(schema, at):
            return {}
        # What is null is not said, but for a default, of which it may be the value.
        said = {k: v for k, v in schema.items() if v is not None or k == "default"}
        for field, value in said.items():
            if field in self._property_fields:
                self._property_fields[field](value, below(at, field))
            elif field != "default":
                self.strangers.append(
                    Problem(below(at, field), "means nothing here: it is kept, but not shown")
                )
        if "type" not in said:
            self.wrong(at, "has no member 'type'")
        self._short(said, at)
        return said if "title" in said else {"title": name} | said

    def _items(self, value: Any, at: str) -> bool:
        if not self.mapping(value, at):
            return False
        if value.get("type") is not None:
            self.choice(value["type"], below(at, "type"), TYPES)
        if value.get("enum") is not None:
            self.sequence(value["enum"], below(at, "enum"))
        return True

    def _short(self, schema: dict[str, Any], at: str) -> None:
        """Check that what is kept as one text can be."""
        if len(orjson.dumps(schema, default=str)) > LONGEST_TEXT:
            self.wrong(at, f"takes more than {LONGEST_TEXT} bytes")
