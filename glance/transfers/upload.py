"""Take an image's data in: from a stream of bytes to an active image.

The catalogue moves twice, each time by one compare-and-swap: ``queued`` to ``saving`` together with
a lease, and ``saving`` to ``active`` together with the end of that lease and the data's location.
Whatever breaks off in between, the store forgets the partial data and the image is ``queued``
again; if the whole process dies, ``glance.transfers.recovery`` of another or of the next one does
the same.

What an upload may take of its owner's quota is decided in the same two transactions: room for data
of known length is reserved with the lease, and ends with it; data of unknown length may fill what
was left when it began, and is counted when it is all there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from glance.db import images, leases, quotas
from glance.db.txdbapi import Database
from glance.domain.digests import Digest, check_digests
from glance.domain.errors import (
    Conflict,
    GlanceError,
    Gone,
    Invalid,
    LimitExceeded,
    Unavailable,
)
from glance.domain.image import ACTIVE, QUEUED, SAVING, Image, Location, check_transition
from glance.domain.quotas import OwnerLimits, Quotas, Room
from glance.domain.viewer import Viewer
from glance.identity.limits import IOwnerLimits, SameForAll, under_limits
from glance.stores.errors import DataNotFound, DuplicateData
from glance.stores.interfaces import IStore, IStoreWriter, StoredData
from glance.transfers.hashing import Hashes
from glance.transfers.heartbeat import Heartbeat
from glance.transfers.inspecting import Inspector
from glance.transfers.pipeline import ByteSource, Pipeline
from glance.transfers.worker import WorkerIdentity


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be uploaded, and for whom.

    :param check: raises when the caller may not upload to the image; called in a thread.
    :param size: declared length of the data in bytes, ``None`` when it is not known.
    :param digests: those that the data must have.
    """

    image_id: str
    viewer: Viewer
    check: Callable[[Image], None]
    size: int | None = None
    digests: Sequence[Digest] = ()


@dataclass(frozen=True, slots=True)
class _Begun:
    """An upload that was let in.

    :param limits: those of the image's owner.
    :param room: what is left of them, where the data's length is not known.
    """

    image: Image
    lease: str
    limits: OwnerLimits
    room: Room | None


class _LeaseLost(Exception):
    """Internal: the lease is another's by now, so nothing of a transaction must stay."""


class _Progress:
    """What the heartbeat sees of an upload."""

    kind = leases.UPLOAD

    def __init__(self, source: ByteSource) -> None:
        self.bytes_done = 0
        self._source = source

    def lease_lost(self) -> None:
        self._source.fail(_removed())


def _stopping() -> Unavailable:
    return Unavailable("The service is stopping; try again.")


def _removed() -> Gone:
    return Gone("The image was deleted, or taken over by another request, during the upload.")


