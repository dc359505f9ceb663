"""A service with everything in it, and the people of a small cloud who use it.

Callers are told apart by tokens of :class:`~tests.functional.identity.IdentityServer`; there are
three stores, one of them on a web server of the test's own; locations are shown; quotas are small.
"""

from __future__ import annotations

import http.server
import itertools
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from glance.identity.rules_metadefs import METADEFS
from tests.functional.identity import IdentityServer
from tests.functional.server import OCTETS, Answer, Server

#: What a caller may be: roles and project, or nobody at all.
CALLERS: dict[str, tuple[tuple[str, ...], str] | None] = {
    "admin": (("admin", "member", "reader"), "admins"),
    "member": (("member", "reader"), "p1"),
    "reader": (("reader",), "p1"),
    "no role": ((), "p1"),
    "other project": (("member", "reader"), "p2"),
    "service": (("service",), "services"),
    "anonymous": None,
}
V21 = "application/openstack-images-v2.1-json-patch"
DATA = b"image data"
UNKNOWN = "11111111-2222-4333-8444-555555555555"

QUOTAS = {
    "image_member_quota": 2,
    "image_tag_quota": 2,
    "image_property_quota": 2,
    "image_location_quota": 2,
    "image_size_cap": 1000,
}


class _Web(http.server.BaseHTTPRequestHandler):
    """A web server that has the same data everywhere but below ``/none``."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(DATA)

    def _answer(self, body: bytes) -> None:
        there = not self.path.startswith("/none")
        self.send_response(200 if there else 404)
        self.send_header("Content-Length", str(len(DATA) if there else 0))
        self.end_headers()
        if there:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Cloud:
    """The service, its identity service and its web server.

    :param settings: further options of ``[DEFAULT]``.
    :param options: further options of all groups, which win.
    :param cache: whether the node has an image cache, in a directory ``cache`` of its own.
    """

    def __init__(
        self,
        settings: Mapping[str, object] | None = None,
        options: Mapping[str, Mapping[str, object]] | None = None,
        *,
        cache: bool = False,
    ) -> None:
        self._cache = cache
        self._settings = settings or {}
        self._options = options or {}
        self._numbers = itertools.count()
        self._refusing: Server | None = None

    def __enter__(self) -> Cloud:
        self.identity = IdentityServer()
        self.identity.up()
        self._web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Web)
        self._web.daemon_threads = True
        threading.Thread(target=self._web.serve_forever, args=(0.02,), daemon=True).start()
        self.server = Server(settings={**QUOTAS, **self._settings})
        home = self.server.state
        self.server.configure(
            {
                "DEFAULT": {
                    "enabled_backends": "fast:file,slow:file,web:http",
                    "show_multiple_locations": True,
                },
                "glance_store": {"default_backend": "fast"},
                "fast": {"filesystem_store_datadir": home / "fast"},
                "slow": {"filesystem_store_datadir": home / "slow", "store_description": "slow"},
                "import_filtering_opts": {
                    "allowed_hosts": "[127.0.0.1]",
                    "allowed_ports": f"[{self._web.server_address[1]}]",
                },
                **self.identity.options(),
            }
        )
        if self._cache:
            self.server.configure(
                {
                    "DEFAULT": {
                        "image_cache_dir": home / "cache",
                        "worker_self_reference_url": "http://node.example:9292",
                    },
                    "paste_deploy": {"flavor": "keystone+cachemanagement"},
                }
            )
        self.server.configure(self._options)
        self.server.start()
        self.tokens = {
            name: None if caller is None else self.token(name) for name, caller in CALLERS.items()
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.close()
        if self._refusing is not None:
            self._refusing.close()
        self._web.shutdown()
        self._web.server_close()
        self.identity.__exit__(kind, value, trace)

    def token(self, name: str) -> str:
        """Return a new token of a caller."""
        caller = CALLERS[name]
        assert caller is not None
        roles, project = caller
        return self.identity.token(*roles, project=project, user=name.replace(" ", "-"))

    def url(self, path: str) -> str:
        """Return the URL of data on the web server."""
        return f"http://127.0.0.1:{self._web.server_address[1]}/{path}"

    def call(
        self,
        who: str,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make a request as one of the callers."""
        token = self.tokens[who]
        headers = {"Accept": "application/json", **(headers or {})}
        if token is not None:
            headers.setdefault("X-Auth-Token", token)
        return self.server.request(method, path, body, headers)

    # What there is to make requests about.

    def create(self, who: str = "member", **fields: Any) -> str:
        """Create an image that is ready for data; return its id."""
        fields = {"disk_format": "raw", "container_format": "bare", **fields}
        answer = self.call(who, "POST", "/v2/images", fields)
        assert answer.status == 201, answer
        return str(answer.json["id"])

    def upload(self, image_id: str, who: str = "member", **headers: str) -> Answer:
        path = f"/v2/images/{image_id}/file"
        return self.call(who, "PUT", path, DATA, {**OCTETS, **headers})

    def image(self, who: str = "member", **fields: Any) -> str:
        """Create an image with data; return its id."""
        image_id = self.create(who, **fields)
        answer = self.upload(image_id, who)
        assert answer.status == 204, answer
        return image_id

    def patch(self, who: str, image_id: str, *operations: object) -> Answer:
        headers = {"Content-Type": V21}
        return self.call(who, "PATCH", f"/v2/images/{image_id}", list(operations), headers)

    def add_location(self, image_id: str, path: str = "copy", who: str = "member") -> Answer:
        value = {"url": self.url(path), "metadata": {}}
        return self.patch(who, image_id, {"op": "add", "path": "/locations/-", "value": value})

    def namespace(self, **fields: Any) -> str:
        """Create a namespace of metadata definitions that has one of everything; return its name.

        It is private, and belongs to the member's project.
        """
        body = {
            "namespace": f"Acme::{next(self._numbers)}",
            "owner": "p1",
            "resource_type_associations": [{"name": "OS::Acme::Anvil", "prefix": "acme_"}],
            "properties": {"weight": {"title": "Weight", "type": "integer", "minimum": 1}},
            "objects": [
                {
                    "name": "size",
                    "required": ["width"],
                    "properties": {"width": {"title": "Width", "type": "integer"}},
                }
            ],
            "tags": [{"name": "spring"}],
            **fields,
        }
        answer = self.call("admin", "POST", "/v2/metadefs/namespaces", body)
        assert answer.status == 201, answer
        return str(body["namespace"])

    def refused(self, path: str) -> Answer:
        """Ask for something in a service whose policy lets nobody look at metadata definitions."""
        if self._refusing is None:
            self._refusing = Server()
            rules = self._refusing.home / "policy.yaml"
            rules.write_text(
                "\n".join(
                    f"{rule.name}: '!'"
                    for rule in METADEFS
                    if rule.name.startswith(("get_", "list_"))
                    and rule.name != "get_metadef_namespace"
                )
            )
            self._refusing.configure({"oslo_policy": {"policy_file": rules}})
            self._refusing.start()
            namespace = {"namespace": "Acme", "properties": {}}
            path_of_all = "/v2/metadefs/namespaces"
            assert self._refusing.request("POST", path_of_all, namespace).status == 201
        return self._refusing.request("GET", path)

    def share(self, image_id: str, project: str = "p2") -> None:
        path = f"/v2/images/{image_id}/members"
        assert self.call("member", "POST", path, {"member": project}).status == 200

    def show(self, image_id: str, who: str = "member") -> Any:
        answer = self.call(who, "GET", f"/v2/images/{image_id}")
        assert answer.status == 200, answer
        return answer.json
