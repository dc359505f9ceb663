"""Threads, transactions and the repeating of what a database breaks off, on a clock of our own."""

from __future__ import annotations

import queue
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from glance.db import txdbapi
from glance.db.breakage import classify, is_out_of_order
from glance.db.engine import make_engine
from glance.db.threads import Threads, Turns
from glance.db.txdbapi import Database, Retry
from glance.domain.correlation import Correlation, current, working_on
from glance.domain.errors import Invalid, NotFound, Unavailable

#: Longer than any thread of these tests takes; only a deadlock waits for it.
PATIENCE = 30


def sqlite_error(name: str) -> sqlite3.Error:
    error = sqlite3.OperationalError("database is " + name)
    error.sqlite_errorname = name  # type: ignore[misc]
    return error


def postgresql_error(sqlstate: str) -> psycopg.Error:
    return psycopg.errors.lookup(sqlstate)("FATAL: of postgresql://me:secret@host/glance")


def translated_stale_plan() -> psycopg.Error:
    """Return what a server that speaks another language says of a table that was changed."""

    class Diagnostic:
        source_function = "RevalidateCachedQuery"

    class Translated(psycopg.errors.FeatureNotSupported):
        diag = Diagnostic()  # type: ignore[assignment]

    return Translated("zwischengespeicherter Plan darf den Ergebnistyp nicht verändern")


def wrapped(original: Exception) -> DBAPIError:
    """Wrap a driver's error as SQLAlchemy does."""
    error = DBAPIError.instance("SELECT", None, original, Exception)
    assert isinstance(error, DBAPIError)
    return error


BUSY = wrapped(sqlite_error("SQLITE_BUSY"))
LOST = wrapped(pymysql.err.OperationalError(2013, "Lost connection to secret during query"))


@pytest.mark.parametrize(
    ("original", "kind"),
    [
        (sqlite_error("SQLITE_BUSY"), "conflict"),
        (sqlite_error("SQLITE_BUSY_SNAPSHOT"), "conflict"),
        (sqlite_error("SQLITE_LOCKED"), "conflict"),
        (sqlite_error("SQLITE_LOCKED_SHAREDCACHE"), "conflict"),
        (sqlite_error("SQLITE_ERROR"), None),
        (sqlite_error("SQLITE_CANTOPEN"), None),
        (sqlite_error("SQLITE_FULL"), None),
        (sqlite3.OperationalError("made by hand"), None),
        (sqlite3.IntegrityError("UNIQUE constraint failed: images.id"), None),
        (postgresql_error("40001"), "conflict"),
        (postgresql_error("40P01"), "conflict"),
        (postgresql_error("55P03"), "conflict"),
        (postgresql_error("57P01"), "lost"),
        (postgresql_error("57P02"), "lost"),
        (postgresql_error("57P03"), "lost"),
        (postgresql_error("57P05"), "lost"),
        (postgresql_error("25P03"), "lost"),
        (postgresql_error("25006"), "lost"),
        (postgresql_error("53300"), "lost"),
        (postgresql_error("08006"), "lost"),
        (postgresql_error("08P01"), "lost"),
        (psycopg.errors.lookup("0A000")("cached plan must not change result type"), "lost"),
        (translated_stale_plan(), "lost"),
        (postgresql_error("0A000"), None),
        (psycopg.OperationalError("connection refused"), "lost"),
        (psycopg.OperationalError(), "lost"),
        (psycopg.errors.ConnectionTimeout("connection timeout expired"), "lost"),
        (postgresql_error("23505"), None),
        (postgresql_error("22001"), None),
        (postgresql_error("42P01"), None),
        (postgresql_error("57014"), None),
        (psycopg.InterfaceError("the cursor is closed"), None),
        (pymysql.err.OperationalError(1205, "Lock wait timeout exceeded"), "conflict"),
        (pymysql.err.OperationalError(1213, "Deadlock found"), "conflict"),
        (pymysql.err.OperationalError(1020, "Record has changed since last read"), "conflict"),
        (pymysql.err.OperationalError(1040, "Too many connections"), "lost"),
        (pymysql.err.OperationalError(1047, "WSREP has not yet prepared node"), "lost"),
        (pymysql.err.OperationalError(1053, "Server shutdown in progress"), "lost"),
        (pymysql.err.OperationalError(1290, "running with the --read-only option"), "lost"),
        (pymysql.err.OperationalError(1927, "Connection was killed"), "lost"),
        (pymysql.err.OperationalError(2003, "Can't connect"), "lost"),
        (pymysql.err.OperationalError(2006, "Server has gone away"), "lost"),
        (pymysql.err.OperationalError(2013, "Lost connection during query"), "lost"),
        (pymysql.err.OperationalError(1045, "Access denied"), None),
        (pymysql.err.OperationalError(), None),
        (pymysql.err.IntegrityError(1062, "Duplicate entry"), None),
        (pymysql.err.DataError(1406, "Data too long"), None),
        (pymysql.err.ProgrammingError(1146, "Table doesn't exist"), None),
    ],
)
def test_classify(original: Exception, kind: str | None) -> None:
    assert classify(wrapped(original)) == kind


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        (sqlite_error("SQLITE_FULL"), True),
        (sqlite_error("SQLITE_READONLY"), True),
        (sqlite_error("SQLITE_READONLY_DIRECTORY"), True),
        (sqlite_error("SQLITE_IOERR_WRITE"), True),
        (sqlite_error("SQLITE_ERROR"), False),
        (postgresql_error("53100"), True),
        (postgresql_error("42P01"), False),
        (pymysql.err.OperationalError(1021, "Disk full"), True),
        (pymysql.err.OperationalError(1045, "Access denied"), False),
    ],
)
def test_is_out_of_order(original: Exception, expected: bool) -> None:
    assert is_out_of_order(wrapped(original)) is expected


