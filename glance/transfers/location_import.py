"""Make an image of data that is somewhere already, and compute its hashes where it is.

A caller names a place; the image becomes active without a byte being copied. What its hashes are
worth is for the operator to say (``[DEFAULT] do_secure_hash``): computed here from the data, or
taken from the caller as they are. With hashes to compare with, the image is ``importing`` until
they were found to be true; without, it is active at once and gets its hashes when they are known.
The work goes on after the request was answered, under a lease, and is told of as a task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection
from twisted.application.service import Service
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    DeferredSemaphore,
    TimeoutError,
    gatherResults,
)
from twisted.logger import Logger

from glance.db import images, leases, locations, tasks
from glance.db.txdbapi import Database
from glance.domain.errors import Conflict, GlanceError, Gone, NotFound, Unavailable
from glance.domain.image import (
    ACTIVE,
    IMPORTING,
    QUEUED,
    Image,
    Location,
    check_transition,
)
from glance.domain.locations import NewLocation, check_addition
from glance.domain.viewer import Viewer
from glance.stores.errors import StoreError, StoreTimeout
from glance.stores.interfaces import IStoreReader
from glance.stores.registry import Stores
from glance.transfers.hashing import Hashes
from glance.transfers.heartbeat import Heartbeat
from glance.transfers.locations import LocationKeeper
from glance.transfers.worker import WorkerIdentity

#: The type of its tasks.
TASK_TYPE = "location_import"

#: Bytes read and hashed at a time, and the seconds that this may take: a server that gives out its
#: data drop by drop must not keep a job for ever.
PIECE = 2 * 1024 * 1024
PIECE_TIME = 120.0

#: Jobs that a process has under way at once; the others wait their turn.
MOST_JOBS = 4

_EVERYTHING = Viewer(is_admin=True)
_log = Logger()


@dataclass(frozen=True, slots=True)
class LocationOrder:
    """A place to become an image's data, and for whom.

    :param check: raises when the caller may not; called in a thread, in the transaction, with the
        image, the length of the data, and whether the image will be ``importing`` for a while.
    """

    image_id: str
    viewer: Viewer
    check: Callable[[Connection, Image, int, bool], None]
    location: NewLocation
    request_id: str | None = None
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    """Hashes to be computed."""

    image_id: str
    lease: str
    location: Location
    size: int | None
    algorithm: str
    stated: str | None
    task_id: str | None


class _Lost(Gone):
    """The lease of a job is gone: the image was deleted."""

    def __init__(self) -> None:
        super().__init__("The image was deleted.")


class _UnderWay:
    """What the heartbeat sees of a job."""

    kind = leases.HASHING

    def __init__(self) -> None:
        self.bytes_done = 0
        self.lost = False

    def lease_lost(self) -> None:
        self.lost = True


class LocationImporter(Service):
    """Takes places that callers name as the data of their images.

    :param make_hashes: makes fresh hashes with an algorithm.
    :param algorithm: ``[DEFAULT] hashing_algorithm``.
    :param secure: ``[DEFAULT] do_secure_hash``: compute hashes rather than believe them.
    :param attempts: ``[DEFAULT] http_retries``: how often the data is read before it is given up.
    :param keep: how long the tasks are shown once they have ended.
    """

    def __init__(
        self,
        database: Database,
        stores: Stores,
        keeper: LocationKeeper,
        heartbeat: Heartbeat,
        identity: WorkerIdentity,
        make_hashes: Callable[[str], Hashes],
        reactor: Any,
        *,
        algorithm: str,
        secure: bool,
        attempts: int,
        keep: timedelta,
    ) -> None:
        self._database = database
        self._stores = stores
        self._keeper = keeper
        self._heartbeat = heartbeat
        self._identity = identity
        self._make_hashes = make_hashes
        self._reactor = reactor
        self._turns = DeferredSemaphore(MOST_JOBS)
        self._stopping = False
        self._algorithm = algorithm
        self._secure = secure
        self._attempts = max(1, attempts)
        self._keep = keep
        self._running: set[Deferred[None]] = set()

    def stopService(self) -> Deferred[Any]:
        """Break off the jobs; what they leave is recovered like that of a process that died."""
        super().stopService()
        self._stopping = True
        jobs = list(self._running)
        for job in jobs:
            job.cancel()
        return DeferredList(jobs)

    async def add(self, order: LocationOrder) -> None:
        """Record a location as an image's data, and start what is to be computed.

        :raises NotFound: the viewer does not see such an image.
        :raises InvalidStatus: the image is not queued.
        :raises Invalid: formats are not set, or the data cannot be read.
        :raises LimitExceeded: a quota would be exceeded.
        :raises Unavailable: the service is stopping.
        """
        if self._stopping:
            raise Unavailable("The service is stopping; try again.")
        new = order.location
        size = await self._keeper.look(new.url)
        location = self._stores.placed(new.url, new.metadata)
        job = await self._database.runInteraction(self._thd_begin, order, location, size)
        if job is not None:
            self._start(job)

    def _thd_begin(
        self, connection: Connection, order: LocationOrder, location: Location, size: int
    ) -> _Job | None:
        image = images.thd_get(connection, order.image_id, order.viewer, lock=True)
        stated = order.location.digests
        target = IMPORTING if self._secure and stated else ACTIVE
        order.check(connection, image, size, target == IMPORTING)
        check_addition(image, location, patch=False)
        check_transition(image, target)
        values: dict[str, Any] = {"size": size}
        if stated and not self._secure:
            values |= _hash_values(stated.os_hash_algo, stated.os_hash_value)
        if not images.thd_set_status(connection, image.id, QUEUED, target, values):
            raise Conflict(f"Image {image.id} was changed by another request; try again.")
        images.thd_add_location(connection, image.id, location)
        task = _new_task(order, image)
        tasks.thd_insert(connection, task)
        if not self._secure:
            result = {"image_id": image.id}
            tasks.thd_end(connection, task.id, tasks.SUCCESS, keep=self._keep, result=result)
            return None
        who = self._identity
        lease = leases.thd_take(connection, image.id, leases.HASHING, who.node, who.worker)
        if lease is None:
            raise Conflict(f"Image {image.id} is being changed by another request.")
        algorithm = stated.os_hash_algo if stated else self._algorithm
        value = stated.os_hash_value if stated else None
        return _Job(image.id, lease, location, size, algorithm, value, task.id)

    def _start(self, job: _Job) -> None:
        if self._stopping:
            # Recovery, of whoever starts next, finds the lease.
            return
        work = Deferred.fromCoroutine(self._work(job))
        self._running.add(work)

        def over(result: Any) -> None:
            self._running.discard(work)
            if result is not None and not result.check(CancelledError):
                _log.failure("Image {id}: hashing its data", result, id=job.image_id)

        work.addBoth(over)

    async def _work(self, job: _Job) -> None:
        progress = _UnderWay()
        release = self._heartbeat.hold(job.lease, progress)
        try:
            try:
                hashes = await self._turns.run(
                    lambda: Deferred.fromCoroutine(self._hash(job, progress))
                )
            except GlanceError as error:
                await self._settle(job, None, f"The data could not be read: {error.message}")
                return
            if job.stated is not None and hashes.value != job.stated:
                await self._settle(job, None, "The data does not have the hash that was stated.")
            else:
                await self._settle(job, hashes, "")
        finally:
            release()

    async def _hash(self, job: _Job, progress: _UnderWay) -> Hashes:
        for attempt in range(1, self._attempts + 1):
            try:
                return await self._hash_once(job, progress)
            except StoreError as error:
                _log.warn(
                    "Image {id}: reading its data to hash it failed, attempt {n} of {most}: {e}",
                    id=job.image_id,
                    n=attempt,
                    most=self._attempts,
                    e=error,
                )
                if attempt == self._attempts:
                    raise
        raise AssertionError("unreachable")

    async def _hash_once(self, job: _Job, progress: _UnderWay) -> Hashes:
        hashes = self._make_hashes(job.algorithm)
        store = self._stores.for_url(job.location.url, job.location.store_id)
        reader = await store.open_reader(job.location.url)
        try:
            # A store may learn the length only at the end, or never have said it.
            size = job.size if reader.size is None else reader.size
            if size is None or job.size not in (None, size):
                raise StoreError("it has another length than before.")
            offset = 0
            while offset < size:
                if progress.lost:
                    raise _Lost
                data = await self._read(reader, offset, size)
                if not data:
                    raise StoreError("it ended early.")
                offset += len(data)
                await gatherResults(hashes.update(memoryview(data)), consumeErrors=True)
                progress.bytes_done = offset
        finally:
            reader.close()
        return hashes

    async def _read(self, reader: IStoreReader, offset: int, size: int) -> bytes:
        reading = reader.read(offset, min(PIECE, size - offset))
        try:
            data: bytes = await reading.addTimeout(PIECE_TIME, self._reactor)
        except TimeoutError:
            raise StoreTimeout("The data comes too slowly.") from None
        return data

    async def _settle(self, job: _Job, hashes: Hashes | None, message: str) -> None:
        values = {} if hashes is None else _hash_values(hashes.algorithm, hashes.value)
        if hashes is not None:
            values["checksum"] = hashes.checksum
        if message:
            _log.warn("Image {id}: {message}", id=job.image_id, message=message)
        await self._database.runInteraction(self._thd_settle, job, values, message)

    def _thd_settle(
        self, connection: Connection, job: _Job, values: dict[str, Any], message: str
    ) -> None:
        images.thd_lock(connection, job.image_id)
        if not leases.thd_end(connection, job.lease, leases.HASHING):
            values, message = {}, "The image was deleted, or changed by another request."
        elif values:
            _thd_record(connection, job.image_id, values)
        else:
            thd_undo(connection, job.image_id)
        if job.task_id is not None:
            done = bool(values)
            tasks.thd_end(
                connection,
                job.task_id,
                tasks.SUCCESS if done else tasks.FAILURE,
                keep=self._keep,
                result={"image_id": job.image_id} if done else None,
                message=message,
            )

    async def recover(self, image_id: str, lease: str) -> None:
        """Take up, or undo, what a process that died was computing.

        :param lease: ours, on the image.
        """
        job = await self._database.runInteraction(self._thd_recover, image_id, lease)
        if job is not None:
            _log.warn("Image {id}: computing its hashes anew", id=image_id)
            self._start(job)

    def _thd_recover(self, connection: Connection, image_id: str, lease: str) -> _Job | None:
        message = "The service was stopped while the data was being hashed."
        tasks.thd_end_of_image(connection, image_id, TASK_TYPE, keep=self._keep, message=message)
        try:
            image = images.thd_get(connection, image_id, _EVERYTHING, lock=True)
        except NotFound:
            leases.thd_end(connection, lease)
            return None
        if image.status == IMPORTING or not image.locations:
            leases.thd_end(connection, lease)
            thd_undo(connection, image_id)
            return None
        location = image.locations[0]
        return _Job(image_id, lease, location, image.size, self._algorithm, None, None)


def thd_undo(connection: Connection, image_id: str) -> None:
    """Make an image queued again whose location turned out not to be what was said.

    The data stays where it is: it was there before us. An image that is active already stays so,
    without hashes.
    """
    try:
        image = images.thd_get(connection, image_id, _EVERYTHING, lock=True)
    except NotFound:
        return
    nothing = {"size": None, "virtual_size": None}
    if images.thd_set_status(connection, image_id, IMPORTING, QUEUED, nothing):
        locations.thd_mark_gone(connection, image.locations)


def _thd_record(connection: Connection, image_id: str, values: dict[str, Any]) -> None:
    if images.thd_set_status(connection, image_id, IMPORTING, ACTIVE, values):
        return
    image = images.thd_get(connection, image_id, _EVERYTHING, lock=True)
    images.thd_set_status(connection, image_id, image.status, image.status, values)


def _hash_values(algorithm: str, value: str) -> dict[str, Any]:
    values: dict[str, Any] = {"os_hash_algo": algorithm, "os_hash_value": value}
    if algorithm == "md5":
        values["checksum"] = value
    return values


def _new_task(order: LocationOrder, image: Image) -> tasks.Task:
    stated = order.location.digests
    said = (
        {}
        if stated is None
        else {
            "os_hash_algo": stated.os_hash_algo,
            "os_hash_value": stated.os_hash_value,
        }
    )
    return tasks.Task(
        id=str(uuid4()),
        type=TASK_TYPE,
        status=tasks.PROCESSING,
        owner=image.owner or "",
        image_id=image.id,
        request_id=order.request_id,
        user_id=order.user_id,
        # Not the URL: it may hold credentials, and tasks are shown to users.
        input={"image_id": image.id, "validation_data": said},
    )
