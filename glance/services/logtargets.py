"""Where log lines go: files, syslog, the journal, standard error."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import logging
import logging.handlers
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from twisted.logger import LoggingFile

from glance.domain.errors import ConfigError

SYSLOG_SOCKET = "/dev/log"

# How the letters of TimedRotatingFileHandler read in the configuration.
_UNITS = {
    "seconds": "S",
    "minutes": "M",
    "hours": "H",
    "days": "D",
    "weekday": "W",
    "midnight": "MIDNIGHT",
}
_MIB = 1024 * 1024


def make_handlers(conf: Any, program: str) -> list[logging.Handler]:
    """Make the handlers that the configuration asks for.

    :param program: names the log file and the lines in syslog.
    :raises ConfigError: a destination cannot be used.
    """
    handlers: list[logging.Handler] = []
    path = log_path(conf, program)
    if path is not None:
        handlers.append(_file_handler(conf, path))
    if conf.use_syslog:
        handlers.append(_syslog_handler(conf, program))
    if conf.use_journal:
        handlers.append(_journal_handler(program))
    if conf.use_stderr or not handlers:
        handlers.append(StandardError())
    return handlers


def log_path(conf: Any, program: str) -> str | None:
    """Return the path of the log file, or ``None`` if none is wanted."""
    if conf.log_file:
        return os.path.join(conf.log_dir or "", conf.log_file)
    if conf.log_dir:
        return os.path.join(conf.log_dir, f"{program}.log")
    return None


class _Frugal(logging.Handler):
    """Complains of a line that could not be written once a minute, not with every line."""

    _complained = 0.0

    def handleError(self, record: logging.LogRecord) -> None:
        """Say on the real standard error, which nobody redirects back to us, what is wrong."""
        now = time.monotonic()
        if now - self._complained < 60 and self._complained:
            return
        self._complained = now
        with contextlib.suppress(OSError, ValueError, AttributeError):
            print(f"Cannot write the log: {sys.exc_info()[1]}", file=sys.__stderr__)


class StandardError(_Frugal, logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to the standard error of this moment, whatever replaces it later.

    What leads back to the log itself, as Twisted puts in its place, is none: after a reload every
    line would go round and round.
    """

    def __init__(self) -> None:
        stream = sys.stderr
        super().__init__(sys.__stderr__ if isinstance(stream, LoggingFile) else stream)


class ReopeningFile(_Frugal, logging.FileHandler):
    """Writes to a file, and opens it anew when it was moved or removed."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            if self.moved():
                self.reopen()
            super().emit(record)
        except OSError:
            self.handleError(record)

    def moved(self) -> bool:
        """Tell whether the path leads to another file by now, or to none."""
        if self.stream is None:
            return False
        ours = os.fstat(self.stream.fileno())
        try:
            there = os.stat(self.baseFilename)
        except FileNotFoundError:
            return True
        return (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)

    def reopen(self) -> None:
        """Open the file that the path leads to."""
        old, self.stream = self.stream, self._open()
        if old is not None:
            old.close()

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Keep other processes that log to this file from rotating it meanwhile.

        Yields whether it is still there to be rotated.
        """
        if self.stream is None:
            yield True
            return
        try:
            # Not a copy of the stream's: processes that were forked share that, and its locks.
            descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            yield False
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield not self.moved()
        finally:
            os.close(descriptor)


class SizedFile(ReopeningFile, logging.handlers.RotatingFileHandler):
    """Begins a new file at a size; several processes may share it."""

    def doRollover(self) -> None:
        """Begin a new file, unless another process just did."""
        with self.alone() as still:
            if still:
                super().doRollover()
            else:
                self.reopen()


class TimedFile(ReopeningFile, logging.handlers.TimedRotatingFileHandler):
    """Begins a new file after a time; several processes may share it."""

    def reopen(self) -> None:
        """Open the file that another process has begun; its time begins as well."""
        super().reopen()
        self.rolloverAt = self.computeRollover(int(time.time()))

    def doRollover(self) -> None:
        """Begin a new file, unless another process just did."""
        with self.alone() as still:
            if still:
                super().doRollover()
            else:
                self.reopen()


