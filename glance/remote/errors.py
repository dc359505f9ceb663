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


class BrokenOff(Unreachable):
    """There was a connection, and it was lost: somebody is there."""


class Untrusted(RemoteError):
    """No connection was made, since TLS could not be agreed upon or the certificate is not good."""


class LoginFailed(RemoteError):
    """The identity service gave us no token.

    :param refused: because it does not know us like that, and not since it failed itself.
    """

    def __init__(self, message: str, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class NoEndpoint(RemoteError):
    """The catalogue of the identity service does not say where the service is."""


class Unintelligible(RemoteError):
    """Something answered that is no image service, or not this kind of one."""


class TooLarge(Unintelligible):
    """An answer is longer than any should be."""


class WrongLength(RemoteError):
    """There is more or less data than there should be."""


class Answered(RemoteError):
    """The service answered with an error.

    :param status: of its answer.
    :param said: what it said itself, in a line; may be empty.
    :param retry_after: seconds after which it wants to be asked again, if it said so.
    """

    def __init__(
        self, message: str, status: int, said: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.said = said
        self.retry_after = retry_after


class NotAuthenticated(Answered):
    """It does not take our token, or wants one (401)."""


class TokenExpired(NotAuthenticated):
    """It did not take our token, but there is another one by now."""


class NotAllowed(Answered):
    """It knows who asks, and that one may not (403)."""


class Absent(Answered):
    """It does not know the thing, or the path (404)."""


class Failed(Answered):
    """It answered with any other error."""


class NotEnabled(RemoteError):
    """It is an image service, but without what is asked for."""
