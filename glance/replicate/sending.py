"""Sending an image's data to a service, so that none but the right one can become the image's.

A service that compares hashes is told the one that the data has to have. Towards any other the data
is hashed here, and its end withheld until that fits (:mod:`glance.replicate.proving`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from glance.remote.digests import content_digest
from glance.remote.errors import Answered
from glance.remote.images import RemoteImages
from glance.remote.streams import IByteStream
from glance.replicate.counting import Counted
from glance.replicate.errors import WrongData
from glance.replicate.interfaces import Moved
from glance.replicate.record import ImageRecord

if TYPE_CHECKING:
    from glance.stores.threads import Threads

#: What a service says that it has compared data with, where that does not fit (400).
CONTENT_DIGEST = "Content-Digest"
_BAD_REQUEST = 400


class Sender:
    """Sends data to one service.

    :param threads: to hash in; threads of its own, made when they are needed, if none are given.
    """

    def __init__(self, images: RemoteImages, reactor: Any, threads: Threads | None) -> None:
        self._images = images
        self._reactor = reactor
        self._threads = threads
        self._own: Threads | None = None

    async def send(self, record: ImageRecord, stream: Any, moved: Moved) -> None:
        """Send an image's data.

        :param record: as the source has it.
        :param stream: the data; stopped in any case.
        :param moved: told how many bytes went through; takes them back if they were for nothing.
        :raises WrongData: it is not the image's.
        :raises GlanceError: it could not be sent.
        """
        if None not in (stream.size, record.size) and stream.size != record.size:
            stream.stop()
            raise WrongData(
                f"the source gives {stream.size} bytes of data, and says that it has {record.size}"
            )
        counted = Counted(stream, moved)
        if counted.size is None:
            counted.size = record.size
        digest = _statable(record)
        try:
            if digest is not None and await self._images.takes_digests():
                await self._send_stated(record, counted, digest)
            else:
                proven = self._proven(record, counted)
                await self._images.upload(record.image_id, proven, record.size)
        except BaseException:
            counted.lose()
            raise
        finally:
            counted.stop()

    async def _send_stated(
        self, record: ImageRecord, stream: IByteStream, digest: tuple[str, str]
    ) -> None:
        """Send data to a service that compares its hash."""
        try:
            await self._images.upload(record.image_id, stream, record.size, digest)
        except Answered as error:
            if error.status == _BAD_REQUEST and CONTENT_DIGEST in error.said:
                raise WrongData(error.message) from None
            raise

    def close(self) -> Deferred[None]:
        """End the threads, if they are its own."""
        own, self._own = self._own, None
        return own.stop() if own is not None else succeed(None)

    def _proven(self, record: ImageRecord, stream: IByteStream) -> IByteStream:
        # Most runs do without.
        from glance.replicate.hashing import expected_hash
        from glance.replicate.proving import Prover

        expected = expected_hash(record)
        if expected is None:
            # There is nothing to prove it by but its length.
            return stream
        return Prover(stream, self._running(), expected, f"image {record.image_id}")

    def _running(self) -> Threads:
        if self._threads is not None:
            return self._threads
        if self._own is None:
            from glance.replicate.dump_source import make_threads

            self._own = make_threads(self._reactor)
            self._own.start()
        return self._own


def _statable(record: ImageRecord) -> tuple[str, str] | None:
    """Return what proves the data best, of what can be stated with an upload."""
    for algorithm, value in (
        (record.hash_algorithm, record.hash_value),
        ("md5", record.checksum),
    ):
        if algorithm and value and content_digest(algorithm, value) is not None:
            return algorithm, value
    return None
