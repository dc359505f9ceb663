"""Who the requests come from: told in headers, or signed in with Keystone."""

import http.client
import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from bench.stats import parse_target

#: The project of an administrator whose headers are believed.
PROJECT = "bench"


class IdentityError(Exception):
    """Keystone refused, or is not there."""


class Identity(Protocol):
    """Someone who makes requests."""

    headers: bytes

    def refresh(self) -> None:
        """See to it that the headers will do for another round."""


class Believed:
    """An administrator, in the headers that the identity middleware would have sent."""

    headers = (
        b"X-Identity-Status: Confirmed\r\nX-User-Id: bench\r\nX-Project-Id: bench\r\n"
        b"X-Tenant-Id: bench\r\nX-Roles: admin,member,reader\r\n"
    )

    def refresh(self) -> None:
        """Do nothing: there is nothing that ends."""


def credentials(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the request for a token that the clients' variables describe.

    :raises ValueError: when one is missing.
    """
    for name in ("OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME"):
        if not environ.get(name):
            raise ValueError(f"--keystone: set {name}, as for any client")

    def domain(kind: str) -> dict[str, str]:
        name = environ.get(f"OS_{kind}_DOMAIN_NAME")
        return {"name": name} if name else {"id": environ.get(f"OS_{kind}_DOMAIN_ID") or "default"}

    user = {
        "name": environ["OS_USERNAME"],
        "password": environ["OS_PASSWORD"],
        "domain": domain("USER"),
    }
    project = {"name": environ["OS_PROJECT_NAME"], "domain": domain("PROJECT")}
    method = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": method, "scope": {"project": project}}}


class SignedIn:
    """A user with a token, which services have checked once and then know.

    :param url: of Keystone, without version; on the loopback.
    :param environ: with the variables of the field's clients.
    :param worn: share of a token's life after which no round is begun with it.
    """

    headers: bytes

    def __init__(self, url: str, environ: Mapping[str, str], worn: float = 0.5) -> None:
        """Sign in.

        :raises ValueError: when the address is of another machine, or a variable is missing.
        :raises IdentityError: when Keystone refuses or is not there.
        """
        _, self._host, self._port = parse_target(f"--keystone={url}")
        self._share = worn
        self._body = json.dumps(credentials(environ))
        self._sign_in()

    def refresh(self) -> None:
        """Sign in anew when the token is worn."""
        if time.monotonic() > self._worn:
            self._sign_in()

    def _sign_in(self) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
        try:
            kind = {"Content-Type": "application/json"}
            connection.request("POST", "/v3/auth/tokens", self._body, kind)
            answer = connection.getresponse()
            body, token = answer.read(), answer.headers["X-Subject-Token"]
        except (OSError, http.client.HTTPException) as e:
            raise IdentityError(f"keystone: {e}") from None
        finally:
            connection.close()
        if answer.status != 201 or not token:
            raise IdentityError(f"keystone: {answer.status} {body[:300]!r}")
        self._worn = time.monotonic() + self._share * lifetime(json.loads(body)["token"])
        self.headers = f"X-Auth-Token: {token}\r\n".encode()


def lifetime(token: Mapping[str, Any]) -> float:
    """Return for how many seconds a token is good; both times are by Keystone's clock."""
    began, ends = (datetime.fromisoformat(token[key]) for key in ("issued_at", "expires_at"))
    return (ends - began).total_seconds()
