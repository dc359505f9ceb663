"""Delete an image: its data from the stores and its record from the catalogue.

An image with data goes in three steps: a lease, which keeps everybody else away; the data; the
record. A store that refuses leaves the image as it was. A process that dies in between leaves the
lease, by which recovery finishes the deletion: no data is ever left without a record of it.
"""

from __future__ import annotations

from sqlalchemy import Connection
from twisted.logger import Logger

from glance.db import images, leases
from glance.db.txdbapi import Database
from glance.domain.errors import Conflict, Forbidden
from glance.domain.image import DELETED, PENDING_DELETE, TRANSITIONS, Image, check_transition
from glance.domain.viewer import Viewer
from glance.stores.errors import DataNotFound, UnknownStore
from glance.stores.registry import Stores
from glance.transfers.worker import WorkerIdentity


class Remover:
    """Deletes images.

    :param delayed: ``[DEFAULT] delayed_delete``: leave the data of deleted images to the scrubber.
    """

    _log = Logger()

    def __init__(
        self, database: Database, stores: Stores, identity: WorkerIdentity, *, delayed: bool
    ) -> None:
        self._database = database
        self._stores = stores
        self._identity = identity
        self._delayed = delayed

    async def remove(self, image: Image) -> None:
        """Delete an image.

        :param image: the image as read for this request.
        :raises Forbidden: it is protected, or the store does not allow it.
        :raises Conflict: another request is changing it, or the store says it is in use.
        """
        if image.protected:
            raise Forbidden(f"Image {image.id} is protected and cannot be deleted.")
        # Where the state machine has no pending_delete the data goes at once.
        delayed = (
            self._delayed and bool(image.locations) and PENDING_DELETE in TRANSITIONS[image.status]
        )
        check_transition(image, PENDING_DELETE if delayed else DELETED)
        if delayed or not image.locations:
            await self._database.runInteraction(_thd_delete, image, delayed)
            return
        lease = await self._database.runInteraction(_thd_begin, image, self._identity)
        try:
            await self.remove_data(image)
        except BaseException:
            await self._database.runInteraction(leases.thd_end, lease)
            raise
        await self._database.runInteraction(_thd_delete, image, False)

    async def remove_data(self, image: Image) -> None:
        """Delete every stored copy of an image's data; copies that are gone already are fine."""
        for location in image.locations:
            store_id = location.metadata.get("store") or location.metadata.get("backend")
            try:
                store = self._stores.for_url(location.url, store_id)
                await store.delete(location.url)
            except DataNotFound:
                self._log.warn("Image {id}: its data was gone already", id=image.id)
            except UnknownStore:
                self._log.warn(
                    "Image {id}: its data is in a store that is not configured, and stays there",
                    id=image.id,
                )


def _thd_begin(connection: Connection, image: Image, identity: WorkerIdentity) -> str:
    lease = leases.thd_take(connection, image.id, leases.REMOVAL, identity.node, identity.worker)
    # Setting the status it has already tells whether it still has it, and locks the row.
    if lease is None or not images.thd_set_status(connection, image.id, image.status, image.status):
        raise _busy(image)
    return lease


def _thd_delete(connection: Connection, image: Image, delayed: bool) -> None:
    # An upload under way loses its lease here, and with it the right to finish.
    leases.thd_end_any(connection, image.id)
    if not images.thd_mark_deleted(connection, image, delayed=delayed):
        raise _busy(image)


def _busy(image: Image) -> Conflict:
    return Conflict(f"Image {image.id} is being changed by another request; try again.")


def thd_finish(connection: Connection, image_id: str) -> None:
    """Record the deletion of an image whose data is gone, for recovery."""
    image = images.thd_get(connection, image_id, Viewer(is_admin=True))
    _thd_delete(connection, image, False)
