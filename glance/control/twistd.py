"""``python -m glance.control.twistd``: twistd, as a child that is watched from its start.

It is ``twistd`` in everything but two points. To become a daemon, ``twistd`` forks twice and leaves
its parent with the news that it started; how it ends is never heard, and what is written to
standard error is lost. Run from here it is in a session of its own already, so instead of forking
it only lets go of the terminal: standard output and error go nowhere or to a pipe that was given.
Its start is reported through a pipe in ``twistd``'s own words, ``0`` or ``1 <what is wrong>``. And
its pid file is made anew, never written through what has that name.

Without these descriptors in its environment it forks as ``twistd`` does.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from twisted.application import app
from twisted.application.service import IServiceCollection
from twisted.scripts._twistd_unix import ServerOptions, UnixApplicationRunner

from glance.control import OUTPUT_FD, STATUS_FD


class Runner(UnixApplicationRunner):
    """Runs a service as ``twistd`` does.

    :param config: the options of ``twistd``.
    :param status: the descriptor for the report; None: there is nobody to report to.
    :param output: the descriptor for output; None: to nowhere.
    """

    def __init__(self, config: Any, status: int | None, output: int | None) -> None:
        super().__init__(config)
        self._status = status
        self._output = output

    def setupEnvironment(
        self, chroot: Any, rundir: Any, nodaemon: Any, umask: Any, pidfile: str | None
    ) -> None:
        """Make the environment a server's; write a pid file that everybody may read.

        Who asks for the status may be another user. A link of the file's name is not followed: its
        directory may belong to somebody with fewer rights than ours.

        :raises FileExistsError: something of that name is there.
        """
        super().setupEnvironment(chroot, rundir, nodaemon, umask, None)
        if pidfile:
            with open(pidfile, "x") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(str(os.getpid()))

    def daemonize(self, reactor: Any) -> int:
        """Let go of the terminal; return where to report that all went well."""
        if self._status is None:
            return int(super().daemonize(reactor))
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        for number in (1, 2):
            os.dup2(null if self._output is None else self._output, number)
        os.close(null)
        if self._output is not None:
            os.close(self._output)
        return self._status


def run(config: Any) -> None:
    """Run the service that options name, to its end.

    :raises SystemExit: with 1 if the service says that it failed.
    """
    runner = Runner(config, _take(STATUS_FD), _take(OUTPUT_FD))
    runner.run()
    if any(getattr(part, "failed", False) for part in IServiceCollection(runner.application)):
        sys.exit(1)


def _take(variable: str) -> int | None:
    """Return a descriptor, and let nothing that is started from here find it."""
    text = os.environ.pop(variable, None)
    if text is None:
        return None
    os.set_inheritable(int(text), False)
    return int(text)


def main() -> None:
    """Run with the process's arguments."""
    # Until a server knows what to do, it must not end by being told to reload.
    signal.signal(signal.SIGHUP, lambda *_: None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As in whatever a shell runs in the background; it is how a stop is made quick.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    app.run(run, ServerOptions)


if __name__ == "__main__":
    main()