def test_a_connection_that_sqlalchemy_gave_up_is_lost() -> None:
    closed = pymysql.err.InterfaceError(0, "")
    assert classify(InterfaceError("SELECT", None, closed)) is None
    assert classify(InterfaceError("SELECT", None, closed, connection_invalidated=True)) == "lost"


class Reactor(Clock):
    """A clock, and calls from threads that wait until the test takes them."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def callFromThread(self, f: Callable[..., Any], *args: Any) -> None:
        self._calls.put((f, args))

    def turn(self, calls: int = 1) -> None:
        """Make so many calls of threads, waiting for them."""
        for _ in range(calls):
            f, args = self._calls.get(timeout=PATIENCE)
            f(*args)

    @property
    def waiting(self) -> int:
        return self._calls.qsize()


class ThreadsTests(SynchronousTestCase):
    def threads(self, most: int = 2) -> Threads:
        self.reactor = Reactor()
        self.closed: list[int] = []
        threads = Threads(self.reactor, most, lambda: self.closed.append(threading.get_ident()))
        threads.start()
        self.addCleanup(threads.stop)
        return threads

    def end(self, threads: Threads) -> None:
        ending = threads.stop()
        self.reactor.turn()
        self.successResultOf(ending)

    def test_results_and_failures(self) -> None:
        threads = self.threads(1)
        good, bad = threads.run(lambda: 7), threads.run(lambda: 1 // 0)
        self.assertNoResult(good)
        self.reactor.turn(2)
        self.assertEqual(self.successResultOf(good), 7)
        self.failureResultOf(bad, ZeroDivisionError)

    def test_even_what_is_no_exception_comes_back(self) -> None:
        def leave() -> None:
            raise SystemExit(3)

        threads = self.threads(1)
        gone, after = threads.run(leave), threads.run(lambda: 7)
        self.reactor.turn(2)
        self.failureResultOf(gone, SystemExit)
        self.assertEqual(self.successResultOf(after), 7)

    def test_refuses_jobs_unless_running(self) -> None:
        threads = Threads(Reactor(), 1, lambda: None)
        self.failureResultOf(threads.run(lambda: 7), Unavailable)
        threads = self.threads()
        threads.stop()
        self.failureResultOf(threads.run(lambda: 7), Unavailable)

    def test_starts_again(self) -> None:
        threads = self.threads(1)
        for n in range(3):
            answer = threads.run(lambda n=n: n)
            self.reactor.turn()
            self.assertEqual(self.successResultOf(answer), n)
            self.end(threads)
            threads.start()

    def test_starts_again_while_the_old_threads_are_ending(self) -> None:
        threads = self.threads(1)
        gate = threading.Event()
        late = threads.run(lambda: gate.wait(PATIENCE))
        ending = threads.stop()
        threads.start()
        answer = threads.run(lambda: 7)
        self.reactor.turn()
        self.assertEqual(self.successResultOf(answer), 7)
        self.assertNoResult(ending)
        gate.set()
        self.reactor.turn(2)
        self.successResultOf(late)
        self.successResultOf(ending)

    def test_no_more_threads_than_allowed_and_none_too_many(self) -> None:
        threads = self.threads(3)
        for _ in range(5):
            threads.run(threading.get_ident)
            self.reactor.turn()
        # One after the other: one thread is enough.
        self.assertEqual(len(threads._threads), 1)

        gate, running = threading.Event(), threading.Semaphore(0)
        seen: set[int] = set()

        def job() -> None:
            seen.add(threading.get_ident())
            running.release()
            gate.wait(PATIENCE)

        answers = [threads.run(job) for _ in range(8)]
        for _ in range(3):
            self.assertTrue(running.acquire(timeout=PATIENCE))
        # All three are at work, and the rest of the jobs waits.
        self.assertFalse(running.acquire(blocking=False))
        gate.set()
        self.reactor.turn(8)
        for answer in answers:
            self.successResultOf(answer)
        self.assertEqual(len(seen), 3)

    def test_stop_waits_for_what_is_queued(self) -> None:
        threads = self.threads(1)
        done: list[int] = []
        first = threading.Event()
        answers = [threads.run(lambda: first.wait(PATIENCE))]
        answers += [threads.run(lambda n=n: done.append(n)) for n in range(3)]
        ending = threads.stop()
        self.assertEqual(done, [])
        self.assertNoResult(ending)
        first.set()
        self.reactor.turn(5)
        self.successResultOf(ending)
        for answer in answers:
            self.successResultOf(answer)
        self.assertEqual(done, [0, 1, 2])
        self.assertEqual(len(self.closed), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_does_not_wait_for_ever(self) -> None:
        threads = self.threads(2)
        gate = threading.Event()
        answer = threads.run(lambda: gate.wait(PATIENCE))
        ending = threads.stop(patience=5)
        with seen_logs() as lines:
            self.reactor.advance(4.9)
            self.assertNoResult(ending)
            self.reactor.advance(0.1)
        self.successResultOf(ending)
        self.assertEqual(len(lines), 1)
        self.assertIn("1 statement", lines[0])
        gate.set()
        self.reactor.turn(2)
        self.successResultOf(answer)
        self.assertEqual(len(self.closed), 1)

    def test_stop_without_threads(self) -> None:
        self.successResultOf(self.threads().stop())

    def test_every_thread_closes_what_is_its_own(self) -> None:
        threads = self.threads(2)
        barrier = threading.Barrier(2)
        idents = [threads.run(lambda: barrier.wait(PATIENCE)) for _ in range(2)]
        self.reactor.turn(2)
        for ident in idents:
            self.successResultOf(ident)
        self.end(threads)
        self.assertEqual(len(set(self.closed)), 2)

    def test_cancelling_drops_the_late_result(self) -> None:
        threads = self.threads(1)
        gate = threading.Event()
        done: list[int] = []

        def job(fails: bool) -> None:
            gate.wait(PATIENCE)
            done.append(1)
            if fails:
                raise ValueError

        answers = [threads.run(lambda f=f: job(f)) for f in (False, True)]
        for answer in answers:
            answer.cancel()
            self.failureResultOf(answer, CancelledError)
        gate.set()
        self.reactor.turn(2)
        self.assertEqual(done, [1, 1])
        last = threads.run(lambda: 7)
        self.reactor.turn()
        self.assertEqual(self.successResultOf(last), 7)


class TurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turns = Turns()
        self.begun: list[Deferred[Any]] = []

    def work(self) -> Deferred[Any]:
        self.begun.append(Deferred())
        return self.begun[-1]

    def test_one_after_the_other_whatever_comes_of_it(self) -> None:
        answers = [self.turns.run(self.work) for _ in range(3)]
        self.assertEqual(len(self.begun), 1)
        self.begun[0].callback("a")
        self.assertEqual(self.successResultOf(answers[0]), "a")
        self.assertEqual(len(self.begun), 2)
        self.begun[1].errback(ValueError())
        self.failureResultOf(answers[1], ValueError)
        self.assertEqual(len(self.begun), 3)
        self.assertNoResult(answers[2])

    def test_a_turn_given_up_does_not_come(self) -> None:
        first, second, third = (self.turns.run(self.work) for _ in range(3))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.begun[0].callback(None)
        self.assertEqual(len(self.begun), 2)
        self.begun[1].callback("third")
        self.assertEqual(self.successResultOf(third), "third")
        self.successResultOf(first)

    def test_work_whose_result_nobody_wants_keeps_its_turn(self) -> None:
        first, second = (self.turns.run(self.work) for _ in range(2))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(len(self.begun), 1)
        self.begun[0].callback("late")
        self.begun[1].callback("second")
        self.assertEqual(self.successResultOf(second), "second")

    def test_any_number_may_end_at_once(self) -> None:
        first = self.turns.run(self.work)
        answers = [self.turns.run(lambda: fail(Unavailable("stopping"))) for _ in range(5000)]
        self.begun[0].callback(None)
        self.successResultOf(first)
        for answer in answers:
            self.failureResultOf(answer, Unavailable)

    def test_asked_for_by_the_work_before(self) -> None:
        nested: list[Deferred[Any]] = []

        def work() -> Deferred[Any]:
            nested.append(self.turns.run(lambda: succeed("inner")))
            return succeed("outer")

        self.assertEqual(self.successResultOf(self.turns.run(work)), "outer")
        self.assertEqual(self.successResultOf(nested[0]), "inner")


@contextmanager
def seen_logs() -> Iterator[list[str]]:
    lines: list[str] = []

    def observe(entry: dict[str, Any]) -> None:
        lines.append(f"{formatEvent(entry)} {entry.get('log_failure', '')}")

    globalLogPublisher.addObserver(observe)
    try:
        yield lines
    finally:
        globalLogPublisher.removeObserver(observe)


class DatabaseCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.engine = make_engine(f"sqlite:///{place.name}/db", sqlite_synchronous=False)
        self.database = self.make()
        self.done(self.database.runInteraction(_thd_create))

    def make(self, threads: int = 1, retry: Retry | None = None) -> Database:
        database = Database(self.engine, self.reactor, threads=threads, retry=retry)
        database.start()
        self.addCleanup(database.stop)
        return database

    def done(self, answer: Any) -> Any:
        self.reactor.turn()
        return self.successResultOf(answer)

    def failed(self, answer: Any, *kinds: type[Exception]) -> Any:
        self.reactor.turn()
        return self.failureResultOf(answer, *kinds).value

    def numbers(self) -> list[int]:
        rows = self.done(self.database.runQuery(text("SELECT n FROM t ORDER BY n")))
        return [n for (n,) in rows]

    def pause(self) -> float:
        """Return how long the only waiting attempt waits, and wait for it."""
        (call,) = self.reactor.getDelayedCalls()
        seconds = call.getTime() - self.reactor.seconds()
        self.reactor.advance(seconds)
        return seconds


def _thd_create(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE t (n INTEGER UNIQUE)")


def _thd_add(connection: Connection, n: int) -> int:
    return connection.exec_driver_sql("INSERT INTO t VALUES (?)", (n,)).rowcount


class Breaking:
    """An interaction that adds a number, and then raises each of some errors, once."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.runs = 0
        self.seen: list[Any] = []

    def __call__(self, connection: Connection, n: int = 1) -> str:
        self.runs += 1
        self.seen.append(current())
        _thd_add(connection, n)
        if self.errors:
            raise self.errors.pop(0)
        return f"{self.runs} runs"


