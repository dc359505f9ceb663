"""Tell the service manager how we are (systemd's ``sd_notify`` protocol).

A message is one datagram to the socket that ``NOTIFY_SOCKET`` names. Without that variable nothing
is sent, so callers need not ask. The variables are taken out of the environment: a child of ours
does not speak for the service.

Source: sd_notify(3), sd_watchdog_enabled(3), systemd.service(5).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

#: Bytes of a status line that are sent at most.
LONGEST_STATUS = 500

#: Seconds that a message which is sent but once waits for room in the service manager's queue.
PATIENCE = 1.0


class Notifier:
    """Sends messages to the service manager, if there is one that listens.

    :param address: path of its socket, or ``@`` and an abstract name; ``None`` for nobody.
    :param watchdog: seconds within which it wants to hear of us again and again, ``None`` for no
        such wish.
    """

    def __init__(self, address: str | None = None, watchdog: float | None = None) -> None:
        self._address = address
        self.watchdog_time = watchdog
        # A daemon forks after this was made.
        self._known_pid = os.getpid()

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier:
        """Make one by the variables of the service manager, which are then gone."""
        address = environ.pop("NOTIFY_SOCKET", None)
        microseconds = environ.pop("WATCHDOG_USEC", "")
        for_pid = environ.pop("WATCHDOG_PID", "")
        watchdog = None
        if microseconds.isdigit() and int(microseconds) and for_pid in ("", str(os.getpid())):
            watchdog = int(microseconds) / 1e6
        return cls(address or None, watchdog)

    def ready(self, status: str = "") -> None:
        """Say that the service serves: after the start, or after a reload, done or given up."""
        pid = os.getpid()
        lines = ["READY=1", *([f"MAINPID={pid}"] if pid != self._known_pid else [])]
        self._send(*lines, status=status, patience=PATIENCE)

    def reloading(self, status: str = "") -> None:
        """Say that a reload begins; :meth:`ready` ends it."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", status=status, patience=PATIENCE)

    def stopping(self, status: str = "") -> None:
        """Say that the service ends."""
        self._send("STOPPING=1", status=status, patience=PATIENCE)

    def status(self, status: str) -> None:
        """Say in a line what is being done."""
        self._send(status=status)

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str, status: str = "", patience: float = 0) -> None:
        if self._address is None:
            return
        if status:
            text = " ".join(status.split()).encode()[:LONGEST_STATUS].decode(errors="ignore")
            lines += (f"STATUS={text}",)
        where = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        # A service manager that does not listen must not keep us from serving, nor hold us up long.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(patience)
            sender.sendto("\n".join(lines).encode(), where)
