"""Run a verification of catalogue and stores in a process of its own, for ``glance-manage``."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import Any, Final, TextIO

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from glance.config import Loaded
from glance.db import verification
from glance.db.engine import address, make_configured_engine
from glance.db.txdbapi import Database
from glance.domain.errors import ConfigError, GlanceError
from glance.services.database_check import thd_check_database
from glance.services.signals import catch_end, stop_once
from glance.stores.registry import Stores, start_in_time
from glance.transfers.hashing import Hashes
from glance.transfers.worker import WorkerIdentity
from glance.verify.copies import Copies, Rate
from glance.verify.progress import Progress
from glance.verify.report import Report
from glance.verify.settings import Settings, Tools
from glance.verify.state import State
from glance.verify.verification import Verification

OK: Final = 0
FAILED: Final = 1
FOUND: Final = 6
INTERRUPTED: Final = 130

#: Seconds that the parts may take to stop.
STOP_TIME: Final = 5.0

_log = Logger()


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line says.

    :param state_file: where the state is kept, if it is.
    :param rate: bytes a second that may be read; 0 for any number.
    :param as_json: whether the report is for programs.
    :param quiet: tell nothing of progress.
    """

    settings: Settings
    state_file: str | None = None
    rate: float = 0.0
    as_json: bool = False
    quiet: bool = False


def verify(loaded: Loaded, order: Order) -> int:
    """Verify, and write the report to standard output.

    :returns: the exit code.
    :raises GlanceError: it could not be done.
    """
    if loaded.embedded:
        loaded.thd_make_state_dir()
    thd_check_database(loaded)
    from twisted.internet import reactor

    process = VerifyingProcess(loaded, order, reactor, sys.stdout, sys.stderr)
    process.thd_check()
    return process.run()


class VerifyingProcess:
    """The parts that a verification works with, for as long as it takes.

    :param out: where the report goes.
    :param err: where progress is told.
    """

    def __init__(
        self, loaded: Loaded, order: Order, reactor: Any, out: TextIO, err: TextIO
    ) -> None:
        conf = loaded.conf
        settings = order.settings
        self._order = order
        self._reactor = reactor
        self._out = out
        engine = make_configured_engine(conf.database, conf.metadata_encryption_key)
        # The walk and the looks side by side.
        self._database = Database(engine, reactor, threads=settings.parallel + 1)
        self._stores = Stores(conf, reactor)
        self._hashing = ThreadPool(minthreads=0, maxthreads=2 * settings.parallel, name="hashing")
        self._state = State(reactor, order.state_file)
        self._progress = Progress(reactor, None if order.quiet else err)
        make_hashes = None
        if settings.hashes:

            def make_hashes(algorithm: str) -> Hashes:
                return Hashes(reactor, self._hashing, algorithm)

        copies = Copies(
            self._stores,
            reactor,
            make_hashes,
            conf.hashing_algorithm,
            Rate(reactor, order.rate),
            self._progress.read,
        )
        tools = Tools(
            self._database,
            self._stores,
            self._state,
            copies,
            self._progress,
            settings,
            WorkerIdentity.of_this_process(),
            reactor,
            time.time,
        )
        subject = {
            "database": address(engine),
            "hashes": settings.hashes,
            "stores": None if settings.stores is None else sorted(settings.stores),
            "images": None if settings.images is None else sorted(settings.images),
        }
        self._verification = Verification(tools, subject)
        self._work: Deferred[int] | None = None
        self._outcome: int | Failure = INTERRUPTED

    def thd_check(self) -> None:
        """Check what can be wrong before anything is begun.

        :raises ConfigError: a store that is asked for is not configured, or the directory of one
            is not there.
        :raises StateError: the state's file cannot be used.
        """
        known = [store.store_id for store in self._stores.all()]
        for store_id in sorted(self._order.settings.stores or ()):
            if store_id not in known:
                raise ConfigError(
                    f"--store: there is no store {store_id!r}; there are: {', '.join(known)}."
                )
        for store in self._stores.all():
            for path in getattr(store, "directories", ()):
                # The store would make it when it starts, and everything would seem to be lost.
                if not os.path.isdir(path):
                    raise ConfigError(
                        f"Store {store.store_id}: the directory {path} is not there, so nothing "
                        "can be told. Is it mounted? A service makes it when it starts first."
                    )
        self._state.thd_open()

    def run(self) -> int:
        """Run the reactor until all is done or a signal comes; return the exit code."""
        reactor = self._reactor
        catch_end(reactor)
        reactor.callWhenRunning(self._start)
        reactor.addSystemEventTrigger(
            "before", "shutdown", lambda: Deferred.fromCoroutine(self._stop())
        )
        reactor.run()
        if not isinstance(self._outcome, Failure):
            return self._outcome
        if self._outcome.check(CancelledError):
            return self._interrupted()
        self._outcome.raiseException()
        raise AssertionError("it was raised")

    def _interrupted(self) -> int:
        if self._state.kept:
            self._progress.say("Interrupted; the same command line goes on where it was.")
        else:
            self._progress.say("Interrupted; with --state it could be gone on with.")
        return INTERRUPTED

    def _start(self) -> None:
        self._work = Deferred.fromCoroutine(self._run())
        self._work.addBoth(self._ended)

    def _ended(self, outcome: Any) -> None:
        self._outcome = outcome
        self._work = None
        # It is stopping already where a signal has ended the work.
        stop_once(self._reactor)

    async def _run(self) -> int:
        self._hashing.start()
        self._database.start()
        await self._check_images()
        await self._state.load()
        # One that hangs is found to do so when it is asked.
        await start_in_time(self._stores, self._reactor)
        self._progress.start()
        try:
            await self._verification.run()
        finally:
            self._progress.stop()
        report = Report(
            self._state,
            self._order.settings,
            self._stores,
            resumed=self._verification.resumed,
        )
        await report.count()
        write = report.write_json if self._order.as_json else report.write_text
        await write(self._out.write)
        self._out.flush()
        return FAILED if report.errors else FOUND if report.open else OK

    async def _check_images(self) -> None:
        """Check that the images that are asked for are known: all is well with none.

        :raises ConfigError: one is not.
        """
        asked = self._order.settings.images
        if asked:
            unknown = await self._database.runReading(verification.thd_unknown, asked)
            if unknown:
                raise ConfigError(f"--image: there is no image {unknown[0]!r}.")

    async def _stop(self) -> None:
        if self._work is not None:
            self._work.cancel()
        self._hashing.stop()
        for stopping in (self._stores.stop, self._database.stop, self._close):
            try:
                await stopping().addTimeout(STOP_TIME, self._reactor)
            except (GlanceError, TimeoutError) as error:
                _log.warn("Stopping: {error}", error=error)

    def _close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._state.close())
