"""The service's one family of errors.

Layers below the HTTP API raise these and know nothing of status codes; ``glance.api.errors`` holds
the one table that maps them. A message is written for the person who made the request: it never
holds a token, a credential or the URL of stored data.
"""

from __future__ import annotations


class GlanceError(Exception):
    """A failure with a message fit to be shown to whoever asked.

    :param message: what is wrong and, where possible, what to do; one or two sentences.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(GlanceError):
    """The request is malformed or breaks a rule of its own making."""


class InvalidStatus(GlanceError):
    """The image's status does not allow the operation."""


class Unauthenticated(GlanceError):
    """Nobody knows who asks, and this service does not serve strangers.

    :param challenge: what the caller is told of where to get a token (``WWW-Authenticate``).
    """

    def __init__(self, message: str, challenge: str | None = None) -> None:
        super().__init__(message)
        self.challenge = challenge


class Forbidden(GlanceError):
    """The caller can see the thing but may not do this to it."""


class NotFound(GlanceError):
    """There is no such thing, or the caller may not know that there is."""


class Conflict(GlanceError):
    """The operation clashes with what is there or with another operation under way."""


class Duplicate(Conflict):
    """A thing of that identity is there already."""


class LimitExceeded(GlanceError):
    """A quota, cap or the capacity of a store would be exceeded."""


class Gone(GlanceError):
    """What was being worked on was removed meanwhile."""


class UnsupportedContent(GlanceError):
    """The body's media type, or the content itself, is not what this operation takes."""


class RangeNotSatisfiable(GlanceError):
    """The requested byte range lies outside the data or cannot be read."""


class Unavailable(GlanceError):
    """A part that the service depends on does not answer; trying again may help."""


class ConfigError(GlanceError):
    """The configuration cannot be used; the message names option, group and file."""
