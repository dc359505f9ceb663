"""Transactions of programs that have no reactor, repeated where a database breaks them off.

What ``glance.db.txdbapi`` is to the services, for a program that does one thing after another in
its only thread.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from glance.db.breakage import classify, is_out_of_order
from glance.db.engine import address, reason
from glance.db.exclusive import SchemaError, thd_connect
from glance.domain.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")

#: How often a transaction is tried that runs into other transactions, and the pauses in between.
ATTEMPTS = 50
FIRST_PAUSE = 0.005
MAX_PAUSE = 2.0
#: Its number in SQLite's PRAGMA synchronous: in a write-ahead log, checkpoints alone wait.
_SQLITE_NORMAL = 1


class Transactions:
    """Runs functions in transactions, one after the other, on one connection.

    :param engine: from :func:`glance.db.engine.make_engine`.
    :param pause: waits for a number of seconds.
    """

    def __init__(
        self, connection: Connection, pause: Callable[[float], object] = time.sleep
    ) -> None:
        self._connection = connection
        self._engine = connection.engine
        self._begin = "BEGIN IMMEDIATE" if self._engine.dialect.name == "sqlite" else "BEGIN"
        self._pause = pause

    @classmethod
    @contextmanager
    def thd_on(
        cls, engine: Engine, pause: Callable[[float], object] = time.sleep
    ) -> Iterator[Transactions]:
        """Connect for the length of a block.

        :raises Unavailable: the database cannot be reached.
        """
        connection = thd_connect(engine)
        try:
            yield cls(connection, pause)
        finally:
            # What it complains of now matters to nobody.
            with contextlib.suppress(Exception):
                connection.close()

    @contextmanager
    def thd_synced_at_end(self) -> Iterator[None]:
        """Have SQLite wait for the disk once, at the end of a block of many transactions.

        Each of them is atomic as ever. A loss of power before the end may undo the last ones.
        """
        ask = self._connection.exec_driver_sql
        # Only with a write-ahead log the file stays whole whenever that happens.
        if self._engine.dialect.name != "sqlite" or ask("PRAGMA journal_mode").scalar() != "wal":
            yield
            return
        level = int(ask("PRAGMA synchronous").scalar_one())
        ask(f"PRAGMA synchronous = {min(level, _SQLITE_NORMAL)}")
        try:
            yield
        finally:
            ask(f"PRAGMA synchronous = {level}")
            ask("PRAGMA wal_checkpoint(PASSIVE)").all()

    def thd_run(
        self,
        interaction: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a function in one transaction.

        :param interaction: ``thd_…`` function called with the connection and the arguments. It may
            run several times, so it changes nothing but the database.
        :raises Unavailable: the database broke off, or cannot be written to.
        :raises SchemaError: it refused a statement.
        :raises IntegrityError: a constraint of the schema would be broken.
        """
        delay = FIRST_PAUSE
        for _ in range(ATTEMPTS):
            try:
                return self._thd_once(interaction, args, kwargs)
            except IntegrityError:
                raise
            except DBAPIError as error:
                if classify(error) != "conflict":
                    raise self._worded(error) from error
                last = error
            self._pause(delay * random.uniform(0.5, 1.0))
            delay = min(2 * delay, MAX_PAUSE)
        raise self._worded(last) from last

    def _thd_once(self, interaction: Any, args: Any, kwargs: Any) -> Any:
        self._connection.exec_driver_sql(self._begin)
        try:
            result = interaction(self._connection, *args, **kwargs)
            self._connection.commit()
            return result
        except BaseException:
            # An interrupt may come in the middle of an answer: the connection is then of no use.
            with contextlib.suppress(Exception):
                self._connection.rollback()
            raise

    def _worded(self, error: DBAPIError) -> Exception:
        kind, place, why = classify(error), address(self._engine), reason(error, self._engine)
        if kind == "lost":
            return Unavailable(f"The database {place} broke off: {why}")
        if kind == "conflict":
            return Unavailable(f"The database {place} is too busy: {why}")
        if is_out_of_order(error):
            return Unavailable(f"The database {place} cannot be written to: {why}")
        return SchemaError(f"The database {place} refused a statement: {why}")
