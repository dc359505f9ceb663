"""Image data as it goes to a service.

Nothing limits how long all of it may take; what is limited is how long nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from glance.remote.errors import Unreachable, WrongLength
from glance.remote.splicing import Outlet, skip
from glance.remote.streams import IByteReceiver, IByteStream, ISpliceable
from glance.remote.watching import STALL_TIME, Watch

#: Seconds that a service gets to say that it wants the data, before it is sent unasked.
WANTED_TIME = 1.0

#: Seconds for the answer once all data is sent; and bytes for each of which it gets a second more,
#: since some services copy or hash all of it then.
ANSWER_TIME = 120.0
ANSWER_RATE = 10_000_000


@implementer(IBodyProducer, IByteReceiver)
class UploadBody:
    """A stream as the body of a request, at the pace of whoever takes it.

    The stream is not started before the body is wanted.

    :param size: how many bytes will come; ``None`` for not known.
    :param place: host and port of the service that takes it, for messages.
    :param wanted_time: seconds to wait for its wanting the body; 0 to send it unasked.
    :param stall_time: seconds without progress after which the service is given up.
    :ivar begun: whether the stream was started.
    :ivar unasked: whether it was because ``wanted_time`` had passed.
    :ivar late: called when the service has taken nothing, or said nothing, for too long.
    :ivar trouble: what to say of that.
    """

    def __init__(
        self,
        reactor: Any,
        stream: IByteStream,
        size: int | None,
        place: str,
        *,
        wanted_time: float = WANTED_TIME,
        stall_time: float = STALL_TIME,
    ) -> None:
        self.length = UNKNOWN_LENGTH if size is None else size
        self.begun = False
        self.unasked = False
        self.late: Callable[[], object] = int
        self.trouble: Unreachable | None = None
        self._stream = stream
        self._size = size
        self._place = place
        self._wanted_time = wanted_time
        self._stall_time = stall_time
        self._patience = stall_time
        self._watch = Watch(reactor, self._due)
        self._sent = 0
        self._unsent: Callable[[], int] = int
        self._outlet: Outlet | None = None
        self._left = 0
        self._paused = False
        self._consumer: Any = None
        self._done: Deferred[None] | None = None
        self._coming: Deferred[None] | None = None

    # What the connection asks for.

    def connected(self, unsent: Callable[[], int], outlet: Outlet | None = None) -> None:
        """Note that the request's head is being sent.

        :param unsent: tells how many bytes the connection has still to hand to the system.
        :param outlet: where the body can go without coming through us; ``None`` for nowhere.
        """
        self._unsent = unsent
        self._outlet = outlet

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Send the body, once it is wanted."""
        self._consumer = consumer
        done = self._done = Deferred(lambda _: self._let_go())
        if self._wanted_time:
            self._watch.begin(self._wanted_time)
        else:
            self.proceed()
        return done

    def proceed(self) -> None:
        """Send: the body is wanted."""
        if self.begun or self._done is None:
            return
        self.begun = True
        self._watch.end()
        self._coming = self._stream.start(self)
        if self._paused:
            self.pauseProducing()
        self._coming.addCallbacks(self._complete, self._broken)

    def pauseProducing(self) -> None:
        """Send no more for now."""
        self._paused = True
        if self.begun:
            self._stream.pause()
            self._left = self._unsent()
            self._watch.begin(self._stall_time)

    def resumeProducing(self) -> None:
        """Go on."""
        # A kept connection says so too if it was its last request's body that had been paused.
        if self._paused:
            self._paused = False
            if self.begun:
                self._watch.end()
                self._stream.resume()

    def stopProducing(self) -> None:
        """Send no more: there was an answer, or the connection is lost."""
        self.over()

    def over(self) -> None:
        """Note that the request is over."""
        self._done = None
        self._let_go()

    # What the stream tells.

    def write(self, data: bytes) -> None:
        """Send the next bytes."""
        if self._done is None:
            return
        self._sent += len(data)
        if self._size is not None and self._sent > self._size:
            self._fail(WrongLength(f"There are more than {self._size} bytes of data."))
            return
        self._consumer.write(data)
        if self._outlet is not None and self._size is not None:
            self._shorten(self._outlet, self._size - self._sent)

    def _shorten(self, outlet: Outlet, left: int) -> None:
        """Have the rest go straight from connection to connection, if that is possible."""
        stream = ISpliceable(self._stream, None)
        if stream is None or stream.splice(outlet, left, self, self._passed):
            self._outlet = None

    def _passed(self, count: int) -> None:
        self._sent += count
        skip(self._consumer, count)

    def _complete(self, _: None) -> None:
        if self._done is None:
            return
        if self._size is not None and self._sent != self._size:
            self._fail(WrongLength(f"There are {self._sent} bytes of data, not {self._size}."))
            return
        self._patience = ANSWER_TIME + self._sent / ANSWER_RATE
        self._left = self._unsent()
        self._watch.begin(self._patience)
        done, self._done = self._done, None
        done.callback(None)

    def _broken(self, failure: Failure) -> None:
        if self._done is not None:
            self._fail(failure)

    def _fail(self, failure: Failure | Exception) -> None:
        done, self._done = self._done, None
        self._let_go()
        assert done is not None
        done.errback(failure)

    def _let_go(self) -> None:
        """Have nothing more come. A stream that was not begun may still serve another body."""
        self._watch.stop()
        if self._coming is not None:
            self._coming.cancel()
        if self.begun:
            self._stream.stop()

    def _due(self) -> None:
        if not self.begun:
            self.unasked = True
            self.proceed()
            return
        left = self._unsent()
        if left != self._left:
            # It is slow, but it does something.
            self._left = left
            self._watch.begin(self._patience)
            return
        what = "has taken no data for" if self._paused else "had all data, but no answer, for"
        self.trouble = Unreachable(f"{self._place} {what} {self._patience:.0f} s.")
        self.late()
