"""Where an image service is: from what people type to a URL."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from glance.domain.errors import Invalid

#: Where an image service listens if nobody says otherwise.
PORT = 9292

_SCHEME_PORTS = {"http": 80, "https": 443}

#: A host name or an address of IPv4. That underscores are no part of one, the resolver says.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})")
_WITH_PORT = re.compile(r"(?P<host>[^:\[\]]+|\[[^\[\]]*\]):(?P<port>[^:\[\]]*)")
_NUMBER = re.compile(r"[0-9]{1,6}")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an image service is.

    :param host: a name or an address, without brackets.
    :param prefix: of all paths, such as ``/image``; without a slash at its end.
    """

    host: str
    port: int = PORT
    scheme: str = "http"
    prefix: str = ""

    @property
    def place(self) -> str:
        """Host and port, as a URL has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL below which the service is, without a slash at its end."""
        return f"{self.scheme}://{self.place}{self.prefix}"


def read_endpoint(text: str, port: int | None = None) -> Endpoint:
    """Read what somebody typed: a host, a host and a port, or a URL.

    :param text: without a scheme, HTTP is meant. A URL without a port means that of its scheme.
    :param port: as it was given beside it.
    :raises Invalid: it names no service, or another port than the one beside it.
    """
    scheme, prefix, usual = "http", "", PORT
    rest = text.strip()
    if "://" in rest:
        try:
            parts = urlsplit(rest)
        except ValueError:
            raise _nonsense() from None
        scheme, rest = parts.scheme, parts.netloc
        if scheme not in _SCHEME_PORTS:
            raise _nonsense("; a URL begins with http:// or https://")
        if parts.query or parts.fragment:
            raise _nonsense()
        usual = _SCHEME_PORTS[scheme]
        prefix = _prefix(parts.path)
    if "@" in rest:
        raise _nonsense(", without a user or a password")
    host, own = rest, None
    if match := _WITH_PORT.fullmatch(rest):
        host, own = match["host"], _port(match["port"])
    if own is not None and port is not None and own != port:
        raise Invalid(f"The host names the port {own}, but {port} was given beside it.")
    return Endpoint(_host(host), own or port or usual, scheme, prefix)


def _nonsense(more: str = "") -> Invalid:
    # There may be a password in it, so it is not repeated.
    return Invalid(
        f"The host must be a name, an address, or a URL such as https://host:9292/image{more}."
    )


def _host(text: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare:
        if _is_address_6(bare):
            return bare
        if bare == text:
            raise _nonsense(
                "; a port stands behind an address of IPv6 in brackets, as in [::1]:9292"
            )
    elif bare == text and _NAME.fullmatch(bare):
        return bare
    raise _nonsense()


def _is_address_6(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return False
    return True


def _port(text: str) -> int:
    port = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= port <= 65535:
        raise Invalid("The port must be a number from 1 to 65535.")
    return port


def _prefix(path: str) -> str:
    """Return a URL's path without what all requests bring along themselves."""
    path = path.rstrip("/").removesuffix("/v2")
    if _PATH.fullmatch(path) is None or {".", ".."} & {*path.split("/")}:
        raise _nonsense()
    return path