def _file_handler(conf: Any, path: str) -> logging.Handler:
    """Make the handler of the log file."""
    how: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace"}
    kind = conf.log_rotation_type.lower()
    count = max(conf.max_logfile_count, 0)
    try:
        if kind == "size":
            size = max(conf.max_logfile_size_mb, 0) * _MIB
            return SizedFile(path, maxBytes=size, backupCount=count, **how)
        if kind == "interval":
            unit = _UNITS[conf.log_rotate_interval_type.lower()]
            every = conf.log_rotate_interval
            if unit == "W":
                if not 0 <= every <= 6:
                    raise ConfigError(
                        f"[DEFAULT]log_rotate_interval is {every}: with "
                        "log_rotate_interval_type = Weekday it must be from 0 (Monday) to 6."
                    )
                # Here the number is the day, and one week the interval.
                unit, every = f"W{every}", 1
            elif every < 1:
                raise ConfigError(
                    f"[DEFAULT]log_rotate_interval is {every}: it must be at least 1."
                )
            return TimedFile(path, when=unit, interval=every, backupCount=count, **how)
        return ReopeningFile(path, **how)
    except OSError as error:
        option = "log_file" if conf.log_file else "log_dir"
        raise ConfigError(
            f"[DEFAULT]{option}: the log file {path} cannot be opened: "
            f"{(error.strerror or 'unknown reason').lower()}."
        ) from None


class _Syslog(_Frugal, logging.handlers.SysLogHandler):
    """Writes to syslog."""


def _syslog_handler(conf: Any, program: str) -> logging.Handler:
    """Make the handler of syslog."""
    # The handler itself would go on trying in silence.
    if not os.path.exists(SYSLOG_SOCKET):
        raise ConfigError(
            f"[DEFAULT]use_syslog: there is no {SYSLOG_SOCKET}. Is a syslog daemon running?"
        )
    handler = _Syslog(address=SYSLOG_SOCKET, facility=conf.syslog_log_facility)
    handler.ident = f"{program}: "
    return handler


class Journal(_Frugal):
    """Writes to the systemd journal, with fields that can be searched for.

    :param send: ``systemd.journal.send``.
    :param program: the identifier of our lines.
    """

    def __init__(self, send: Any, program: str) -> None:
        super().__init__()
        self._send = send
        self._program = program

    def emit(self, record: logging.LogRecord) -> None:
        """Write one entry."""
        fields: dict[str, Any] = {
            "PRIORITY": _priority(record.levelno),
            "SYSLOG_IDENTIFIER": self._program,
            "LOGGER_NAME": record.name,
            "LOGGER_LEVEL": record.levelname,
            "CODE_FILE": record.pathname,
            "CODE_LINE": record.lineno,
            "CODE_FUNC": record.funcName,
        }
        if getattr(record, "in_request", False):
            fields["REQUEST_ID"] = record.__dict__["request_id"]
            fields["GLOBAL_REQUEST_ID"] = record.__dict__["global_request_id"]
            fields["PROJECT_NAME"] = record.__dict__["project"]
            fields["USER_NAME"] = record.__dict__["user"]
        if record.exc_text:
            fields["EXCEPTION_TEXT"] = record.exc_text
        try:
            self._send(self.format(record), **fields)
        except Exception:
            self.handleError(record)


def _journal_handler(program: str) -> logging.Handler:
    """Make the handler of the journal."""
    try:
        journal = importlib.import_module("systemd.journal")
    except ImportError:
        raise ConfigError(
            "[DEFAULT]use_journal needs the Python module 'systemd', which is not installed "
            "(Debian: python3-systemd; on the package index: systemd-python)."
        ) from None
    return Journal(journal.send, program)


def _priority(level: int) -> int:
    """Return the syslog priority of a level."""
    for number, priority in ((50, 2), (40, 3), (30, 4), (20, 6)):
        if level >= number:
            return priority
    return 7
