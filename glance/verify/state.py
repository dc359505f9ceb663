"""What a verification knows so far, in a file: so it takes little memory and can be gone on with.

A SQLite database, written in whole steps: whatever ends the process, what the file says was done
was done, with everything that was found by it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as insert_or
from twisted.internet.defer import Deferred

from glance.db.columns import Json
from glance.db.engine import make_engine
from glance.db.txdbapi import Database
from glance.domain.errors import GlanceError

#: Changes when the file's contents do.
FORMAT: Final = 1

IMAGE: Final = "image"
OBJECT: Final = "object"

_metadata = MetaData()
_meta = Table(
    "verification", _metadata, Column("name", String, primary_key=True), Column("value", Json)
)
_suspects = Table(
    "suspects",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("side", String, nullable=False),
    Column("subject", Text, nullable=False),
    Column("data", Json),
    Index("suspects_subject", "side", "subject", unique=True),
)
_findings = Table(
    "findings", _metadata, Column("id", Integer, primary_key=True), Column("data", Json)
)
_errors = Table("errors", _metadata, Column("id", Integer, primary_key=True), Column("data", Json))
_done = Table("done", _metadata, Column("image_id", String, primary_key=True))


class StateError(GlanceError):
    """The file of a verification's state cannot be used."""


@dataclass(slots=True)
class Step:
    """What is recorded together.

    :param meta: values to set.
    :param suspects: side, subject and data of what has to be looked at again.
    :param settled: numbers of suspects that were.
    :param findings: what they turned out to be.
    :param errors: what could not be told.
    :param done: images that are done, beyond the place up to which all are.
    :param passed: images that this place has now passed.
    """

    meta: dict[str, Any] = field(default_factory=dict)
    suspects: list[tuple[str, str, Any]] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)


class State:
    """The file.

    :param path: where it is, or is to be; ``None`` for one that goes when the program ends.
    """

    def __init__(self, reactor: Any, path: str | None) -> None:
        self._lock = -1
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if path is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="glance-verify-")
            path = os.path.join(self._temporary.name, "state")
        self.path = os.path.abspath(path)
        self.kept = self._temporary is None
        if "?" in self.path:
            raise StateError("--state: the path must not contain a question mark.")
        # One that is thrown away need not outlive a power cut.
        engine = make_engine(f"sqlite:///{self.path}", sqlite_synchronous=self.kept)
        self._database = Database(engine, reactor, threads=1)
        self.meta: dict[str, Any] = {}
        self.counters: Counter[str] = Counter()

    def thd_open(self) -> None:
        """Make sure that the file is there, is ours, and is nobody else's just now.

        :raises StateError: it is not.
        """
        try:
            # Kept open to the end: closing it would give up SQLite's own locks.
            self._lock = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(f"--state: another verification uses {self.path} just now.") from None
        except OSError as e:
            raise StateError(f"--state: {self.path} cannot be used: {e.strerror}.") from None
        if os.path.getsize(self.path) and not _thd_is_ours(self.path):
            raise StateError(
                f"--state: {self.path} is a file of something else, and is left alone; name "
                "another."
            )

    async def load(self) -> None:
        """Read what the file says.

        :raises StateError: it is one of another release's.
        """
        self._database.start()
        self.meta = await self._database.runInteraction(_thd_load)
        if self.meta.get("format", FORMAT) != FORMAT:
            raise StateError(
                f"--state: {self.path} is of another release; finish with that, or remove the file."
            )
        self.counters = Counter(self.meta.get("counters") or {})

    async def begin(self, meta: Mapping[str, Any]) -> None:
        """Forget everything, and begin anew."""
        self.meta = {"format": FORMAT, **meta}
        self.counters = Counter()
        await self._database.runInteraction(_thd_begin, self.meta)

    async def save(self, step: Step) -> None:
        """Record a step, with the counters as they are."""
        self.meta |= step.meta
        step.meta["counters"] = dict(self.counters)
        await self._database.runInteraction(_thd_save, step)

    def suspects(self, side: str, after: str, limit: int) -> Deferred[list[tuple[int, str, Any]]]:
        """List suspects in the order of their subjects: number, subject and data.

        :param after: the subject of the last one before.
        """
        return self._database.runReading(_thd_suspects, side, after, limit)

    def count(self, side: str) -> Deferred[int]:
        """Count suspects."""
        return self._database.runReading(_thd_count, side)

    def clear(self, side: str, subjects: Sequence[str]) -> Deferred[None]:
        """Let go of suspects."""
        return self._database.runInteraction(_thd_clear, side, subjects)

    def findings(self, after: int, limit: int) -> Deferred[list[tuple[int, dict[str, Any]]]]:
        """List findings, in the order in which they were made."""
        return self._database.runReading(_thd_list, _findings, after, limit)

    def errors(self, after: int, limit: int) -> Deferred[list[tuple[int, dict[str, Any]]]]:
        """List what could not be told."""
        return self._database.runReading(_thd_list, _errors, after, limit)

    def change(self, changed: Iterable[tuple[int, dict[str, Any]]]) -> Deferred[None]:
        """Change findings, by their numbers."""
        return self._database.runInteraction(_thd_change, list(changed))

    def done(self) -> Deferred[set[str]]:
        """Return the images that are done beyond the place up to which all are."""
        return self._database.runReading(_thd_done)

    async def close(self) -> None:
        """Let go of the file."""
        await self._database.stop()
        if self._lock >= 0:
            os.close(self._lock)
        if self._temporary is not None:
            self._temporary.cleanup()


