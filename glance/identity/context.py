"""The identity of one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from glance.domain.viewer import Viewer


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a caller is, as the identity service vouches for it; good for many requests.

    :param roles: role names in lower case.
    :param service_roles: role names of the calling service, whose token came along.
    :param system_scope: ``"all"`` for a token of the whole system, ``None`` for others.
    :param is_admin_project: whether the project is the cloud's own, where it names one; true where
        it does not.
    :param catalog: the identity service's catalogue of endpoints, as its API has it; tokens have a
        :class:`~glance.identity.catalog.Catalog`.
    """

    user_id: str | None = None
    user_name: str | None = None
    user_domain_id: str | None = None
    project_id: str | None = None
    project_name: str | None = None
    project_domain_id: str | None = None
    domain_id: str | None = None
    system_scope: str | None = None
    is_admin_project: bool = True
    roles: frozenset[str] = frozenset()
    service_roles: frozenset[str] = frozenset()
    service_user_id: str | None = None
    service_user_domain_id: str | None = None
    service_project_id: str | None = None
    service_project_domain_id: str | None = None
    catalog: Sequence[Mapping[str, Any]] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Who makes a request and under which id it is logged.

    :param identity: the caller.
    :param auth_token: the caller's token, for calls on its behalf; never logged.
    :param is_admin: may see and do everything (rule ``context_is_admin``).
    :param read_only: an anonymous caller, who may change nothing.
    """

    request_id: str
    identity: Identity = Identity()
    auth_token: str | None = field(default=None, repr=False, compare=False)
    is_admin: bool = False
    read_only: bool = False

    @property
    def user_id(self) -> str | None:
        """The caller's user."""
        return self.identity.user_id

    @property
    def project_id(self) -> str | None:
        """The project that the caller acts for; new images are owned by it."""
        return self.identity.project_id

    @property
    def roles(self) -> frozenset[str]:
        """The caller's roles, in lower case."""
        return self.identity.roles

    @property
    def viewer(self) -> Viewer:
        """How the catalogue shows itself to this caller."""
        return Viewer(self.identity.project_id, self.is_admin)
