"""What a worker does when it is told to, and what it says."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from glance.domain.errors import ConfigError
from glance.services import messages
from glance.services.messages import Decoder
from glance.services.worker import Link, Worker
from tests.unit.services.processes import LoggedCase


class Service:
    """The API, which does nothing."""

    running = True
    draining = False

    def __init__(self) -> None:
        self.accepting: Deferred[None] = Deferred()
        self.drained: Deferred[None] = Deferred()
        self.told: list[Any] = []

    def drain(self, seconds: float, *, leaving: bool, take_waiting: bool) -> None:
        self.draining = True
        self.told.append((seconds, leaving, take_waiting))


class WorkerTests(LoggedCase):
    def setUp(self) -> None:
        super().setUp()
        self.service = Service()
        self.said: list[str] = []
        self.stops: list[int] = []
        self.worker = Worker(
            self.service, self.said.append, lambda: self.stops.append(1), drain_time=60
        )

    def test_says_when_it_accepts(self) -> None:
        assert self.said == []
        self.service.accepting.callback(None)
        assert self.said == ["ready"]

    def test_ends_when_it_is_drained(self) -> None:
        message = {"do": "drain", "seconds": 5, "leaving": False, "take_waiting": True}
        self.worker.obey(message)
        assert self.service.told == [(5, False, True)]
        assert self.stops == []
        self.service.drained.callback(None)
        assert self.stops == [1]

    def test_hurry(self) -> None:
        self.worker.obey({"do": messages.HURRY})
        assert self.stops == [1]

    def test_told_to_end_by_a_signal(self) -> None:
        self.worker.end()
        assert self.service.told == [(60, False, True)]

    def test_cannot_start(self) -> None:
        self.service.accepting.errback(ZeroDivisionError())
        assert (self.worker.failed, self.stops, self.said) == (True, [1], [])
        self.flushLoggedErrors(ZeroDivisionError)

    def test_told_to_end_before_it_accepts(self) -> None:
        self.worker.end()
        self.service.accepting.errback(ConfigError("it was told to end"))
        assert not self.worker.failed


class Readers:
    """A reactor, as far as a link needs one."""

    def __init__(self) -> None:
        self.removed: list[Any] = []

    def removeReader(self, reader: Any) -> None:
        self.removed.append(reader)


class LinkTests(LoggedCase):
    def setUp(self) -> None:
        super().setUp()
        self.template, theirs = socket.socketpair()
        self.addCleanup(self.template.close)
        self.addCleanup(theirs.close)
        self.obeyed: list[Any] = []
        self.reactor = Readers()
        self.link = Link(self.reactor, theirs, {"do": "orphaned"}, self.obeyed.append)

    def test_commands(self) -> None:
        self.link.doRead()
        self.template.send(b'{"do":"hur')
        self.link.doRead()
        assert self.obeyed == []
        self.template.send(b'ry"}\n{"do":"kill"}\n')
        self.link.doRead()
        assert [message["do"] for message in self.obeyed] == ["hurry", "kill"]

    def test_words(self) -> None:
        self.link.say("ready")
        assert self.template.recv(100) == b"ready\n"

    def test_template_that_is_gone(self) -> None:
        self.template.close()
        self.link.say("ready")
        self.link.doRead()
        assert self.obeyed == [{"do": "orphaned"}]
        assert self.reactor.removed == [self.link]

    def test_connection_lost(self) -> None:
        self.link.connectionLost(Failure(ZeroDivisionError()))
        assert self.obeyed == [{"do": "orphaned"}]


def test_messages_come_in_pieces() -> None:
    decoder = Decoder()
    data = b"".join(messages.encode({"event": "ready", "number": n}) for n in range(3))
    found = [m for n in range(len(data)) for m in decoder.feed(data[n : n + 1])]
    assert [message["number"] for message in found] == [0, 1, 2]
