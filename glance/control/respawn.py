"""Watching servers, and starting again those that end unexpectedly.

A server that is stopped removes its pid file, so one that ends and leaves it behind is started
again. While it keeps ending soon after its start the pauses before the next start grow, each is
told, and the watch goes on: a database that comes back after an hour finds its server again.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

from glance.control.errors import ControlError
from glance.control.processes import State, look
from glance.control.starting import Child, Starter, describe_end

#: A server that was up for fewer seconds than this is bouncing.
STEADY = 5.0
#: Seconds before the next start: the least, and the most while it bounces.
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
#: Seconds until a pid file that somebody else works on is looked at again.
RETRY = 0.2

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_ENDING = frozenset({signal.SIGTERM, signal.SIGINT})


class Verdict(Enum):
    """What to do about a server that ended."""

    STOPPED = "deliberately stopped"
    REPLACED = "replaced"
    AGAIN = "started again"


def judge(code: int, came_up: bool, pid: int, written: int | None) -> Verdict:
    """Decide what to do about a server that ended.

    :param code: how it ended, negative for a signal.
    :param came_up: whether it had come up at all.
    :param pid: its process number.
    :param written: what its pid file says now; None if there is none.
    """
    if written is not None and written != pid:
        return Verdict.REPLACED
    if written is None and came_up and code <= 0:
        return Verdict.STOPPED
    return Verdict.AGAIN


class Throttle:
    """Says how long to wait before a server is started again."""

    def __init__(self) -> None:
        self.bounces = 0

    def pause(self, lived: float) -> float:
        """Return the pause, in seconds, after a server that was up for some seconds."""
        if lived >= STEADY:
            self.bounces = 0
            return SHORTEST_PAUSE
        self.bounces += 1
        return min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(self.bounces - 1, 16))


class Watch:
    """One server that is watched.

    :param child: its process, which is up.
    """

    def __init__(self, child: Child, now: float) -> None:
        self.child = child
        self.up_since = now
        self.throttle = Throttle()
        #: When to start it again; None while its process is there.
        self.due: float | None = None
        #: Whether it has a pid file in the meantime.
        self.marked = False
        self.over = False
        #: Holds the pid file's lock while a start is under way.
        self.starting: contextlib.ExitStack | None = None


class Watcher:
    """Watches servers until each has been stopped.

    :param starter: starts them again.
    :param config: their configuration file.
    :param say: tells the operator what happens.
    :param warn: tells the operator what went wrong.
    :param clock: the time in seconds.
    """

    def __init__(
        self,
        starter: Starter,
        config: Path | None,
        say: Callable[[str], None],
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._starter = starter
        self._config = config
        self._tell = say
        self._tell_error = warn
        self._clock = clock
        self._watches: list[Watch] = []
        #: Signals that came before we watched.
        self._early: Caught | None = None
        self._held: list[signal.Signals] = []
        #: Whether we were told to end.
        self._ending = False

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Keep for :meth:`run` the signals that come while servers are being started.

        The keyboard's is not kept: it ends a start that hangs.
        """
        with catch((signal.SIGTERM, signal.SIGHUP)) as self._early:
            yield

    def told_to_end(self) -> bool:
        """Tell whether a signal is kept that ends us, so that nothing more need be started."""
        if self._early is not None:
            self._held += self._early.take()
        return not _ENDING.isdisjoint(self._held)

    def add(self, child: Child) -> None:
        """Watch a server that is up."""
        self._watches.append(Watch(child, self._clock()))

    def run(self) -> int:
        """Watch, and pass on the signals that we get ourselves.

        :returns: the exit code.
        """
        with catch(_FORWARDED) as caught:
            self.told_to_end()
            for number in self._held:
                self._pass_on(number)
            while watches := [watch for watch in self._watches if not watch.over]:
                for watch in watches:
                    self._advance(watch)
                self._sleep(caught)
                for number in caught.take():
                    self._pass_on(number)
        return 0

    def _sleep(self, caught: Caught) -> None:
        """Wait until there is something to do."""
        poll = select.poll()
        poll.register(caught.descriptor, select.POLLIN)
        dues = []
        for watch in self._watches:
            if watch.over:
                continue
            if watch.due is not None:
                dues.append(watch.due)
                continue
            for descriptor in watch.child.descriptors():
                poll.register(descriptor, select.POLLIN)
        if all(watch.over for watch in self._watches):
            return
        poll.poll(max(0.0, min(dues) - self._clock()) * 1000 if dues else None)

    def _advance(self, watch: Watch) -> None:
        """Do what there is to do about a server now."""
        try:
            if watch.due is not None:
                if self._clock() >= watch.due:
                    self._start(watch)
                return
            if watch.starting is not None and watch.child.listen() is not None:
                self._started(watch)
            code = watch.child.exit_code()
            if code is not None:
                self._ended(watch, code)
        except ControlError as error:
            # A pid file that cannot be read, say; it may be put right.
            self._warn(error.message)
            self._put_off(watch, watch.throttle.pause(0))

    def _start(self, watch: Watch) -> None:
        """Start a server again, unless something has come in between."""
        child = watch.child
        lock = child.pid_file.try_lock()
        if lock is None:
            watch.due = self._clock() + RETRY
            return
        with contextlib.ExitStack() as stack:
            stack.enter_context(lock)
            if self._leave_alone(watch, judge(0, watch.marked, child.pid, child.pid_file.read())):
                return
            child.pid_file.discard()
            self._say(f"Starting {child.server.name}")
            watch.child = self._starter.start(child.server, child.pid_file, self._config)
            watch.due = None
            watch.starting = stack.pop_all()

    def _started(self, watch: Watch) -> None:
        """Take note of how a start went."""
        assert watch.starting is not None
        child = watch.child
        if child.up:
            watch.up_since = self._clock()
            self._say(
                f"{child.server.name} (pid {child.pid}) is up; pid file {child.pid_file.path}"
            )
        watch.starting.close()
        watch.starting = None

    def _ended(self, watch: Watch, code: int) -> None:
        """Decide what becomes of a server that has ended."""
        child = watch.child
        child.close()
        if watch.starting is not None:
            watch.starting.close()
            watch.starting = None
        name, how = child.server.name, describe_end(code)
        if self._ending:
            watch.over = True
            child.pid_file.remove(child.pid)
            return
        if self._leave_alone(watch, judge(code, bool(child.up), child.pid, child.pid_file.read())):
            return
        pause = watch.throttle.pause(self._clock() - watch.up_since if child.up else 0)
        self._put_off(watch, pause)
        if watch.throttle.bounces:
            self._warn(
                f"Suppressed respawn as {name} was bouncing. It ended again ({how}) and will be "
                f"started in {pause:g} s."
            )
        else:
            self._warn(f"{name} (pid {child.pid}) ended unexpectedly ({how}); starting it again")

    def _put_off(self, watch: Watch, pause: float) -> None:
        """Start a server later; whoever removes its pid file until then has stopped it."""
        watch.due = self._clock() + pause
        watch.marked = False
        with contextlib.suppress(ControlError):
            if lock := watch.child.pid_file.try_lock():
                with lock:
                    watch.child.pid_file.mark(watch.child.pid)
                watch.marked = True

    def _leave_alone(self, watch: Watch, verdict: Verdict) -> bool:
        """End a watch if the server is not ours to start again."""
        child = watch.child
        if verdict is Verdict.REPLACED:
            # Whether by a server, or by a number that means nothing, is looked at closely.
            seen = look(child.server.name, child.pid_file)
            if seen.process is not None:
                seen.process.close()
            if seen.state is State.STALE:
                return False
        if verdict is not Verdict.AGAIN:
            self._say(f"Suppressed respawn as {child.server.name} was {verdict.value}.")
            watch.over = True
        return watch.over

    def _pass_on(self, number: signal.Signals) -> None:
        """Let the servers have a signal that we got."""
        self._ending = self._ending or number in _ENDING
        for watch in self._watches:
            if watch.over:
                continue
            child = watch.child
            if watch.due is not None:
                if self._ending:
                    with contextlib.suppress(ControlError):
                        child.pid_file.remove(child.pid)
                    watch.over = True
            elif number in _ENDING or (child.up and child.server.reloadable):
                self._say(
                    f"Passing signal({number.value}) on to {child.server.name} (pid {child.pid})"
                )
                child.signal(number)

    def _say(self, line: str) -> None:
        # The terminal may be gone; the servers are not.
        with contextlib.suppress(OSError):
            self._tell(line)

    def _warn(self, line: str) -> None:
        with contextlib.suppress(OSError):
            self._tell_error(line)


class Caught:
    """Signals that arrived.

    :param descriptor: becomes readable when one arrives.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def take(self) -> list[signal.Signals]:
        """Return those that arrived since the last time."""
        try:
            return [signal.Signals(number) for number in os.read(self.descriptor, 64)]
        except BlockingIOError:
            return []


@contextlib.contextmanager
def catch(numbers: tuple[signal.Signals, ...]) -> Iterator[Caught]:
    """Catch signals, unless they are ignored, instead of ending by them."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    former = {}
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        for number in numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:
                former[number] = signal.signal(number, lambda *_: None)
        yield Caught(reading)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        os.close(reading)
        os.close(writing)
