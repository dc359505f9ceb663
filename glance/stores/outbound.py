"""Requests to servers that users name, over connections that go nowhere but where they may.

A host is resolved when it is connected to, what it resolves to is judged, and the connection is
made to these very addresses: no second look-up could give others. Everything is asked of the
reading of a URL that the rules judged (:class:`~glance.domain.urifilter.Target`).

Each request has a connection of its own. What Twisted does not promise to keep is touched by
:class:`_Agent` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IAddress, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from glance.domain.errors import Invalid
from glance.domain.urifilter import Target, UriFilter
from glance.stores.errors import FetchRefused, RemoteUnavailable
from glance.stores.resolving import Names, PinnedReactor
from glance.stores.tunnel import Proxy, TunnelEndpoint

#: Seconds that each address of a host has to take a connection.
CONNECT_TIME = 30.0

#: Bytes before an answer's body at most; Twisted limits a line, but not how many there are.
LONGEST_HEAD = 256 * 1024


# The addresses are known, and Twisted takes fewer names than are resolved (``a_b`` for one).
_ANY_NAME = "host.invalid"


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """An answer whose head is there, and the connection that its body is to come over."""

    response: IResponse
    connection: Connection

    def abort(self) -> None:
        """Cut the connection. Safe at any time."""
        self.connection.abort()


class Outbound:
    """Makes requests.

    :param rules: judge where connections lead.
    :param tls: knows which certificates are trusted.
    :param proxies: by scheme. What goes through one is resolved by it, and judged by name only.
    """

    def __init__(
        self,
        reactor: Any,
        rules: UriFilter,
        tls: IPolicyForHTTPS,
        proxies: Mapping[str, Proxy] | None = None,
    ) -> None:
        self.reactor = reactor
        self.rules = rules
        self.tls = tls
        self.names = Names(reactor)
        self.live: set[_Watched] = set()
        self._proxies = proxies or {}

    def request(self, method: bytes, target: Target, headers: Headers) -> Deferred[Exchange]:
        """Ask for something, and wait for the head of the answer.

        :raises FetchRefused: the host leads to where nothing may be fetched from.
        :raises RemoteUnavailable: it cannot be found.
        """
        proxy = self._proxies.get(target.scheme)
        connection = Connection(self, target, proxy)
        path = target.path
        if proxy is not None and target.scheme == "http":
            headers = headers.copy()
            for value in proxy.authorization:
                headers.setRawHeaders(b"Proxy-Authorization", [value])
            path = target.url
        asking = _Agent.asking(connection, method, target, path.encode("ascii"), headers)

        def answered(response: IResponse) -> Exchange:
            connection.head_is_there()
            return Exchange(response, connection)

        def failed(failure: Any) -> Any:
            connection.abort()
            return failure

        return asking.addCallbacks(answered, failed)

    def close(self) -> None:
        """Cut every connection."""
        for protocol in list(self.live):
            protocol.abort()


@implementer(IStreamClientEndpoint, IAgentEndpointFactory)
class Connection:
    """One connection to the host of a URL, for one request."""

    def __init__(self, outbound: Outbound, target: Target, proxy: Proxy | None) -> None:
        self._outbound = outbound
        self._target = target
        self._proxy = proxy
        self._protocol: _Watched | None = None
        self.reactor = outbound.reactor

    def endpointForURI(self, uri: URI) -> Connection:
        """Return this connection: there is no other for its request."""
        return self

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect to where the host leads, if it may."""
        # Its noise would tell the log what is fetched.
        factory.noisy = False
        return Deferred.fromCoroutine(self._connect(factory))

    async def _connect(self, factory: Any) -> Any:
        endpoint = await self._endpoint()
        protocol: _Watched = await endpoint.connect(_WatchingFactory(factory, self._outbound))
        self._protocol = protocol
        return protocol.wrappedProtocol

    async def _endpoint(self) -> Any:
        endpoint: Any
        if self._proxy is not None:
            endpoint = HostnameEndpoint(
                self.reactor, self._proxy.host, self._proxy.port, CONNECT_TIME
            )
            if self._target.scheme == "https":
                endpoint = TunnelEndpoint(endpoint, self._proxy, self._target)
        else:
            addresses = await self._addresses()
            endpoint = HostnameEndpoint(
                PinnedReactor(self.reactor, addresses), _ANY_NAME, self._target.port, CONNECT_TIME
            )
        if self._target.scheme == "https":
            endpoint = wrapClientTLS(self._tls_creator(), endpoint)
        return endpoint

    def _tls_creator(self) -> Any:
        host = self._target.host.encode("ascii")
        try:
            return self._outbound.tls.creatorForNetloc(host, self._target.port)
        except ValueError:
            # Not all that is resolved is a name by the rules for certificates (RFC 5890).
            raise RemoteUnavailable(
                "There is no secure connection to the remote server: no certificate can be for "
                "its name."
            ) from None

    async def _addresses(self) -> list[IAddress]:
        addresses = await self._outbound.names.resolve(self._target)
        if not addresses:
            raise RemoteUnavailable("The host of the URL cannot be found.")
        try:
            self._outbound.rules.check_addresses(
                self._target, [address.host for address in addresses]
            )
        except Invalid as error:
            raise FetchRefused(error.message) from None
        return addresses

    def head_is_there(self) -> None:
        """Count no more: what comes from now on is taken in as it is wanted."""
        if self._protocol is not None:
            self._protocol.counts = False

    def abort(self) -> None:
        """Cut the connection, if there is one."""
        if self._protocol is not None:
            self._protocol.abort()


class _Watched(ProtocolWrapper):
    """A connection that knows its way out, and puts up with no endless head."""

    transport: Any
    counts = True
    _count = 0

    def connectionMade(self) -> None:
        """Join those that a closing store has to cut."""
        self.factory.live.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Pass on what comes."""
        if self.counts:
            self._count += len(data)
            if self._count > LONGEST_HEAD:
                self.abort()
                return
        super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection."""
        self.factory.live.discard(self)
        super().connectionLost(reason)

    def abort(self) -> None:
        """Cut the connection, without the courtesies that the other side could draw out."""
        if self in self.factory.live:
            self.transport.abortConnection()


class _WatchingFactory(WrappingFactory[_Watched]):
    """Wraps the protocol of a connection."""

    protocol = _Watched
    noisy = False

    def __init__(self, factory: Any, outbound: Outbound) -> None:
        super().__init__(factory)
        self.live = outbound.live


class _Agent(Agent):
    """Sends a request as it is given, instead of reading a URL once more in its own way."""

    @classmethod
    def asking(
        cls, connection: Connection, method: bytes, target: Target, path: bytes, headers: Headers
    ) -> Deferred[IResponse]:
        """Make a request over a connection.

        :param path: what the request's line asks for.
        """
        reactor = connection.reactor
        pool = HTTPConnectionPool(reactor, persistent=False)
        agent = cls.usingEndpointFactory(reactor, connection, pool)
        scheme, host = target.scheme.encode("ascii"), target.host.encode("ascii")
        uri = URI(scheme, target.place.encode("ascii"), host, target.port, b"", b"", b"", b"")
        key = (scheme, host, target.port)
        asking: Deferred[IResponse] = agent._requestWithEndpoint(
            key, connection, method, uri, headers, None, path
        )
        return asking
