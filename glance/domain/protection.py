"""Protected properties: which custom properties of images who may create, read, update and delete.

The operator's file has a section for every kind of property, named by a regular expression that is
searched in the property's name; the first section that matches counts. It says for each operation
which roles it takes, or which policy rule. What no section matches, nobody may touch.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from glance.domain.errors import ConfigError, Forbidden
from glance.domain.text import shorten

Operation = Literal["create", "read", "update", "delete"]

OPERATIONS: tuple[Operation, ...] = ("create", "read", "update", "delete")

#: Values of the option ``property_protection_rule_format``.
RuleFormat = Literal["roles", "policies"]

_ANYONE = "@"
_NOBODY = "!"

#: The service's own properties, which clients cannot write anyway. The operator has no say in them.
_OWN = "os_glance"

#: Names and callers that are remembered. Names are clients' choice, so there is no end of them.
_MOST_NAMES = 4096
_MOST_CALLERS = 256

#: What a section says of one operation: everybody or nobody, roles, or the name of a rule.
Permission = bool | frozenset[str] | str


@dataclass(frozen=True, slots=True)
class Section:
    """What holds for the properties whose names a pattern is found in."""

    pattern: re.Pattern[str]
    permissions: Mapping[Operation, Permission]


class Guard:
    """What one caller may do to properties.

    :param find: finds the section that holds for a property.
    :param permits: tells whether a permission is the caller's.
    """

    def __init__(
        self,
        find: Callable[[str], Section | None],
        permits: Callable[[Permission], bool],
    ) -> None:
        self._find = find
        self._permits = permits
        # Of every image in a page, each property is asked about.
        self._readable: dict[str, bool] = {}

    def can(self, operation: Operation, name: str) -> bool:
        """Return whether the caller may do something to a property.

        :param name: the property's name.
        """
        section = self._find(name)
        return section is not None and self._permits(section.permissions[operation])

    def check(self, operation: Operation, name: str) -> None:
        """Check that the caller may do something to a property.

        :raises Forbidden: the caller may not.
        """
        if not self.can(operation, name):
            raise Forbidden(f"Property {shorten(name)} is protected: you may not {operation} it.")

    def check_change(
        self, op: Literal["add", "replace", "remove"], name: str, *, present: bool
    ) -> None:
        """Check that the caller may change a property of an image.

        Adding one that is there is an update of it. Nobody changes what they may not read, nor
        learns by trying whether it is there.

        :param op: what is done to it, in the terms of JSON patch.
        :param present: whether the image has it now.
        :raises Forbidden: the caller may not.
        """
        if op == "add" and not present:
            self.check("create", name)
        else:
            self.check("delete" if op == "remove" else "update", name)
            self.check("read", name)

    def readable(self, properties: Mapping[str, str | None]) -> dict[str, str | None]:
        """Return those of an image's properties that the caller may read."""
        return {name: value for name, value in properties.items() if self._can_read(name)}

    def _can_read(self, name: str) -> bool:
        answer = self._readable.get(name)
        if answer is None:
            answer = self._readable[name] = self.can("read", name)
            if len(self._readable) > _MOST_NAMES:
                self._readable.clear()
        return answer


class Protection:
    """The sections of a file, in order.

    :param sections: the operator's.
    """

    def __init__(self, sections: list[Section]) -> None:
        own = Section(re.compile(f"^{_OWN}"), dict.fromkeys(OPERATIONS, True))
        self._sections = [own, *sections]
        self._by_rules = any(
            isinstance(permission, str)
            for section in sections
            for permission in section.permissions.values()
        )
        self._find = lru_cache(maxsize=_MOST_NAMES)(self._search)
        self._guard_of = lru_cache(maxsize=_MOST_CALLERS)(self._make_guard)

    def guard(self, roles: frozenset[str], holds: Callable[[str], bool]) -> Guard:
        """Return what a caller may do.

        :param roles: the caller's, those of a service that calls on its behalf included.
        :param holds: tells whether a policy rule says yes to the caller.
        """
        if self._by_rules:
            # Rules look at more than roles, and change while we run.
            return Guard(self._find, lambda p: holds(p) if isinstance(p, str) else p is True)
        return self._guard_of(roles)

    def _search(self, name: str) -> Section | None:
        return next((s for s in self._sections if s.pattern.search(name)), None)

    def _make_guard(self, roles: frozenset[str]) -> Guard:
        mine = frozenset(role.lower() for role in roles)

        def permits(permission: Permission) -> bool:
            if isinstance(permission, frozenset):
                return not mine.isdisjoint(permission)
            return permission is True

        return Guard(self._find, permits)


def parse_protection(
    text: str, path: str, rule_format: RuleFormat, is_rule: Callable[[str], bool]
) -> Protection:
    """Read an operator's file.

    :param path: where it is, for messages.
    :param rule_format: what the file names, ``property_protection_rule_format``.
    :param is_rule: tells whether there is a policy rule of a name.
    :raises ConfigError: something in it cannot be used; the message names section and key.
    """
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.MissingSectionHeaderError as error:
        raise _wrong(path, error.lineno, "a section must come before the first key") from None
    except configparser.ParsingError as error:
        line = error.errors[0][0] if error.errors else None
        raise _wrong(path, line, "neither a section nor 'key = value'") from None
    except configparser.DuplicateSectionError as error:
        problem = f"section [{error.section}] stands there twice"
        raise _wrong(path, error.lineno, problem) from None
    except configparser.DuplicateOptionError as error:
        problem = f"key {error.option} stands twice in section [{error.section}]"
        raise _wrong(path, error.lineno, problem) from None
    sections = []
    for name in parser.sections():
        if name.startswith(_OWN):
            continue
        try:
            pattern = re.compile(name)
        except re.error as error:
            problem = f"section [{name}]: its name is not a regular expression: {error}"
            raise _wrong(path, None, problem) from None
        permissions: dict[Operation, Permission] = {}
        for operation in OPERATIONS:
            value = parser.get(name, operation, fallback=None)
            try:
                permissions[operation] = _permission(value, rule_format, is_rule)
            except ValueError as error:
                problem = f"section [{name}]: {operation} {error}"
                raise _wrong(path, None, problem) from None
        sections.append(Section(pattern, permissions))
    return Protection(sections)


def _permission(
    value: str | None, rule_format: RuleFormat, is_rule: Callable[[str], bool]
) -> Permission:
    if value is None:
        raise ValueError("is missing")
    names = [name for part in value.split(",") if (name := part.strip())]
    if not names:
        raise ValueError("has no value: write @ for everybody or ! for nobody")
    if rule_format == "policies":
        if len(names) > 1:
            raise ValueError("must name one policy rule")
        if not is_rule(names[0]):
            raise ValueError(f"names a policy rule {shorten(names[0])}, which does not exist")
        return names[0]
    if _ANYONE in names and _NOBODY in names:
        raise ValueError("says both @ (everybody) and ! (nobody)")
    if _ANYONE in names:
        return True
    return False if _NOBODY in names else frozenset(name.lower() for name in names)


def _wrong(path: str, line: int | None, problem: str) -> ConfigError:
    place = path if line is None else f"{path} line {line}"
    return ConfigError(f"Property protection file {place}: {problem}.")
