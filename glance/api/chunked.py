"""Decode chunked bodies without copying them.

``twisted.web`` checks a chunked body strictly, and moves every byte of it twice before anyone sees
it. Here its own rules still judge every size line, extension and trailer, while the data between
them is handed on as views of what came from the socket.

Like ``glance.api.streaming``, this relies on parts of Twisted that are not public: the states of
``twisted.web.http._ChunkedTransferDecoder`` of 26.10.
"""

from __future__ import annotations

from twisted.web.http import _ChunkedTransferDecoder, maxChunkSizeLineLength


class ChunkedDecoder(_ChunkedTransferDecoder):
    """A decoder that passes ``memoryview``s to its data callback."""

    def dataReceived(self, data: bytes) -> None:
        """Take in data from the connection.

        :raises _MalformedChunkedDataError: it breaks the rules of the encoding (RFC 9112, 7.1).
        """
        if self._buffer:
            # A line that the last read ended within; it is short.
            data = bytes(self._buffer) + data
            self._buffer.clear()
            self._start = 0
        view = memoryview(data)
        position, end = 0, len(data)
        while position < end:
            if self.state == "BODY":
                stop = min(position + self.length, end)
                self.length -= stop - position
                if not self.length:
                    self.state = "CRLF"
                self.dataCallback(view[position:stop])  # type: ignore[arg-type]
                position = stop
            elif self.state == "CRLF" and end - position >= 2:
                position = self._let_check(data, position, position + 2)
            elif (
                self.state == "CHUNK_LENGTH"
                and (eol := data.find(b"\r\n", position, position + maxChunkSizeLineLength)) >= 0
            ):
                position = self._let_check(data, position, eol + 2)
            else:
                # An incomplete line, or the end: Twisted's own way is good enough.
                super().dataReceived(data[position:])
                return

    def _let_check(self, data: bytes, start: int, stop: int) -> int:
        """Have Twisted judge one line and change the state by it; return where it ends."""
        self._buffer += data[start:stop]
        getattr(self, f"_dataReceived_{self.state}")()
        return stop
