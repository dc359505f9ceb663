"""The workers of one generation, as the supervisor sees them: a template and what it makes.

Workers that die are replaced, after a pause that grows while they die young. A generation that is
on trial, as at a reload, fails instead if one dies before all have accepted requests.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.services import messages
from glance.services.messages import Decoder, Message
from glance.services.signals import held
from glance.services.template import COMMANDS_FD, LISTENERS_FD, NOT_FOR_US, REPORTS_FD

#: Seconds: a worker that never accepted requests or lived shorter died young; so did a template,
#: which takes longer to start.
YOUNG = 1.0
YOUNG_TEMPLATE = 5.0
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0

#: Seconds that processes may take to end beyond their deadline, before they are killed.
STOP_TIME = 15.0

#: Seconds after which a template is killed that does not end although it has killed its workers.
BURIAL_TIME = 5.0


class GenerationFailed(Exception):
    """A generation cannot serve; says why."""


class BackOff:
    """How long to wait before the next attempt."""

    def __init__(self) -> None:
        self._young_deaths = 0

    def pause(self, young: bool) -> float:
        """Return the pause, in seconds, after a death.

        After the first one of somebody young there is none: most accidents do not happen again.
        """
        if not young:
            self._young_deaths = 0
            return 0.0
        self._young_deaths += 1
        if self._young_deaths == 1:
            return 0.0
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._young_deaths - 2, 16))


class Slot:
    """A worker's place: who is there, and how those before fared.

    :ivar pid: 0 for nobody.
    :ivar heard: when it last gave a sign of life.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid = 0
        self.born = 0.0
        self.heard = 0.0
        self.ready = False
        self.back_off = BackOff()
        self.call: Any = None


