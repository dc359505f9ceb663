"""A reload, and how everybody is told of it who has to know: the log and the service manager."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.logger import Logger

from glance.domain.errors import GlanceError
from glance.services.notify import Notifier

_GIVEN_UP = "; the last reload was given up, see the log"


async def reload_aloud(
    change: Callable[[], Awaitable[Callable[[], object]]],
    *,
    doing: Callable[[], str],
    running: Callable[[], bool],
    notifier: Notifier,
    log: Logger,
) -> None:
    """Go on by the configuration as it is now; if that fails, as before.

    :param change: has the service do so, or raises and leaves everything as it was; returns what
        has this very process, such as its logging, go by it too.
    :param doing: tells what the service does.
    :param running: tells whether nobody has stopped it meanwhile.
    """
    log.info("Reloading the configuration")
    notifier.reloading("reloading the configuration")
    given_up = ""
    try:
        use = await change()
    except GlanceError as error:
        log.error("Reload given up, everything stays as it was: {error}", error=error)
        given_up = _GIVEN_UP
    except Exception:
        log.failure("Reload given up, everything stays as it was")
        given_up = _GIVEN_UP
    else:
        if running():
            _go_by(use, log)
    if running():
        notifier.ready(doing() + given_up)


def _go_by(use: Callable[[], object], log: Logger) -> None:
    try:
        use()
    except GlanceError as error:
        log.error("Reloaded, but for this process's own log: {error}", error=error)
    log.info("Going on by the configuration as it is now")
