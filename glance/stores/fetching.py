"""Fetching over HTTP what users point at: redirects, credentials, time limits and errors.

Nothing here knows of stores or images; the http store reads with it, and so may whatever else
fetches by URL. Every hop is judged anew, by name here and by address where it is connected to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from OpenSSL.SSL import Error as TlsError
from service_identity import VerificationError
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IPolicyForHTTPS

from glance import __version__
from glance.domain.errors import Invalid
from glance.domain.urifilter import Target, UriFilter
from glance.stores.errors import (
    BadLocation,
    DataNotFound,
    FetchRefused,
    RemoteUnavailable,
    StoreError,
)
from glance.stores.incoming import Incoming
from glance.stores.outbound import Exchange, Outbound
from glance.stores.tunnel import Proxy, basic

#: Redirects followed in a row at most.
MOST_REDIRECTS = 5

#: Seconds until the head of an answer must be there, from finding the server on.
ANSWER_TIME = 90.0

#: Seconds without a byte after which a server is given up.
STALL_TIME = 60.0

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})
# Codes below 500 by which a server says that it is busy and not that the request is wrong.
_BUSY = frozenset({408, 425, 429})
# The digits are bounded because Python refuses to convert very long ones.
_CONTENT_RANGE = re.compile(r"bytes\s+([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.I)
_LENGTH = re.compile("[0-9]{1,19}")
# No database keeps a greater one.
_LONGEST = 2**63 - 1
#: What goes wrong with a connection. Everything else is a mistake of ours.
_FAILURES = (
    error.ConnectError,
    error.ConnectionClosed,
    error.ConnectingCancelledError,
    # Of a proxy; that of a server comes as an error of ours.
    error.DNSLookupError,
    CancelledError,
    RequestTransmissionFailed,
    ResponseFailed,
)

_log = Logger()


class Fetched:
    """What a server answered, its body to be read in order.

    :ivar start: offset in the whole of the first byte that ``read`` gives.
    :ivar total: length of the whole in bytes, ``None`` if the server does not say.
    :ivar tag: what the server calls this version of the data, if it does.
    """

    def __init__(self, body: Incoming, start: int, total: int | None, tag: bytes | None) -> None:
        self._body = body
        self.start = start
        self.total = total
        self.tag = tag

    def read(self, length: int) -> Deferred[bytes]:
        """Read so many bytes; fewer only at the end. One reading at a time.

        :raises RemoteUnavailable: the server broke off, or sends nothing more.
        """
        return self._body.read(length)

    def close(self) -> None:
        """Let the connection go. Safe at any time."""
        self._body.close()


class Fetcher:
    """Fetches.

    :param rules: judge URLs.
    :param outbound: makes the requests.
    """

    def __init__(self, reactor: Any, rules: UriFilter, outbound: Outbound) -> None:
        self._reactor = reactor
        self._rules = rules
        self._outbound = outbound

    async def fetch(self, url: str, *, offset: int = 0, head: bool = False) -> Fetched:
        """Ask for what is at a URL, following redirects; may be cancelled.

        :param url: with credentials, they are sent to the server that it names and to no other.
        :param offset: where to begin. A server that knows no ranges begins at the beginning all
            the same, which ``start`` tells.
        :param head: ask for the length alone.
        :raises FetchRefused: the rules refuse the URL, or a redirect, or an address.
        :raises DataNotFound: there is nothing.
        :raises RemoteUnavailable: no connection, no answer, or one that tells of trouble.
        :raises BadLocation: any other refusal of the server's.
        """
        target = first = self._check(url)
        for _ in range(MOST_REDIRECTS + 1):
            exchange = await self._ask(target, first, offset, head)
            where = self._redirect(exchange)
            if where is None:
                try:
                    return self._fetched(exchange, offset, head)
                except BaseException:
                    exchange.abort()
                    raise
            exchange.abort()
            target = self._follow(target, where)
        raise BadLocation(f"The remote server redirects more than {MOST_REDIRECTS} times.")

    def trust(self, tls: IPolicyForHTTPS) -> None:
        """Trust other certificates from the next connection on."""
        self._outbound.tls = tls

    def close(self) -> None:
        """Cut every connection."""
        self._outbound.close()

    def _check(self, url: str) -> Target:
        try:
            return self._rules.check(url)
        except Invalid as refusal:
            raise FetchRefused(refusal.message) from None

    async def _ask(self, target: Target, first: Target, offset: int, head: bool) -> Exchange:
        headers = Headers(
            {
                b"User-Agent": [f"glance/{__version__}".encode()],
                b"Accept": [b"*/*"],
                # The bytes as they are: their number and their hashes have to be right.
                b"Accept-Encoding": [b"identity"],
            }
        )
        if offset:
            headers.setRawHeaders(b"Range", [b"bytes=%d-" % offset])
        if first.user is not None and target.origin == first.origin:
            credentials = basic(first.user, first.password or "")
            headers.setRawHeaders(b"Authorization", [credentials])
        asking = self._outbound.request(b"HEAD" if head else b"GET", target, headers)
        timer = self._reactor.callLater(ANSWER_TIME, asking.cancel)
        try:
            return await asking
        except _FAILURES as failed:
            if not timer.active():
                raise RemoteUnavailable("The remote server did not answer in time.") from None
            if _cancelled(failed):
                # By whoever wanted the data.
                raise CancelledError from None
            raise _unavailable(failed) from None
        finally:
            if timer.active():
                timer.cancel()

    def _redirect(self, exchange: Exchange) -> str | None:
        response = exchange.response
        if response.code not in _REDIRECTS:
            return None
        where = response.headers.getRawHeaders(b"Location", [])
        return where[0].decode("utf-8", "surrogateescape") if where else None

    def _follow(self, target: Target, where: str) -> Target:
        try:
            joined = urljoin(target.url, where)
        except ValueError:
            raise FetchRefused("The remote server redirects to something that is no URI.") from None
        following = self._check(joined)
        if following.user is not None:
            raise FetchRefused("The remote server redirects to a URI with credentials in it.")
        return following

    def _fetched(self, exchange: Exchange, offset: int, head: bool) -> Fetched:
        response = exchange.response
        if response.code in _GONE:
            raise DataNotFound("The remote server does not have the data.")
        # Who knows no HEAD is in no trouble, and may well know GET.
        unknown = head and response.code == 501
        if (response.code >= 500 and not unknown) or response.code in _BUSY:
            raise RemoteUnavailable(f"The remote server answers with status {response.code}.")
        if response.code not in (200, 203) and not (offset and response.code == 206):
            raise BadLocation(f"The remote server answers with status {response.code}.")
        start = 0
        length = response.length
        total = None if length == UNKNOWN_LENGTH else int(length)
        if response.code == 206:
            start, total = _content_range(response.headers, offset)
        elif head:
            total = _content_length(response.headers)
        if total is not None and total > _LONGEST:
            raise RemoteUnavailable("The remote server announces more data than can be counted.")
        tags = response.headers.getRawHeaders(b"ETag", [])
        body = Incoming(self._reactor, response, exchange.abort, STALL_TIME)
        return Fetched(body, start, total, tags[0] if tags else None)


def make_fetcher(
    reactor: Any, rules: UriFilter, tls: IPolicyForHTTPS, proxies: Mapping[str, Proxy]
) -> Fetcher:
    """Make a fetcher over real connections.

    :param tls: which certificates are trusted.
    :param proxies: by scheme.
    """
    return Fetcher(reactor, rules, Outbound(reactor, rules, tls, proxies))


def _content_range(headers: Headers, offset: int) -> tuple[int, int | None]:
    values = headers.getRawHeaders("Content-Range", [])
    found = _CONTENT_RANGE.fullmatch(values[0].strip()) if len(values) == 1 else None
    if found is None or int(found[1]) != offset:
        raise StoreError("The remote server answers with another part of the data than was asked.")
    return offset, None if found[3] == "*" else int(found[3])


def _content_length(headers: Headers) -> int | None:
    values = headers.getRawHeaders("Content-Length", [])
    return int(values[0]) if len(values) == 1 and _LENGTH.fullmatch(values[0]) else None


def _unavailable(failed: Exception) -> RemoteUnavailable:
    """Word what went wrong with a connection; the details could tell about the inside."""
    _log.debug("Fetching failed: {kind}", kind=type(failed).__name__)
    if _because_of(failed, TlsError, VerificationError):
        return RemoteUnavailable(
            "There is no secure connection to the remote server: its certificate is not trusted or "
            "not for its name, or it does not speak TLS."
        )
    return RemoteUnavailable("There is no connection to the remote server.")


def _cancelled(failed: Exception) -> bool:
    kinds = CancelledError | error.ConnectingCancelledError
    return isinstance(failed, kinds) or _because_of(failed, CancelledError)


def _because_of(failed: Exception, *kinds: type[BaseException]) -> bool:
    reasons = getattr(failed, "reasons", ())
    return any(isinstance(reason, Failure) and reason.check(*kinds) for reason in reasons)
