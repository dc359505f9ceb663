"""``twistd glance-scrubber``: the same as the console program, under twistd's care."""

from __future__ import annotations

import atexit
import sys

from twisted.application.service import IService
from twisted.logger import Logger

from glance.config.twistd import ProgramOptions
from glance.domain.errors import GlanceError
from glance.services.logs import start_logging
from glance.services.notify import Notifier
from glance.services.scrub_check import thd_check
from glance.services.scrubber import ScrubberService, outlive_hangups
from glance.services.signals import catch_end
from glance.services.telling import end_failed

_log = Logger()


class Options(ProgramOptions):
    """The options of ``glance-scrubber``."""

    program = "glance-scrubber"


def makeService(options: Options) -> IService:
    """Make the service for twistd. After a single pass it stops the reactor.

    :raises SystemExit: with 1, when the service cannot be started so; the reason is on stderr.
    """
    from twisted.internet import reactor

    try:
        start_logging(options.loaded.conf, options.program, under_twistd=True)
        for warning in options.loaded.warnings:
            _log.warn("{text}", text=warning)
        thd_check(options.loaded)
        service = ScrubberService(
            options.loaded,
            reactor,
            say=lambda line: _log.info("{line}", line=line),
            complain=lambda line: _log.error("{line}", line=line),
            progress=lambda line: _log.info("{line}", line=line),
            notifier=Notifier.from_environment(),
        )
    except GlanceError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    catch_end(reactor)
    if options.loaded.conf.daemon:
        outlive_hangups(reactor)
    atexit.register(end_failed, service)
    return service
