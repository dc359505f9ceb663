"""What may go wrong between a program and another image service: one family.

Messages are for whoever runs the program. They name the service, and hold what that said itself,
but never a token or a password.
"""

from __future__ import annotations

from glance.domain.errors import GlanceError


class RemoteError(GlanceError):
    """A service was not reached, or did not do what it was asked for."""


class Unreachable(RemoteError):
    """There was no answer, or none in time."""


class Untrusted(RemoteError):
    """No connection was made, since TLS could not be agreed upon or the certificate is not good."""


class LoginFailed(RemoteError):
    """The identity service gave us no token."""


class Unintelligible(RemoteError):
    """Something answered that is no image service, or not this kind of one."""


class Answered(RemoteError):
    """The service answered with an error.

    :param status: of its answer.
    :param said: what it said itself, in a line; may be empty.
    """

    def __init__(self, message: str, status: int, said: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.said = said


class NotAuthenticated(Answered):
    """It does not take our token, or wants one (401)."""


class NotAllowed(Answered):
    """It knows who asks, and that one may not (403)."""


class Absent(Answered):
    """It does not know the thing, or the path (404)."""


class Failed(Answered):
    """It answered with any other error."""


class NotEnabled(RemoteError):
    """It is an image service, but without what is asked for."""
