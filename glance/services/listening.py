"""Open the port that the API listens on, before any reactor runs.

Binding early lets every mistake be reported on the spot with an exit code, and lets one open port
be handed to any number of worker processes.
"""

from __future__ import annotations

import ipaddress
import socket
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


def choose_host(conf: Any, authenticated: bool, option: str = "bind_host") -> str:
    """Return the address to listen on.

    :param authenticated: whether callers are asked who they are.
    :param option: the one that names the address.
    :raises ConfigError: without authentication, an address that others reach was not allowed.
    """
    host: str | None = conf[option]
    if host is None:
        return EVERYWHERE if authenticated else LOOPBACK
    if authenticated or is_loopback(host) or conf.allow_remote_without_auth:
        return host
    raise ConfigError(
        f"[DEFAULT] {option} = {host} would let anyone who reaches this machine read, change and "
        "delete every image, because no authentication is configured ([paste_deploy] flavor). "
        "Listen on 127.0.0.1, or say that this is wanted: --allow-remote-without-auth."
    )


def bind(host: str, port: int, backlog: int, keep_idle: int, prefix: str = "") -> socket.socket:
    """Open a listening socket.

    :param port: 0 for any free one.
    :param keep_idle: seconds of silence before the kernel probes whether a peer is still there.
    :param prefix: of the names of the options that the address is from.
    :raises ConfigError: the address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(
            f"[DEFAULT] {prefix}bind_host = {host}: {error.strerror or error}."
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit these.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keep_idle)
        listener.bind(address)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"Cannot listen on {host} port {port}: {error.strerror or error} "
            f"([DEFAULT] {prefix}bind_host, {prefix}bind_port)."
        ) from None
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Return the URL of a service behind a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
