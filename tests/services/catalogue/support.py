"""A catalogue to be worked on: one at a time, or by many threads at once."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, Select, Table, delete, insert, select
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from glance.db import images
from glance.db.columns import utcnow
from glance.db.engine import make_engine
from glance.db.own_tables import image_tombstones, quota_owners, transfer_leases
from glance.db.tables import (
    cached_images,
    image_locations,
    image_members,
    image_properties,
    image_tags,
    node_reference,
)
from glance.db.tables_metadefs import (
    metadef_namespace_resource_types,
    metadef_namespaces,
    metadef_objects,
    metadef_properties,
    metadef_resource_types,
    metadef_tags,
)
from glance.db.txdbapi import Database
from glance.domain.image import Image
from glance.domain.viewer import Viewer

ADMIN = Viewer(is_admin=True)
TABLES = (
    transfer_leases, quota_owners, image_tombstones, image_members, image_properties, image_tags,
    image_locations, images.images, cached_images, node_reference, metadef_tags, metadef_objects,
    metadef_properties, metadef_namespace_resource_types, metadef_namespaces,
    metadef_resource_types,
)  # fmt: skip

#: Longer than any answer takes; only a deadlock waits for it.
PATIENCE = 120

#: How many work on a catalogue at once.
WRITERS = 16


class _InlineThreads:
    """Threads that do everything at once, in the caller."""

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def run(self, job: Callable[[], Any]) -> Deferred[Any]:
        return maybeDeferred(job)


class Catalogue:
    """A database with the schema, whose interactions are plain calls."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._database = Database(engine, Clock())
        self._database._threads = _InlineThreads()  # type: ignore[assignment]

    @property
    def kind(self) -> str:
        return self.engine.dialect.name

    @property
    def keeps_microseconds(self) -> bool:
        return self.kind != "mysql"

    def close(self) -> None:
        self._database._thd_close()
        self._database.stop()

    @property
    def database(self) -> Database:
        return self._database

    def run(self, interaction: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return result(self._database.runInteraction(interaction, *args, **kwargs))

    def read(self, interaction: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return result(self._database.runReading(interaction, *args, **kwargs))

    def rows(self, statement: Select[Any]) -> list[dict[str, Any]]:
        def thd_rows(connection: Connection) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(statement).mappings()]

        found: list[dict[str, Any]] = self.read(thd_rows)
        return found

    def rows_of(self, table: Table, image_id: str) -> list[dict[str, Any]]:
        """Return what a table holds of an image, in the order it was put in."""
        column = table.c.id if table is images.images else table.c.image_id
        return self.rows(select(table).where(column == image_id).order_by(table.c.id))

    def empty(self) -> None:
        def thd_empty(connection: Connection) -> None:
            for table in TABLES:
                connection.execute(delete(table))

        self.run(thd_empty)

    def add(self, **fields: Any) -> Image:
        """Save an image, and read it."""
        image = Image(**{"id": str(uuid4()), **fields})
        self.run(images.thd_insert, image)
        return self.get(image.id)

    def get(self, image_id: str, viewer: Viewer = ADMIN) -> Image:
        image: Image = self.read(images.thd_get, image_id, viewer)
        return image

    def add_rows(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        rows = [dict(row) for row in rows]
        if rows:
            self.run(lambda connection: connection.execute(insert(table), rows) and None)

    def share(self, image_id: str, member: str, status: str = "accepted", **more: Any) -> None:
        row = {"image_id": image_id, "member": member, "status": status, "can_share": False}
        self.add_rows(image_members, [{**row, "created_at": utcnow(), **more}])


def result(answer: Deferred[Any]) -> Any:
    """Return what a Deferred that has fired holds, or raise it."""
    outcomes: list[Any] = []
    failures: list[Any] = []
    answer.addCallbacks(outcomes.append, failures.append)
    if failures:
        failures[0].raiseException()
    (outcome,) = outcomes
    return outcome


class PumpedReactor(Clock):
    """A reactor turned by hand: threads are real, time passes when nothing else happens."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def callFromThread(self, f: Callable[..., Any], *args: Any) -> None:
        self._calls.put((f, args))

    def results(self, answers: Iterable[Deferred[Any]]) -> list[Any]:
        """Turn until all have fired; return their results, an exception for each failure."""
        answers = list(answers)
        outcomes: dict[int, Any] = {}
        for n, answer in enumerate(answers):
            answer.addErrback(lambda failure: failure.value)
            answer.addCallback(lambda outcome, n=n: outcomes.setdefault(n, outcome))
        while len(outcomes) < len(answers):
            try:
                waiting = bool(self.getDelayedCalls())
                f, args = self._calls.get(timeout=0.002 if waiting else PATIENCE)
            except queue.Empty:
                if not waiting:
                    raise AssertionError("the database does not answer") from None
                self.advance(0.05)
            else:
                f(*args)
        return [outcomes[n] for n in range(len(answers))]


class Crowd:
    """A database with real threads."""

    def __init__(self, url: str, threads: int = WRITERS) -> None:
        self.reactor = PumpedReactor()
        engine = make_engine(url, sqlite_synchronous=False)
        self.database = Database(engine, self.reactor, threads=threads)
        self.database.start()

    def results(self, interaction: Any, *arguments: tuple[Any, ...]) -> list[Any]:
        """Run an interaction with each of some arguments, all at once."""
        run = self.database.runInteraction
        return self.reactor.results([run(interaction, *given) for given in arguments])

    def stop(self) -> None:
        self.reactor.results([self.database.stop()])
