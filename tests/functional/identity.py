"""An identity service for tests: as much of Keystone's version 3 as the image service asks for.

It runs in threads of the test's process, so that a test can hand out tokens, take them back, and
have the service fail in any way it likes.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

HOUR = 3600.0

#: The image service's own account.
USER, PASSWORD = "glance", "canary-password"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, port: int, handler: Any) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients of tests go away as they like."""


class IdentityServer:
    """The service.

    :param prefix: of all paths, such as ``/identity``.
    :param tls: makes it speak TLS.
    :param roles: of the image service's own user.
    """

    def __init__(
        self,
        *,
        prefix: str = "",
        tls: ssl.SSLContext | None = None,
        roles: Sequence[str] = ("service",),
    ) -> None:
        self.prefix = prefix
        self.roles = list(roles)
        self.port = 0
        self._tls = tls
        self._tokens: dict[str, dict[str, Any]] = {}
        self._listener: _Listener | None = None
        self._open = threading.Event()
        self._open.set()
        #: How often each token was asked about.
        self.asked: Counter[str] = Counter()
        #: How often somebody logged in: the image service, or one of the accounts.
        self.logins = 0
        #: Makes a token for each name and password that people log in with.
        self.accounts: dict[tuple[str, str], Callable[[], str]] = {}
        #: What the catalogue has beside ourselves: URLs by kinds of services.
        self.offered: dict[str, str] = {}
        #: What goes wrong: a status to answer with, ``"drop"`` to cut connections, ``"hang"``.
        self.fault: int | str | None = None

    def __enter__(self) -> IdentityServer:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.set()
        self.down()

    # What a test does to it.

    def up(self) -> None:
        """Listen, on the same port as before."""
        self._listener = _Listener(self.port, self._handler())
        self.port = self._listener.server_address[1]
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        """Be gone: nobody listens, and open connections are cut."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.shutdown()
        listener.server_close()
        for connection in list(listener.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Answer no question about a token meanwhile."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def token(
        self,
        *roles: str,
        project: str | None = "p1",
        user: str = "u1",
        life: float = HOUR,
        access_rules: Sequence[Mapping[str, str]] | None = None,
        **more: Any,
    ) -> str:
        """Hand out a token.

        :param life: seconds until it ends; negative for one that has ended.
        :param more: other members of its description.
        """
        now = time.time()
        token: dict[str, Any] = {
            "methods": ["password"],
            "user": {
                "id": user,
                "name": f"name of {user}",
                "domain": {"id": "default", "name": "Default"},
            },
            "roles": [{"id": uuid4().hex, "name": role} for role in roles],
            "issued_at": _time(now),
            "expires_at": _time(now + life),
            "audit_ids": ["3T2dc1CGQxyJsHdDu1xkcw"],
            "catalog": self._catalog(),
            **more,
        }
        if project is not None:
            token["project"] = {
                "id": project,
                "name": f"name of {project}",
                "domain": {"id": "default", "name": "Default"},
            }
        if access_rules is not None:
            token["application_credential"] = {
                "id": uuid4().hex,
                "restricted": True,
                "access_rules": [{"id": uuid4().hex, **rule} for rule in access_rules],
            }
        name = f"canary-token-{uuid4().hex}"
        self._tokens[name] = token
        return name

    def revoke(self, token: str) -> None:
        """Take a token back."""
        del self._tokens[token]

    def revoke_all(self) -> None:
        """Take all tokens back, the image service's own too."""
        self._tokens.clear()

    # What the image service needs to know of it.

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}{self.prefix}"

    def options(self, **more: object) -> dict[str, dict[str, object]]:
        """Return the image service's options by group.

        :param more: of ``[keystone_authtoken]``.
        """
        return {
            "paste_deploy": {"flavor": "keystone"},
            "keystone_authtoken": {
                "auth_type": "password",
                "auth_url": self.url,
                "www_authenticate_uri": "http://identity.example/v3",
                "username": USER,
                "password": PASSWORD,
                "user_domain_id": "default",
                "project_name": "service",
                "project_domain_id": "default",
                "http_request_max_retries": 1,
                **more,
            },
        }

    def _catalog(self) -> list[dict[str, Any]]:
        return [
            {
                "type": kind,
                "name": kind,
                "endpoints": [
                    {"interface": interface, "region_id": "one", "url": url}
                    for interface in ("public", "internal", "admin")
                ],
            }
            for kind, url in {"identity": self.url, **self.offered}.items()
        ]

    # What it answers.

    def _versions(self) -> dict[str, Any]:
        # As behind a proxy: the link is not where we asked.
        link = {"rel": "self", "href": f"https://public.example{self.prefix}/v3/"}
        return {"versions": {"values": [{"id": "v3.14", "status": "stable", "links": [link]}]}}

    def _log_in(self, body: Any) -> tuple[int, str, Any]:
        self.logins += 1
        user = body["auth"]["identity"]["password"]["user"]
        known = (user["name"], user["password"])
        if known == (USER, PASSWORD):
            name = self.token(*self.roles, project="service", user="glance")
        elif known in self.accounts:
            name = self.accounts[known]()
        else:
            return 401, "", {"error": {"code": 401, "message": "no"}}
        return 201, name, {"token": self._tokens[name]}

    def _check(self, query: Mapping[str, Any], headers: Any) -> tuple[int, str, Any]:
        subject = headers["X-Subject-Token"]
        self.asked[subject] += 1
        own = self._tokens.get(headers["X-Auth-Token"])
        if own is None:
            return 401, "", {"error": {"code": 401}}
        if not {role["name"] for role in own["roles"]} & {"service", "admin"}:
            return 403, "", {"error": {"code": 403}}
        token = self._tokens.get(subject)
        ended = token is not None and token["expires_at"] <= _time(time.time())
        if token is None or (ended and query.get("allow_expired") != ["1"]):
            return 404, "", {"error": {"code": 404}}
        if "nocatalog" in query:
            token = {key: value for key, value in token.items() if key != "catalog"}
        return 200, subject, {"token": token}

    def _answer(self, method: str, target: str, headers: Any, body: Any) -> tuple[int, str, Any]:
        parts = urlsplit(target)
        path = parts.path.removeprefix(self.prefix).rstrip("/")
        if not path:
            return 300, "", self._versions()
        if path == "/v3/auth/tokens" and method == "POST":
            return self._log_in(body)
        if path == "/v3/auth/tokens" and method == "GET":
            answer = self._check(parse_qs(parts.query), headers)
            self._open.wait()
            return answer
        return 404, "", {"error": {"code": 404}}

    def _handler(self) -> Any:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                if server._tls is not None:
                    self.request = server._tls.wrap_socket(self.request, server_side=True)
                super().setup()

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def _serve(self) -> None:
                length = int(self.headers["Content-Length"] or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                fault = server.fault
                if fault == "hang":
                    while server.fault == "hang" and server._listener is not None:
                        time.sleep(0.05)
                    fault = "drop"
                if fault == "drop":
                    self.close_connection = True
                    return
                if isinstance(fault, int):
                    status, token, document = fault, "", {"error": {"code": fault}}
                else:
                    status, token, document = server._answer(
                        self.command, self.path, self.headers, body
                    )
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                if token:
                    self.send_header("X-Subject-Token", token)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        return Handler
