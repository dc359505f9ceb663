"""What can go wrong in controlling servers, and the exit codes that tell."""

from __future__ import annotations

from glance.domain.errors import GlanceError

OK = 0
FAILED = 1
USAGE = 2
#: The server is not part of this installation.
UNAVAILABLE = 3


class ControlError(GlanceError):
    """A server cannot be dealt with as asked."""


class PidFileError(ControlError):
    """A pid file cannot be used."""
