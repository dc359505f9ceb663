"""Logging of every program: started once, from the configuration.

Our code logs with ``twisted.logger.Logger``, libraries with ``logging``. Both end up in the same
handlers, formatted alike, with the id of the request being worked on in every line.
"""

from __future__ import annotations

import configparser
import logging
import logging.config
import os
import re
import time
from collections.abc import Callable
from typing import Any

from twisted.logger import globalLogBeginner, globalLogPublisher

from glance.config.twistd import logs_somewhere
from glance.domain.errors import ConfigError
from glance.services.logbridge import Annotator, ToLogging, ToTwisted
from glance.services.logformat import Cleaner, JsonFormatter, LineFormatter, RecordFactory
from glance.services.logtargets import make_handlers


class Logging:
    """Logging as :func:`start_logging` set it up. Programs let it be; tests stop it."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def stop(self) -> None:
        """Put everything back as it was."""
        while self._undo:
            self._undo.pop()()

    def undo_by(self, function: Callable[..., object], *args: Any) -> None:
        """Remember how to take a step back."""
        self._undo.append(lambda: function(*args))

    def change(self, conf: Any) -> None:
        """Do as another configuration says.

        :raises ConfigError: a logging option cannot be followed; all stays as it was.
        """


class _Started(Logging):
    """The logging of a running program.

    :param configure: does what a configuration says; returns how to undo that.
    """

    def __init__(self, conf: Any, configure: Callable[[Any], Logging]) -> None:
        super().__init__()
        self._conf = conf
        self._configure = configure
        self._configured = configure(conf)
        self.undo_by(lambda: self._configured.stop())

    def change(self, conf: Any) -> None:
        """See :meth:`Logging.change`."""
        self._configured.stop()
        try:
            self._configured = self._configure(conf)
        except BaseException:
            self._configured = self._configure(self._conf)
            raise
        self._conf = conf


def start_logging(
    conf: Any,
    program: str,
    *,
    under_twistd: bool = False,
    beginner: Any = globalLogBeginner,
    publisher: Any = globalLogPublisher,
) -> Logging:
    """Send all log lines where the configuration says.

    :param conf: the loaded options.
    :param program: names the log file and the lines in syslog.
    :param under_twistd: ``twistd`` begins Twisted's own logging after this. If none of our options
        says where to log, what libraries log goes to its observer.
    :param beginner: begins Twisted's logging, when ``twistd`` does not.
    :param publisher: spreads Twisted's events.
    :raises ConfigError: a logging option cannot be followed.
    """
    by_twistd = under_twistd and not (logs_somewhere(conf) or conf.use_json)
    observer: Any = Annotator() if by_twistd else ToLogging()

    def configure(conf: Any) -> Logging:
        parts = Logging()
        _set_factory(parts, RecordFactory(conf.logging_user_identity_format))
        try:
            if not conf.log_config_append:
                _set_levels(parts, conf)
            if by_twistd:
                _add_handlers(parts, [ToTwisted(publisher)])
            elif conf.log_config_append:
                _configure_from_file(parts, conf.log_config_append)
            else:
                _add_handlers(parts, _formatted(conf, program))
        except BaseException:
            parts.stop()
            raise
        return parts

    started = _Started(conf, configure)
    if under_twistd:
        publisher.addObserver(observer)
    else:
        beginner.beginLoggingTo([observer], redirectStandardIO=False)
    started.undo_by(publisher.removeObserver, observer)
    return started


def _set_factory(started: Logging, factory: RecordFactory) -> None:
    """Have every record made with the request's keys."""
    started.undo_by(logging.setLogRecordFactory, logging.getLogRecordFactory())
    logging.setLogRecordFactory(factory)


def _set_levels(started: Logging, conf: Any) -> None:
    """Set the level of everything, and those of single loggers."""
    level = logging.DEBUG if conf.debug else logging.INFO if conf.verbose else logging.WARNING
    wanted = [(logging.getLogger(), level)]
    for pair in conf.default_log_levels:
        name, _, text = pair.partition("=")
        wanted.append((logging.getLogger(name), logging.getLevelNamesMapping()[text.upper()]))
    for logger, number in wanted:
        started.undo_by(logger.setLevel, logger.level)
        logger.setLevel(number)


def _add_handlers(started: Logging, handlers: list[logging.Handler]) -> None:
    """Add handlers for everything, each behind a cleaner."""
    root = logging.getLogger()
    for handler in handlers:
        handler.addFilter(Cleaner())
        root.addHandler(handler)
        started.undo_by(handler.close)
        started.undo_by(root.removeHandler, handler)


