"""Reaching servers through an HTTP proxy (RFC 9110, section 9.3.6)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from glance.domain.urifilter import Target
from glance.stores.errors import BadStoreConfiguration, RemoteUnavailable

#: Longest answer of a proxy, in bytes.
LONGEST_HEAD = 64 * 1024

_PROXY = re.compile(
    r"(?:http://)?(?:([^\s:@/]+):([^\s@/]*)@)?(\[[0-9a-f:.]+\]|[a-z0-9._-]+):([0-9]{1,5})/?", re.I
)
_OPENED = re.compile(rb"HTTP/1\.[01] 2[0-9][0-9](?: |\r\n)")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, spoken to in plain HTTP.

    :param authorization: values of ``Proxy-Authorization``, one or none.
    """

    host: str
    port: int
    authorization: tuple[bytes, ...] = field(default=(), repr=False)


def parse_proxies(group: str, values: Mapping[str, str]) -> dict[str, Proxy]:
    """Read ``http_proxy_information``.

    :param group: section of the configuration, for messages.
    :param values: ``[http://][user:password@]host:port`` by scheme.
    :raises BadStoreConfiguration: one of them is something else.
    """
    proxies = {}
    for scheme, value in values.items():
        found = _PROXY.fullmatch(value.strip())
        if scheme not in ("http", "https") or found is None or not 0 < int(found[4]) < 2**16:
            raise BadStoreConfiguration(
                f"[{group}] http_proxy_information: write http:host:port or https:host:port; "
                "proxies are spoken to in plain HTTP."
            )
        authorization: tuple[bytes, ...] = ()
        if found[1]:
            authorization = (basic(unquote(found[1]), unquote(found[2])),)
        proxies[scheme] = Proxy(found[3].strip("[]"), int(found[4]), authorization)
    return proxies


def basic(user: str, password: str) -> bytes:
    """Return the header value that tells who asks (RFC 7617)."""
    return b"Basic " + b64encode(f"{user}:{password}".encode())


@implementer(IStreamClientEndpoint)
class TunnelEndpoint:
    """Connects to a server through a proxy that passes on bytes.

    :param endpoint: of the proxy.
    """

    def __init__(self, endpoint: Any, proxy: Proxy, target: Target) -> None:
        self._endpoint = endpoint
        self._proxy = proxy
        self._target = target

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect to the proxy and have it connect to the server.

        :raises RemoteUnavailable: it does not.
        """
        place = self._target.place
        lines = [f"CONNECT {place} HTTP/1.1".encode(), f"Host: {place}".encode()]
        lines += [b"Proxy-Authorization: " + value for value in self._proxy.authorization]
        opening = _TunnelFactory(factory, b"\r\n".join([*lines, b"", b""]))
        connecting: Deferred[Any] = self._endpoint.connect(opening)
        return connecting.addCallback(lambda tunnel: tunnel.opened)


class _Tunnel(ProtocolWrapper):
    """Asks the proxy first, and is nothing but passed through once it has agreed."""

    transport: Any

    def __init__(self, factory: Any, wrapped: Any) -> None:
        super().__init__(factory, wrapped)
        self.opened: Deferred[Any] = Deferred(lambda _: self.transport.abortConnection())
        self._head = b""
        self._is_open = False

    def makeConnection(self, transport: Any) -> None:
        """Ask; the wrapped protocol hears of its connection later."""
        directlyProvides(self, providedBy(transport))
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        transport.write(self.factory.request)

    def dataReceived(self, data: bytes) -> None:
        """Take the proxy's answer, then pass on what comes."""
        if self._is_open:
            super().dataReceived(data)
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if (not end and len(head) <= LONGEST_HEAD) or self.opened.called:
            return
        if not end or not _OPENED.match(head + b"\r\n"):
            self.opened.errback(RemoteUnavailable("The proxy does not let the service through."))
            self.transport.abortConnection()
            return
        self._is_open = True
        self._head = b""
        wrapped: Any = self.wrappedProtocol
        wrapped.makeConnection(self)
        self.opened.callback(wrapped)
        if rest:
            super().dataReceived(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell whoever waits."""
        if self._is_open:
            super().connectionLost(reason)
            return
        self.factory.unregisterProtocol(self)
        if not self.opened.called:
            self.opened.errback(reason)


class _TunnelFactory(WrappingFactory[_Tunnel]):
    """Wraps the protocol that is to speak through the tunnel."""

    protocol = _Tunnel
    noisy = False

    def __init__(self, factory: Any, request: bytes) -> None:
        super().__init__(factory)
        self.request = request