class InteractionTests(DatabaseCase):
    def test_what_is_done_is_saved_and_what_fails_is_not(self) -> None:
        self.assertEqual(self.done(self.database.runInteraction(_thd_add, n=5)), 1)
        missing = NotFound("not there")
        error = self.failed(self.database.runInteraction(Breaking(missing), 6), NotFound)
        self.assertIs(error, missing)
        self.assertEqual(self.numbers(), [5])

    def test_reading_sees_what_was_saved(self) -> None:
        def thd_count(connection: Connection, least: int) -> Any:
            query = text("SELECT count(*) FROM t WHERE n >= :least")
            return connection.execute(query, {"least": least}).scalar()

        self.done(self.database.runInteraction(_thd_add, 5))
        self.assertEqual(self.done(self.database.runReading(thd_count, least=5)), 1)
        self.assertEqual(self.done(self.database.runReading(thd_count, 6)), 0)
        query = text("SELECT n, n + 1 FROM t WHERE n < :most")
        self.assertEqual(self.done(self.database.runQuery(query, {"most": 9})), [(5, 6)])

    def test_a_thread_keeps_its_connection(self) -> None:
        made: list[int] = []
        event.listen(self.engine, "connect", lambda *args: made.append(1))
        database = self.make()
        for n in range(4):
            self.done(database.runInteraction(_thd_add, n))
            self.done(database.runReading(lambda connection: None))
            self.failed(database.runInteraction(_thd_add, n), IntegrityError)
        self.assertEqual(made, [1])

    def test_a_database_in_memory_is_one_connection(self) -> None:
        database = Database(make_engine("sqlite://"), self.reactor, threads=5)
        database.start()
        self.addCleanup(database.stop)
        self.done(database.runInteraction(_thd_create))
        gate = threading.Event()
        workers: set[int] = set()

        def thd_look(connection: Connection) -> Any:
            gate.wait(PATIENCE)
            workers.add(threading.get_ident())
            return connection.execute(text("SELECT count(*) FROM t")).scalar()

        answers = [database.runReading(thd_look) for _ in range(20)]
        gate.set()
        self.reactor.turn(20)
        for answer in answers:
            self.assertEqual(self.successResultOf(answer), 0)
        self.assertEqual(len(workers), 1)

    def test_transactions_of_one_process_wait_for_each_other(self) -> None:
        database = self.make(threads=8)
        inside: list[int] = []
        most: list[int] = []

        def thd_alone(connection: Connection, n: int) -> None:
            inside.append(n)
            most.append(len(inside))
            _thd_add(connection, n)
            inside.remove(n)

        answers = [database.runInteraction(thd_alone, n) for n in range(40)]
        self.reactor.turn(40)
        for answer in answers:
            self.successResultOf(answer)
        self.assertEqual(max(most), 1)
        self.assertEqual(self.numbers(), list(range(40)))

    def test_writers_wait_without_a_thread(self) -> None:
        database = self.make(threads=2)
        gate = threading.Event()
        writers = [database.runInteraction(lambda connection: gate.wait(PATIENCE))]
        writers += [database.runInteraction(_thd_add, n) for n in range(10)]
        # The first writer has a thread and the rest have none: reading goes on.
        reading = database.runReading(lambda connection: 7)
        self.assertEqual(self.done(reading), 7)
        gate.set()
        self.reactor.turn(11)
        for writer in writers:
            self.successResultOf(writer)
        self.assertEqual(self.numbers(), list(range(10)))

    def test_stopping_refuses_the_writers_that_wait(self) -> None:
        gate = threading.Event()
        first = self.database.runInteraction(lambda connection: gate.wait(PATIENCE))
        waiting = self.database.runInteraction(_thd_add, 1)
        ending = self.database.stop()
        self.assertNoResult(waiting)
        gate.set()
        self.reactor.turn(2)
        self.successResultOf(first)
        self.failureResultOf(waiting, Unavailable)
        self.successResultOf(ending)

    def test_a_writer_of_another_process_is_not_waited_for_in_a_thread(self) -> None:
        other = sqlite3.connect(str(self.engine.url.database), isolation_level=None)
        self.addCleanup(other.close)
        self.patch(txdbapi, "SQLITE_BUSY_TIMEOUT", 1)
        database = self.make(retry=Retry(patience=1e9))
        other.execute("BEGIN IMMEDIATE")
        answer = database.runInteraction(_thd_add, 1)
        for _ in range(3):
            self.reactor.turn()
            self.assertNoResult(answer)
            self.assertEqual(self.done(database.runReading(lambda connection: 7)), 7)
            self.pause()
        # The attempt that was begun just now may come too early or not.
        other.execute("ROLLBACK")
        self.reactor.turn()
        if self.reactor.getDelayedCalls():
            self.pause()
            self.reactor.turn()
        self.assertEqual(self.successResultOf(answer), 1)
        self.assertEqual(self.numbers(), [1])

    def test_sqlite_is_told_at_the_beginning_that_a_transaction_writes(self) -> None:
        said: list[str] = []

        def note(c: Any, cursor: Any, statement: str, *rest: Any) -> None:
            said.append(statement)

        event.listen(self.engine, "before_cursor_execute", note)
        self.done(self.database.runInteraction(lambda connection: None))
        self.assertEqual(said, ["BEGIN IMMEDIATE"])
        self.done(self.database.runReading(lambda connection: None))
        self.assertEqual(said, ["BEGIN IMMEDIATE"])

    def test_after_the_end_nothing_runs(self) -> None:
        self.database.stop()
        self.failureResultOf(self.database.runInteraction(_thd_add, 1), Unavailable)

    def test_value_that_the_database_cannot_hold(self) -> None:
        too_long = wrapped(pymysql.err.DataError(1406, "Data too long for column 'value'"))
        error = self.failed(self.database.runInteraction(Breaking(too_long)), Invalid)
        self.assertIn("longer", error.message)
        strange = wrapped(pymysql.err.OperationalError(1267, "Illegal mix of collations"))
        self.failed(self.database.runInteraction(Breaking(strange)), Invalid)
        out_of_range = wrapped(postgresql_error("22003"))
        self.failed(self.database.runReading(Breaking(out_of_range), 2), Invalid)
        self.assertEqual(self.numbers(), [2])

    def test_other_database_errors_pass_as_they_are(self) -> None:
        self.done(self.database.runInteraction(_thd_add, 1))
        error = self.failed(self.database.runInteraction(_thd_add, 1), IntegrityError)
        self.assertIsNot(error.__cause__, error)
        self.failed(self.database.runQuery(text("SELECT n FROM nowhere")), OperationalError)
        self.assertEqual(self.numbers(), [1])

    def test_threads_know_their_request(self) -> None:
        interaction = Breaking(BUSY)
        mine = Correlation("req-mine")
        with working_on(mine):
            answer = self.database.runInteraction(interaction)
        with working_on(Correlation("req-other")):
            other = self.database.runReading(lambda connection: current())
            self.reactor.turn()
            self.assertEqual(self.done(other), Correlation("req-other"))
            self.pause()
            self.assertEqual(self.done(answer), "2 runs")
        self.assertEqual(interaction.seen, [mine, mine])
        self.assertIsNone(self.done(self.database.runReading(lambda connection: current())))


