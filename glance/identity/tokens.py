"""What the identity service says of a token, checked and brought into the forms we work with.

The answer of ``GET /v3/auth/tokens`` (Identity API reference, "validate and show information for
token") becomes a :class:`Token`. The form that is kept in memcached is here too: it is read with
the same distrust, since others may write there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson

from glance.identity.accessrules import AccessRule
from glance.identity.catalog import Catalogs
from glance.identity.context import Identity

#: Of the form that is kept; another one is not read.
KEPT_VERSION = 1

T = TypeVar("T")


class Malformed(ValueError):
    """What came is not the description of a token."""


@dataclass(slots=True, eq=False)
class Token:
    """A valid token.

    :param identity: whose it is.
    :param role_names: as the identity service writes them; ``identity.roles`` is in lower case.
    :param expires_at: when it ends, in seconds since 1970.
    :param checked_at: when the identity service vouched for it, likewise.
    :param access_rules: the requests that it is good for; ``None`` for all.
    :param bound_to: other ways of authentication that it is bound to.
    """

    identity: Identity
    role_names: frozenset[str]
    expires_at: float
    checked_at: float
    access_rules: tuple[AccessRule, ...] | None = None
    bound_to: frozenset[str] = frozenset()
    _together: tuple[Token, Identity] | None = field(default=None, repr=False)

    def identity_with(self, service: Token) -> Identity:
        """Return the identity of a request that a service makes on this token's behalf."""
        if self._together is None or self._together[0] is not service:
            # A token comes with few service tokens, mostly with one.
            self._together = (service, _together(self.identity, service))
        return self._together[1]


def _together(user: Identity, service: Token) -> Identity:
    return replace(
        user,
        service_roles=service.role_names,
        service_user_id=service.identity.user_id,
        service_user_domain_id=service.identity.user_domain_id,
        service_project_id=service.identity.project_id,
        service_project_domain_id=service.identity.project_domain_id,
    )


def parse(document: Any, now: float, catalogs: Catalogs, *, with_catalog: bool = True) -> Token:
    """Read the identity service's description of a token.

    :param document: the answer's JSON.
    :param now: seconds since 1970.
    :param with_catalog: whether to keep the catalogue.
    :raises Malformed: it is none.
    """
    token = _mapping(_mapping(document, "the answer").get("token"), "token")
    user = _mapping(token.get("user"), "user")
    if not _text(user, "id"):
        raise Malformed("the user has no id")
    project = _member(token, "project")
    role_names = _names(token.get("roles", []), "role")
    try:
        catalog = catalogs.get(token.get("catalog", [])) if with_catalog else ()
    except ValueError as error:
        raise Malformed(str(error)) from None
    system = token.get("system")
    identity = Identity(
        user_id=_text(user, "id"),
        user_name=_text(user, "name"),
        user_domain_id=_domain(user),
        project_id=_text(project, "id"),
        project_name=_text(project, "name"),
        project_domain_id=_domain(project),
        domain_id=_text(_member(token, "domain"), "id"),
        system_scope="all" if isinstance(system, dict) and system.get("all") is True else None,
        is_admin_project=token.get("is_admin_project", True) is True,
        roles=frozenset(name.lower() for name in role_names),
        catalog=catalog,
    )
    return Token(
        identity,
        role_names,
        expires_at=timestamp(token.get("expires_at")),
        checked_at=now,
        access_rules=_access_rules(token.get("application_credential")),
        bound_to=frozenset(_member(token, "bind")),
    )


def timestamp(value: Any) -> float:
    """Return a time of the Identity API in seconds since 1970.

    :raises Malformed: it is none.
    """
    if not isinstance(value, str):
        raise Malformed("a time is not text")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise Malformed("a time is not in ISO 8601") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not an object")
    return value


def _member(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a member that may be missing or null."""
    value = values.get(name)
    return {} if value is None else _mapping(value, name)


def _text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise Malformed(f"{name} is not text")
    return value or None


def _domain(owner: Mapping[str, Any]) -> str | None:
    return _text(_member(owner, "domain"), "id")


def _names(values: Any, what: str) -> frozenset[str]:
    if not isinstance(values, list):
        raise Malformed(f"the {what}s are not a list")
    names = [_text(_mapping(value, what), "name") for value in values]
    return frozenset(name for name in names if name)


def _access_rules(credential: Any) -> tuple[AccessRule, ...] | None:
    if credential is None:
        return None
    rules = _mapping(credential, "application_credential").get("access_rules")
    if rules is None:
        return None
    if not isinstance(rules, list):
        raise Malformed("the access rules are not a list")
    return tuple(_access_rule(_mapping(rule, "an access rule")) for rule in rules)


def _access_rule(rule: Mapping[str, Any]) -> AccessRule:
    service, method, path = (_text(rule, name) for name in ("service", "method", "path"))
    if not (service and method and path):
        raise Malformed("an access rule lacks service, method or path")
    return AccessRule(service, method.upper(), path)


# What is kept in memcached.

#: Fields of an identity that are text or nothing and come from the token itself.
_KEPT = (
    "user_id",
    "user_name",
    "user_domain_id",
    "project_id",
    "project_name",
    "project_domain_id",
    "domain_id",
    "system_scope",
)


def to_kept(token: Token) -> bytes:
    """Write a token in the form that is kept."""
    identity = token.identity
    raw = getattr(identity.catalog, "raw", b"[]")
    rules = token.access_rules
    return orjson.dumps(
        {
            "version": KEPT_VERSION,
            "identity": {name: getattr(identity, name) for name in _KEPT},
            "is_admin_project": identity.is_admin_project,
            "roles": sorted(token.role_names),
            "catalog": orjson.Fragment(raw),
            "expires_at": token.expires_at,
            "checked_at": token.checked_at,
            "access_rules": None
            if rules is None
            else [[r.service, r.method, r.path] for r in rules],
            "bound_to": sorted(token.bound_to),
        }
    )


def from_kept(data: bytes, catalogs: Catalogs, *, with_catalog: bool = True) -> Token:
    """Read a token in the form that is kept.

    :raises Malformed: it is in no form of ours.
    """
    try:
        kept = _mapping(orjson.loads(data), "what was kept")
        if kept["version"] != KEPT_VERSION:
            raise Malformed("what was kept is of another version")
        known = _mapping(kept["identity"], "identity")
        role_names = frozenset(_texts(kept["roles"]))
        rules = kept["access_rules"]
        texts: dict[str, Any] = {name: _text(known, name) for name in _KEPT}
        identity = Identity(
            **texts,
            is_admin_project=_kind(kept["is_admin_project"], bool),
            roles=frozenset(name.lower() for name in role_names),
            catalog=catalogs.get(kept["catalog"]) if with_catalog else (),
        )
        return Token(
            identity,
            role_names,
            expires_at=_kind(kept["expires_at"], float),
            checked_at=_kind(kept["checked_at"], float),
            access_rules=None if rules is None else tuple(AccessRule(*_texts(r)) for r in rules),
            bound_to=frozenset(_texts(kept["bound_to"])),
        )
    except Malformed:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed(f"what was kept is damaged ({type(error).__name__})") from None


def _kind(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise Malformed("what was kept is damaged")
    return value


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise Malformed("what was kept is damaged")
    return values
