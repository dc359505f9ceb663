"""The streaming requests of an image service: data of any length, in either direction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost

from glance.identity.http import Answer, CallFailed, calling, read_body
from glance.identity.timing import limited
from glance.remote.errors import RemoteError, TokenExpired
from glance.remote.exchanges import Exchange, Exchanges
from glance.remote.service import PATIENCE, ImageService
from glance.remote.streaming import DataStream
from glance.remote.streams import IByteStream
from glance.remote.uploading import WANTED_TIME, UploadBody
from glance.remote.watching import STALL_TIME

_CONTENT_RANGE = re.compile(r"bytes\s+([0-9]{1,19})-[0-9]{1,19}/(?:[0-9]{1,19}|\*)", re.I)
_WAITING = {"Expect": "100-continue"}
#: What becomes of a connection that was kept for too long.
_STALE = (ConnectionDone, ConnectionLost)
#: Most bytes that are read of what a service says of an error.
_ERROR_LIMIT = 64 * 1024


class Transfers:
    """Makes them.

    :param service: who is asked, with tokens and errors.
    :param exchanges: makes the requests.
    :param seconds: for connecting, and for the first answer to a question.
    :param stall_time: seconds without progress after which a transfer is given up.
    """

    def __init__(
        self,
        reactor: Any,
        service: ImageService,
        exchanges: Exchanges,
        *,
        seconds: float = PATIENCE,
        stall_time: float = STALL_TIME,
    ) -> None:
        self._reactor = reactor
        self._service = service
        self._exchanges = exchanges
        self._seconds = seconds
        self._stall_time = stall_time
        #: Whether uploads wait until the service wants them, and whether it ever said so.
        self._waits = True
        self._heard = False

    async def open(self, path: str, headers: Mapping[str, str], offset: int = 0) -> DataStream:
        """Open what is at a path; what comes has to be started, or stopped.

        :param offset: bytes to leave out, which not every service can.
        :raises RemoteError: there is nothing.
        """
        wanted = {**headers, "Range": f"bytes={offset}-"} if offset else headers

        async def ask(token: Mapping[str, str]) -> Exchange | Answer:
            asked = self._exchanges.ask("GET", self._url(path), {**wanted, **token})
            try:
                exchange = await self._limited(asked)
            except CallFailed as error:
                raise self._service.explain(error) from None
            return exchange if exchange.status // 100 == 2 else await self._told(exchange)

        exchange: Exchange = await self._service.authorized("GET", path, ask)
        try:
            begins = self._begin(exchange, offset)
        except RemoteError:
            exchange.abort()
            raise
        return DataStream(
            self._reactor,
            exchange,
            self._service.endpoint.place,
            offset=begins,
            stall_time=self._stall_time,
        )

    async def send(
        self, path: str, headers: Mapping[str, str], stream: IByteStream, size: int | None
    ) -> None:
        """Send a stream to a path, by PUT.

        What ends the stream too early is raised as it came. The stream is stopped in any case.

        :param size: bytes that will come, ``None`` for not known.
        :raises TokenExpired: the service did not take the token, and has got data already.
        :raises RemoteError: it did not take the data.
        """
        begun = False

        async def ask(token: Mapping[str, str]) -> Answer:
            nonlocal begun
            if begun:
                place = self._service.endpoint.place
                raise TokenExpired(f"{place} did not take the token any more (401).", 401)
            answer, begun = await self._put(path, {**headers, **token}, stream, size)
            return answer

        try:
            await self._service.authorized("PUT", path, ask)
        finally:
            stream.stop()

    async def _put(
        self, path: str, headers: dict[str, str], stream: IByteStream, size: int | None
    ) -> tuple[Answer, bool]:
        """Return the answer, and whether the stream was begun.

        While it was not there is another try: a connection that was kept may be closed under the
        request, and some do not know what it is to wait (417).
        """
        for last in (False, True):
            # Where nothing comes nothing can be waited for (RFC 9110, section 10.1.1).
            waits = self._waits and size != 0
            body = UploadBody(
                self._reactor,
                stream,
                size,
                self._service.endpoint.place,
                wanted_time=WANTED_TIME if waits else 0,
                stall_time=self._stall_time,
            )
            try:
                answer = await self._exchange(path, headers | _WAITING if waits else headers, body)
            except CallFailed as error:
                if last or body.begun or not isinstance(error.cause, _STALE):
                    raise self._service.explain(error) from None
                continue
            finally:
                if waits and body.begun:
                    self._learn(body)
            if not last and not body.begun and answer.status == 417:
                self._waits = False
                continue
            break
        return answer, body.begun

    async def _exchange(self, path: str, headers: Mapping[str, str], body: UploadBody) -> Answer:
        asked = Deferred.fromCoroutine(self._exchanges.ask("PUT", self._url(path), headers, body))
        body.late = asked.cancel
        try:
            exchange = await asked
        except CancelledError:
            if body.trouble is not None:
                raise body.trouble from None
            raise
        finally:
            body.over()
        return await self._told(exchange)

    def _learn(self, body: UploadBody) -> None:
        """Wait no more for a service that never says that it wants data."""
        self._heard = self._heard or not body.unasked
        self._waits = self._heard

    async def _told(self, exchange: Exchange) -> Answer:
        """Read an answer that is short. What cannot be read of it is not there."""
        try:
            body = await self._limited(read_body(exchange, _ERROR_LIMIT))
        except CallFailed:
            exchange.abort()
            body = b""
        return Answer(exchange.status, exchange.headers, body)

    async def _limited(self, work: Any) -> Any:
        """Return the result of something that may take limited time.

        :raises CallFailed: it did not come.
        """
        with calling("", ""):
            if not isinstance(work, Deferred):
                work = Deferred.fromCoroutine(work)
            return await limited(work, self._seconds, self._reactor)

    def _begin(self, exchange: Exchange, offset: int) -> int:
        """Return where the data begins that comes.

        :raises Unintelligible: nobody knows, or it is not the data itself.
        """
        if exchange.encoded:
            raise self._service.unintelligible()
        if exchange.status != 206:
            return 0
        found = _CONTENT_RANGE.fullmatch((exchange.header("Content-Range") or "").strip())
        if found is None or int(found[1]) != offset:
            raise self._service.unintelligible()
        return offset

    def _url(self, path: str) -> str:
        return self._service.endpoint.url + path
