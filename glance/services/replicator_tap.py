"""``twistd glance-replicator``: keep two image services in step, or a dump up to date, for ever."""

from __future__ import annotations

import sys

from twisted.application.service import IService
from twisted.logger import Logger

from glance.config.twistd import ProgramOptions
from glance.domain.errors import GlanceError
from glance.services.logs import start_logging
from glance.services.replicator_commands import Misuse
from glance.services.replicator_console import thd_make_service
from glance.services.replicator_line import add_arguments
from glance.services.signals import catch_signals, hold_reload
from glance.services.telling import Voices

_log = Logger()


class Options(ProgramOptions):
    """The options of ``glance-replicator``."""

    program = "glance-replicator"
    extra_cli = staticmethod(add_arguments)


def makeService(options: Options) -> IService:
    """Make the service for twistd.

    :raises SystemExit: when the service cannot be started so; the reason is on stderr. The code is
        2 where the command line cannot be followed, else 1.
    """
    from twisted.internet import reactor

    hold_reload()
    try:
        logging = start_logging(options.loaded.conf, options.program, under_twistd=True)
        voices = Voices(
            say=lambda line: _log.info("{line}", line=line),
            complain=lambda line: _log.error("{line}", line=line),
            mention=lambda line: _log.debug("{line}", line=line),
        )
        service = thd_make_service(options.loaded, reactor, options.reload, logging, voices)
    except Misuse as error:
        print(f"usage: twistd {error.usage}\nERROR: {error.message}", file=sys.stderr)
        raise SystemExit(2) from None
    except GlanceError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    catch_signals(reactor, service)
    return service
