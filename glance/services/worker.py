"""One worker process: adopts the parent's port and serves the API until told to stop."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # A terminal sends it to parent and children alike, and it is the parent that ends its children.
    # What follows takes long enough to be interrupted.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

import contextlib
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure

from glance.config import load
from glance.domain.errors import GlanceError
from glance.services.api import ApiService
from glance.services.logs import start_logging
from glance.services.supervisor import INTERNAL_FD, LISTENER_FD, PARENT_FD


class _ParentWatch(FileDescriptor):
    """Notice when the parent has ended."""

    def __init__(self, reactor: Any, descriptor: int, ended: Callable[[], None]) -> None:
        super().__init__(reactor)
        self._descriptor = descriptor
        self._tell = ended

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        """Take the end of the pipe, the only thing that can come, as the parent's end."""
        self._ended()

    def connectionLost(self, reason: Failure) -> None:
        """Do the same: this is how epoll tells of a pipe without a writer."""
        super().connectionLost(reason)
        self._ended()

    def _ended(self) -> None:
        self.reactor.removeReader(self)
        self._tell()


def main(argv: list[str]) -> int:
    """Run a worker.

    :param argv: the options of ``glance-api``.
    :returns: the exit code.
    """
    try:
        return serve(argv)
    except GlanceError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1


def serve(argv: list[str]) -> int:
    """Serve until told to stop; parameters and result are those of :func:`main`.

    :raises GlanceError: the service cannot be started so.
    """
    loaded = load("glance-api", argv)
    start_logging(loaded.conf, "glance-api", under_twistd=False)
    from twisted.internet import reactor as installed

    reactor: Any = installed
    listener = socket.socket(fileno=LISTENER_FD)
    internal = None
    if loaded.conf.internal_bind_port is not None:
        internal = socket.socket(fileno=INTERNAL_FD)
    service = ApiService(loaded, reactor, listener, internal)
    os.set_blocking(PARENT_FD, False)

    def end() -> None:
        # We may be on our way out already.
        with contextlib.suppress(ReactorNotRunning):
            reactor.stop()

    reactor.addReader(_ParentWatch(reactor, PARENT_FD, end))
    # It may come twice, from our parent and from a service manager that sends it to all.
    reactor.callWhenRunning(signal.signal, signal.SIGTERM, lambda *_: reactor.callFromThread(end))
    reactor.callWhenRunning(service.startService)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    return int(service.failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
