"""What signals make a service do: SIGTERM ends it gracefully, SIGINT soon, SIGHUP reloads it."""

from __future__ import annotations

import signal
from contextlib import suppress
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
    """Act on signals, however often they come, from the moment the reactor runs.

    :param service: a :class:`glance.services.serving.Serving`.
    """
    # Not before: the reactor sets handlers of its own.
    reactor.callWhenRunning(_install, reactor, service)


def _install(reactor: Any, service: Any) -> None:
    def end() -> None:
        # It may come twice, from a shell to us and to our whole group.
        with suppress(_not_running()):
            reactor.stop()

    def hurry() -> None:
        service.hurry()
        end()

    def upon(number: signal.Signals, act: Any) -> None:
        signal.signal(number, lambda *_: reactor.callFromThread(act))

    held = signal.getsignal(signal.SIGHUP)
    upon(signal.SIGTERM, end)
    upon(signal.SIGHUP, service.reload)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        # A shell has what it runs in the background ignore it.
        upon(signal.SIGINT, hurry)
    if isinstance(held, _Held) and held.come:
        service.reload()


def _not_running() -> type[Exception]:
    from twisted.internet.error import ReactorNotRunning

    return ReactorNotRunning
