"""One command of the replicator in the foreground: progress, what it prints, exit code."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from glance.config import Loaded
from glance.config.twistd import logs_somewhere
from glance.domain.amounts import counted
from glance.domain.errors import ConfigError, GlanceError
from glance.replicate import reports
from glance.replicate.listening import Silent
from glance.replicate.outcome import SIDE_LOST, Summary
from glance.replicate.record import ImageRecord
from glance.replicate.run import compare, measure, replicate
from glance.replicate.wording import title
from glance.services.logs import start_logging
from glance.services.replicator_driving import run_until_done
from glance.services.replicator_job import Job
from glance.services.replicator_question import is_yes
from glance.services.replicator_screen import Screen
from glance.services.replicator_sides import Sides
from glance.services.replicator_telling import Teller
from glance.services.telling import Voices, print_error, teller

#: Images that a question names.
_NAMED = 10

_log = Logger()


def run_command(loaded: Loaded, job: Job) -> int:
    """Do what a command says.

    :returns: the exit code.
    :raises GlanceError: a log cannot be written, say.
    """
    with contextlib.ExitStack() as stack:
        from twisted.internet import reactor

        run = _Run(loaded, job, reactor)
        if run.screen is not None:
            # Also what libraries say must not get in between.
            stack.enter_context(contextlib.redirect_stderr(run.screen.above))
        start_logging(loaded.conf, loaded.program)
        for warning in loaded.warnings:
            _log.warn("{text}", text=warning)
        return run_until_done(reactor, run.do, run.tidy)


def make_voices(loaded: Loaded, *, screen: bool, to_stdout: bool) -> Voices:
    """Make what tells of single images.

    :param screen: whether a terminal shows how far it is anyway.
    :param to_stdout: whether what was done is what the caller wants to read.
    """
    conf = loaded.conf
    elsewhere = logs_somewhere(conf)
    watched = conf.verbose or conf.debug

    def show(line: str) -> None:
        print_error(line)

    def put(line: str) -> None:
        # To the error stream first: it takes what is drawn off the terminal.
        print("", end="", file=sys.stderr, flush=True)
        print(line, flush=True)

    said = put if to_stdout else show if watched or not screen else None
    return Voices(
        teller(said, _log.info if elsewhere else None),
        teller(show, _log.error if elsewhere else None),
        teller(show if watched else None, _log.info if elsewhere else None),
    )


class _Run:
    """One run of a command.

    :ivar screen: what shows how far it is; ``None`` where nobody sees it.
    """

    def __init__(self, loaded: Loaded, job: Job, reactor: Any) -> None:
        self.screen: Screen | None = None
        self._job = job
        self._reactor = reactor
        self._json: bool = loaded.arguments.json
        self._elsewhere = logs_somewhere(loaded.conf)
        self._sides = Sides(job, reactor)
        shown = job.command.changes and not job.plan.dry_run and sys.stderr.isatty()
        dry_run = job.plan.dry_run
        voices = make_voices(loaded, screen=shown, to_stdout=dry_run and not self._json)
        # Whether what is done is said at once, not only at the end.
        self._said = not shown or loaded.conf.verbose or loaded.conf.debug
        self._teller = Teller(reactor, voices, dry_run=dry_run)
        if shown:
            self.screen = Screen(reactor, sys.stderr, self._teller.board.lines)

    def tidy(self) -> None:
        """Leave the terminal alone."""
        if self.screen is not None:
            self.screen.stop()

    async def do(self) -> int:
        """Do it; return the exit code."""
        acts: dict[str, Callable[[], Awaitable[int]]] = {
            "compare": self._compare,
            "size": self._measure,
        }
        try:
            return await acts.get(self._job.command.name, self._replicate)()
        except ConfigError:
            raise
        except CancelledError:
            # A run that has begun has a summary instead.
            self.tidy()
            print_error("Interrupted; nothing was done.")
            raise
        except GlanceError as error:
            self.tidy()
            print_error(f"ERROR: {error.message}")
            if self._elsewhere:
                _log.error("{text}", text=error.message)
            return SIDE_LOST
        finally:
            await self._sides.close()

    async def _measure(self) -> int:
        size = await measure(await self._sides.source(), self._job.plan, self._reactor)
        self._print(reports.size_json(size) if self._json else reports.size_text(size))
        return 0

    async def _compare(self) -> int:
        source, target = await self._sides.source(), await self._sides.target()
        found = await compare(source, target, self._job.plan, self._reactor, Silent())
        if self._json:
            self._print(reports.comparison_json(found))
        else:
            self._print(reports.comparison_text(found))
        if self._elsewhere:
            for line in reports.comparison_warnings(found):
                _log.warn("{line}", line=line)
        return found.exit_code

    async def _replicate(self) -> int:
        if self.screen is not None:
            self.screen.start()
        source, target = await self._sides.source(), await self._sides.target()
        summary = await replicate(
            source,
            target,
            self._job.plan,
            self._reactor,
            self._teller,
            None if self._job.forced else partial(self._confirm, target.place),
        )
        self.tidy()
        self._close(summary)
        return summary.exit_code

    def _close(self, summary: Summary) -> None:
        """Tell what became of it."""
        log = _log.info if self._elsewhere else None
        complain, say = teller(print_error, log), teller(None if self._json else self._print, log)
        remarks = reports.summary_remarks(summary, said=self._said)
        for line in [*remarks, *reports.summary_failures(summary)]:
            complain(line)
        say(reports.summary_text(summary))
        if self._json:
            self._print(reports.summary_json(summary))

    async def _confirm(self, place: str, extra: Sequence[ImageRecord]) -> bool:
        """Ask whether images are to be deleted; that there is a terminal was seen to."""
        self.tidy()
        for record in extra[:_NAMED]:
            print_error(f"  {title(record.image_id, record.fields.get('name'))}")
        if len(extra) > _NAMED:
            print_error(f"  and {len(extra) - _NAMED} more")
        question = (
            f"Delete {counted(len(extra), 'image')} that {place} has and the source has "
            "not? Their ids can never be used again. [y/N] "
        )
        print(question, end="", file=sys.stderr, flush=True)
        yes = await is_yes(self._reactor, sys.stdin.fileno(), partial(print_error, ""))
        if self.screen is not None:
            self.screen.start()
        return yes

    def _print(self, text: str) -> None:
        print(text, flush=True)
