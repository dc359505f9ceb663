"""What the rows of the table of routes are made of; see :mod:`tests.functional.matrix`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.functional.cloud import CALLERS, Cloud
from tests.functional.server import Answer


@dataclass(frozen=True)
class Call:
    """A request, but for who makes it."""

    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Scenario = Callable[[Cloud], Answer]


@dataclass(frozen=True)
class Case:
    """How a route is driven.

    :param call: makes what the request is about, and the request.
    :param gets: the status that each caller gets.
    :param also: further statuses of the route, by what brings them about.
    """

    call: Callable[[Cloud], Call]
    gets: Mapping[str, int]
    also: Mapping[int, Scenario] = field(default_factory=dict)


def who(
    admin: int, member: int, reader: int, no_role: int, other: int, service: int
) -> dict[str, int]:
    statuses = (admin, member, reader, no_role, other, service, 401)
    return dict(zip(CALLERS, statuses, strict=True))


def everybody(status: int) -> dict[str, int]:
    """Everybody with a token gets the same."""
    return who(status, status, status, status, status, status)


def admins(status: int) -> dict[str, int]:
    """Administrators alone."""
    return who(status, 403, 403, 403, 403, 403)


def seen(status: int) -> dict[str, int]:
    """The owner's readers and administrators see what one project has."""
    return who(status, status, status, 404, 404, 404)


def unknown(method: str, path: str, body: Any = None, **headers: str) -> Scenario:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda cloud: cloud.call("admin", method, path, body, named)
