"""Change where an image's data is: look at new places, record them, let go of old ones.

A location is taken off its image first and its data is deleted then, under a lease: a store that
refuses gets the location put back, and of a process that dies in between recovery finishes the
work. Data is never deleted while its image still says that it is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection
from twisted.logger import Logger

from glance.db import images, leases, locations
from glance.db.due import thd_is_pending
from glance.db.sharing import thd_shared
from glance.db.txdbapi import Database
from glance.domain.errors import Conflict, Forbidden, Invalid, InvalidStatus, NotFound
from glance.domain.image import ACTIVE, Image, Location
from glance.domain.viewer import Viewer
from glance.stores.errors import (
    BadLocation,
    DataNotFound,
    DeleteNotSupported,
    StoreError,
    UnknownStore,
)
from glance.stores.registry import Stores
from glance.transfers.heartbeat import Finisher, Heartbeat
from glance.transfers.worker import WorkerIdentity

T = TypeVar("T")
_log = Logger()


@dataclass(frozen=True, slots=True)
class Leaving:
    """Locations taken off an image whose data is still to be deleted.

    :param kept: URLs that the image still has at other places of its list, or that another has.
    """

    image_id: str
    lease: str
    locations: tuple[Location, ...]
    kept: frozenset[str]


class LocationKeeper:
    """Adds, changes and removes locations of images.

    :param identity: this worker.
    """

    def __init__(
        self,
        database: Database,
        stores: Stores,
        heartbeat: Heartbeat,
        identity: WorkerIdentity,
    ) -> None:
        self._database = database
        self._stores = stores
        self._heartbeat = heartbeat
        self._identity = identity

    async def look(self, url: str) -> int:
        """Look at data that is to become an image's; return its length in bytes.

        :raises Invalid: no store of ours reads it, it is not there, or it is empty.
        """
        try:
            size: int = await self._stores.for_new(url).size_of(url)
        except (StoreError, UnknownStore) as error:
            # Why it cannot be reached is not for whoever tries out addresses.
            _log.warn("A new location cannot be used: {error}", error=error)
            raise _unusable() from None
        if not size:
            raise _unusable()
        return size

    def thd_save(self, connection: Connection, before: Image, after: Image) -> Leaving | None:
        """Record what differs between the locations of two versions of an image, read under lock.

        The status is saved here, too: the first location makes a queued image active.

        :returns: what :meth:`let_go` has to do when the transaction has ended, if anything.
        :raises Conflict: another request is changing the image.
        """
        old = {location.id: location for location in before.locations}
        for location in after.locations:
            if location.id is None:
                images.thd_add_location(connection, before.id, location)
            elif location.metadata != old[location.id].metadata:
                locations.thd_set_metadata(connection, location, location.metadata)
        if after.status != before.status and not images.thd_set_status(
            connection, before.id, before.status, after.status
        ):
            raise _changed(before)
        left = {location.id for location in after.locations}
        gone = [location for key, location in old.items() if key not in left]
        if not gone:
            return None
        return self._thd_take_off(connection, before.id, gone, after.locations)

    def _thd_take_off(
        self,
        connection: Connection,
        image_id: str,
        gone: Sequence[Location],
        kept: Iterable[Location],
    ) -> Leaving:
        who = self._identity
        # Data that is being hashed stays where it is until then: nobody would hash it anew.
        lease = leases.thd_take(connection, image_id, leases.LOCATION, who.node, who.worker)
        if lease is None:
            raise Conflict(f"Image {image_id} is being changed by another request; try again.")
        locations.thd_mark_leaving(connection, gone)
        urls = {place.url for place in kept} | _thd_anothers(connection, image_id, gone)
        return Leaving(image_id, lease, tuple(gone), frozenset(urls))

    async def change(self, save: Callable[[], Awaitable[tuple[T, Leaving | None]]]) -> T:
        """Save a change of an image, and let go of the locations that it takes off.

        To be run detached: once saved, the rest has to follow.

        :param save: runs the transaction, with :meth:`thd_save` in it.
        :returns: what the transaction returns beside.
        """
        result, leaving = await save()
        if leaving is not None:
            await self.let_go(leaving)
        return result

    async def remove_from_store(
        self, image_id: str, store_id: str, viewer: Viewer, check: Callable[[Image], None]
    ) -> None:
        """Delete the copy of an image's data that one store holds.

        :param check: raises when the caller may not; called in a thread.
        :raises NotFound: there is no such image for the viewer, or the store has no copy of it; one
            that has disappeared is struck off the record.
        :raises InvalidStatus: the image is not active.
        :raises Forbidden: it is the only copy, or the store does not allow it.
        """

        def thd_begin(connection: Connection) -> Leaving:
            image = images.thd_get(connection, image_id, viewer, lock=True)
            check(image)
            if image.status != ACTIVE:
                raise InvalidStatus(
                    f"Image {image_id} is {image.status}; data can be removed from a store only "
                    "while it is active."
                )
            here = [place for place in image.locations if self._is_in(place, store_id)]
            if not here:
                raise NotFound(f"Image {image_id} has no data in store {store_id}.")
            if len(here) == len(image.locations):
                raise Forbidden(
                    f"Store {store_id} holds the only copy of image {image_id}; delete the image "
                    "instead."
                )
            kept = [place for place in image.locations if place not in here]
            images.thd_touch(connection, image_id)
            return self._thd_take_off(connection, image_id, here, kept)

        if not await self.let_go(await self._database.runInteraction(thd_begin)):
            raise NotFound(f"The data of image {image_id} in store {store_id} was gone already.")

    def _is_in(self, location: Location, store_id: str) -> bool:
        try:
            store = self._stores.for_url(location.url, location.store_id)
        except (UnknownStore, BadLocation):
            return location.store_id == store_id
        return bool(store.store_id == store_id)

    async def let_go(self, leaving: Leaving) -> bool:
        """Delete the data of locations that were taken off their image.

        :returns: whether any of it was there.
        :raises StoreError: a store refuses. What it holds, and what was not tried yet, is the
            image's again.
        """
        release = self._heartbeat.hold(leaving.lease, Finisher(leases.LOCATION))
        done: list[Location] = []
        found = False
        try:
            for location in leaving.locations:
                found |= await self._delete(location, leaving.kept)
                done.append(location)
        finally:
            release()
            rest = [place for place in leaving.locations if place not in done]
            await self._database.runInteraction(_thd_settle, leaving, done, rest)
        return found

    async def _delete(self, location: Location, kept: frozenset[str]) -> bool:
        """Delete one; return whether there was data, be it ours to delete or not."""
        if location.url in kept:
            return True
        try:
            store = self._stores.for_url(location.url, location.store_id)
            await store.delete(location.url)
        except DataNotFound:
            _log.warn("Data of a removed location was gone already")
            return False
        except (UnknownStore, DeleteNotSupported):
            _log.info("Data of a removed location stays where it is")
        return True

    async def finish_interrupted(self, image_id: str, lease: str) -> None:
        """Finish what a process that died had begun.

        :param lease: ours, on the image.
        """
        leaving, kept = await self._database.runReading(_thd_unfinished, image_id)
        await self.let_go(Leaving(image_id, lease, leaving, kept))


def _unusable() -> Invalid:
    # One answer for all of it. Clients know a refusal by import_filtering_opts by these words.
    return Invalid(
        "The location cannot be used: it does not pass filtering, or its data cannot be read."
    )


def _changed(image: Image) -> Conflict:
    return Conflict(f"Image {image.id} was changed by another request; try again.")


def _thd_settle(
    connection: Connection, leaving: Leaving, done: list[Location], rest: list[Location]
) -> None:
    images.thd_lock(connection, leaving.image_id)
    if not leases.thd_end(connection, leaving.lease, leases.LOCATION):
        # Whoever has it now, a deletion of the whole image for one, sees to the rest.
        return
    locations.thd_mark_gone(connection, done)
    if rest:
        locations.thd_restore(connection, rest)


def _thd_unfinished(
    connection: Connection, image_id: str
) -> tuple[tuple[Location, ...], frozenset[str]]:
    if thd_is_pending(connection, image_id):
        # All its locations are marked so. They are the scrubber's, and it may yet be restored.
        return (), frozenset()
    leaving = tuple(locations.thd_leaving(connection, image_id))
    kept = _thd_anothers(connection, image_id, leaving)
    with contextlib.suppress(NotFound):
        image = images.thd_get(connection, image_id, Viewer(is_admin=True))
        kept |= {place.url for place in image.locations}
    return leaving, frozenset(kept)


def _thd_anothers(connection: Connection, image_id: str, leaving: Sequence[Location]) -> set[str]:
    """Return the URLs of data that is another image's, which may have been taken for this one's."""
    shared = thd_shared(connection, {image_id: leaving}, {})
    return {place.url for place in leaving if place.id in shared}