class RetryTests(DatabaseCase):
    def test_conflicts_are_repeated_as_a_whole(self) -> None:
        interaction = Breaking(BUSY, BUSY, BUSY)
        answer = self.database.runInteraction(interaction)
        pauses = []
        for _ in range(3):
            self.reactor.turn()
            self.assertNoResult(answer)
            pauses.append(self.pause())
        self.assertEqual(self.done(answer), "4 runs")
        self.assertEqual(self.numbers(), [1])
        for n, pause in enumerate(pauses):
            self.assertGreaterEqual(pause, 0.005 * 2**n * 0.5 - 1e-9)
            self.assertLessEqual(pause, 0.005 * 2**n)

    def test_pauses_do_not_grow_beyond_bounds(self) -> None:
        retry = Retry(conflicts=30, patience=1e9)
        answer = self.make(retry=retry).runInteraction(Breaking(*[BUSY] * 30))
        for _ in range(29):
            self.reactor.turn()
            self.pause()
        self.reactor.turn()
        self.assertLessEqual(self.pause(), retry.max_delay)
        self.assertEqual(self.done(answer), "31 runs")

    def test_gives_up_in_the_end(self) -> None:
        for error, retry in ((BUSY, Retry(conflicts=2)), (LOST, Retry(losses=2))):
            interaction = Breaking(*[error] * 9)
            answer = self.make(retry=retry).runInteraction(interaction)
            with seen_logs() as lines:
                for _ in range(2):
                    self.reactor.turn()
                    self.pause()
                self.failed(answer, Unavailable)
            self.assertEqual(interaction.runs, 3)
            self.assertEqual(len(lines), 1)
            self.assertIn("3 tries", lines[0])
        self.assertEqual(self.numbers(), [])

    def test_gives_up_when_attempts_take_long(self) -> None:
        interaction = Breaking(*[BUSY] * 9)
        answer = self.make(retry=Retry(patience=60)).runInteraction(interaction)
        self.reactor.turn()
        self.pause()
        self.reactor.advance(61)
        self.failed(answer, Unavailable)
        self.assertEqual(interaction.runs, 2)

    def test_readings_are_repeated_too(self) -> None:
        interaction = Breaking(LOST, BUSY)
        answer = self.database.runReading(interaction, 1)
        self.reactor.turn()
        self.pause()
        # The first attempt's row stands: a reading is no transaction.
        self.failed(answer, IntegrityError)
        self.assertEqual(interaction.runs, 2)

    def test_cancelling_ends_the_repeating(self) -> None:
        interaction = Breaking(BUSY)
        answer = self.database.runInteraction(interaction)
        self.reactor.turn()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(interaction.runs, 1)

    def test_stopping_ends_the_repeating(self) -> None:
        interaction = Breaking(BUSY)
        answer = self.database.runInteraction(interaction)
        self.reactor.turn()
        self.database.stop()
        self.reactor.turn()
        self.pause()
        self.failureResultOf(answer, Unavailable)
        self.assertEqual(interaction.runs, 1)

    def test_waiting_holds_no_thread(self) -> None:
        answer = self.database.runInteraction(Breaking(BUSY), 1)
        self.reactor.turn()
        self.done(self.database.runInteraction(_thd_add, 2))
        self.pause()
        self.done(answer)
        self.assertEqual(self.numbers(), [1, 2])


