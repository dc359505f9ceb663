"""The servers that can be controlled, by the names that they are called.

A new server is a new row of :data:`SERVERS`. Whether this installation has it is not written down
here but looked up: by the module that makes its service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

ALL = "all"


@dataclass(frozen=True, slots=True)
class Server:
    """A server below ``twistd``.

    :param name: its name for ``twistd``; without ``glance-`` it is understood as well.
    :param maker: the module that makes its service.
    :param arguments: what it is always started with.
    :param reloadable: whether it reads its configuration again on SIGHUP.
    :param needs: the option of ``[DEFAULT]`` without which there is nothing for it to do.
    :param absence: what to say where it is not there.
    """

    name: str
    maker: str
    arguments: tuple[str, ...] = ()
    reloadable: bool = False
    needs: str = ""
    absence: str = "it is not part of this installation"

    @property
    def short(self) -> str:
        """The name without ``glance-``."""
        return self.name.removeprefix("glance-")

    def available(self) -> bool:
        """Tell whether this installation has it."""
        try:
            return find_spec(self.maker) is not None
        except ModuleNotFoundError:
            return False


SERVERS: tuple[Server, ...] = (
    Server("glance-api", "glance.services.tap", reloadable=True),
    Server("glance-scrubber", "glance.services.scrubber_tap", ("--daemon",)),
    Server("glance-cache", "glance.services.cache_tap", reloadable=True, needs="image_cache_dir"),
    Server("glance-replicator", "glance.services.replicator_tap", reloadable=True, needs="watch"),
    Server(
        "glance-registry",
        "glance.services.registry_tap",
        absence="there is no such service any more, since glance-api works on the database itself",
    ),
)


def names(servers: Sequence[Server]) -> list[str]:
    """Return what can be typed for a server."""
    return [ALL, *(name for server in servers for name in (server.short, server.name))]


def resolve(name: str, servers: Sequence[Server]) -> list[Server]:
    """Return the servers that a name out of :func:`names` stands for."""
    return [server for server in servers if name in (ALL, server.name, server.short)]
