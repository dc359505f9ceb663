"""The process that the workers of one generation are made from.

It loads the configuration and all that it names once, imports what a worker needs, and then makes
workers by ``fork``, as its parent, the supervisor, tells it. So a worker that died is replaced
within milliseconds, by one that knows the same as its siblings whatever has become of the files,
and what all of them have in memory is there once.

It runs no reactor: that belongs to the workers, each of which makes its own. It ends when there are
no more workers and none are to come; when its parent is gone it drains, and lets nothing outlive
that for long.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time
import types
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from twisted.logger import Logger

from glance.config import Loaded, load
from glance.domain.errors import ConfigError, GlanceError
from glance.identity.flavors import authenticates
from glance.services import messages
from glance.services.listening import is_loopback
from glance.services.messages import Decoder, Message
from glance.services.signals import held

#: Descriptors that a template inherits: commands, reports, and from the third on listening sockets.
COMMANDS_FD = 3
REPORTS_FD = 4
LISTENERS_FD = 5

#: Terminals and service managers send these to all processes, and it is the supervisor that acts on
#: them. It starts a template with these held, so that they do not end it before it ignores them.
NOT_FOR_US = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)

#: Seconds beyond the deadline after which workers that nobody looks after are killed.
ORPHANS_TIME = 15.0


@dataclass(frozen=True, slots=True)
class Birth:
    """What a new worker is given.

    :param number: which of the workers it is.
    :param link: to the template: commands come, reports go.
    :param beat: seconds between signs of life, ``None`` for none.
    """

    number: int
    link: socket.socket
    beat: float | None


class Template:
    """Makes workers and looks after them.

    :param shutdown_time: ``[DEFAULT] graceful_shutdown_timeout``, for when the parent is gone.
    :param listeners: descriptors of the listening sockets.
    """

    def __init__(
        self,
        shutdown_time: float,
        listeners: list[int],
        commands: int = COMMANDS_FD,
        reports: int = REPORTS_FD,
    ) -> None:
        self._shutdown_time = shutdown_time
        self._listeners = listeners
        self._commands: int | None = commands
        self._reports = reports
        self._decoder = Decoder()
        #: By process number: which worker, and the link to it.
        self._workers: dict[int, tuple[int, socket.socket]] = {}
        self._finishing = False
        self._kill_at: float | None = None
        self._wake, self._woken = os.pipe()

    def run(self) -> Birth | None:
        """Do as told until there is nothing left to look after.

        :returns: in a worker, what it is to begin with; ``None`` in the template, at the end.
        """
        for descriptor in (self._wake, self._woken):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while not (self._finishing and not self._workers):
            born = self._turn()
            if born is not None:
                return born
        return None

    def _turn(self) -> Birth | None:
        links = {link.fileno(): pid for pid, (_, link) in self._workers.items()}
        watched = [self._wake, *links, *([] if self._commands is None else [self._commands])]
        patience = None if self._kill_at is None else max(0.0, self._kill_at - time.monotonic())
        readable, _, _ = select.select(watched, [], [], patience)
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill_at = None
            self._kill()
        if self._wake in readable:
            with suppress(BlockingIOError):
                os.read(self._wake, 4096)
        for descriptor in links.keys() & set(readable):
            self._hear(links[descriptor])
        self._bury()
        if self._commands in readable:
            return self._obey_all()
        return None

    # What the supervisor says.

    def _obey_all(self) -> Birth | None:
        assert self._commands is not None
        data = os.read(self._commands, 65536)
        if not data:
            # Nobody is there to go on for.
            os.close(self._commands)
            self._commands = None
            self._finish()
            self._pass_on(messages.drain(self._shutdown_time, leaving=True, take_waiting=True))
            if self._shutdown_time:
                self._kill_at = time.monotonic() + self._shutdown_time + ORPHANS_TIME
            return None
        for message in self._decoder.feed(data):
            born = self._obey(message)
            if born is not None:
                return born
        return None

    def _obey(self, message: Message) -> Birth | None:
        what = message["do"]
        if what == messages.START:
            return None if self._finishing else self._start(message["number"], message["beat"])
        if what == messages.KILL:
            self._finish()
            self._kill()
        else:
            self._finish()
            self._pass_on(message)
        return None

    def _finish(self) -> None:
        """Make no more workers, and hold no port open, for who holds one has a queue."""
        self._finishing = True
        while self._listeners:
            os.close(self._listeners.pop())

    def _pass_on(self, message: Message) -> None:
        for _, link in self._workers.values():
            # One that is gone is about to be buried.
            with suppress(OSError):
                link.sendall(messages.encode(message))

    def _kill(self) -> None:
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)

    # Workers.

    def _start(self, number: int, beat: float | None) -> Birth | None:
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            self._refuse(number, error)
            return None
        # None may come between the fork and the new process's being a worker.
        with held(signal.SIGTERM, signal.SIGCHLD):
            try:
                pid = os.fork()
            except OSError as error:
                ours.close()
                theirs.close()
                self._refuse(number, error)
                return None
            if not pid:
                ours.close()
                self._forget_everything()
                return Birth(number, theirs, beat)
        theirs.close()
        self._workers[pid] = (number, ours)
        self._report(messages.STARTED, number=number, pid=pid)
        return None

    def _refuse(self, number: int, error: OSError) -> None:
        self._report(messages.REFUSED, number=number, error=str(error))

    def _forget_everything(self) -> None:
        """In a new worker: let go of what is the template's."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        for _, link in self._workers.values():
            link.close()
        for descriptor in (self._wake, self._woken, self._commands, self._reports):
            if descriptor is not None:
                os.close(descriptor)

    def _hear(self, pid: int) -> None:
        number, link = self._workers[pid]
        with suppress(OSError):
            for line in link.recv(4096).decode().split():
                # One word is all that a worker ever says.
                self._report(line, number=number, pid=pid)

    def _bury(self) -> None:
        for pid in list(self._workers):
            found, status = os.waitpid(pid, os.WNOHANG)
            if not found:
                continue
            self._hear_last(pid)
            number, link = self._workers.pop(pid)
            link.close()
            code = os.waitstatus_to_exitcode(status)
            self._report(messages.ENDED, number=number, pid=pid, code=code)

    def _hear_last(self, pid: int) -> None:
        self._workers[pid][1].setblocking(False)
        self._hear(pid)

    def _report(self, event: str, **more: Any) -> None:
        with suppress(OSError):
            os.write(self._reports, messages.encode({"event": event, **more}))


