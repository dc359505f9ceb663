"""Give DB-API work a Deferred, in the manner of ``twisted.enterprise.adbapi``.

One interaction is one hop to a thread of this module's own pool, however many statements it runs;
the thread keeps its connection from one interaction to the next. Repeating what a deadlock, a
serialization failure, a locked file or a lost connection broke off is done here and nowhere else,
and the waiting in between holds no thread.
"""

from __future__ import annotations

import queue
import random
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.pool import StaticPool
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.db.exclusive import reason
from glance.domain.correlation import carried
from glance.domain.errors import Invalid, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

#: PostgreSQL: serialization failure, deadlock, lock not available.
_PG_CONFLICT = {"40001", "40P01", "55P03"}
#: PostgreSQL: shutdown and crash, session timeouts, too many connections, a standby that became or
#: remained read-only. Class 08, connection exceptions, belongs here too.
_PG_LOST = {"57P01", "57P02", "57P03", "57P05", "25P03", "53300", "25006"}
#: MariaDB and MySQL: row changed since it was read, lock wait timeout, deadlock.
_MYSQL_CONFLICT = {1020, 1205, 1213}
#: MariaDB and MySQL: too many connections (1040, 1203, 1226), a node that is not part of its
#: cluster (1047), shutdown, read-only (1290, 1836), killed, cannot connect, gone away, lost.
_MYSQL_LOST = {
    1040, 1047, 1053, 1203, 1226, 1290, 1836, 1927, 2002, 2003, 2006, 2013, 2055, 4031,
}  # fmt: skip

