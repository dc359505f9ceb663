"""The identity of one request."""

from __future__ import annotations

from dataclasses import dataclass, field

from glance.domain.viewer import Viewer


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Who makes a request and under which id it is logged.

    :param roles: role names in lower case.
    :param is_admin: may see and do everything.
    :param read_only: an anonymous caller, who may change nothing.
    """

    request_id: str
    user_id: str | None = None
    project_id: str | None = None
    roles: frozenset[str] = field(default_factory=frozenset)
    is_admin: bool = False
    read_only: bool = False

    @property
    def viewer(self) -> Viewer:
        """How the catalogue shows itself to this caller."""
        return Viewer(self.project_id, self.is_admin)
