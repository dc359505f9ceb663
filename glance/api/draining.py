"""End all connections of a server without losing a request.

Who is being answered gets the rest of the answer, who has begun to ask is answered, and then the
connection is closed, as the answer's ``Connection: close`` says. A connection that nobody uses is
closed at once, unless it was used a moment ago: its client may be sending the next request right
now, and would have to guess whether that arrived. It gets a moment for that.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall

#: Seconds since a connection's last answer, or since it was made, for which it may still be used.
GRACE = 1.0
FIRST_GRACE = 5.0

#: Seconds between looks at the connections that are left.
INTERVAL = 0.1

#: Seconds in which last words are sent on connections that are closed whatever is under way.
FLUSH_TIME = 1.0

#: Answers given on one connection to requests that wait already, before it is closed all the same.
MOST_ANSWERS = 1000


class Connection(Protocol):
    """What is to be known of a connection."""

    #: When it was made, and when its last answer was given.
    made_at: float
    answered_at: float | None

    def unused(self) -> bool:
        """Tell whether no request is under way, not even its first byte."""

    def loseConnection(self) -> None:
        """Close it when all is sent."""

    def abort(self) -> None:
        """Close it at once."""


class Connections:
    """The connections of a service, at all of its ports.

    :param reactor: keeps time.
    :ivar ending: whether they are being ended.
    :ivar leaving: whether nobody serves after us.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._open: set[Connection] = set()
        self._ended: Deferred[None] | None = None
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor
        self.ending = False
        self.leaving = False

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """Take note of a connection."""
        self._open.add(connection)

    def remove(self, connection: Connection) -> None:
        """Take note of a connection's end."""
        self._open.discard(connection)
        if self._ended is not None and not self._open:
            self.stop()

    def end(self) -> Deferred[None]:
        """End all connections; the Deferred fires when there is none any more.

        Those that come while it goes on are served as well. To be called once.
        """
        self.ending = True
        if not self._open:
            return succeed(None)
        self._ended = Deferred()
        self._loop.start(INTERVAL, now=True)
        return self._ended

    def stop(self) -> None:
        """Wait no longer; what is still open stays so."""
        if self._loop.running:
            self._loop.stop()
        ended, self._ended = self._ended, None
        if ended is not None:
            ended.callback(None)

    def close(self) -> None:
        """Close what is still open, whatever is under way."""
        for connection in list(self._open):
            connection.loseConnection()
        if self._open:
            self._reactor.callLater(FLUSH_TIME, self._abort)

    def _abort(self) -> None:
        for connection in list(self._open):
            connection.abort()

    def _look(self) -> None:
        now = self._reactor.seconds()
        for connection in list(self._open):
            if connection.answered_at is None:
                patience = connection.made_at + FIRST_GRACE
            else:
                patience = connection.answered_at + GRACE
            if now >= patience and connection.unused():
                connection.loseConnection()
