"""Take the listening sockets that a service manager opened (systemd's socket activation).

They are used instead of ``bind_host`` and ``bind_port``; one with the name ``internal`` is that of
the internal port. The service manager keeps them open while the service is restarted, so that
connections wait meanwhile, and nobody else needs the right to open a low port.

Source: sd_listen_fds(3), systemd.socket(5).
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from glance.domain.errors import ConfigError

#: Number of the first descriptor.
FIRST = 3
MAIN = "main"
INTERNAL = "internal"


def take_sockets(
    environ: MutableMapping[str, str] = os.environ, first: int = FIRST
) -> dict[str, socket.socket]:
    """Return the sockets that were handed to this process, by their use.

    The variables are taken out of the environment, so that no child takes the sockets for its own.

    :param first: number of the first descriptor.
    :raises ConfigError: what was handed over cannot be listened on, or its use is not clear.
    """
    count, pid = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if not count.isdigit() or pid != str(os.getpid()):
        return {}
    found: dict[str, socket.socket] = {}
    for index in range(int(count)):
        name = names[index] if index < len(names) else ""
        use = INTERNAL if name == INTERNAL else MAIN
        if use in found:
            raise ConfigError(
                f"The service manager handed over several sockets to listen on, and the names "
                f"({':'.join(names) or 'none'}) do not tell what for: give one the "
                f"FileDescriptorName={INTERNAL}, or leave it out."
            )
        found[use] = _checked(first + index, name)
    return found


def _checked(descriptor: int, name: str) -> socket.socket:
    what = f"Descriptor {descriptor} ({name or 'without a name'}) of the service manager"
    try:
        taken = socket.socket(fileno=descriptor)
        listens = taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ConfigError(f"{what} is not a socket: {error.strerror}.") from None
    if taken.family not in (socket.AF_INET, socket.AF_INET6) or taken.type != socket.SOCK_STREAM:
        raise ConfigError(f"{what} is not a TCP socket; write ListenStream=ADDRESS:PORT.")
    if not listens:
        raise ConfigError(f"{what} does not listen; leave out Accept=yes.")
    taken.set_inheritable(False)
    taken.setblocking(False)
    return taken
