"""What the processes of the service tell each other over their pipes: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

#: A message: ``{"do": …}`` downwards, ``{"event": …}`` upwards.
Message = dict[str, Any]

#: On a template's command line: how the service was configured when it was started.
CONFIGURED = "configured"
EMBEDDED = "embedded"

# Downwards.
START = "start"
#: Finish the requests under way and end: ``seconds``, ``leaving``, ``take_waiting``.
DRAIN = "drain"
#: Break off what is under way, and end.
HURRY = "hurry"
KILL = "kill"

# Upwards.
LOADED = "loaded"
STARTED = "started"
READY = "ready"
BEAT = "beat"
ENDED = "ended"
#: Something cannot be done, and ``error`` says why.
REFUSED = "refused"


def drain(seconds: float, *, leaving: bool, take_waiting: bool) -> Message:
    """Return the command to drain; parameters are those of ``ApiService.drain``."""
    return {"do": DRAIN, "seconds": seconds, "leaving": leaving, "take_waiting": take_waiting}


def encode(message: Message) -> bytes:
    """Return a message as it goes over a pipe."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Decoder:
    """Puts messages together from what comes out of a pipe."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take in a piece; yield the messages that it completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield json.loads(line)
