"""``twistd glance-cache``: look after this node's image cache for ever."""

from __future__ import annotations

import atexit
import sys

from twisted.application.service import IService

from glance.config.twistd import ProgramOptions
from glance.domain.errors import GlanceError
from glance.services.cache_console import thd_make_service
from glance.services.logs import start_logging
from glance.services.signals import catch_signals, hold_reload
from glance.services.telling import end_failed


class Options(ProgramOptions):
    """The options of ``glance-cache``."""

    program = "glance-cache"


def makeService(options: Options) -> IService:
    """Make the service for twistd.

    :raises SystemExit: with 1, when the service cannot be started so; the reason is on stderr.
    """
    from twisted.internet import reactor

    hold_reload()
    try:
        logging = start_logging(options.loaded.conf, options.program, under_twistd=True)
        service = thd_make_service(options.loaded, reactor, options.reload, logging)
    except GlanceError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    catch_signals(reactor, service)
    atexit.register(end_failed, service)
    return service