class LossTests(DatabaseCase):
    def setUp(self) -> None:
        super().setUp()
        self.made = 0
        self.open: set[int] = set()

        def made(raw: Any, record: Any) -> None:
            self.made += 1
            self.open.add(id(raw))

        event.listen(self.engine, "connect", made)
        event.listen(self.engine, "close", lambda raw, record: self.open.discard(id(raw)))

    def test_a_lost_connection_is_replaced(self) -> None:
        answer = self.database.runInteraction(Breaking(LOST))
        self.reactor.turn()
        self.pause()
        self.assertEqual(self.done(answer), "2 runs")
        self.assertEqual(self.made, 1)
        self.assertEqual(self.numbers(), [1])
        self.assertEqual(self.made, 1)

    def test_no_connection_is_left_open(self) -> None:
        database = self.make()
        for n in range(3):
            answer = database.runInteraction(Breaking(LOST), n)
            self.reactor.turn()
            self.pause()
            self.assertEqual(self.done(answer), "2 runs")
            self.assertEqual(len(self.open), 1)
        self._commit_fails_once(BUSY)
        answer = database.runInteraction(_thd_add, 7)
        self.reactor.turn()
        self.pause()
        self.done(answer)
        self.assertEqual(len(self.open), 1)
        self.done(database.stop())
        self.assertEqual(self.open, set())

    def test_connections_of_an_older_time_are_closed(self) -> None:
        database = self.make(2)
        barrier = threading.Barrier(2)

        def thd_meet(connection: Connection, lose: bool) -> None:
            barrier.wait(PATIENCE)
            if lose:
                raise LOST

        for lose in (False, True):
            answers = [database.runReading(thd_meet, lose), database.runReading(thd_meet, False)]
            self.reactor.turn(2)
        for answer in answers:
            answer.cancel()
            answer.addErrback(lambda failure: failure.trap(CancelledError))
        for _ in range(2):
            answers = [database.runReading(thd_meet, False) for _ in range(2)]
            self.reactor.turn(2)
            for answer in answers:
                self.successResultOf(answer)
        self.assertEqual(self.made, 4)
        self.assertEqual(len(self.open), 2)

    def test_one_loss_replaces_the_connections_of_all_threads(self) -> None:
        # A server that was restarted has dropped them all: each must not cost an attempt.
        threads = 6
        database = self.make(threads)
        barrier = threading.Barrier(threads)

        def thd_meet(connection: Connection) -> None:
            barrier.wait(PATIENCE)

        def meet() -> None:
            answers = [database.runReading(thd_meet) for _ in range(threads)]
            self.reactor.turn(threads)
            for answer in answers:
                self.successResultOf(answer)

        meet()
        meet()
        self.assertEqual(self.made, threads)
        answer = database.runReading(Breaking(LOST), 1)
        self.reactor.turn()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        meet()
        meet()
        self.assertEqual(self.made, 2 * threads)

    def test_losses_of_all_threads_at_once_are_one_loss(self) -> None:
        threads = 6
        database = self.make(threads)
        barrier = threading.Barrier(threads)
        attempts: list[int] = []

        def thd_lose(connection: Connection) -> None:
            attempts.append(1)
            if len(attempts) <= threads:
                barrier.wait(PATIENCE)
                raise LOST

        answers = [database.runReading(thd_lose) for _ in range(threads)]
        self.reactor.turn(threads)
        self.reactor.advance(1)
        self.reactor.turn(threads)
        for answer in answers:
            self.successResultOf(answer)
        self.assertEqual(database._epoch, 1)
        self.assertLessEqual(self.made, 2 * threads)

    def test_a_database_that_cannot_be_opened_yet(self) -> None:
        refusals = 0

        def refuse(*args: Any) -> None:
            nonlocal refusals
            refusals += 1
            raise self.refusal

        busy, away = (
            sqlite_error("SQLITE_BUSY"),
            sqlite3.ProgrammingError("Cannot operate on a closed database."),
        )
        for self.refusal, retry, tries in (
            (busy, Retry(conflicts=1), 2),
            (busy, Retry(conflicts=0), 1),
            (away, Retry(losses=1), 2),
        ):
            database = self.make(retry=retry)
            event.listen(self.engine, "do_connect", refuse)
            for run in (database.runInteraction, database.runReading):
                refusals = 0
                answer = run(lambda connection: 7)
                for _ in range(tries - 1):
                    self.reactor.turn()
                    self.pause()
                self.failed(answer, Unavailable)
                self.assertEqual(refusals, tries)
                # A connection that was never made says nothing about the others.
                self.assertEqual(database._epoch, 0)
            event.remove(self.engine, "do_connect", refuse)
            self.assertEqual(self.done(database.runReading(lambda connection: 7)), 7)

    def _commit_fails_once(self, error: DBAPIError) -> None:
        def fail(connection: Connection) -> None:
            event.remove(self.engine, "commit", fail)
            raise error

        event.listen(self.engine, "commit", fail)

    def test_a_loss_while_saving_is_not_repeated(self) -> None:
        self._commit_fails_once(LOST)
        interaction = Breaking()
        error = self.failed(self.database.runInteraction(interaction), Unavailable)
        self.assertIn("look whether", error.message)
        self.assertEqual(interaction.runs, 1)
        self.assertEqual(self.made, 0)
        self.assertEqual(self.numbers(), [])
        self.assertEqual(self.made, 1)

    def test_a_conflict_while_saving_is_repeated(self) -> None:
        self._commit_fails_once(BUSY)
        answer = self.database.runInteraction(Breaking())
        self.reactor.turn()
        self.pause()
        self.assertEqual(self.done(answer), "2 runs")
        self.assertEqual(self.numbers(), [1])

    def test_a_rollback_that_fails_costs_the_connection_only(self) -> None:
        def fail(connection: Connection) -> None:
            event.remove(self.engine, "rollback", fail)
            raise sqlite3.OperationalError("disk I/O error")

        event.listen(self.engine, "rollback", fail)
        self.failed(self.database.runInteraction(Breaking(NotFound("x"))), NotFound)
        self.assertEqual(self.done(self.database.runInteraction(_thd_add, 2)), 1)
        self.assertEqual(self.made, 1)
        self.assertEqual(self.numbers(), [2])


class SecretTests(SynchronousTestCase):
    def test_neither_logs_nor_errors_hold_the_password(self) -> None:
        reactor = Reactor()
        engine = make_engine("mysql://me:secret@host/glance")
        causes = [
            pymysql.err.OperationalError(2003, "Can't connect with secret\nmysql://me:secret@h"),
            pymysql.err.OperationalError(1045, "Access denied"),
        ]
        for cause in causes:

            def refuse(*args: Any, cause: Exception = cause) -> Any:
                raise cause

            event.listen(engine, "do_connect", refuse)
            database = Database(engine, reactor, threads=1, retry=Retry(losses=0))
            database.start()
            with seen_logs() as lines:
                answer = database.runReading(lambda connection: None)
                reactor.turn()
                failure = self.failureResultOf(answer)
                database.stop()
                reactor.turn()
            event.remove(engine, "do_connect", refuse)
            told = [*lines, failure.getErrorMessage(), failure.getBriefTraceback()]
            self.assertNotIn("secret", " ".join(told))
            self.assertTrue(failure.check(Unavailable) is None or "Can't connect" in lines[0])
