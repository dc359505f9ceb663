"""Decode chunked bodies without copying them.

``twisted.web`` checks a chunked body strictly, and moves every byte of it twice before anyone sees
it. Here its own rules still judge every size line but the plainest, every extension and trailer,
while the data between them is handed on as views of what came from the socket. Small chunks are the
exception: those of one read are handed on together, for a client may send a byte in each.

Like ``glance.api.streaming``, this relies on parts of Twisted that are not public: the states of
``twisted.web.http._ChunkedTransferDecoder`` of 26.10.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from twisted.web.http import (
    _ChunkedTransferDecoder,
    _MalformedChunkedDataError,
    maxChunkSizeLineLength,
)

#: Pieces of data below this many bytes are gathered instead of handed on one by one.
SMALL = 4096

#: Bytes of trailers that are taken.
MAX_TRAILERS = 16 * 1024

#: Bytes of chunk extensions that are taken beyond as many as there are bytes of data.
MAX_EXTENSIONS = 64 * 1024

#: A size line as nearly all are: no extension, not the last, and for sure right.
_PLAIN_SIZE = re.compile(rb"(?!0+\r)([0-9A-Fa-f]{1,8})\r\n")


class ChunkedDecoder(_ChunkedTransferDecoder):
    """A decoder that passes ``memoryview``s to its data callback, or small pieces joined.

    :ivar pieces: how many pieces of data were in what came last.
    """

    pieces = 0
    _spared = MAX_EXTENSIONS

    def __init__(
        self, dataCallback: Callable[[bytes], None], finishCallback: Callable[[bytes], None]
    ) -> None:
        super().__init__(dataCallback, finishCallback)
        self._maxTrailerHeadersSize = MAX_TRAILERS

    def dataReceived(self, data: bytes) -> None:
        """Take in data from the connection.

        :raises _MalformedChunkedDataError: it breaks the rules of the encoding (RFC 9112, 7.1).
        """
        if self._buffer:
            # A line that the last read ended within; it is short.
            data = bytes(self._buffer) + data
            self._buffer.clear()
            self._start = 0
        self.pieces = 0
        small = bytearray()
        try:
            rest = self._take(data, small)
        finally:
            # What came before an error or the end comes first.
            if small:
                self.dataCallback(bytes(small))
        if rest:
            # An incomplete line, or the end: Twisted's own way is good enough.
            super().dataReceived(rest)

    def _take(self, data: bytes, small: bytearray) -> bytes:
        """Hand on the data of all chunks but what is gathered; return what is left to Twisted."""
        view = memoryview(data)
        position, end = 0, len(data)
        while position < end:
            if self.state == "BODY":
                stop = min(position + self.length, end)
                self.length -= stop - position
                if not self.length:
                    self.state = "CRLF"
                self.pieces += 1
                if stop - position < SMALL:
                    small += view[position:stop]
                else:
                    if small:
                        self.dataCallback(bytes(small))
                        small.clear()
                    self.dataCallback(view[position:stop])  # type: ignore[arg-type]
                position = stop
            elif self.state == "CRLF" and data.startswith(b"\r\n", position):
                self.state = "CHUNK_LENGTH"
                position += 2
            elif self.state == "CRLF" and end - position >= 2:
                position = self._let_check(data, position, position + 2)
            elif self.state == "CHUNK_LENGTH" and (plain := _PLAIN_SIZE.match(data, position)):
                self.length = int(plain[1], 16)
                self.state = "BODY"
                position = plain.end()
            elif (
                self.state == "CHUNK_LENGTH"
                and (eol := data.find(b"\r\n", position, position + maxChunkSizeLineLength)) >= 0
            ):
                position = self._let_check(data, position, eol + 2)
            else:
                return data[position:]
        return b""

    def _let_check(self, data: bytes, start: int, stop: int) -> int:
        """Have Twisted judge one line and change the state by it; return where it ends."""
        self._buffer += data[start:stop]
        getattr(self, f"_dataReceived_{self.state}")()
        return stop

    def _dataReceived_CHUNK_LENGTH(self) -> bool:
        """Read a size line, but not endless ones around next to no data."""
        before = len(self._buffer)
        if not super()._dataReceived_CHUNK_LENGTH():
            return False
        self._spared += self.length - (before - len(self._buffer))
        if self._spared < 0:
            raise _MalformedChunkedDataError("There is more of extensions than of data.")
        self._spared = min(self._spared, MAX_EXTENSIONS)
        return True
