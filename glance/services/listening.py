"""Open the ports that the API listens on, and close them without losing who is in the queue.

Binding early lets every mistake be reported on the spot with an exit code, and lets one open port
be handed to any number of worker processes, of one generation and of the next.
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import socket
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from glance.domain.errors import ConfigError

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"


def is_loopback(host: str) -> bool:
    """Tell whether an address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def choose_host(
    conf: Any, authenticated: bool, option: str = "bind_host", handed_over: str | None = None
) -> str:
    """Return the address to listen on.

    :param authenticated: whether callers are asked who they are.
    :param option: the one that names the address.
    :param handed_over: the address of a socket that is listened on whatever the option says.
    :raises ConfigError: without authentication, an address that others reach was not allowed.
    """
    host: str | None = handed_over or conf[option]
    if host is None:
        return EVERYWHERE if authenticated else LOOPBACK
    if authenticated or is_loopback(host) or conf.allow_remote_without_auth:
        return host
    what = f"[DEFAULT] {option} = {host}"
    if handed_over is not None:
        what = f"The socket that the service manager opened on {host}"
    raise ConfigError(
        f"{what} would let anyone who reaches this machine read, change and "
        "delete every image, because no authentication is configured ([paste_deploy] flavor). "
        "Listen on 127.0.0.1, or say that this is wanted: --allow-remote-without-auth."
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """A port as the configuration wants it.

    :param port: 0 for any free one.
    :param backlog: connections that may wait to be accepted.
    :param keep_idle: seconds of silence before the kernel probes whether a peer is still there.
    :param prefix: of the names of the options that the address is from.
    """

    host: str
    port: int
    backlog: int
    keep_idle: int
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket.

    :param wanted: what it was opened by.
    :param foreign: whether it was handed over by the service manager, which keeps it open.
    """

    socket: socket.socket
    wanted: Wanted
    foreign: bool = False


def bind(wanted: Wanted, ours: Iterable[socket.socket] = ()) -> socket.socket:
    """Open a listening socket.

    :param ours: sockets that may be in the way because they are to be replaced by this one.
    :raises ConfigError: the address cannot be used.
    """
    host, port = wanted.host, wanted.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(
            f"[DEFAULT] {wanted.prefix}bind_host = {host}: {error.strerror or error}."
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        set_keep_alive(listener, wanted.keep_idle)
        in_the_way = [old for old in ours if old.getsockname()[1] == port]
        _listen(listener, address, wanted.backlog, in_the_way)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"Cannot listen on {host} port {port}: {error.strerror or error} "
            f"([DEFAULT] {wanted.prefix}bind_host, {wanted.prefix}bind_port)."
        ) from None
    listener.setblocking(False)
    return listener


def _listen(
    listener: socket.socket, address: Any, backlog: int, in_the_way: list[socket.socket]
) -> None:
    try:
        listener.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not in_the_way:
            raise
    else:
        listener.listen(backlog)
        return
    # 127.0.0.1 and 0.0.0.0 with the same port, for instance: for a moment both may listen.
    both = [listener, *in_the_way]
    for one in both:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind(address)
        listener.listen(backlog)
    finally:
        for one in both:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)


def set_keep_alive(listener: socket.socket, keep_idle: int) -> None:
    """Have the kernel probe whether peers are still there; accepted connections inherit it."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keep_idle)


#: A socket filter of one instruction: keep nothing (BPF_RET, 0 bytes).
_SO_ATTACH_FILTER = 26
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)


def refuse_more(listener: socket.socket) -> None:
    """Let nobody else join the queue of a listening socket, in whatever processes it is open.

    Connections that are in the queue when the last of them closes the socket are reset, so they are
    accepted first; but while they are, others would come. What a client sends to begin a connection
    is dropped from now on, its kernel tries again after a second, and is then refused.
    """
    program = ctypes.create_string_buffer(_DROP_ALL)
    # Elsewhere than on Linux, or where that is forbidden, the moment in between stays.
    with suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program))
        )


class Listeners:
    """The listening sockets of a service, by name: ``main`` and, if there is one, ``internal``.

    :param handed_over: sockets of the service manager, which are used instead of opening any.
    """

    def __init__(self, handed_over: Mapping[str, socket.socket] | None = None) -> None:
        self._handed_over = dict(handed_over or {})
        self.current: dict[str, Listener] = {}

    def open(self, wanted: Mapping[str, Wanted]) -> dict[str, Listener]:
        """Open what is wanted and not open yet; nothing is closed.

        :returns: what :meth:`take_over` or :meth:`give_up` is to be called with.
        :raises ConfigError: an address cannot be used.
        """
        found: dict[str, Listener] = {}
        try:
            for name, one in wanted.items():
                found[name] = self._kept(name, one) or Listener(
                    bind(one, [listener.socket for listener in self.current.values()]), one
                )
        except BaseException:
            self.give_up(found)
            raise
        return found

    def _kept(self, name: str, wanted: Wanted) -> Listener | None:
        if name in self._handed_over:
            return Listener(self._handed_over[name], wanted, foreign=True)
        current = self.current.get(name)
        if current is None or _address(current.wanted) != _address(wanted):
            return None
        return Listener(current.socket, wanted)

    def take_over(self, opened: dict[str, Listener]) -> bool:
        """Make what was opened the current sockets; close the others.

        :returns: whether there were others, so that nobody else accepts what is in their queues.
        """
        before, self.current = self.current, opened
        for listener in opened.values():
            set_keep_alive(listener.socket, listener.wanted.keep_idle)
            if not listener.foreign:
                listener.socket.listen(listener.wanted.backlog)
        left = self._not_among(before, opened)
        for listener in left:
            _retire(listener)
        return bool(left)

    def give_up(self, opened: dict[str, Listener]) -> None:
        """Close what was opened in vain."""
        for listener in self._not_among(opened, self.current):
            if not listener.foreign:
                listener.socket.close()

    def close(self) -> None:
        """Close all, once those who are in the queues are let in by the processes that serve."""
        before, self.current = self.current, {}
        for listener in before.values():
            _retire(listener)

    def _not_among(
        self, some: Mapping[str, Listener], others: Mapping[str, Listener]
    ) -> list[Listener]:
        kept = {listener.socket for listener in others.values()}
        return [listener for listener in some.values() if listener.socket not in kept]


def _address(wanted: Wanted) -> tuple[str, int]:
    return wanted.host, wanted.port


def _retire(listener: Listener) -> None:
    # The queue of a socket that is not ours waits for our successor.
    if not listener.foreign:
        refuse_more(listener.socket)
    listener.socket.close()


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Return the URL of a service behind a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
