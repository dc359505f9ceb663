"""What signals make a program do: SIGTERM ends it gracefully, SIGINT soon, SIGHUP reloads it.

They may come more than once: from a shell, say, to a process and to its whole group.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any


class _Held:
    """Remembers a SIGHUP that comes before anybody can act on it."""

    come = False

    def __call__(self, *_: object) -> None:
        self.come = True


def hold_reload() -> None:
    """Let SIGHUP end the process no more; to be called before everything else."""
    signal.signal(signal.SIGHUP, _Held())


def catch_signals(reactor: Any, service: Any) -> None:
    """Act on signals as a service that can be reloaded, from the moment the reactor runs.

    :param service: a :class:`glance.services.serving.Serving`.
    """
    # Not before: the reactor sets handlers of its own.
    reactor.callWhenRunning(_catch_all, reactor, service)


def catch_end(reactor: Any) -> None:
    """Let SIGTERM and SIGINT stop the reactor, from the moment it runs."""
    stop = partial(stop_once, reactor)
    reactor.callWhenRunning(act_upon, reactor, {signal.SIGTERM: stop, signal.SIGINT: stop})


@contextmanager
def held(*numbers: signal.Signals) -> Iterator[None]:
    """Let signals wait meanwhile; a process that is made in between is born with them waiting."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stop_once(reactor: Any) -> None:
    """Stop the reactor, unless it is on its way out already."""
    # This module is loaded when a program begins, long before it needs that one.
    from twisted.internet.error import ReactorNotRunning

    with suppress(ReactorNotRunning):
        reactor.stop()


def act_upon(reactor: Any, acts: Mapping[signal.Signals, Callable[[], object]]) -> None:
    """Act on signals, in the reactor that runs."""
    for number, act in acts.items():
        if number is signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN:
            # A shell has what it runs in the background ignore it.
            continue
        signal.signal(number, partial(_hand_over, reactor, act))
    reactor.addSystemEventTrigger("after", "shutdown", _ignore, acts)


def _hand_over(reactor: Any, act: Callable[[], object], *_: object) -> None:
    reactor.callFromThread(act)


def _ignore(numbers: Iterable[signal.Signals]) -> None:
    """Let a process that has ended all its work end with its own exit code.

    Otherwise one more signal would kill it, once the interpreter has put its handlers away.
    """
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _catch_all(reactor: Any, service: Any) -> None:
    def hurry() -> None:
        service.hurry()
        stop_once(reactor)

    held = signal.getsignal(signal.SIGHUP)
    act_upon(
        reactor,
        {
            signal.SIGTERM: partial(stop_once, reactor),
            signal.SIGHUP: service.reload,
            signal.SIGINT: hurry,
        },
    )
    if isinstance(held, _Held) and held.come:
        service.reload()