#: MariaDB and MySQL: a text beyond the column's character set, where it is compared.
_MYSQL_REFUSED = {1267}


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how fast a broken interaction is tried again.

    :param conflicts: attempts after deadlocks and locked files.
    :param conflict_delay: first pause in seconds; doubles, with jitter, up to ``max_delay``.
    :param losses: attempts after a lost connection.
    :param loss_delay: first pause in seconds, doubling likewise.
    :param patience: seconds after the first break within which new attempts are begun: an attempt
        may itself have waited long, for a lock or for a server.
    """

    conflicts: int = 50
    conflict_delay: float = 0.005
    losses: int = 4
    loss_delay: float = 0.1
    max_delay: float = 2.0
    patience: float = 60.0


class Broken(Exception):
    """Internal: an attempt broke off in a way worth repeating."""

    def __init__(self, kind: str, cause: DBAPIError) -> None:
        super().__init__(kind)
        self.kind = kind
        self.cause = cause


def classify(error: DBAPIError) -> str | None:
    """Say whether repeating an interaction can mend a database error.

    :returns: ``"conflict"``, ``"lost"`` or ``None``.
    """
    original = error.orig
    code = getattr(original, "sqlstate", None)
    if code in _PG_CONFLICT:
        return "conflict"
    if code in _PG_LOST or (isinstance(code, str) and code.startswith("08")):
        return "lost"
    if isinstance(original, sqlite3.OperationalError):
        name = getattr(original, "sqlite_errorname", "")
        return "conflict" if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) else None
    number = _number(error)
    if number in _MYSQL_CONFLICT:
        return "conflict"
    if number in _MYSQL_LOST or error.connection_invalidated:
        return "lost"
    if code is None:
        # psycopg reports a refused or broken connection without an SQLSTATE.
        kinds = type(original).__mro__
        if any(k.__name__ == "OperationalError" and k.__module__ == "psycopg" for k in kinds):
            return "lost"
    return None


def _number(error: DBAPIError) -> Any:
    """Return a MariaDB or MySQL error's number; what it is of other databases' has no meaning."""
    return error.orig.args[0] if error.orig is not None and error.orig.args else None


class Threads:
    """A few threads that take jobs from one queue.

    Less than ``twisted.python.threadpool`` can do, for a fifth of its time per job, which every
    request pays.

    :param reactor: results come back to it.
    :param most: how many threads there may be; they are made when all others are busy.
    :param thd_closing: called in each thread when it ends.
    """

    def __init__(self, reactor: Any, most: int, thd_closing: Callable[[], None]) -> None:
        self._reactor = reactor
        self._most = most
        self._thd_closing = thd_closing
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Deferred[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._threads: list[threading.Thread] = []
        self._under_way = 0
        self._running = False

    def start(self) -> None:
        """Take jobs from now on."""
        self._running = True

    def run(self, job: Callable[[], Any]) -> Deferred[Any]:
        """Have a thread do a job; the Deferred gets its result.

        Cancelling the Deferred drops the result; the job is done all the same.
        """
        done: Deferred[Any] = Deferred()
        if not self._running:
            done.errback(Unavailable("The service is stopping."))
            return done
        self._under_way += 1
        if self._under_way > len(self._threads) < self._most:
            thread = threading.Thread(
                target=self._thd_work, name=f"database-{len(self._threads)}", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        self._jobs.put((job, done))
        return done

    def _thd_work(self) -> None:
        call = self._reactor.callFromThread
        while (item := self._jobs.get()) is not None:
            job, done = item
            try:
                call(self._done, done.callback, job())
            except BaseException:
                call(self._done, done.errback, Failure())
            del job, done, item
        self._thd_closing()

    def _done(self, fire: Callable[[Any], None], result: Any) -> None:
        self._under_way -= 1
        fire(result)

    def stop(self) -> None:
        """Let the threads finish what is queued, and wait for them."""
        self._running = False
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()


class Database:
    """A database whose interactions run in threads and answer with Deferreds.

    :param engine: from :func:`glance.db.engine.make_engine`.
    :param reactor: provides threads and time.
    :param threads: size of the pool, and so the number of connections.
    :param retry: how broken interactions are repeated.
    """

    _log = Logger()

    def __init__(
        self, engine: Engine, reactor: Any, *, threads: int = 5, retry: Retry | None = None
    ) -> None:
        self.engine = engine
        self._reactor = reactor
        self._retry = retry or Retry()
        # A database in memory is one connection, which must not do two things at once.
        most = 1 if isinstance(engine.pool, StaticPool) else max(1, threads)
        self._threads = Threads(reactor, most, self._thd_close)
        self._local = threading.local()
        #: Grows when a connection is lost: those made before are not to be trusted either.
        self._epoch = 0
        self._sqlite = engine.dialect.name == "sqlite"
        # SQLite has one writer a file: our own threads queue here, which is fair and cheap,
        # rather than in its busy handler, which polls.
        self._writing = threading.Lock()

    def start(self) -> None:
        """Get ready. Threads and connections are made when first needed."""
        self._threads.start()

    def stop(self) -> None:
        """Wait for what runs, end the threads and their connections."""
        self._threads.stop()
        self.engine.dispose()

    def runInteraction(
        self,
        interaction: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Deferred[T]:
        """Run a function in one transaction, repeated as a whole when the database breaks it off.

        :param interaction: ``thd_…`` function called with the connection and the arguments. It may
            run several times, so it changes nothing but the database.
        :returns: a Deferred of its result, which must be plain values.
        :raises Unavailable: the database cannot be reached.
        """
        return self._run(self._thd_transaction, interaction, args, kwargs)

    def runReading(
        self,
        interaction: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Deferred[T]:
        """Run a function that only reads, each of its statements seeing the newest data.

        Parameters, result and errors are those of :meth:`runInteraction`.
        """
        return self._run(self._thd_reading, interaction, args, kwargs)

    def runQuery(self, statement: Any, parameters: Any = None) -> Deferred[list[tuple[Any, ...]]]:
        """Run one statement that only reads and answer with its rows as tuples."""
        return self.runReading(_thd_rows, statement, parameters)

    def _run(self, attempt: Any, interaction: Any, args: Any, kwargs: Any) -> Deferred[Any]:
        job = partial(carried(attempt), interaction, args, kwargs)
        return self._threads.run(job).addErrback(self._again, job, {"conflict": 0, "lost": 0})

    def _again(self, failure: Failure, job: Callable[[], Any], tries: dict[str, Any]) -> Any:
        failed = failure.value
        if not isinstance(failed, Broken):
            return failure
        retry = self._retry
        kind = failed.kind
        tries[kind] += 1
        now = self._reactor.seconds()
        most = retry.conflicts if kind == "conflict" else retry.losses
        if tries[kind] > most or now - tries.setdefault("since", now) > retry.patience:
            self._log.error(
                "The database did not answer after {tries} tries: {reason}",
                tries=tries["conflict"] + tries["lost"],
                reason=reason(failed.cause, self.engine),
            )
            raise Unavailable("The image catalogue's database does not answer.") from None
        first = retry.conflict_delay if kind == "conflict" else retry.loss_delay
        pause = min(retry.max_delay, first * 2 ** min(tries[kind] - 1, 16))
        waited: Deferred[Any] = deferLater(self._reactor, pause * random.uniform(0.5, 1.0))
        waited.addCallback(lambda _: self._threads.run(job))
        return waited.addErrback(self._again, job, tries)

    def _thd_connection(self) -> Connection:
        local = self._local
        connection: Connection | None = getattr(local, "connection", None)
        if connection is None or local.epoch != self._epoch:
            self._thd_forget()
            local.epoch = self._epoch
            connection = local.connection = self.engine.connect()
        return connection

    def _thd_close(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()

    def _thd_forget(self) -> None:
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except Exception as error:
                self._log.debug("Closing a broken connection: {error}", error=type(error).__name__)

    def _thd_reading(self, interaction: Any, args: Any, kwargs: Any) -> Any:
        try:
            return interaction(self._thd_connection(), *args, **kwargs)
        except DBAPIError as error:
            self._thd_fail(error)

    def _thd_transaction(self, interaction: Any, args: Any, kwargs: Any) -> Any:
        if not self._sqlite:
            return self._thd_transact("BEGIN", interaction, args, kwargs)
        with self._writing:
            return self._thd_transact("BEGIN IMMEDIATE", interaction, args, kwargs)

    def _thd_transact(self, begin: str, interaction: Any, args: Any, kwargs: Any) -> Any:
        committing = False
        try:
            connection = self._thd_connection()
            connection.exec_driver_sql(begin)
            result = interaction(connection, *args, **kwargs)
            committing = True
            connection.commit()
            return result
        except DBAPIError as error:
            self._thd_fail(error, committing=committing)
        except BaseException:
            self._thd_roll_back(committing)
            raise

    def _thd_roll_back(self, committing: bool) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            return
        if committing:
            # SQLAlchemy takes the transaction for ended, but SQLite may have kept it open.
            self._thd_forget()
            return
        try:
            connection.rollback()
        except Exception:
            self._thd_forget()

    def _thd_fail(self, error: DBAPIError, *, committing: bool = False) -> NoReturn:
        """Leave a connection behind that can be used, and raise what the error amounts to."""
        kind = classify(error)
        if kind == "lost":
            local = self._local
            if getattr(local, "connection", None) is not None and local.epoch == self._epoch:
                self._epoch = local.epoch + 1
            self._thd_forget()
        else:
            self._thd_roll_back(committing)
        if kind == "lost" and committing:
            # Nobody knows whether the commit went through: repeating could do it twice.
            raise Unavailable(
                "The database connection broke while a change was being saved; "
                "look whether it was made before trying again."
            ) from error
        if kind:
            raise Broken(kind, error) from error
        if isinstance(error, DataError) or _number(error) in _MYSQL_REFUSED:
            # Databases have limits of their own, 64 KiB for a property on MariaDB for one.
            raise Invalid(
                "A value is longer or larger than the catalogue's database can hold, or has a "
                "character that it cannot; shorten or change it."
            ) from error
        raise error


def _thd_rows(connection: Connection, statement: Any, parameters: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(statement, parameters or {})]
