"""Telling apart why there is no answer, and whether to ask again."""

from __future__ import annotations

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import TimeoutError as NotInTime
from twisted.internet.error import (
    ConnectError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.error import TimeoutError as NotConnectedInTime
from twisted.web.client import ResponseNeverReceived
from twisted.web.http import PotentialDataLoss

from glance.identity.http import BadHost, CallFailed, TooLong, describe
from glance.remote.endpoint import Endpoint
from glance.remote.errors import (
    Answered,
    BrokenOff,
    LoginFailed,
    RemoteError,
    TokenExpired,
    TooLarge,
    Unintelligible,
    Unreachable,
    Untrusted,
)

#: Statuses below 500 of a service that is busy, or was not asked at a good moment.
BUSY = frozenset({408, 425, 429})
#: Statuses above 499 that will be the same next time: what is asked for is beyond the service, or
#: it has no room, or somebody has to log in to a network first.
_LASTING = frozenset({501, 505, 506, 507, 508, 510, 511})

_BROKEN_OFF = (ConnectionDone, ConnectionLost, PotentialDataLoss, ResponseNeverReceived, OSError)


def may_pass(error: BaseException) -> bool:
    """Tell whether it may help to try the same again, after a while.

    A name that nobody knows counts too: those who know names fail like others do.
    """
    if isinstance(error, Unreachable | TokenExpired):
        return True
    if isinstance(error, LoginFailed):
        return not error.refused
    if isinstance(error, Answered):
        return error.status in BUSY or (error.status >= 500 and error.status not in _LASTING)
    return False


def is_tls(cause: BaseException | None) -> bool:
    """Tell whether it was TLS that failed."""
    return isinstance(cause, SSL.Error | VerificationError)


def explain(
    failure: CallFailed, endpoint: Endpoint, seconds: float, *, answered: bool = False
) -> RemoteError:
    """Make an error of a request that got no answer.

    :param seconds: that it was given.
    :param answered: whether the service has answered before, so that it speaks what we speak.
    """
    cause, where = failure.cause, endpoint.place
    if is_tls(cause):
        assert cause is not None
        text = describe(cause)
        if _speaks_no_tls(text):
            return Untrusted(f"{where} does not speak TLS; is it http:// that is meant?")
        return Untrusted(f"{where} cannot be trusted: {text}.")
    if isinstance(cause, NotConnectedInTime):
        # It was given less time than all of the request.
        return Unreachable(f"{where} cannot be reached: no connection was made in time.")
    if isinstance(cause, NotInTime):
        return Unreachable(f"{where} did not answer within {seconds:g} s.")
    if isinstance(cause, ConnectionRefusedError):
        return Unreachable(f"{where} cannot be reached: nothing listens there.")
    if isinstance(cause, ConnectError | DNSLookupError | BadHost):
        return Unreachable(f"{where} cannot be reached: {describe(cause)}.")
    if isinstance(cause, TooLong):
        return TooLarge(f"{where} answered, but {describe(cause)}.")
    hint = "" if answered or endpoint.scheme == "https" else " Does it want https://?"
    if cause is None or isinstance(cause, _BROKEN_OFF):
        text = describe(cause) if cause is not None else str(failure)
        return BrokenOff(f"{where} broke off the connection: {text}.{hint}")
    # What came instead is not told: nobody knows what it is.
    return Unintelligible(f"What answers at {where} does not speak HTTP.{hint}")


def _speaks_no_tls(text: str) -> bool:
    return "wrong version number" in text or "packet length too long" in text
