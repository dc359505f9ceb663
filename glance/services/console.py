"""Run the API in the foreground, for the console program."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence
from typing import Any

from twisted.application.service import IService
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

from glance.config import Loaded
from glance.services.logs import start_logging
from glance.services.maker import make_api

_log = Logger()


def serve_api(loaded: Loaded, argv: Sequence[str]) -> int:
    """Serve until a signal ends it.

    :param argv: the options it was loaded from.
    :returns: the exit code.
    """
    start_logging(loaded.conf, "glance-api", under_twistd=False)
    for warning in loaded.warnings:
        _log.warn("{text}", text=warning)
    from twisted.internet import reactor

    service = make_api(loaded, argv, reactor, _say, lambda text: _log.warn("{text}", text=text))
    IService(service).privilegedStartService()
    # It may come twice, from a shell to us and to our whole group.
    reactor.callWhenRunning(end_once, reactor)
    reactor.callWhenRunning(service.startService)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    return 1 if getattr(service, "failed", False) else 0


def end_once(reactor: Any) -> None:
    """Let SIGTERM end the program in order, however often it comes."""

    def end() -> None:
        with contextlib.suppress(ReactorNotRunning):
            reactor.stop()

    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(end))


def _say(line: str) -> None:
    print(line, flush=True)
