"""What a connection may cost: how much is taken from it, how long it may keep us waiting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one HTTP server; times are seconds, ``None`` for no end.

    :param line: bytes of a request's line, and of each header.
    :param head: bytes of a request's line and headers together.
    :param headers: headers of a request.
    :param body: bytes of a body that does not stream.
    :param head_time: from a head's first byte to its last.
    :param body_time: from the end of the head to that of a body that does not stream.
    :param idle_time: between two requests, and before the first, a TLS handshake included.
    :param stall_time: without a byte, in a body that streams or an answer that is not taken.
    :param keep_alive: whether a connection outlives its first request.
    :param connections: open at a time, 0 for any number.
    """

    line: int = 16384
    head: int = 65536
    headers: int = 200
    body: int = 1024 * 1024
    head_time: float | None = 30.0
    body_time: float | None = 60.0
    idle_time: float | None = 75.0
    stall_time: float | None = 900.0
    keep_alive: bool = True
    connections: int = 0
