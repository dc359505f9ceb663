"""Run the API in the foreground, for the console program."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.logger import Logger

from glance.config import Loaded
from glance.services.logs import start_logging
from glance.services.maker import make_api
from glance.services.signals import catch_signals

_log = Logger()


def serve_api(loaded: Loaded, argv: Sequence[str]) -> int:
    """Serve until a signal ends it.

    :param argv: the options it was loaded from.
    :returns: the exit code.
    """
    logging = start_logging(loaded.conf, "glance-api", under_twistd=False)
    for warning in loaded.warnings:
        _log.warn("{text}", text=warning)
    from twisted.internet import reactor

    service = make_api(
        loaded,
        argv,
        reactor,
        _say,
        lambda text: _log.warn("{text}", text=text),
        logging=logging,
    )
    catch_signals(reactor, service)
    reactor.callWhenRunning(service.startService)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    return int(service.failed)


def _say(line: str) -> None:
    print(line, flush=True)