def _formatted(conf: Any, program: str) -> list[logging.Handler]:
    """Make the handlers, with formatter and rate limit."""
    formatter: logging.Formatter
    if conf.use_json:
        formatter = JsonFormatter(dates=conf.log_date_format)
    else:
        formatter = LineFormatter(
            context=conf.log_format or conf.logging_context_format_string,
            default=conf.log_format or conf.logging_default_format_string,
            exception=conf.logging_exception_prefix,
            debug="" if conf.log_format else conf.logging_debug_format_suffix,
            dates=conf.log_date_format,
        )
    _check_formats(conf)
    handlers = make_handlers(conf, program)
    for handler in handlers:
        handler.setFormatter(formatter)
        if conf.rate_limit_interval > 0 and conf.rate_limit_burst > 0:
            handler.addFilter(
                RateLimit(
                    handler,
                    conf.rate_limit_interval,
                    conf.rate_limit_burst,
                    conf.rate_limit_except_level,
                )
            )
    return handlers


def _check_formats(conf: Any) -> None:
    """Try every format on a record, so that a wrong one is not found line by line."""
    record = logging.getLogRecordFactory()("glance", logging.INFO, "", 0, "", None, None, "")
    record.message = record.asctime = ""
    for name in (
        "log_format",
        "logging_context_format_string",
        "logging_default_format_string",
        "logging_debug_format_suffix",
        "logging_exception_prefix",
    ):
        form = getattr(conf, name) or ""
        try:
            if _BARE.search(form.replace("%%", "")):
                raise ValueError("a % must be followed by a key in parentheses, or by another %")
            form % record.__dict__
        except KeyError as error:
            raise ConfigError(f"[DEFAULT]{name}: there is no key {error} for log lines.") from None
        except (ValueError, TypeError) as error:
            raise ConfigError(f"[DEFAULT]{name} is not a format for log lines: {error}.") from None
    try:
        conf.logging_user_identity_format % _AnyKey()
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"[DEFAULT]logging_user_identity_format is not a format for log lines: {error}."
        ) from None


_BARE = re.compile(r"%(?!\()")


class _AnyKey(dict[str, str]):
    """Has a text for every key."""

    def __missing__(self, key: str) -> str:
        return ""


def _configure_from_file(started: Logging, path: str) -> None:
    """Let a file of the operator's say everything; what it makes still gets cleaned records."""
    root = logging.getLogger()
    before = list(root.handlers)
    started.undo_by(root.setLevel, root.level)
    if not os.access(path, os.R_OK):
        raise ConfigError(f"[DEFAULT]log_config_append: the file {path} cannot be read.")
    try:
        logging.config.fileConfig(path, disable_existing_loggers=False)
    except KeyError as error:
        raise ConfigError(
            f"[DEFAULT]log_config_append: the file {path} lacks the section or key {error}."
        ) from None
    except (configparser.Error, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"[DEFAULT]log_config_append: the file {path} is not a logging configuration: "
            f"{' '.join(str(error).split())}"
        ) from None
    except Exception as error:
        raise ConfigError(
            f"[DEFAULT]log_config_append: the file {path} cannot be followed: "
            f"{type(error).__name__}: {error}"
        ) from None
    started.undo_by(setattr, root, "handlers", before)
    loggers = [root, *logging.Logger.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):
            if handler not in before:
                handler.addFilter(Cleaner())


class RateLimit(logging.Filter):
    """Drops lines beyond a number in a time, and says so once in that time.

    :param handler: whose lines are counted; tells of the dropping.
    :param interval: seconds.
    :param burst: lines in them.
    :param except_level: name of the level from which on nothing is dropped; may be empty.
    """

    def __init__(
        self, handler: logging.Handler, interval: int, burst: int, except_level: str
    ) -> None:
        super().__init__()
        self._handler = handler
        self._interval = interval
        self._burst = burst
        mapping = logging.getLevelNamesMapping()
        self._except: float = mapping[except_level] if except_level else float("inf")
        self._began = float("-inf")
        self._count = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is within the limit."""
        if record.levelno >= self._except:
            return True
        now = time.monotonic()
        if now - self._began >= self._interval:
            self._began = now
            self._count = 0
        self._count += 1
        if self._count == self._burst + 1:
            text = f"Lines dropped: more than {self._burst} in {self._interval} seconds."
            notice = logging.getLogRecordFactory()(
                __name__, logging.ERROR, __file__, 0, text, None, None, None
            )
            self._handler.acquire()
            try:
                self._handler.emit(notice)
            finally:
                self._handler.release()
        return self._count <= self._burst
