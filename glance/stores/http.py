"""The ``http`` driver: image data on web servers, which the service reads and never writes.

A location of this store is a URL that a user gave. The rules of ``[import_filtering_opts]`` hold
whenever it is read, not only when it is added: rules change, names get other addresses, servers
redirect.

What speaks HTTP is imported when it is first needed: the driver is among the defaults, and most who
have it never use it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, DeferredLock, fail, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from zope.interface import implementer

from glance.config.options import importing, store
from glance.domain.errors import Invalid
from glance.domain.urifilter import UriFilter, parse
from glance.stores.errors import (
    BadLocation,
    DeleteNotSupported,
    FetchRefused,
    RemoteUnavailable,
    StoreError,
    WriteDisabled,
)
from glance.stores.interfaces import IStore, IStoreReader

if TYPE_CHECKING:
    from glance.stores.fetching import Fetched, Fetcher

#: Bytes that are rather passed over than asked around for anew.
NEAR = 1024 * 1024

#: Bytes passed over at most where a server cannot begin in the middle: a client that asks for one
#: byte must not be able to have the service fetch any number of them.
FAR = 256 * 1024 * 1024

_PIECE = 256 * 1024

_log = Logger()


@implementer(IStore)
class HttpStore:
    """A store of whatever web servers hold.

    :param store_id: the operator's name for it.
    :param section: its values.
    :param rules: judge URLs and addresses.
    :param in_thread: runs a function in a thread; for tests.
    :raises BadStoreConfiguration: a proxy cannot be understood.
    """

    driver = "http"
    schemes = ("http", "https")
    writable = False

    def __init__(
        self,
        store_id: str,
        section: Any,
        reactor: Any,
        rules: UriFilter,
        in_thread: Callable[..., Deferred[Any]] | None = None,
    ) -> None:
        self.store_id = store_id
        self.description: str | None = getattr(section, "store_description", None)
        self.weight: int = getattr(section, "weight", None) or 0
        self._group = getattr(section, "group", store_id)
        self._reactor = reactor
        self._rules = rules
        self._in_thread = in_thread or self._defer_to_thread
        self._insecure = bool(section.https_insecure)
        self._authorities_file: str | None = section.https_ca_certificates_file
        # None are trusted until the file has been read.
        self._authorities: list[Any] | None = [] if self._authorities_file else None
        self._proxies: dict[str, Any] = {}
        self._fetcher: Fetcher | None = None
        if section.http_proxy_information:
            from glance.stores.tunnel import parse_proxies

            self._proxies = parse_proxies(self._group, section.http_proxy_information)

    def _defer_to_thread(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *args)

    def start(self) -> Deferred[None]:
        """Read the certificates of the authorities, if the operator names some.

        :raises BadStoreConfiguration: they cannot be read, and no https server is trusted.
        """
        if not self._authorities_file:
            if self._insecure:
                _log.warn(
                    "Store {store}: certificates of https servers are not verified "
                    "([{group}] https_insecure).",
                    store=self.store_id,
                    group=self._group,
                )
            return succeed(None)
        from glance.stores.trust import make_policy, thd_read_authorities

        def note(found: list[Any]) -> None:
            self._authorities = found
            if self._fetcher is not None:
                # It has readers, and what they read need not be https.
                self._fetcher.trust(make_policy(found, self._insecure))

        reading = self._in_thread(thd_read_authorities, self._group, self._authorities_file)
        return reading.addCallback(note)

    def stop(self) -> Deferred[None]:
        """Cut the connections."""
        if self._fetcher is not None:
            self._fetcher.close()
        return succeed(None)

    def probe(self) -> Deferred[None]:
        """Succeed: whose server a location names, nobody knows before it is read."""
        return succeed(None)

    def properties(self) -> dict[str, Any]:
        """Return nothing: there is nothing to tell."""
        return {}

    def open_writer(self, image_id: str, size: int | None) -> Deferred[Any]:
        """Refuse to write."""
        return fail(WriteDisabled("The store is read-only; choose another one for new data."))

    def open_reader(self, url: str) -> Deferred[HttpReader]:
        """Begin to fetch a URL; only its length is known then, and data comes as it is read."""
        return Deferred.fromCoroutine(self._open_reader(url))

    async def _open_reader(self, url: str) -> HttpReader:
        fetcher = self._get_fetcher(url)
        try:
            return HttpReader(fetcher, url, await fetcher.fetch(url))
        except FetchRefused as refusal:
            # Which option to change is for the operator to know; where data is, for nobody else.
            _log.warn(
                "Store {store}: not fetched: {error}", store=self.store_id, error=refusal.message
            )
            raise FetchRefused("The image's data may not be fetched from where it is.") from None

    def size_of(self, url: str) -> Deferred[int]:
        """Ask for the length of what is at a URL."""
        return Deferred.fromCoroutine(self._size_of(url))

    async def _size_of(self, url: str) -> int:
        fetcher = self._get_fetcher(url)
        # Some servers know no HEAD, some allow nothing but the one request that was signed.
        for head in (True, False):
            try:
                found = await fetcher.fetch(url, head=head)
            except FetchRefused:
                raise
            except BadLocation:
                if head:
                    continue
                raise
            found.close()
            if found.total:
                return found.total
        return 0

    def delete(self, url: str) -> Deferred[None]:
        """Leave the data where it is.

        :raises DeleteNotSupported: always, also where the URL is nothing that we would fetch: an
            old record must not keep its image from being deleted.
        :raises BadLocation: the URL is of another scheme.
        """
        if url.partition(":")[0].lower() not in self.schemes:
            return fail(_elsewhere())
        return fail(DeleteNotSupported("The data is on a server that is not the service's own."))

    def url_for(self, image_id: str) -> list[str]:
        """List nothing: the service writes nowhere."""
        return []

    def owns(self, url: str) -> bool:
        """Tell whether a URL is one that can be fetched, if the rules allow it."""
        try:
            return parse(url).scheme in self.schemes
        except Invalid:
            return False

    def sweep(self) -> Deferred[int]:
        """Find nothing: nobody writes."""
        return succeed(0)

    def _get_fetcher(self, url: str) -> Fetcher:
        if not self.owns(url):
            raise _elsewhere()
        if self._fetcher is None:
            from glance.stores.fetching import make_fetcher
            from glance.stores.trust import make_policy

            policy = make_policy(self._authorities, self._insecure)
            self._fetcher = make_fetcher(self._reactor, self._rules, policy, self._proxies)
        return self._fetcher


@implementer(IStoreReader)
class HttpReader:
    """What is at one URL, open for reading.

    Readings in a row are of one answer, however many there are. Elsewhere a new one is asked for,
    unless it is near enough to get there by reading.

    :param fetched: the whole, from its beginning.
    """

    def __init__(self, fetcher: Fetcher, url: str, fetched: Fetched) -> None:
        self.size = fetched.total
        self._fetcher = fetcher
        self._url = url
        self._fetched = fetched
        self._tag = fetched.tag
        self._at = 0
        self._asking: Deferred[Fetched] | None = None
        self._closed = False
        self._one_at_a_time = DeferredLock()

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        """Read up to ``length`` bytes; fewer only at the end of the object."""

        def reading() -> Deferred[bytes]:
            return Deferred.fromCoroutine(self._read(offset, length))

        return self._one_at_a_time.run(reading)

    def close(self) -> None:
        """Let the connection go."""
        self._closed = True
        self._fetched.close()
        if self._asking is not None:
            self._asking.cancel()

    async def _read(self, offset: int, length: int) -> bytes:
        if self._closed:
            raise _closed()
        if self.size is not None:
            length = min(length, self.size - offset)
        if length <= 0:
            return b""
        if not 0 <= offset - self._at <= NEAR:
            await self._ask_anew(offset)
        while self._at < offset:
            if not await self._take(min(_PIECE, offset - self._at)):
                return b""
        return await self._take(length)

    async def _take(self, length: int) -> bytes:
        data = await self._fetched.read(length)
        self._at += len(data)
        if self.size is not None and len(data) < length:
            raise RemoteUnavailable("The remote server sent less than it had announced.")
        return data

    async def _ask_anew(self, offset: int) -> None:
        self._fetched.close()
        self._asking = Deferred.fromCoroutine(self._fetcher.fetch(self._url, offset=offset))
        try:
            fetched = await self._asking
        except CancelledError:
            raise _closed() if self._closed else CancelledError from None
        finally:
            self._asking = None
        self._fetched = fetched
        self._at = fetched.start
        if _differ(fetched.tag, self._tag) or _differ(fetched.total, self.size):
            fetched.close()
            raise StoreError("The data on the remote server has changed.")
        if offset - self._at > FAR:
            fetched.close()
            raise StoreError("The remote server cannot give a part of the data that is so far in.")


def _differ(one: Any, other: Any) -> bool:
    """Tell whether two things that a server need not say contradict each other."""
    return None not in (one, other) and one != other


def _closed() -> StoreError:
    return StoreError("The reader is closed.")


def _elsewhere() -> BadLocation:
    return BadLocation("The location is not one of this store.")


def options() -> list[Any]:
    """Return the options of the driver."""
    return list(store.http_options())


def make(store_id: str, section: Any, reactor: Any) -> HttpStore:
    """Make a store from its section of the configuration.

    :raises BadStoreConfiguration: a proxy cannot be understood.
    """
    filtering = section.elsewhere(importing.FILTER_GROUP, importing.filter_options())
    return HttpStore(store_id, section, reactor, UriFilter.configured(filtering))