class Uploader:
    """Uploads images.

    :param database: the catalogue.
    :param heartbeat: keeps the leases of uploads under way.
    :param identity: this worker.
    :param make_hashes: makes a fresh :class:`~glance.transfers.hashing.Hashes` for an upload.
    :param make_inspector: makes what looks into the data of an image, if anything is to.
    :param size_cap: ``[DEFAULT] image_size_cap``, bytes.
    :param limits: knows what each owner's images may take.
    """

    _log = Logger()

    def __init__(
        self,
        database: Database,
        heartbeat: Heartbeat,
        identity: WorkerIdentity,
        make_hashes: Callable[[], Hashes],
        make_inspector: Callable[[Image], Inspector | None],
        size_cap: int,
        limits: IOwnerLimits | None = None,
    ) -> None:
        self._database = database
        self._heartbeat = heartbeat
        self._identity = identity
        self._make_hashes = make_hashes
        self._make_inspector = make_inspector
        self._check_size = Quotas(image_size_cap=size_cap).check_size
        self._limits = limits or SameForAll()
        self._under_way: set[ByteSource] = set()
        self._stopping = False
        self._idle: Deferred[None] | None = None

    async def upload(self, order: Order, source: ByteSource, store: IStore) -> None:
        """Store the data of a queued image and make it active.

        :raises NotFound: the caller does not see such an image.
        :raises Invalid: formats are not set, or the data's length or digest is not what was
            declared.
        :raises InvalidStatus: the image is not queued.
        :raises Conflict: another upload of this image is under way.
        :raises LimitExceeded: the data is longer than an image may be, or than its owner's quota
            has room for.
        :raises Gone: the image was deleted meanwhile.
        :raises Unavailable: the service is stopping.
        :raises StoreError: the store failed.
        """
        if self._stopping:
            raise _stopping()
        self._under_way.add(source)
        try:
            await self._take_in(order, source, store)
        finally:
            self._under_way.remove(source)
            if self._idle is not None and not self._under_way:
                self._idle.callback(None)

    def stop(self) -> Deferred[None]:
        """Break off the uploads under way; the Deferred fires when their images are usable again.

        Those whose data has all been stored by then are finished instead.
        """
        self._stopping = True
        for source in list(self._under_way):
            source.fail(_stopping())
        if not self._under_way:
            return succeed(None)
        self._idle = Deferred()
        return self._idle

    async def _take_in(self, order: Order, source: ByteSource, store: IStore) -> None:
        begun = await under_limits(
            self._limits,
            order.viewer.project_id,
            lambda limits: self._database.runInteraction(
                self._thd_begin, order, store.store_id, limits
            ),
        )
        image, lease = begun.image, begun.lease
        writer = None
        progress = _Progress(source)
        release = self._heartbeat.hold(lease, progress)
        try:
            writer = await self._open(store, image, order.size)
            hashes = self._make_hashes()
            hashes.add(digest.algorithm for digest in order.digests)
            inspector = self._make_inspector(image)
            pipeline = Pipeline(source, writer, hashes, inspector, progress)
            await self._stream(source, pipeline, order.size, begun.room)
            check_digests(order.digests, hashes.digest)
            virtual_size = None if inspector is None else await inspector.finish()
            stored: StoredData = await writer.commit()
        except BaseException as error:
            self._log.warn(
                "Image {id}: upload broken off after {count} bytes: {error}",
                id=image.id,
                count=progress.bytes_done,
                error=error,
            )
            if writer is not None:
                await self._abort(writer)
            await self._requeue(image, lease)
            raise
        finally:
            release()
        location = Location(stored.url, {**stored.metadata, "store": store.store_id})
        values = {
            "size": stored.size,
            "virtual_size": virtual_size,
            "checksum": hashes.checksum,
            "os_hash_algo": hashes.algorithm,
            "os_hash_value": hashes.value,
        }
        await self._finish(begun, order.viewer, writer, location, values)

    def _thd_begin(
        self, connection: Connection, order: Order, store_id: str, limits: OwnerLimits
    ) -> _Begun:
        # All is decided on the image as it is now and stays until this transaction has ended.
        image = images.thd_get(connection, order.image_id, order.viewer, lock=True)
        order.check(image)
        check_transition(image, SAVING)
        if order.size is not None:
            self._check_size(order.size)
        room = quotas.thd_check_upload(connection, image, limits, order.size, order.viewer)
        who = self._identity
        lease = leases.thd_take(
            connection,
            image.id,
            leases.UPLOAD,
            who.node,
            who.worker,
            store_id,
            # Limit or none: others may know of one.
            bytes_reserved=order.size or 0,
        )
        if lease is None or not images.thd_set_status(connection, image.id, QUEUED, SAVING):
            raise Conflict(f"Image {image.id} is being changed by another request.")
        return _Begun(image, lease, limits, room)

    async def _finish(
        self,
        begun: _Begun,
        viewer: Viewer,
        writer: IStoreWriter,
        location: Location,
        values: dict[str, Any],
    ) -> None:
        image, lease = begun.image, begun.lease
        try:
            await self._database.runInteraction(_thd_finish, begun, viewer, location, values)
        except _LeaseLost:
            # By now another upload may have stored data under the same URL.
            await self._take_back(writer)
            await self._database.runInteraction(leases.thd_end, lease)
            raise _removed() from None
        except LimitExceeded as error:
            self._log.warn("Image {id}: refused when complete: {error}", id=image.id, error=error)
            await self._take_back(writer)
            await self._requeue(image, lease)
            raise
        except Exception:
            # Whether the image is active is unknown when the connection broke in the commit, so
            # the data stays; recovery removes it should the image turn out to be saving.
            self._log.error("Image {id}: data stored, but not recorded", id=image.id)
            raise

    async def _open(self, store: IStore, image: Image, size: int | None) -> IStoreWriter:
        try:
            return await store.open_writer(image.id, size)
        except DuplicateData:
            # A queued image has no data: this is what a process left that died after storing it
            # and before saying so. We hold the image's lease, so nobody else wants it.
            self._log.warn("Removing orphaned data of image {id}", id=image.id)
            for url in store.url_for(image.id):
                await self._forget(store, url)
            return await store.open_writer(image.id, size)

    async def _stream(
        self, source: ByteSource, pipeline: Pipeline, size: int | None, room: Room | None
    ) -> None:
        offset = 0
        try:
            while (buffer := await source.next()) is not None:
                end = offset + buffer.filled
                try:
                    self._check_size(end)
                    if size is not None and end > size:
                        raise _wrong_size(size)
                    if room is not None:
                        room.check(end)
                except GlanceError:
                    source.release(buffer)
                    raise
                pipeline.feed(offset, buffer)
                offset = end
        finally:
            await pipeline.drain()
        pipeline.check()
        if size is not None and offset != size:
            raise _wrong_size(size)

    async def _abort(self, writer: IStoreWriter) -> None:
        try:
            await writer.abort()
        except GlanceError as error:
            # A store that hangs: what it still holds is swept once its writer is gone.
            self._log.warn("Could not remove an unfinished upload: {error}", error=error)

    async def _take_back(self, writer: IStoreWriter) -> None:
        try:
            await writer.take_back()
        except GlanceError as error:
            self._log.error("Could not remove data of a failed upload: {error}", error=error)

    async def _requeue(self, image: Image, lease: str) -> None:
        try:
            await self._database.runInteraction(thd_requeue, image.id, lease)
        except Exception as error:
            # The lease stops beating now, so recovery does it later.
            self._log.warn("Image {id} stays saving for now: {error}", id=image.id, error=error)

    async def _forget(self, store: IStore, url: str) -> None:
        try:
            await store.delete(url)
        except DataNotFound:
            pass
        except GlanceError as error:
            self._log.error("Could not remove data of a failed upload: {error}", error=error)


def _wrong_size(size: int) -> Invalid:
    return Invalid(f"The image data is not the declared {size} bytes long.")


def _thd_finish(
    connection: Connection,
    begun: _Begun,
    viewer: Viewer,
    location: Location,
    values: dict[str, Any],
) -> None:
    image = begun.image
    if not images.thd_set_status(connection, image.id, SAVING, ACTIVE, values):
        raise _LeaseLost
    if begun.room is not None:
        # Without a location yet, the image itself does not count.
        quotas.thd_check_more(connection, image, begun.limits, values["size"], viewer)
    if not leases.thd_end(connection, begun.lease, leases.UPLOAD):
        raise _LeaseLost
    images.thd_add_location(connection, image.id, location)


def thd_requeue(connection: Connection, image_id: str, lease: str) -> bool:
    """Make the image of a failed upload usable again, if the lease on it still stands.

    :returns: whether it was.
    """
    images.thd_lock(connection, image_id)
    if not leases.thd_end(connection, lease):
        return False
    nothing = {"size": None, "virtual_size": None, "checksum": None}
    return images.thd_set_status(connection, image_id, SAVING, QUEUED, nothing)