def _thd_is_ours(path: str) -> bool:
    """Look into a file, as SQLite without changing anything of it."""
    try:
        connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)
        try:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {name for (name,) in rows} == {*_metadata.tables}
        finally:
            connection.close()
    except sqlite3.Error:
        return False


def _thd_load(connection: Connection) -> dict[str, Any]:
    _metadata.create_all(connection)
    return {row.name: row.value for row in connection.execute(select(_meta))}


def _thd_begin(connection: Connection, meta: Mapping[str, Any]) -> None:
    for table in _metadata.sorted_tables:
        connection.execute(delete(table))
    _thd_set(connection, meta)


def _thd_set(connection: Connection, meta: Mapping[str, Any]) -> None:
    rows = [{"name": name, "value": value} for name, value in meta.items()]
    connection.execute(insert(_meta).prefix_with("OR REPLACE"), rows)


def _thd_save(connection: Connection, step: Step) -> None:
    _thd_set(connection, step.meta)
    if step.suspects:
        rows = [{"side": side, "subject": name, "data": data} for side, name, data in step.suspects]
        connection.execute(insert_or(_suspects).on_conflict_do_nothing(), rows)
    for table, found in ((_findings, step.findings), (_errors, step.errors)):
        if found:
            connection.execute(insert(table), [{"data": data} for data in found])
    if step.settled:
        connection.execute(
            delete(_suspects).where(_suspects.c.id == bindparam("of_id")),
            [{"of_id": number} for number in step.settled],
        )
    if step.passed:
        connection.execute(
            delete(_done).where(_done.c.image_id == bindparam("of_id")),
            [{"of_id": image_id} for image_id in step.passed],
        )
    if step.done:
        rows = [{"image_id": image_id} for image_id in step.done]
        connection.execute(insert_or(_done).on_conflict_do_nothing(), rows)


def _thd_suspects(
    connection: Connection, side: str, after: str, limit: int
) -> list[tuple[int, str, Any]]:
    s = _suspects.c
    asked = select(s.id, s.subject, s.data).where(s.side == side, s.subject > after)
    return [tuple(row) for row in connection.execute(asked.order_by(s.subject).limit(limit))]


def _thd_count(connection: Connection, side: str) -> int:
    asked = select(func.count()).select_from(_suspects).where(_suspects.c.side == side)
    return int(connection.execute(asked).scalar_one())


def _thd_clear(connection: Connection, side: str, subjects: Sequence[str]) -> None:
    gone = delete(_suspects).where(
        _suspects.c.side == side, _suspects.c.subject == bindparam("of_subject")
    )
    if subjects:
        connection.execute(gone, [{"of_subject": subject} for subject in subjects])


def _thd_list(
    connection: Connection, table: Table, after: int, limit: int
) -> list[tuple[int, dict[str, Any]]]:
    asked = select(table.c.id, table.c.data).where(table.c.id > after).order_by(table.c.id)
    return [(number, data) for number, data in connection.execute(asked.limit(limit))]


def _thd_change(connection: Connection, changed: Sequence[tuple[int, dict[str, Any]]]) -> None:
    rows = [{"of_id": number, "new_data": data} for number, data in changed]
    changing = (
        update(_findings)
        .where(_findings.c.id == bindparam("of_id"))
        .values(data=bindparam("new_data", type_=_findings.c.data.type))
    )
    if rows:
        connection.execute(changing, rows)


def _thd_done(connection: Connection) -> set[str]:
    return set(connection.execute(select(_done.c.image_id)).scalars())
