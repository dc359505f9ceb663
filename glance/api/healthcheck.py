"""Tell whether this service wants traffic, in the forms that load balancers know."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from glance.api.errors import render_error
from glance.api.routing import NO_CONTENT, Reply, json_reply, write_reply
from glance.api.streaming import StreamingRequest

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

    def render(self, request: StreamingRequest) -> int:
        """Answer; any method but HEAD behaves as GET."""
        looked = self._run(_thd_any_exists, self._paths) if self._paths else succeed(False)
        looked.addErrback(self._failed)
        looked.addCallback(self._answer, request)
        looked.addErrback(self._broken, request)
        return NOT_DONE_YET

    def _failed(self, failure: Failure) -> bool:
        self._log.failure("Health check failed", failure)
        return True

    def _answer(self, disabled: bool, request: StreamingRequest) -> None:
        if request._disconnected:
            return
        request.write(write_reply(request, self._reply(disabled, request)))
        request.finish()

    def _reply(self, disabled: bool, request: StreamingRequest) -> Reply:
        if request.method == b"HEAD" and not disabled:
            return NO_CONTENT
        status = 503 if disabled else 200
        reason = _DISABLED if disabled else "OK"
        accept = request.getHeader("Accept") or ""
        if "application/json" in accept:
            return json_reply({"detailed": self._detailed, "reasons": [reason]}, status)
        if accept.startswith("text/html"):
            content_type, body = render_error(status, reason, "text/html")
            return Reply(status, body, content_type)
        return Reply(status, reason.encode(), "text/plain; charset=UTF-8")

    def _broken(self, failure: Failure, request: StreamingRequest) -> None:
        """Leave no client waiting for an answer that could not be made."""
        self._log.failure("Could not answer a health check", failure)
        if not request._disconnected:
            request.loseConnection()


def _thd_any_exists(paths: Sequence[str]) -> bool:
    return any(os.path.exists(path) for path in paths)
