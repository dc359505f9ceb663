"""From a log record to the text of its lines.

Every record, ours or a library's, is made by :class:`RecordFactory`, which gives it the keys of the
request being worked on; and passes :class:`Cleaner` before any handler formats it, so that neither
a secret nor a forged line gets through, whatever the format.
"""

from __future__ import annotations

import logging
import socket
import time
import traceback
from typing import Any

import orjson

from glance.domain import correlation
from glance.services.logmask import clean, one_line

UNKNOWN = "-"

# ``tenant`` and ``resource`` stand in formats that operators wrote for older releases.
_FIELDS = ("user", "project", "domain", "system_scope", "user_domain", "project_domain")
_NO_REQUEST: dict[str, Any] = dict.fromkeys(
    ("request_id", "global_request_id", "user_identity", "tenant", *_FIELDS), UNKNOWN
) | {"instance": "", "resource": "", "in_request": False, "cleaned": False}


class _Identity(dict[str, Any]):
    """Answers for every key, so that no format of an operator's can fail on it."""

    def __missing__(self, key: str) -> str:
        return UNKNOWN


class RecordFactory:
    """Makes log records that know their request; for ``logging.setLogRecordFactory``.

    :param identity_format: ``logging_user_identity_format``.
    """

    def __init__(self, identity_format: str) -> None:
        self._identity_format = identity_format
        self._last: tuple[correlation.Correlation | None, dict[str, Any]] = (None, {})

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        """Make a record, with the arguments of ``logging.LogRecord``."""
        record = logging.LogRecord(*args, **kwargs)
        record.__dict__.update(_NO_REQUEST)
        request = correlation.current()
        if request is not None:
            last, values = self._last
            if last is not request:
                values = self._keys(request)
                self._last = (request, values)
            record.__dict__.update(values)
        return record

    def _keys(self, request: correlation.Correlation) -> dict[str, Any]:
        """Work out the keys of a request; its lines mostly come one after the other."""
        values: dict[str, Any] = {"in_request": True}
        for name in ("request_id", "global_request_id", *_FIELDS):
            value = getattr(request, name)
            values[name] = clean(value) if value else UNKNOWN
        values["tenant"] = values["project"]
        values["user_identity"] = self._identity_format % _Identity(values)
        return values


class Cleaner(logging.Filter):
    """Makes a record's message and traceback safe to write, once."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean the record; lets every record pass."""
        if getattr(record, "cleaned", False):
            return True
        try:
            message = record.getMessage()
        except Exception:
            message = f"{record.msg!r} (logged with arguments that do not fit it)"
        record.msg = clean(message)
        record.args = None
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = "\n".join(traceback_lines(record.exc_info))
        elif record.exc_text:
            record.exc_text = "\n".join(clean(line) for line in record.exc_text.splitlines())
        record.cleaned = True
        return True


def traceback_lines(exc_info: Any) -> list[str]:
    """Write an exception as lines, each of them clean.

    Only the frames are split at line ends. An exception's own text stays one line: it may hold
    what a client sent.
    """
    lines: list[str] = []
    for chunk in traceback.TracebackException(*exc_info).format():
        text = chunk.rstrip("\n")
        # An exception's own text begins with its type, so it cannot pass for one of these.
        ours = text.startswith(("  ", "\n", "Traceback (most recent call last)"))
        lines += text.splitlines() if ours else [text]
    return [clean(line) for line in lines if line.strip()]


class LineFormatter(logging.Formatter):
    """Writes a record as a line, and each line of its traceback with a prefix.

    :param context: format of lines that belong to a request.
    :param default: format of the others.
    :param exception: prefix of the lines of a traceback.
    :param debug: put behind lines of level DEBUG.
    :param dates: format of the time, in the terms of ``strftime``.
    """

    def __init__(
        self, *, context: str, default: str, exception: str, debug: str, dates: str
    ) -> None:
        super().__init__(datefmt=dates)
        self._context = context
        self._default = default
        self._exception = exception
        self._debug = f" {debug}" if debug else ""
        self._second = (-1, "")

    def format(self, record: logging.LogRecord) -> str:
        """Write the record."""
        in_request = getattr(record, "in_request", False)
        form = self._context if in_request else self._default
        record.message = _tag(record, form) + record.getMessage()
        record.asctime = self._time(record.created)
        if record.levelno == logging.DEBUG:
            form += self._debug
        text = form % record.__dict__
        if record.exc_text:
            prefix = self._exception % record.__dict__ + _tag(record, self._exception)
            text = "\n".join([text, *(prefix + line for line in record.exc_text.split("\n"))])
        return text

    def _time(self, created: float) -> str:
        """Write a time of day; lines of the same second share the work."""
        second = int(created)
        if self._second[0] != second:
            text = time.strftime(self.datefmt or "", time.localtime(second))
            self._second = (second, text)
        return self._second[1]


def _tag(record: logging.LogRecord, form: str) -> str:
    """Return the request's id for a line whose format would leave it out."""
    if not getattr(record, "in_request", False) or "%(request_id)" in form:
        return ""
    return f"[{record.__dict__['request_id']}] "


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object.

    :param dates: format of ``asctime``, in the terms of ``strftime``.
    """

    def __init__(self, *, dates: str) -> None:
        super().__init__(datefmt=dates)
        self._host = socket.gethostname()

    def format(self, record: logging.LogRecord) -> str:
        """Write the record."""
        values = record.__dict__
        fields: dict[str, Any] = {
            "message": record.getMessage(),
            "asctime": time.strftime(self.datefmt or "", time.localtime(record.created)),
            "created": record.created,
            "name": one_line(record.name),
            "levelname": record.levelname,
            "levelno": record.levelno,
            "hostname": self._host,
            "process": record.process,
            "thread_name": record.threadName,
            "pathname": record.pathname,
            "lineno": record.lineno,
            "funcname": record.funcName,
            "traceback": record.exc_text.split("\n") if record.exc_text else None,
            "error_summary": record.exc_text.split("\n")[-1] if record.exc_text else "",
        }
        if values.get("in_request"):
            fields["request_id"] = values["request_id"]
            fields["global_request_id"] = values["global_request_id"]
            fields["context"] = {name: values[name] for name in _FIELDS}
        return orjson.dumps(fields).decode()
