"""An identity service for tests that keeps limits of projects."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.functional.identity import PASSWORD, USER, IdentityServer

SERVICE, ENDPOINT, REGION = "s-image", "e-image", "one"


class LimitServer(IdentityServer):
    """The service.

    :ivar registered: what every project may have, by resource.
    :ivar limits: what single projects may have, by project and resource.
    :ivar silent: whether it tells nobody anything of limits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.registered: dict[str, int] = {}
        self.limits: dict[str, dict[str, int]] = {}
        self.silent = False

    def options(self, **more: object) -> dict[str, dict[str, object]]:
        """Return the image service's options by group, for unified limits too."""
        return {
            **super().options(**more),
            "oslo_limit": {
                "auth_url": self.url,
                "username": USER,
                "password": PASSWORD,
                "user_domain_id": "default",
                "system_scope": "all",
                "endpoint_id": ENDPOINT,
            },
        }

    def _answer(self, method: str, target: str, headers: Any, body: Any) -> tuple[int, str, Any]:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        place = {"service_id": SERVICE, "region_id": REGION}
        documents = {
            f"/v3/endpoints/{ENDPOINT}": {"endpoint": {"id": ENDPOINT, **place}},
            "/v3/registered_limits": {
                "registered_limits": [
                    {**place, "resource_name": name, "default_limit": limit}
                    for name, limit in self.registered.items()
                ]
            },
            "/v3/limits": {
                "limits": [
                    {**place, "project_id": project, "resource_name": name, "resource_limit": limit}
                    for project, limits in self.limits.items()
                    if project == query.get("project_id", project)
                    for name, limit in limits.items()
                ]
            },
        }
        document = documents.get(parts.path)
        if document is None:
            return super()._answer(method, target, headers, body)
        if self.silent:
            return 403, "", {"error": {"code": 403}}
        if headers["X-Auth-Token"] not in self._tokens:
            return 401, "", {"error": {"code": 401}}
        return 200, "", document
