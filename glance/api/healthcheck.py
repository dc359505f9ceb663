"""Tell whether this service wants traffic, in the forms that load balancers know."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from glance.api.errors import render_error

_DISABLED = "DISABLED BY FILE"


class HealthcheckResource(Resource):
    """The route ``/healthcheck``: up, unless a file says that it should be taken out of service.

    :param disabling_paths: files whose presence takes the service out.
    :param detailed: ``[healthcheck] detailed``.
    :param run: runs a blocking function in a thread; the files may lie on a slow disk.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        disabling_paths: Sequence[str],
        detailed: bool,
        run: Callable[..., Deferred[Any]],
    ) -> None:
        super().__init__()
        self._paths = tuple(disabling_paths)
        self._detailed = detailed
        self._run = run

    def render(self, request: Request) -> int:
        """Answer; any method but HEAD behaves as GET."""
        looked = self._run(_thd_any_exists, self._paths) if self._paths else succeed(False)
        looked.addCallback(self._answer, request)
        looked.addErrback(self._failed, request)
        return NOT_DONE_YET

    def _answer(self, disabled: bool, request: Request) -> None:
        if request._disconnected:
            return
        status = 503 if disabled else 200
        reason = _DISABLED if disabled else "OK"
        accept = request.getHeader("Accept") or ""
        if "application/json" in accept:
            content_type = "application/json"
            body = orjson.dumps({"detailed": self._detailed, "reasons": [reason]})
        elif accept.startswith("text/html"):
            content_type, body = render_error(status, reason, "text/html")
        else:
            content_type, body = "text/plain; charset=UTF-8", reason.encode()
        if request.method == b"HEAD" and not disabled:
            request.setResponseCode(204)
            request.finish()
            return
        request.setResponseCode(status)
        request.setHeader("content-type", content_type)
        request.setHeader("content-length", str(len(body)))
        request.write(body)
        request.finish()

    def _failed(self, failure: Failure, request: Request) -> None:
        self._log.failure("Health check failed", failure)
        self._answer(True, request)


def _thd_any_exists(paths: Sequence[str]) -> bool:
    return any(os.path.exists(path) for path in paths)
