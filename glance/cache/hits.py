"""Hits on their way to the index: gathered while it writes, so that no download waits for it.

A write begins with the first hit. What is counted before it has ended, and for a moment after that,
goes into the next one, all at once. So there is one write at a time, few in a second, and the more
hits there are, the more one of them takes: to write each by itself would cost more than to send a
small image.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.cache.interfaces import ICacheIndex
from glance.domain.errors import GlanceError

#: Images whose hits are kept for an index that cannot be written to.
MOST_KEPT = 10_000

#: Seconds from the end of a write to the next one.
PAUSE = 0.5

Batch = dict[str, tuple[int, float]]


class Hits:
    """Counts what was sent from the cache to the end.

    :param clock: tells the time since the epoch, and ends waiting.
    :param most: images whose hits are kept while the index cannot be written to; of those beyond,
        the ones that were sent longest ago are dropped.
    """

    _log = Logger()

    def __init__(self, index: ICacheIndex, clock: Any, most: int = MOST_KEPT) -> None:
        self._index = index
        self._clock = clock
        self._most = most
        #: What the next write takes, the image that was sent last at the end.
        self._waiting: Batch = {}
        self._writing = False
        self._pause: Any = None
        self._out_of_order = False
        self._stopped: Deferred[None] | None = None

    def count(self, image_id: str) -> None:
        """Note that a copy was sent to its end just now."""
        self._keep(image_id, 1, self._clock.seconds())
        if not self._writing and self._pause is None:
            self._write()

    def stop(self, patience: float = 5.0) -> Deferred[None]:
        """Write what is left.

        :param patience: seconds after which it is given up.
        :returns: a Deferred that fires when all is written or given up, and never fails.
        """
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        deadline = self._clock.callLater(patience, self._end)

        def ended(_: None) -> None:
            if deadline.active():
                deadline.cancel()

        stopped.addCallback(ended)
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if not self._writing:
            self._write()
        return stopped

    def _keep(self, image_id: str, more: int, at: float) -> None:
        before, last = self._waiting.pop(image_id, (0, at))
        self._waiting[image_id] = (before + more, max(last, at))
        while len(self._waiting) > self._most:
            del self._waiting[next(iter(self._waiting))]

    def _write(self) -> None:
        if not self._waiting:
            self._end()
            return
        batch, self._waiting = self._waiting, {}
        self._writing = True
        writing: Deferred[Any] = maybeDeferred(self._index.touch, batch)
        writing.addCallbacks(self._written, self._failed, errbackArgs=(batch,))

    def _written(self, result: object) -> None:
        self._writing = False
        if self._out_of_order:
            self._out_of_order = False
            self._log.info("Hits of the image cache are counted again")
        if self._stopped:
            self._write()
        else:
            self._pause = self._clock.callLater(PAUSE, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        if self._waiting and not self._out_of_order:
            self._write()

    def _failed(self, failure: Failure, batch: Batch) -> None:
        self._writing = False
        newer, self._waiting = self._waiting, batch
        for image_id, (more, at) in newer.items():
            self._keep(image_id, more, at)
        if not self._out_of_order:
            self._out_of_order = True
            words = "Hits of the image cache cannot be counted for now: {reason}"
            if failure.check(GlanceError):
                self._log.warn(words, reason=failure.getErrorMessage())
            else:
                self._log.failure(words, failure, reason=type(failure.value).__name__)
        # With the next hit it is tried again; at the end there is none.
        if self._stopped is None:
            self._pause = self._clock.callLater(PAUSE, self._go_on)
        self._end()

    def _end(self) -> None:
        stopped, self._stopped = self._stopped, None
        if stopped is None:
            return
        if self._waiting or self._writing:
            self._log.warn(
                "Hits of {count} images in the cache were not counted",
                count=len(self._waiting) or "some",
            )
        stopped.callback(None)
