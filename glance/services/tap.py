"""``twistd glance-api``: the same service as the console program's, under twistd's care."""

from __future__ import annotations

import sys

from twisted.application.service import IService
from twisted.logger import Logger

from glance.config.twistd import ProgramOptions
from glance.domain.errors import GlanceError
from glance.services.logs import start_logging
from glance.services.maker import make_api
from glance.services.signals import catch_signals, hold_reload

_log = Logger()


class Options(ProgramOptions):
    """The options of ``glance-api``."""

    program = "glance-api"


def makeService(options: Options) -> IService:
    """Make the service for twistd.

    :raises SystemExit: with 1, when the service cannot be started so; the reason is on stderr.
    """
    from twisted.internet import reactor

    hold_reload()
    try:
        logging = start_logging(options.loaded.conf, options.program, under_twistd=True)
        for warning in options.loaded.warnings:
            _log.warn("{text}", text=warning)
        service = make_api(
            options.loaded,
            options.arguments,
            reactor,
            lambda line: _log.info("{text}", text=line),
            lambda text: _log.warn("{text}", text=text),
            reload=options.reload,
            logging=logging,
        )
    except GlanceError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    catch_signals(reactor, service)
    return service
