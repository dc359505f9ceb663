"""A catalogue with images that wait for the scrubber, in one store or two."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select, update
from twisted.internet.defer import Deferred, maybeDeferred

from glance.db import images
from glance.db.columns import utcnow
from glance.db.tables import image_locations
from glance.domain.image import Image, Location, is_readable
from glance.scrub.reaper import Reaper
from glance.scrub.scrubber import Scrubber
from glance.stores.errors import BadLocation, UnknownStore
from glance.transfers import watch
from glance.transfers.heartbeat import Heartbeat
from glance.transfers.watch import LeaseWatch
from glance.transfers.worker import WorkerIdentity
from tests.unit.transfers.doubles import EVERYTHING, US, CatalogueCase, MemoryStore

SIBLING = WorkerIdentity(US.node, "200.1")
ELSEWHERE = WorkerIdentity("another node", US.worker)
INTERVAL = 10.0
STALE = 60.0


class SeveralStores:
    """Stores by id."""

    multiple = True

    def __init__(self, *ids: str) -> None:
        self.by_id: dict[str, MemoryStore] = {}
        for store_id in ids:
            store = MemoryStore()
            store.store_id = store_id
            self.by_id[store_id] = store

    def get(self, store_id: str | None) -> MemoryStore:
        try:
            return self.by_id[store_id or ""]
        except KeyError:
            raise UnknownStore("No configured store holds the image's data.") from None

    def for_url(self, url: str, store_id: str | None) -> MemoryStore:
        if not is_readable(url):
            raise BadLocation("The catalogue's record cannot be read.")
        return self.get(store_id)


class ScrubCase(CatalogueCase):
    """Images in ``pending_delete`` in the stores ``fast`` and ``slow``."""

    pool_size = 2

    def setUp(self):
        super().setUp()
        self.alive = set()
        self.patch(watch, "deferToThread", maybeDeferred)
        self.patch(watch, "thd_is_alive", lambda worker: worker in self.alive)
        self.stores = SeveralStores("fast", "slow")
        self.fast, self.slow = self.stores.by_id.values()
        self.reports = []
        self.heartbeat = Heartbeat(self.database, self.reactor, INTERVAL)
        self.heartbeat.startService()
        self.addCleanup(self.heartbeat.stopService)
        self.scrubber = self.make_scrubber()

    def make_scrubber(self, identity=US, scrub_time=0):
        leases = LeaseWatch(
            self.database, identity, self.reactor, stale_time=STALE, interval=INTERVAL
        )
        self.reaper = Reaper(self.database, leases, self.reactor, INTERVAL)
        return Scrubber(
            self.database,
            self.stores,
            self.heartbeat,
            self.reaper,
            identity,
            self.reactor,
            stale_time=STALE,
            scrub_time=scrub_time,
            pool_size=self.pool_size,
            report=self.reports.append,
        )

    def pending(self, image_id: str, *stores: str, size: int = 4, age: float = 60.0) -> str:
        """Delete an image, so that its data waits for the scrubber."""
        image = self.run_in_database(
            images.thd_insert, Image(id=image_id, status="active", size=size)
        )
        for store_id in stores:
            url = f"memory:{image_id}"
            self.run_in_database(
                images.thd_add_location, image_id, Location(url, {"store": store_id})
            )
            if store_id in self.stores.by_id:
                self.stores.by_id[store_id].objects[image_id] = b"data"
        image = self.run_in_database(images.thd_get, image_id, EVERYTHING)
        self.run_in_database(images.thd_mark_deleted, image, delayed=True)
        self.deleted_before(image_id, age)
        return image_id

    def deleted_before(self, image_id: str, seconds: float) -> None:
        then = utcnow() - timedelta(seconds=seconds)
        self.set_image(image_id, deleted_at=then)
        self.write(
            update(image_locations)
            .where(image_locations.c.image_id == image_id)
            .values(deleted_at=then)
        )

    def set_image(self, image_id: str, **values: Any) -> None:
        self.write(update(images.images).where(images.images.c.id == image_id).values(**values))

    def add_row(self, image_id: str, url: str, store_id: str, status: str) -> None:
        self.write(
            insert(image_locations).values(
                image_id=image_id, value=url, meta_data={"store": store_id}, status=status,
                deleted=True, deleted_at=utcnow(),
            )
        )  # fmt: skip

    def write(self, statement: Any) -> None:
        self.run_in_database(lambda connection: connection.execute(statement) and None)

    def status(self, image_id: str) -> str:
        rows = self.successResultOf(
            self.database.runQuery(
                select(images.images.c.status).where(images.images.c.id == image_id)
            )
        )
        return str(rows[0][0])

    def statuses(self) -> dict[str, str]:
        query = select(images.images.c.id, images.images.c.status)
        return dict(self.successResultOf(self.database.runQuery(query)))

    def location_statuses(self, image_id: str) -> list[str]:
        query = (
            select(image_locations.c.status)
            .where(image_locations.c.image_id == image_id)
            .order_by(image_locations.c.id)
        )
        return [row[0] for row in self.successResultOf(self.database.runQuery(query))]

    def begin(self, patience=0.0):
        """Begin a pass; return a Deferred of its summary."""
        return Deferred.fromCoroutine(self.scrubber.run(patience))

    def run_pass(self):
        return self.successResultOf(self.begin())

    def advance(self, seconds: float) -> None:
        while seconds > 0:
            step = min(seconds, 0.5)
            self.reactor.advance(step)
            seconds -= step
