"""Errors as answers: the one table from what went wrong to an HTTP status, and how it is told."""

from __future__ import annotations

import html
from http import HTTPStatus

import orjson

from glance.domain import errors as domain
from glance.domain.requestid import RequestIdTooLong
from glance.stores import errors as stores

#: The first entry that an error is an instance of counts.
STATUS: tuple[tuple[type[domain.GlanceError], int], ...] = (
    (domain.Invalid, 400),
    (stores.UnknownStore, 400),
    (domain.Unauthenticated, 401),
    (domain.Forbidden, 403),
    (stores.DeleteForbidden, 403),
    (domain.NotFound, 404),
    (domain.InvalidStatus, 409),
    (domain.Conflict, 409),
    (stores.DuplicateData, 409),
    (stores.InUse, 409),
    (domain.Gone, 410),
    (stores.WriteDisabled, 410),
    (domain.LimitExceeded, 413),
    (stores.StoreFull, 413),
    (domain.UnsupportedContent, 415),
    (domain.RangeNotSatisfiable, 416),
    (RequestIdTooLong, 431),
    (domain.Unavailable, 503),
    (stores.WriteDenied, 503),
    (stores.StoreTimeout, 503),
    (stores.RemoteUnavailable, 503),
)

#: Seconds after which a client may try again when a part of the service does not answer.
RETRY_AFTER = 5

_TITLES = {413: "Request Entity Too Large"}


def status_of(error: domain.GlanceError) -> int:
    """Return the HTTP status that tells of an error; 500 for what has no better one."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def title_of(status: int) -> str:
    """Return the words that go with a status."""
    try:
        return _TITLES.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def render_error(status: int, explanation: str, accept: str) -> tuple[str, bytes]:
    """Tell an error in the form that the client asks for.

    :param accept: the request's ``Accept`` header, empty when it has none.
    :returns: content type and body: a page for those that take HTML or anything, an object with
        ``message``, ``code`` and ``title`` for those that take JSON, plain text for the rest.
    """
    title = title_of(status)
    if "text/html" in accept or "*/*" in accept:
        heading = html.escape(f"{status} {title}")
        page = (
            f"<html>\n <head>\n  <title>{heading}</title>\n </head>\n <body>\n"
            f"  <h1>{heading}</h1>\n  {html.escape(explanation, quote=False)}<br /><br />\n\n\n"
            " </body>\n</html>"
        )
        return "text/html; charset=UTF-8", page.encode()
    if "json" in accept:
        message = {"message": explanation, "code": f"{status} {title}", "title": title}
        return "application/json", orjson.dumps(message)
    return "text/plain; charset=UTF-8", f"{status} {title}\n\n{explanation}\n\n".encode()
