"""Proving data on its way to a service that cannot be told what hash it is to have.

Such a service would make an image of whatever comes. So the end of the data is held back until the
hash of all of it fits; where it does not, the upload is left unfinished, and the service has to
throw it away.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from glance.remote.streams import IByteReceiver, IByteStream
from glance.replicate.errors import WrongData
from glance.replicate.hashing import Conveyor, ExpectedHash, new_hash
from glance.stores.threads import Threads

#: Bytes that are hashed at a time: below some, the way to the thread costs more than the hash.
_PORTION = 128 * 1024


@implementer(IByteStream, IByteReceiver)
class Prover:
    """Passes on the bytes of a stream, the last of them only if all are the right ones.

    :param stream: all data of an image, not started.
    :param threads: where it is hashed.
    :param expected: the hash that it has to have.
    :param what: to call the data in messages, such as the image and where it comes from.
    :raises WrongData: there is no data, but should be. That is known before anybody is told that an
        upload begins, which for no data is all of it.
    """

    def __init__(
        self, stream: IByteStream, threads: Threads, expected: ExpectedHash, what: str
    ) -> None:
        self.size = stream.size
        self.offset = 0
        self._stream = stream
        self._expected = expected
        self._what = what
        self._hash = new_hash(expected.algorithm)
        if self.size == 0 and not expected.fits(self._hash):
            stream.stop()
            raise self._wrong()
        self._conveyor = Conveyor(threads, [self._hash.update], _PORTION, self._hashed)
        self._receiver: IByteReceiver | None = None
        self._inner: Deferred[None] | None = None
        self._done: Deferred[None] | None = None
        self._held = b""
        self._lagging = False
        self._unwanted = False
        self._paused = False
        self._ended = False

    def start(self, receiver: IByteReceiver) -> Deferred[None]:
        """Let the bytes come.

        :raises WrongData: they are not the image's; the last ones were not passed on.
        """
        assert self._done is None
        done = self._done = Deferred(lambda _: self.stop())
        if self._ended:
            done.cancel()
            return done
        self._receiver = receiver
        inner = self._inner = self._stream.start(self)
        inner.addCallback(self._all_came).addCallbacks(self._pass_last, self._fail)
        return done

    def pause(self) -> None:
        """Let no more come until :meth:`resume`; those on their way may still do."""
        self._unwanted = True
        self._adjust()

    def resume(self) -> None:
        """Let them come again."""
        self._unwanted = False
        self._adjust()

    def stop(self) -> None:
        """Let go of the stream."""
        if not self._ended:
            self._end()
            self._stream.stop()

    def write(self, data: bytes) -> None:
        """Take the next bytes from the stream and pass on those before."""
        if self._ended or not data:
            return
        held, self._held = self._held, data
        self._conveyor.put(data)
        if self._conveyor.full:
            self._lagging = True
            self._adjust()
        if held:
            assert self._receiver is not None
            self._receiver.write(held)

    def _hashed(self) -> None:
        if self._conveyor.error is not None and not self._ended:
            self._stream.stop()
            self._fail(Failure(self._conveyor.error))
        elif self._lagging:
            self._lagging = False
            self._adjust()

    def _adjust(self) -> None:
        wanted = not (self._unwanted or self._lagging)
        if self._ended or wanted is not self._paused:
            return
        self._paused = not wanted
        if wanted:
            self._stream.resume()
        else:
            self._stream.pause()

    def _all_came(self, _: None) -> Deferred[None]:
        return self._conveyor.finish()

    def _pass_last(self, _: None) -> None:
        if self._ended:
            return
        if not self._expected.fits(self._hash):
            self._fail(Failure(self._wrong()))
            return
        held = self._held
        self._end()
        assert self._done is not None and self._receiver is not None
        if held:
            try:
                self._receiver.write(held)
            except Exception:
                self._done.errback(Failure())
                return
        self._done.callback(None)

    def _fail(self, failure: Failure) -> None:
        if not self._ended:
            self._end()
            assert self._done is not None
            self._done.errback(failure)

    def _end(self) -> None:
        self._ended = True
        self._held = b""
        self._conveyor.stop()

    def _wrong(self) -> WrongData:
        found: Any = self._hash.hexdigest()
        algorithm, digest = self._expected
        return WrongData(
            f"{self._what}: the data is not the image's, for its {algorithm} is {found} and should"
            f" be {digest}."
        )
