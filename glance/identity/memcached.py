"""Memcached as a shelf that all processes share: one pipelined connection to each server.

A server that does not answer is left alone for a while and its share goes to the next on the ring.
Whatever happens here, tokens are checked all the same; so nothing fails, and a caller waits no
longer than the time limit.
"""

from __future__ import annotations

import hashlib
from bisect import bisect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.protocol import connectionDone as DONE
from twisted.logger import Logger
from twisted.protocols.memcache import ClientError, MemCacheProtocol, ServerError
from twisted.python.failure import Failure

from glance.domain.errors import ConfigError
from glance.identity.http import describe
from glance.identity.sealing import Seal
from glance.identity.singleflight import SingleFlight
from glance.identity.timing import limited

T = TypeVar("T")

PORT = 11211

#: Most bytes of one value, as memcached has it where nobody changed that.
VALUE_LIMIT = 1024 * 1024

#: Points of each server on the ring: enough to make the shares nearly equal.
POINTS = 100

_log = Logger()


#: First words of the answers to what we ask.
_KNOWN = frozenset(
    [b"VALUE", b"END", b"STORED", b"NOT_STORED", b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR"]
)


class Protocol(MemCacheProtocol):
    """Twisted's protocol, which closes the connection where a server talks nonsense."""

    lost = False

    def __init__(self, reactor: Any, timeout: float) -> None:
        super().__init__(timeOut=timeout)
        # Twisted's own way to give it another clock.
        self.__dict__["callLater"] = reactor.callLater

    def lineReceived(self, line: bytes) -> None:
        """Take a line."""
        try:
            if line.split(b" ", 1)[0] not in _KNOWN:
                raise ValueError("an answer that nothing was asked for")
            super().lineReceived(line)
        except Exception as error:
            self._nonsense(type(error).__name__)

    def cmd_STORED(self) -> None:
        """Take the success of a set."""
        if self._current[0].command != b"set":
            raise ValueError("an answer to another question")
        super().cmd_STORED()

    def cmd_NOT_STORED(self) -> None:
        """Take the failure of a set."""
        self._current.popleft().fail(ServerError("not stored"))

    def cmd_VALUE(self, line: bytes) -> None:
        """Take the head of a value."""
        if int(line.split()[2]) > VALUE_LIMIT:
            raise ValueError("a value is too long")
        super().cmd_VALUE(line)

    def cmd_ERROR(self) -> None:
        """Take the refusal of a command; Twisted's method would log it as a bug."""
        self._current.popleft().fail(ServerError("the command is not known"))

    def cmd_CLIENT_ERROR(self, text: bytes = b"") -> None:
        """Take the refusal of a command."""
        self._current.popleft().fail(ClientError(repr(text)))

    def cmd_SERVER_ERROR(self, text: bytes = b"") -> None:
        """Take the failure of a command."""
        self._current.popleft().fail(ServerError(repr(text)))

    def connectionLost(self, reason: Failure = DONE) -> None:
        """Fail what is under way."""
        self.lost = True
        self.setTimeout(None)
        super().connectionLost(reason)

    def _nonsense(self, why: str) -> None:
        _log.warn("A memcached server talks nonsense ({why})", why=why)
        self.lost = True
        self.abort()

    def abort(self) -> None:
        """Close the connection at once."""
        transport: Any = self.transport
        transport.abortConnection()


class Server:
    """One server.

    :param name: as it is configured.
    :param endpoint: connects to it.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        endpoint: Any,
        *,
        timeout: float,
        dead_retry: float,
        idle_time: float,
    ) -> None:
        self.name = name
        self._reactor = reactor
        self._endpoint = endpoint
        self._timeout = timeout
        self._dead_retry = dead_retry
        # Never in the middle of an operation.
        self._idle_time = max(idle_time, timeout + 1)
        self._dead_until = 0.0
        self._protocol: Protocol | None = None
        self._connecting: SingleFlight[None, Protocol] = SingleFlight()
        self._idle: Any = None

    @property
    def usable(self) -> bool:
        """Whether it may be asked."""
        return bool(self._reactor.seconds() >= self._dead_until)

    async def run(self, operation: Callable[[Protocol], Deferred[T]]) -> T | None:
        """Have the server do something; return ``None`` where it does not."""
        try:
            return await limited(
                Deferred.fromCoroutine(self._run(operation)), self._timeout, self._reactor
            )
        except CancelledError:
            raise
        except (ConnectionDone, ConnectionLost, ClientError, ServerError) as error:
            # It was restarted, or it is full: no reason not to ask again.
            _log.debug("Memcached {name}: {why}", name=self.name, why=describe(error))
        except Exception as error:
            # Many may fail together.
            if self.usable:
                self._leave_alone(error)
        return None

    def _leave_alone(self, error: Exception) -> None:
        self._dead_until = self._reactor.seconds() + self._dead_retry
        self.close()
        _log.warn(
            "Memcached {name} cannot be used and is left alone for {seconds} s: {why}",
            name=self.name,
            seconds=self._dead_retry,
            why=describe(error),
        )

    async def _run(self, operation: Callable[[Protocol], Deferred[T]]) -> T:
        protocol = self._protocol
        if protocol is None or protocol.lost:
            protocol = await self._connecting.run(None, self._connect)
        if self._idle is not None and self._idle.active():
            self._idle.reset(self._idle_time)
        else:
            self._idle = self._reactor.callLater(self._idle_time, self.close)
        return await operation(protocol)

    async def _connect(self) -> Protocol:
        factory = Factory.forProtocol(lambda: Protocol(self._reactor, self._timeout))
        factory.noisy = False
        self._protocol = await self._endpoint.connect(factory)
        assert self._protocol is not None
        return self._protocol

    def close(self) -> None:
        """Close the connection, if there is one."""
        protocol, self._protocol = self._protocol, None
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        if protocol is not None and not protocol.lost:
            protocol.abort()

    def stop(self) -> None:
        """Close the connection, or give it up if it is being made."""
        self._connecting.fail_all(ConnectionDone())
        self.close()


class Ring:
    """Which server keeps what: when one is away only its own share moves.

    :param names: of the servers, no two alike.
    """

    def __init__(self, names: Sequence[str]) -> None:
        points = [
            (_hash(f"{name}-{number}".encode()), index)
            for index, name in enumerate(names)
            for number in range(POINTS)
        ]
        points.sort()
        self._hashes = [point for point, _ in points]
        self._indexes = [index for _, index in points]

    def order(self, key: bytes) -> list[int]:
        """Return the servers' numbers in the order in which they are to be asked for a key."""
        start = bisect(self._hashes, _hash(key))
        return list(dict.fromkeys(self._indexes[start:] + self._indexes[:start]))


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


class Memcached:
    """The shelf.

    :param servers: where things are kept; none twice.
    :param seal: protects them.
    :param prefix: of the names under which they are kept.
    """

    def __init__(self, servers: Sequence[Server], seal: Seal, prefix: bytes) -> None:
        self._servers = servers
        self._ring = Ring([server.name for server in servers])
        self._seal = seal
        self._prefix = prefix + b":" + seal.name + b":"

    async def get(self, key: bytes) -> bytes | None:
        """Return what is kept under a key, ``None`` where that is nothing. Never fails."""
        server = self._server(key)
        if server is None:
            return None
        name = self._prefix + key
        found = await server.run(lambda protocol: protocol.get(name))
        kept = None if found is None else found[1]
        if kept is None:
            return None
        data = self._seal.open(name, kept)
        if data is None:
            _log.warn("Memcached {name} holds something that we did not seal", name=server.name)
        return data

    def put(self, key: bytes, value: bytes, life: float) -> None:
        """Keep something for some seconds. Never fails, waits for nothing."""
        server = self._server(key)
        name = self._prefix + key
        kept = self._seal.close(name, value)
        # One of 0 seconds would be kept for ever, one of 30 days and more be taken for a date.
        seconds = min(int(life), 30 * 24 * 3600 - 1)
        if server is None or seconds < 1 or len(kept) > VALUE_LIMIT:
            return
        Deferred.fromCoroutine(
            server.run(lambda protocol: protocol.set(name, kept, 0, seconds))
        ).addErrback(lambda failure: failure.trap(CancelledError) and None)

    def stop(self) -> None:
        """Close all connections."""
        for server in self._servers:
            server.stop()

    def _server(self, key: bytes) -> Server | None:
        """Return the first server for a key that may be asked."""
        for index in self._ring.order(key):
            if self._servers[index].usable:
                return self._servers[index]
        return None


def make_endpoint(reactor: Any, text: str, timeout: float, tls: Any = None) -> Any:
    """Make what connects to a server.

    :param text: ``host``, ``host:port``, ``[address]:port`` or ``unix:path``, with or without
        ``inet:`` or ``inet6:`` in front.
    :param tls: a :class:`~glance.identity.tls.ClientTLS`.
    :raises ConfigError: it is none of these.
    """
    if text.startswith("unix:") and len(text) > len("unix:"):
        return UNIXClientEndpoint(reactor, text.removeprefix("unix:"), timeout=timeout)
    rest = text.removeprefix("inet:").removeprefix("inet6:")
    host, port = rest, str(PORT)
    if rest.startswith("["):
        host, _, behind = rest[1:].partition("]")
        port = behind.removeprefix(":") or port
    elif rest.count(":") == 1:
        host, _, port = rest.partition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(
            f"[keystone_authtoken] memcached_servers: {text!r} is not of the form host:port."
        )
    endpoint = HostnameEndpoint(reactor, host, int(port), timeout=timeout)
    return endpoint if tls is None else wrapClientTLS(tls.creator(host), endpoint)
