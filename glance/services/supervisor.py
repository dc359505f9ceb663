"""Keep worker processes running behind the listening sockets, and replace them by others.

The parent holds the ports and serves nothing itself. Its workers come in generations: a reload
makes another, which takes over when all of its workers accept requests; the one before finishes
what it has and ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, TimeoutError

from glance.domain.errors import ConfigError
from glance.services.generation import Generation, GenerationFailed
from glance.services.listening import Listener
from glance.services.messages import CONFIGURED, EMBEDDED
from glance.services.plan import Plan
from glance.services.serving import Serving

#: Seconds within which all workers of a new generation have to accept requests.
READY_TIME = 60.0


class Supervisor(Serving):
    """Run workers; parameters are those of :class:`~glance.services.serving.Serving`.

    :param command: makes the command line of a template, given the number of listening sockets.
    """

    def __init__(self, *args: Any, command: Callable[[int], Sequence[str]], **more: Any) -> None:
        super().__init__(*args, **more)
        self._command = command
        self._made = 0
        self._generations: list[Generation] = []
        self._current: Generation | None = None

    def startService(self) -> None:
        """Start the first generation."""
        super().startService()
        first = self._make(self._plan, self._listeners.current, why="start", trial=False)
        self._current = first
        first.ready.addCallbacks(self._first_accepts, lambda failure: None)
        first.start()

    def _make(
        self, plan: Plan, opened: Mapping[str, Listener], *, why: str, trial: bool
    ) -> Generation:
        self._made += 1
        watchdog = self._notifier.watchdog_time
        generation = Generation(
            self._reactor,
            self._made,
            self._command(len(opened)),
            [listener.socket for listener in opened.values()],
            plan.count,
            why=why,
            trial=trial,
            beat=None if watchdog is None else watchdog / 3,
        )
        self._generations.append(generation)
        generation.ended.addCallback(lambda _: self._generations.remove(generation))
        return generation

    def check(self, plan: Plan) -> None:
        """Refuse to become one process."""
        if not plan.count:
            raise ConfigError("[DEFAULT]workers cannot become 0 by a reload; restart the service.")

    async def begin(self, plan: Plan, opened: Mapping[str, Listener]) -> Callable[[bool], None]:
        """Start a generation and wait until it accepts requests."""
        new = self._make(plan, opened, why="reload", trial=True)
        before = [generation for generation in self._generations if generation is not new]
        new.start()
        try:
            await new.ready.addTimeout(READY_TIME, self._reactor)
        except (GenerationFailed, TimeoutError) as error:
            # Some of its workers may have accepted requests.
            new.drain(plan.shutdown_time, leaving=False, take_waiting=False)
            if isinstance(error, TimeoutError):
                reason = f"not all new workers accepted requests within {READY_TIME:.0f} s"
                raise GenerationFailed(reason) from None
            raise

        def finish_before(queues_left: bool) -> None:
            self._current = new
            for generation in before:
                generation.drain(plan.reload_time, leaving=False, take_waiting=queues_left)
            self._log.info(
                "Generation {new} serves with {count} worker(s); requests under way in: {old}",
                new=new.number,
                count=new.count,
                old=", ".join(f"generation {generation.number}" for generation in before),
            )

        return finish_before

    def describe(self) -> str:
        """Say how many workers serve, in which generation."""
        assert self._current is not None
        return f"generation {self._current.number} serves with {self._current.count} worker(s)"

    def is_well(self) -> bool:
        """Tell whether some worker gives signs of life."""
        within = self._notifier.watchdog_time
        return within is None or any(one.alive(within) for one in self._generations)

    def hurry(self) -> None:
        """See :meth:`Serving.hurry`."""
        super().hurry()
        if self._stopping:
            for generation in list(self._generations):
                generation.hurry()

    def stopService(self) -> Deferred[Any]:
        """Have every worker finish its requests, and wait until they have ended."""
        super().stopService()
        self._listeners.close()
        generations = list(self._generations)
        for generation in generations:
            generation.drain(self._plan.shutdown_time, leaving=True, take_waiting=True)
            if self._quick:
                generation.hurry()
        ended = DeferredList([generation.ended for generation in generations])
        return ended.addCallback(self._stop_watchdog)


def template_command(argv: Sequence[str], embedded: bool) -> Callable[[int], list[str]]:
    """Return what makes the command line of a template.

    :param argv: the options that the parent was started with.
    :param embedded: whether it was started without any configuration file.
    """
    # "-m" looks for modules in the directory that we are in. There it may find others than we did,
    # or somebody's who wants them to be run.
    options = [] if _finds_modules_here() else ["-P"]
    program = [sys.executable, *options, "-m", "glance.services.template"]
    kind = EMBEDDED if embedded else CONFIGURED
    return lambda listeners: [*program, str(listeners), kind, *argv]


def _finds_modules_here() -> bool:
    try:
        return not {"", os.getcwd()}.isdisjoint(sys.path)
    except FileNotFoundError:
        return False
