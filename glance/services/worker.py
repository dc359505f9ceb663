"""One worker process: serves the API at the parent's ports until told to stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.config import Loaded
from glance.services import messages
from glance.services.api import ApiService
from glance.services.messages import Decoder, Message
from glance.services.prepared import Prepared
from glance.services.signals import act_upon, stop_once

if TYPE_CHECKING:
    from glance.services.template import Birth

#: Seconds that a worker without a parent may take to end beyond its deadline.
ORPHANS_TIME = 15


class Link:
    """What joins a worker to the template: commands come, reports go.

    :param orphaned: what the end of the template amounts to.
    :param obey: called with each command.
    :ivar lost: whether the template is gone.
    """

    def __init__(
        self,
        reactor: Any,
        link: socket.socket,
        orphaned: Message,
        obey: Callable[[Message], None],
    ) -> None:
        self._reactor = reactor
        self._link = link
        self._orphaned = orphaned
        self._obey = obey
        self._decoder = Decoder()
        self.lost = False
        link.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._link.fileno()

    def logPrefix(self) -> str:
        """Return a name for the reactor's log."""
        return "link"

    def doRead(self) -> None:
        """Take in commands."""
        try:
            data = self._link.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        for message in self._decoder.feed(data):
            self._obey(message)

    def connectionLost(self, reason: Failure) -> None:
        """Take the end of the link as the parent's end."""
        self._lost()

    def _lost(self) -> None:
        self.lost = True
        self._reactor.removeReader(self)
        self._obey(self._orphaned)

    def say(self, word: str) -> None:
        """Report something."""
        with suppress(OSError):
            self._link.send(word.encode() + b"\n")


class Worker:
    """The life of a worker: accept, drain, end.

    :param say: reports in one word.
    :param stop: stops the reactor.
    :param drain_time: ``[DEFAULT] graceful_shutdown_timeout``.
    """

    _log = Logger()

    def __init__(
        self,
        service: Any,
        say: Callable[[str], None],
        stop: Callable[[], None],
        drain_time: float,
    ) -> None:
        self._service = service
        self._say = say
        self._stop = stop
        self._drain_time = drain_time
        self.failed = False
        service.accepting.addCallbacks(lambda _: say(messages.READY), self._cannot_start)
        service.drained.addCallback(lambda _: stop())

    def obey(self, message: Message) -> None:
        """Do what the parent says."""
        if message["do"] == messages.DRAIN:
            self._service.drain(
                message["seconds"],
                leaving=message["leaving"],
                take_waiting=message["take_waiting"],
            )
        elif message["do"] == messages.HURRY:
            self._stop()

    def end(self) -> None:
        """Drain, because somebody told this very process to end; others may go on."""
        self.obey(messages.drain(self._drain_time, leaving=False, take_waiting=True))

    def _cannot_start(self, failure: Failure) -> None:
        if self._service.running and not self._service.draining:
            self._log.failure("The service could not start", failure)
            self.failed = True
            self._stop()


def serve(born: Birth, loaded: Loaded, prepared: Prepared, listeners: list[socket.socket]) -> int:
    """Serve until told to stop.

    :returns: the exit code.
    :raises GlanceError: the service cannot be started so.
    """
    from twisted.internet import reactor as installed

    reactor: Any = installed
    service = ApiService(loaded, prepared, reactor, *listeners, first=born.number == 0)
    drain_time = loaded.conf.graceful_shutdown_timeout

    def stop() -> None:
        if link.lost:
            # Nobody is there to kill us, should a store hang on the way.
            signal.alarm(ORPHANS_TIME)
        stop_once(reactor)

    def obey(message: Message) -> None:
        worker.obey(message)

    orphaned = messages.drain(drain_time, leaving=True, take_waiting=True)
    link = Link(reactor, born.link, orphaned, obey)
    worker = Worker(service, link.say, stop, drain_time)
    reactor.addReader(link)
    reactor.callWhenRunning(act_upon, reactor, {signal.SIGTERM: worker.end})
    reactor.callWhenRunning(service.startService)
    if born.beat is not None:
        beat = LoopingCall(link.say, messages.BEAT)
        beat.clock = reactor
        reactor.callWhenRunning(beat.start, born.beat)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    return int(worker.failed)
