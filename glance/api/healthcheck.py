"""Tell whether this service wants traffic, in the forms that load balancers know.

``/healthcheck`` looks for files only, as operators are used to; ``/healthcheck/ready`` asks the
catalogue and the stores as well; ``/healthcheck/live`` says that the process answers.
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from glance.api.asking import NoAnswer, Question
from glance.api.errors import render_error
from glance.api.readiness import NOT_READY, PATIENCE, Readiness
from glance.api.routing import NO_CONTENT, Reply, json_reply, write_reply
from glance.api.streaming import StreamingRequest
from glance.domain.rotation import OK, UNKNOWN, FileCheck

_TEXT = "text/plain; charset=UTF-8"

#: Headers by which a request that came through a proxy is known.
_PROXY_HEADERS = (
    b"Forwarded",
    b"X-Forwarded-For",
    b"X-Forwarded-Host",
    b"X-Forwarded-Proto",
    b"X-Forwarded-Prefix",
)


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """The options of ``[healthcheck]``.

    :param checks: what the backends look for, one at least.
    :param detailed: name the backend with each reason.
    :param networks: whose addresses may ask; empty for all.
    :param ignore_proxied: answer nothing that came through a proxy.
    """

    checks: Sequence[FileCheck]
    detailed: bool = False
    networks: Sequence[IPv4Network | IPv6Network] = ()
    ignore_proxied: bool = False


class HealthcheckResource(Resource):
    """The routes ``/healthcheck``, ``/healthcheck/ready`` and ``/healthcheck/live``.

    :param reactor: keeps time.
    :param run: runs a blocking function in a thread; the files may lie on a slow disk.
    :param readiness: asks the parts of the service.
    :param leaving: tells whether the service is ending, and nobody serves after it.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        settings: HealthSettings,
        reactor: Any,
        run: Callable[..., Deferred[Any]],
        readiness: Readiness,
        leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._readiness = readiness
        self._leaving = leaving
        paths = [path for check in settings.checks for path in check.paths]
        self._files: Question[frozenset[str]] = Question(
            reactor,
            lambda: run(_thd_present, paths) if paths else succeed(frozenset()),
            PATIENCE,
        )

    def render(self, request: StreamingRequest) -> int:
        """Answer; any method but HEAD behaves as GET."""
        answered = ensureDeferred(self._answer(request))
        answered.addCallback(self._write, request)
        answered.addErrback(self._broken, request)
        return NOT_DONE_YET

    async def _answer(self, request: StreamingRequest) -> Reply:
        if not self._may_ask(request):
            return _refused(request, 403, "The health check is not for this client.")
        below = [segment for segment in request.postpath or () if segment]
        if not below:
            return self._rotation_reply(request, await self._reasons(request))
        if below == [b"ready"]:
            return await self._ready(request)
        if below == [b"live"]:
            return Reply(200, b"OK", _TEXT)
        return _refused(request, 404, "The resource could not be found.")

    def _may_ask(self, request: StreamingRequest) -> bool:
        settings = self._settings
        if settings.ignore_proxied:
            headers = request.requestHeaders
            if any(headers.hasHeader(name) for name in _PROXY_HEADERS):
                return False
        if not settings.networks:
            return True
        # The address that the connection comes from, whatever a header says.
        address = ip_address(request.getClientAddress().host.partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in settings.networks)

    async def _reasons(self, request: StreamingRequest) -> list[str]:
        """Return the reason that each backend gives."""
        checks, port = self._settings.checks, request.getHost().port
        present: Collection[str]
        try:
            present = await self._files.answer()
        except NoAnswer:
            self._log.error("Health check failed: the disk with its files does not answer")
            return [UNKNOWN for _ in checks]
        except Exception:
            self._log.failure("Health check failed")
            return [UNKNOWN for _ in checks]
        return [check.judge(present, port) for check in checks]

    def _rotation_reply(self, request: StreamingRequest, reasons: list[str]) -> Reply:
        healthy = all(reason == OK for reason in reasons)
        if request.method == b"HEAD" and healthy:
            return NO_CONTENT
        status = 200 if healthy else 503
        accept = request.getHeader("Accept") or ""
        detailed = self._settings.detailed
        if "application/json" in accept:
            shown: list[Any] = list(reasons)
            if detailed:
                shown = [
                    {"class": check.backend, "details": "", "reason": reason}
                    for check, reason in zip(self._settings.checks, reasons, strict=True)
                ]
            return json_reply({"detailed": detailed, "reasons": shown}, status)
        if accept.startswith("text/html"):
            return Reply(status, self._page(reasons), "text/html; charset=UTF-8")
        return Reply(status, "\n".join(reasons).encode(), _TEXT)

    def _page(self, reasons: list[str]) -> bytes:
        checks, detailed = self._settings.checks, self._settings.detailed
        names = [check.backend + ": " if detailed else "" for check in checks]
        items = "".join(
            f"  <li>{html.escape(name + reason)}</li>\n"
            for name, reason in zip(names, reasons, strict=True)
        )
        return (
            "<html>\n <head>\n  <title>Healthcheck Status</title>\n </head>\n <body>\n"
            f" <ul>\n{items} </ul>\n </body>\n</html>"
        ).encode()

    async def _ready(self, request: StreamingRequest) -> Reply:
        looking = self._readiness.look()
        wanted = all(reason == OK for reason in await self._reasons(request))
        wanted = wanted and not self._leaving()
        report = await looking
        status = report["status"] if wanted else NOT_READY
        told = {**report, "status": status, "rotation": "in" if wanted else "out"}
        return json_reply(told, 503 if status == NOT_READY else 200)

    def _write(self, reply: Reply, request: StreamingRequest) -> None:
        if request._disconnected:
            return
        request.setHeader(b"cache-control", b"no-store")
        request.write(write_reply(request, reply))
        request.finish()

    def _broken(self, failure: Failure, request: StreamingRequest) -> None:
        """Leave no client waiting for an answer that could not be made."""
        self._log.failure("Could not answer a health check", failure)
        if not request._disconnected:
            request.loseConnection()


def _refused(request: StreamingRequest, status: int, explanation: str) -> Reply:
    content_type, body = render_error(status, explanation, request.getHeader("Accept") or "")
    return Reply(status, body, content_type)


def _thd_present(paths: Sequence[str]) -> frozenset[str]:
    return frozenset(path for path in paths if os.path.exists(path))