def import_without_reactor() -> None:
    """Import what workers run, and see to it that no reactor comes of that.

    A reactor's descriptors must not be shared, so each worker makes its own; but Klein imports the
    reactor for a method that nobody calls here. It gets something of that name instead.
    """
    name = "twisted.internet.reactor"
    if name in sys.modules:
        raise RuntimeError("there is a reactor already")
    sys.modules[name] = types.ModuleType(name)
    try:
        import glance.services.worker  # noqa: F401
    finally:
        del sys.modules[name]


def check_access(loaded: Loaded, kind: str, addresses: Sequence[str]) -> None:
    """Check that nobody is let in by files that nobody has judged since the ports were opened.

    :param kind: ``messages.EMBEDDED`` if the service was started without a configuration file.
    :param addresses: that are listened on.
    :raises ConfigError: everybody would be.
    """
    if loaded.embedded and kind != messages.EMBEDDED:
        raise ConfigError("No configuration file is found any more.")
    if authenticates(loaded.conf.paste_deploy.flavor) or loaded.conf.allow_remote_without_auth:
        return
    for address in addresses:
        if not is_loopback(address):
            raise ConfigError(
                f"Nobody is authenticated any more ([paste_deploy] flavor), but {address} is "
                "listened on, which other machines reach."
            )


def _address_of(descriptor: int) -> str:
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        return str(listener.getsockname()[0])


def main(argv: list[str]) -> int:
    """Run a template, and in the processes that it makes, a worker.

    :param argv: the number of listening sockets, how the service was configured when it was
        started, then the options of ``glance-api``.
    :returns: the exit code.
    """
    for number in NOT_FOR_US:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NOT_FOR_US)
    count, kind, options = int(argv[0]), argv[1], argv[2:]
    for descriptor in range(COMMANDS_FD, LISTENERS_FD + count):
        os.set_inheritable(descriptor, False)
    try:
        import_without_reactor()
        from glance.services.logs import start_logging
        from glance.services.prepared import thd_prepare

        loaded = load("glance-api", options)
        if (2 if loaded.conf.internal_bind_port is not None else 1) != count:
            raise GlanceError("The configuration was changed again meanwhile.")
        check_access(loaded, kind, [_address_of(LISTENERS_FD + i) for i in range(count)])
        start_logging(loaded.conf, "glance-api")
        prepared = thd_prepare(loaded.conf)
    except GlanceError as error:
        os.write(REPORTS_FD, messages.encode({"event": messages.REFUSED, "error": str(error)}))
        return 1
    os.write(REPORTS_FD, messages.encode({"event": messages.LOADED}))
    listeners = list(range(LISTENERS_FD, LISTENERS_FD + count))
    template = Template(loaded.conf.graceful_shutdown_timeout, list(listeners))
    # What is here by now stays: looking at it would make a copy of every page of it.
    gc.collect()
    gc.freeze()
    born = template.run()
    if born is None:
        return 0
    from glance.services.worker import serve

    try:
        return serve(born, loaded, prepared, [socket.socket(fileno=fd) for fd in listeners])
    except GlanceError as error:
        Logger().critical("Worker {number}: {error}", number=born.number, error=error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
