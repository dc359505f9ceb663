"""Compress JSON answers for clients that ask for it.

Image data is never compressed: it would cost more processor time than the network saves, and the
kernel could not send it by itself any more. The fastest level makes a page of images a quarter of
its size; slower ones gain a few per cent.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred

from glance.api.routing import Reply
from glance.domain.encodings import takes_gzip

#: Bytes up to which an answer is compressed on the spot, in less than half a millisecond.
AT_ONCE = 64 * 1024

#: Of zlib, and so of a gzip header around its data.
_LEVEL = 1
_GZIP = 16 + zlib.MAX_WBITS

_VARY = ("Vary", "Accept-Encoding")


class Compressor:
    """Compresses answers.

    :param run: runs a function in a thread.
    :param least: bytes from which on an answer is worth it.
    """

    def __init__(self, run: Callable[..., Deferred[Any]], least: int) -> None:
        self._run = run
        self._least = least

    async def compress(self, request: Any, reply: Reply) -> Reply:
        """Return the answer as the client wants it."""
        if reply.content_type != "application/json" or len(reply.body) < self._least:
            return reply
        if not takes_gzip(request.getHeader("Accept-Encoding") or ""):
            return replace(reply, headers=(*reply.headers, _VARY))
        if len(reply.body) <= AT_ONCE:
            body = thd_gzip(reply.body)
        else:
            body = await self._run(thd_gzip, reply.body)
        headers = (*reply.headers, _VARY, ("Content-Encoding", "gzip"))
        return replace(reply, body=body, headers=headers)


def thd_gzip(data: bytes) -> bytes:
    """Return data compressed, in gzip's format."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(data) + packer.flush()
