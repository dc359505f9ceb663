"""Between ``twisted.logger``, which our code uses, and ``logging``, which libraries use.

Only one direction is ever in force. Normally events go to ``logging``, whose handlers write them.
Under an observer that somebody chose for ``twistd``, records go to ``twisted.logger`` instead.
"""

from __future__ import annotations

import logging
import sys
import threading
from types import FrameType
from typing import Any, Final

from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from glance.domain import correlation
from glance.services.logmask import clean

LEVELS: Final = {
    LogLevel.debug: logging.DEBUG,
    LogLevel.info: logging.INFO,
    LogLevel.warn: logging.WARNING,
    LogLevel.error: logging.ERROR,
    LogLevel.critical: logging.CRITICAL,
}


@implementer(ILogObserver)
class ToLogging:
    """An observer that hands events to ``logging``; formats none that nobody wants."""

    def __init__(self) -> None:
        self._loggers: dict[str, logging.Logger] = {}
        self._thread = threading.local()

    def __call__(self, event: dict[str, Any]) -> None:
        """Hand one event over."""
        level = LEVELS.get(event.get("log_level"), logging.INFO)
        name = event.get("log_namespace") or "twisted"
        if name == "log_legacy":
            name = "twisted"
        logger = self._loggers.get(name)
        if logger is None:
            logger = self._loggers[name] = logging.getLogger(name)
        if not logger.isEnabledFor(level):
            return
        # Under twistd, what a handler prints about its own failure becomes an event again, and
        # what was logged before twistd began its logging is told once more.
        if getattr(self._thread, "busy", False) or event.get("log_written"):
            return
        event["log_written"] = True
        self._thread.busy = True
        try:
            logger.handle(_record(name, level, event))
        finally:
            self._thread.busy = False


class ToTwisted(logging.Handler):
    """A handler that hands records to an observer of ``twisted.logger``.

    :param publisher: takes the events.
    """

    def __init__(self, publisher: LogPublisher) -> None:
        super().__init__()
        self._publisher = publisher

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record over, with its traceback in the text."""
        text = record.getMessage()
        if getattr(record, "in_request", False):
            text = f"[{record.__dict__['request_id']}] {text}"
        if record.exc_text:
            text = f"{text}\n{record.exc_text}"
        level = next((ours for ours, number in _BY_NUMBER if record.levelno >= number), _LOWEST)
        log = Logger(namespace=record.name, observer=self._publisher)
        log.emit(level, "{log_text}", log_text=text, log_cleaned=True)


_BY_NUMBER: Final = sorted(LEVELS.items(), key=lambda pair: -pair[1])
_LOWEST: Final = LogLevel.debug


@implementer(ILogObserver)
class Annotator:
    """Makes events fit for an observer of somebody else's: cleaned, with the request's id."""

    def __call__(self, event: dict[str, Any]) -> None:
        """Change one event in place, before other observers see it."""
        if event.get("log_cleaned"):
            return
        text = formatEvent(event)
        request = correlation.current()
        tag = f"[{request.request_id}] " if request is not None else ""
        event["log_text"] = clean(tag + text)
        event["log_format"] = "{log_text}"
        event["log_cleaned"] = True


def _record(name: str, level: int, event: dict[str, Any]) -> logging.LogRecord:
    """Make the record of an event."""
    text = formatEvent(event)
    failure = event.get("log_failure")
    if failure is not None and not text:
        text = failure.getErrorMessage()
    caller = _caller()
    record = logging.getLogRecordFactory()(
        name,
        level,
        caller.f_code.co_filename,
        caller.f_lineno,
        text,
        None,
        _exc_info(failure),
        caller.f_code.co_name,
    )
    if failure is not None and record.exc_info is None:
        record.exc_text = _without_traceback(failure)
    return record


def _caller() -> FrameType:
    """Find the frame that logged: the first one outside this module and Twisted's logging."""
    frame = sys._getframe(2)
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__", "")
        if module != __name__ and not module.startswith(("twisted.logger", "twisted.python.log")):
            break
        frame = frame.f_back
    return frame


def _exc_info(failure: Failure | None) -> Any:
    """Return a failure as ``logging`` wants it, if it still has its traceback."""
    if failure is None or failure.tb is None:
        return None
    return (failure.type, failure.value, failure.tb)


def _without_traceback(failure: Failure) -> str:
    """Write a failure that has given up its traceback but remembers its frames."""
    lines = ["Traceback (most recent call last):"]
    for method, filename, line, *_ in failure.frames:
        lines.append(f'  File "{filename}", line {line}, in {method}')
    # One line, whatever the message holds: the lines are split again when they are written.
    message = clean(failure.getErrorMessage())
    lines.append(f"{getattr(failure.type, '__name__', failure.type)}: {message}")
    return "\n".join(lines)
