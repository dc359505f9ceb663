"""Make what looks after a node's image cache of a configuration, and run it in the foreground.

Whatever can be wrong is found before a reactor runs, and is one line and an exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from glance.config import Loaded, load
from glance.services.cache_check import (
    thd_check_cache,
    thd_check_catalogue,
)
from glance.services.cache_filling import FillWork
from glance.services.cache_service import CacheService
from glance.services.logs import Logging, start_logging
from glance.services.notify import Notifier
from glance.services.signals import catch_signals
from glance.stores.registry import Stores

_log = Logger()


def thd_make_service(
    loaded: Loaded, reactor: Any, reload: Callable[[], Loaded], logging: Logging
) -> CacheService:
    """Make the service.

    :param reload: loads the configuration anew.
    :raises ConfigError: it cannot be started so.
    :raises Unavailable: the database cannot be reached.
    """
    thd_check(loaded, reactor)

    def thd_reload() -> Loaded:
        new = reload()
        thd_check(new, reactor)
        return new

    return CacheService(
        loaded,
        reactor,
        make=lambda loaded: make_work(loaded, reactor),
        thd_reload=thd_reload,
        run=deferToThread,
        use=lambda loaded: logging.change(loaded.conf),
        notifier=Notifier.from_environment(),
    )


def thd_check(loaded: Loaded, reactor: Any) -> None:
    """Check whether a cache can be looked after by a configuration.

    :raises ConfigError: it cannot.
    :raises Unavailable: the database cannot be reached.
    """
    for warning in loaded.warnings:
        _log.warn("{text}", text=warning)
    thd_check_cache(loaded)
    # Made only to be found good.
    Stores(loaded.conf, reactor, make_directories=False)
    thd_check_catalogue(loaded, needed=True)


def make_work(loaded: Loaded, reactor: Any) -> FillWork:
    """Make what is looked after.

    :raises ConfigError: it is not possible so.
    """
    stores = Stores(loaded.conf, reactor, make_directories=False)
    return FillWork(loaded.conf, reactor, stores, lambda line: _log.info("{line}", line=line))


def serve_cache(loaded: Loaded, argv: Sequence[str]) -> int:
    """Look after the cache until a signal ends it, for the console program.

    :param argv: the options it was loaded from.
    :returns: the exit code.
    """
    logging = start_logging(loaded.conf, loaded.program)
    from twisted.internet import reactor

    run: Any = reactor
    service = thd_make_service(loaded, reactor, lambda: load(loaded.program, argv), logging)
    catch_signals(reactor, service)
    run.callWhenRunning(service.startService)
    run.addSystemEventTrigger("before", "shutdown", service.stopService)
    run.run()
    return int(service.failed)
