"""Delete an image: its data from the stores and its record from the catalogue.

An image with data goes in three steps: a lease, which keeps everybody else away; the data; the
record. A store that refuses leaves the image with the copies that are still there. A process that
dies in between leaves the lease, by which recovery finishes the deletion: no data is ever left
without a record of it.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection
from twisted.logger import Logger

from glance.db import images, leases, locations, sharing
from glance.db.txdbapi import Database
from glance.domain.errors import Conflict, Forbidden, NotFound
from glance.domain.image import (
    DELETED,
    PENDING_DELETE,
    TRANSITIONS,
    Image,
    Location,
    check_transition,
)
from glance.domain.viewer import Viewer
from glance.stores.errors import (
    DataNotFound,
    DeleteForbidden,
    DeleteNotSupported,
    InUse,
    UnknownStore,
)
from glance.stores.registry import Stores
from glance.transfers.heartbeat import Finisher, Heartbeat
from glance.transfers.worker import WorkerIdentity

#: What a store says that will not have its data deleted.
REFUSALS = (DeleteForbidden, InUse)

_EVERYTHING = Viewer(is_admin=True)


class Remover:
    """Deletes images.

    :param delayed: ``[DEFAULT] delayed_delete``: leave the data of deleted images to the scrubber.
    """

    _log = Logger()

    def __init__(
        self,
        database: Database,
        stores: Stores,
        heartbeat: Heartbeat,
        identity: WorkerIdentity,
        *,
        delayed: bool,
    ) -> None:
        self._database = database
        self._stores = stores
        self._heartbeat = heartbeat
        self._identity = identity
        self._delayed = delayed

    async def remove(self, image_id: str, viewer: Viewer, check: Callable[[Image], None]) -> None:
        """Delete an image.

        :param check: raises when the caller may not delete the image; called in a thread.
        :raises NotFound: the viewer does not see such an image.
        :raises Forbidden: it is protected, or the store does not allow it.
        :raises InvalidStatus: its status does not allow it.
        :raises Conflict: another request is changing it, or the store says it is in use.
        """
        image, lease = await self._database.runInteraction(self._thd_begin, image_id, viewer, check)
        if lease is None:
            return
        release = self._heartbeat.hold(lease, Finisher(leases.REMOVAL))
        try:
            await self.remove_data(image)
        except BaseException:
            await self._database.runInteraction(leases.thd_end, lease)
            raise
        finally:
            release()
        await self._database.runInteraction(thd_finish, image_id, lease)

    def _thd_begin(
        self, connection: Connection, image_id: str, viewer: Viewer, check: Callable[[Image], None]
    ) -> tuple[Image, str | None]:
        """Delete an image that has no data to wait for; take the lease of one that has."""
        image = images.thd_get(connection, image_id, viewer, lock=True)
        check(image)
        if image.protected:
            raise Forbidden(f"Image {image_id} is protected and cannot be deleted.")
        # Where the state machine has no pending_delete the data goes at once.
        delayed = (
            self._delayed and bool(image.locations) and PENDING_DELETE in TRANSITIONS[image.status]
        )
        check_transition(image, PENDING_DELETE if delayed else DELETED)
        if image.locations and not delayed:
            who = self._identity
            leases.thd_preempt(connection, image_id, leases.HASHING)
            lease = leases.thd_take(connection, image_id, leases.REMOVAL, who.node, who.worker)
            if lease is None:
                raise Conflict(f"Image {image_id} is being changed by another request; try again.")
            return image, lease
        images.thd_mark_deleted(connection, image, delayed=delayed)
        # An upload under way loses the right to finish, and has to remove what it stored.
        leases.thd_turn_to_removal(connection, image_id)
        return image, None

    async def remove_data(self, image: Image) -> None:
        """Delete every stored copy of an image's data; copies that are gone already are fine.

        One that is another image's stays. If a store refuses, the copies before its own are struck
        off the record: they are gone.
        """
        gone: list[Location] = []
        try:
            shared = await self._shared(image)
            for location in image.locations:
                if location.id in shared:
                    self._log.warn("Image {id}: data that another image has too stays", id=image.id)
                else:
                    await self._remove_copy(image, location)
                gone.append(location)
        except BaseException:
            if gone:
                await self._database.runInteraction(locations.thd_mark_gone, gone)
            raise

    async def _shared(self, image: Image) -> frozenset[int]:
        if not any(sharing.may_be_borrowed(image.id, place) for place in image.locations):
            return frozenset()
        places = {image.id: image.locations}
        return await self._database.runReading(sharing.thd_shared, places, {})

    async def _remove_copy(self, image: Image, location: Location) -> None:
        try:
            store = self._stores.for_url(location.url, location.store_id)
            await store.delete(location.url)
        except DataNotFound:
            self._log.warn("Image {id}: its data was gone already", id=image.id)
        except DeleteNotSupported:
            self._log.info("Image {id}: its data is on a foreign server and stays", id=image.id)
        except UnknownStore:
            self._log.warn(
                "Image {id}: its data is in a store that is not configured, and stays there",
                id=image.id,
            )


def thd_finish(connection: Connection, image_id: str, lease: str) -> None:
    """Record the deletion of an image whose data is gone.

    What others changed meanwhile, its status for one, makes no difference any more.
    """
    try:
        image = images.thd_get(connection, image_id, _EVERYTHING, lock=True)
    except NotFound:
        # Whoever took the lease over was faster.
        return
    images.thd_mark_deleted(connection, image, delayed=False)
    leases.thd_end(connection, lease)
