"""Make the replicator's service of a configuration, and run it in the foreground.

Whatever can be wrong is found before a reactor runs, and is one line and an exit code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from glance.config import Loaded
from glance.config.twistd import logs_somewhere
from glance.domain.errors import GlanceError
from glance.replicate.outcome import Deed, Summary
from glance.replicate.reports import (
    summary_failures,
    summary_json,
    summary_remarks,
    summary_text,
)
from glance.services.logs import Logging, start_logging
from glance.services.notify import Notifier
from glance.services.replicator_job import Job, thd_make_job
from glance.services.replicator_line import service_order
from glance.services.replicator_service import ReplicatorService
from glance.services.replicator_telling import Teller
from glance.services.signals import catch_signals
from glance.services.telling import Voices, print_error, teller

#: Deeds that are news.
_DONE = (Deed.COPIED, Deed.COMPLETED, Deed.UPDATED, Deed.DELETED)

_log = Logger()


class RoundTeller:
    """Tells what became of run after run; what was said of the last one is not said again.

    :param show: shows what programs read; ``None`` for nobody.
    """

    def __init__(self, voices: Voices, show: Callable[[str], None] | None = None) -> None:
        self._voices = voices
        self._show = show
        self._said: set[str] = set()

    def told(self, result: Summary | GlanceError) -> None:
        """Tell of a run."""
        remarks: list[str] = []
        line, done = "", False
        if isinstance(result, GlanceError):
            failures = [f"No run: {result.message}"]
        else:
            remarks, failures = summary_remarks(result, said=True), summary_failures(result)
            line, done = summary_text(result), any(result.counts[deed] for deed in _DONE)
            if self._show is not None:
                self._show(summary_json(result))
        news = done or {*remarks, *failures} != self._said
        for lines, voice in ((remarks, self._voices.say), (failures, self._voices.complain)):
            for one in lines:
                (self._voices.mention if one in self._said else voice)(one)
        self._said = {*remarks, *failures}
        if line:
            (self._voices.say if news else self._voices.mention)(line)


def thd_make_service(
    loaded: Loaded,
    reactor: Any,
    reload: Callable[[], Loaded],
    logging: Logging,
    voices: Voices,
    show: Callable[[str], None] | None = None,
) -> ReplicatorService:
    """Make the service.

    :param reload: loads the configuration anew.
    :param voices: to tell the operator by.
    :raises GlanceError: it cannot be started so.
    """

    def thd_reload() -> tuple[Job, Callable[[], None]]:
        new = reload()
        return _thd_make_job(new), lambda: logging.change(new.conf)

    # Of single images a run's end tells what is new.
    quiet = Voices(voices.say, voices.mention, voices.mention)
    return ReplicatorService(
        _thd_make_job(loaded),
        reactor,
        thd_reload=thd_reload,
        run=deferToThread,
        make_teller=lambda job: Teller(reactor, quiet, dry_run=job.plan.dry_run),
        told=RoundTeller(voices, show).told,
        notifier=Notifier.from_environment(),
    )


def _thd_make_job(loaded: Loaded) -> Job:
    for warning in loaded.warnings:
        _log.warn("{text}", text=warning)
    order = service_order(loaded.arguments, loaded.conf, os.environ)
    return thd_make_job(loaded, order, asks=False)


def watch(loaded: Loaded, reload: Callable[[], Loaded]) -> int:
    """Make runs until a signal ends it, for the console program.

    :returns: the exit code.
    :raises GlanceError: it cannot be started so.
    """
    logging = start_logging(loaded.conf, loaded.program)
    from twisted.internet import reactor

    run: Any = reactor
    elsewhere = logs_somewhere(loaded.conf)
    watched = loaded.conf.verbose or loaded.conf.debug
    as_json = loaded.arguments.json

    def put(line: str) -> None:
        print(line, flush=True)

    voices = Voices(
        teller(print_error if as_json else put, _log.info if elsewhere else None),
        teller(print_error, _log.error if elsewhere else None),
        teller(print_error if watched else None, _log.info if elsewhere else None),
    )
    service = thd_make_service(loaded, run, reload, logging, voices, put if as_json else None)
    catch_signals(run, service)
    run.callWhenRunning(service.startService)
    run.addSystemEventTrigger("before", "shutdown", service.stopService)
    run.run()
    sys.stdout.flush()
    return 0