class Template(ProcessProtocol):
    """The template's process."""

    def __init__(self, generation: Generation, born: float) -> None:
        self.born = born
        self._generation = generation
        self._decoder = Decoder()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Take in reports."""
        for message in self._decoder.feed(data):
            self._generation.heard(self, message)

    def processEnded(self, reason: Failure) -> None:
        """Tell the generation."""
        self._generation.template_ended(self, reason)

    def tell(self, message: Message) -> None:
        """Give a command."""
        if self.transport is not None:
            self.transport.writeToChild(COMMANDS_FD, messages.encode(message))

    def kill(self) -> None:
        """Kill the process."""
        try:
            if self.transport is not None:
                self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass


class Generation:
    """Run workers that have one configuration.

    :param reactor: spawns processes and keeps time.
    :param number: which generation it is.
    :param command: the template's command line.
    :param listeners: the listening sockets.
    :param count: how many workers.
    :param why: what they are started for.
    :param trial: fail rather than try again until all have accepted requests once.
    :param beat: seconds between signs of life of each worker, ``None`` for none.
    :ivar ready: fires when all workers accept requests; fails with :class:`GenerationFailed`.
    :ivar ended: fires when nothing is left, after it was told to end.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        number: int,
        command: Sequence[str],
        listeners: Sequence[socket.socket],
        count: int,
        *,
        why: str,
        trial: bool = False,
        beat: float | None = None,
    ) -> None:
        self.number = number
        self.count = count
        self.ready: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self._reactor = reactor
        self._command = [command[0], *command[1:]]
        self._listeners = listeners
        self._why = why
        self._trial = trial
        self._beat = beat
        self._slots = [Slot(number) for number in range(count)]
        self._template: Template | None = None
        self._back_off = BackOff()
        self._refusal = ""
        self._finishing = False
        self._last_words: Message | None = None
        self._call: Any = None
        self._kill_call: Any = None

    # What the supervisor asks for.

    def start(self) -> None:
        """Start the template, which makes the workers when it has loaded everything."""
        self._call = None
        template = Template(self, self._reactor.seconds())
        self._refusal = ""
        ports = {LISTENERS_FD + i: one.fileno() for i, one in enumerate(self._listeners)}
        try:
            with held(*NOT_FOR_US):
                self._reactor.spawnProcess(
                    template,
                    self._command[0],
                    self._command,
                    env=dict(os.environ),
                    childFDs={0: 0, 1: 1, 2: 2, COMMANDS_FD: "w", REPORTS_FD: "r", **ports},
                )
        except Exception as error:
            # Mostly a want of memory or processes, which passes.
            self._template_lost(f"could not be started: {error}", True)
            return
        self._template = template

    def drain(self, seconds: float, *, leaving: bool, take_waiting: bool) -> None:
        """Have every worker finish its requests and end; parameters as ``ApiService.drain`` has."""
        self._finish(messages.drain(seconds, leaving=leaving, take_waiting=take_waiting))
        if seconds:
            self._kill_within(seconds + STOP_TIME)

    def hurry(self) -> None:
        """Have every worker end now."""
        self._finish({"do": messages.HURRY})
        self._kill_within(STOP_TIME)

    def _kill_within(self, seconds: float) -> None:
        """Kill what has not ended in time; of several times the soonest counts."""
        if self.ended.called:
            return
        call = self._kill_call
        if call is None:
            self._kill_call = self._reactor.callLater(seconds, self._kill)
            self.ended.addCallback(lambda _: self._forget_kill())
        elif call.active() and call.getTime() > self._reactor.seconds() + seconds:
            call.reset(seconds)

    def _kill(self) -> None:
        self._log.error(
            "Generation {generation}: killing the processes that have not ended",
            generation=self.number,
        )
        self._finish({"do": messages.KILL})
        if self._template is not None:
            self._kill_call = self._reactor.callLater(BURIAL_TIME, self._template.kill)

    def _forget_kill(self) -> None:
        if self._kill_call.active():
            self._kill_call.cancel()

    def alive(self, within: float) -> bool:
        """Tell whether some worker accepts requests and gave a sign of life within a time."""
        since = self._reactor.seconds() - within
        return any(slot.ready and slot.heard >= since for slot in self._slots)

    def _finish(self, message: Message) -> None:
        self._finishing = True
        for call in [self._call, *(slot.call for slot in self._slots)]:
            if call is not None:
                call.cancel()
        self._call = None
        for slot in self._slots:
            slot.call = None
        if self._template is not None:
            self._template.tell(message)
        else:
            self._end()

    def _end(self, reason: str = "it was told to end") -> None:
        if not self.ended.called:
            self.ended.callback(None)
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        if not self.ready.called:
            self.ready.errback(GenerationFailed(reason))

    # What the template reports.

    def heard(self, template: Template, message: Message) -> None:
        """Take in a report."""
        if template is not self._template:
            return
        event = message["event"]
        if event == messages.LOADED:
            for slot in self._slots:
                self._start_worker(slot)
            return
        if "number" not in message:
            self._refusal = message["error"]
            return
        slot = self._slots[message["number"]]
        slot.heard = self._reactor.seconds()
        if event == messages.STARTED:
            self._started(slot, message["pid"])
        elif event == messages.READY:
            self._accepts(slot)
        elif event == messages.ENDED:
            self._worker_ended(slot, message["pid"], message["code"])
        elif event == messages.REFUSED:
            self._lost(slot, f"could not be started: {message['error']}")

    def _start_worker(self, slot: Slot) -> None:
        slot.call = None
        slot.born = self._reactor.seconds()
        if self._template is not None and not self._finishing:
            self._template.tell({"do": messages.START, "number": slot.number, "beat": self._beat})

    def _started(self, slot: Slot, pid: int) -> None:
        before, slot.pid = slot.pid, pid
        why = f"in place of process {before}" if before else self._why
        self._say(slot, pid, f"started ({why})")

    def _accepts(self, slot: Slot) -> None:
        slot.ready = True
        if all(slot.ready for slot in self._slots) and not self.ready.called:
            self.ready.callback(None)

    def _worker_ended(self, slot: Slot, pid: int, code: int) -> None:
        if self._finishing:
            slot.ready = False
            self._say(slot, pid, "ended" if not code else f"ended {_how(code)}")
            return
        self._lost(slot, f"ended {_how(code)}")

    def _lost(self, slot: Slot, what: str) -> None:
        early, slot.ready = not slot.ready, False
        if self._finishing:
            return
        if self._trial and early and not self.ready.called:
            self._fail(f"worker {slot.number} {what} before it accepted requests")
            return
        pause = slot.back_off.pause(early or self._reactor.seconds() - slot.born < YOUNG)
        slot.call = self._reactor.callLater(pause, self._start_worker, slot)
        self._log.error(
            "Worker {number}, process {pid}, generation {generation}: {what}; starting another "
            "{when}",
            number=slot.number,
            pid=slot.pid,
            generation=self.number,
            what=what,
            when=_when(pause),
        )

    def _say(self, slot: Slot, pid: int, what: str) -> None:
        self._log.info(
            "Worker {number}, process {pid}, generation {generation}: {what}",
            number=slot.number,
            pid=pid,
            generation=self.number,
            what=what,
        )

    def template_ended(self, template: Template, reason: Failure) -> None:
        """Start another template, with all of its workers, unless all are to end."""
        if template is not self._template:
            return
        self._template = None
        young = self._reactor.seconds() - template.born < YOUNG_TEMPLATE
        self._template_lost(self._refusal or f"its template ended {_how(_code(reason))}", young)

    def _template_lost(self, what: str, young: bool) -> None:
        for slot in self._slots:
            slot.ready = False
            if slot.call is not None:
                slot.call.cancel()
                slot.call = None
        if self._finishing:
            self._end()
        elif self._trial and not self.ready.called:
            self._finishing = True
            self._end(what)
        else:
            pause = self._back_off.pause(young)
            self._call = self._reactor.callLater(pause, self.start)
            self._log.error(
                "Generation {generation}: {what}; starting it anew, by the configuration files as "
                "they are now, {when}",
                generation=self.number,
                what=what.rstrip("."),
                when=_when(pause),
            )


def _when(pause: float) -> str:
    return f"in {pause:.1f} s" if pause else "at once"


def _code(reason: Failure) -> int:
    value: Any = reason.value
    return -value.signal if value.signal else value.exitCode or 0


def _how(code: int) -> str:
    if not code:
        return "by itself"
    if code > 0:
        return f"badly, with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"badly, killed by {name}"
