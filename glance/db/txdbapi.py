"""Give DB-API work a Deferred, in the manner of ``twisted.enterprise.adbapi``.

One interaction is one hop to a thread of this module's own pool, however many statements it runs;
the thread keeps its connection from one interaction to the next. Repeating what a deadlock, a
serialization failure, a locked file or a lost connection broke off is done here and nowhere else,
and the waiting in between holds no thread.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.db.breakage import Broken, classify, is_out_of_order, is_refusal
from glance.db.engine import reason
from glance.db.threads import Threads, Turns
from glance.domain.correlation import carried
from glance.domain.errors import Invalid, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

#: How long a SQLite transaction waits for another process's before it is put off and tried again,
#: in milliseconds: a thread stands still meanwhile.
SQLITE_BUSY_TIMEOUT = 1000


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
        # SQLite has one writer a file. Our own queue here, in order and without a thread, so that
        # reading goes on however many wait.
        self._writing = Turns()

    def start(self) -> None:
        """Get ready. Threads and connections are made when first needed."""
        self._threads.start()

    def stop(self) -> Deferred[None]:
        """Let what runs come to its end, for a while, and end the threads and their connections.

        :returns: a Deferred that fires when they have ended, or are given up after some seconds.
        """
        ended: Deferred[None] = maybeDeferred(self._threads.stop)
        return ended.addCallback(lambda _: self.engine.dispose())

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
        return self._run(self._thd_transaction, self._sqlite, interaction, args, kwargs)

    def runReading(
        self,
        interaction: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Deferred[T]:
        """Run a function that only reads, each of its statements seeing the newest data.

        Parameters, result and errors are those of :meth:`runInteraction`.
        """
        return self._run(self._thd_reading, False, interaction, args, kwargs)

    def runQuery(self, statement: Any, parameters: Any = None) -> Deferred[list[tuple[Any, ...]]]:
        """Run one statement that only reads and answer with its rows as tuples."""
        return self.runReading(_thd_rows, statement, parameters)

    def _run(
        self, attempt: Any, in_turn: bool, interaction: Any, args: Any, kwargs: Any
    ) -> Deferred[Any]:
        job = partial(carried(attempt), interaction, args, kwargs)
        begin = partial(self._threads.run, job)
        if in_turn:
            begin = partial(self._writing.run, begin)
        return begin().addErrback(self._again, begin, {"conflict": 0, "lost": 0})

    def _again(
        self, failure: Failure, begin: Callable[[], Deferred[Any]], tries: dict[str, Any]
    ) -> Any:
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
        waited.addCallback(lambda _: begin())
        return waited.addErrback(self._again, begin, tries)

    def _thd_connection(self) -> Connection:
        local = self._local
        connection: Connection | None = getattr(local, "connection", None)
        if connection is None or local.epoch != self._epoch:
            self._thd_forget()
            local.epoch = self._epoch
            connection = local.connection = self.engine.connect()
            if self._sqlite:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {SQLITE_BUSY_TIMEOUT}")
        return connection

    def _thd_close(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            try:
                connection.close()
            except Exception as error:
                self._log.debug("Closing a connection: {error}", error=type(error).__name__)

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
        committing = False
        try:
            connection = self._thd_connection()
            connection.exec_driver_sql("BEGIN IMMEDIATE" if self._sqlite else "BEGIN")
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
        if is_refusal(error):
            # Databases have limits of their own, 64 KiB for a property on MariaDB for one.
            raise Invalid(
                "A value is longer or larger than the catalogue's database can hold, or has a "
                "character that it cannot; shorten or change it."
            ) from error
        if is_out_of_order(error):
            self._log.error(
                "The database cannot be written to: {reason}", reason=reason(error, self.engine)
            )
            raise Unavailable("The image catalogue's database cannot be written to.") from error
        raise error


def _thd_rows(connection: Connection, statement: Any, parameters: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(statement, parameters or {})]
