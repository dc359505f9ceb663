"""The contract between the service and a storage driver.

A driver knows bytes and URLs and nothing of HTTP, images or the catalogue. Every method returns a
Deferred at once and never blocks the reactor: what blocks runs in the driver's own thread pool, in
functions named ``thd_…``. Third parties add a driver by giving an ``IStoreFactory`` through
``twisted.plugin`` (package ``twisted.plugins``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface


@dataclass(frozen=True, slots=True)
class StoredData:
    """What a finished write left behind.

    :param url: where the data is; the catalogue keeps it, nobody else sees it.
    :param size: bytes written.
    :param metadata: for the location's metadata column, without the store id.
    """

    url: str
    size: int
    metadata: Mapping[str, Any] = field(default_factory=dict)


#: What a thing in a store is: data of a name of its own, what a dead writer left unfinished,
#: something that the driver did not put there.
OBJECT = "object"
LEFTOVER = "leftover"
FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Held:
    """Something that a store holds, as it was when it was looked at.

    :param key: what it is called in the store, unique there; fit to be shown to the operator.
    :param name: the last part of it, which is the image's id where the service wrote it.
    :param kind: :data:`OBJECT`, :data:`LEFTOVER` or :data:`FOREIGN`.
    :param size: bytes.
    :param modified: when it was last written, seconds since the epoch.
    :param mark: differs when something else has got the name since.
    """

    key: str
    name: str
    kind: str
    size: int
    modified: float
    mark: str


class IStoreWriter(Interface):
    """One object being written. Nothing of it can be read before ``commit`` has succeeded."""

    def write(offset: int, data: memoryview) -> Deferred[None]:
        """Write bytes at an offset.

        Several writes may be in flight at once, at offsets that do not overlap; the caller leaves
        ``data`` untouched until the Deferred fires. After a failed write there is only ``abort``.

        :raises StoreFull: no room.
        :raises WriteDenied: the store's permissions refuse it.
        :raises StoreTimeout: the store does not answer.
        """

    def commit() -> Deferred[StoredData]:
        """Make the object durable and readable under its URL, in one step that cannot half-happen.

        Called once, after every write has finished. If it fails, nothing can be read under the URL
        that was not there before, and the caller aborts.

        :raises DuplicateData: another writer committed the same name meanwhile.
        :raises StoreFull: the store noticed only now that there is no room.
        :raises StoreError: a write failed or is in flight, or the writer was used up before.
        """

    def abort() -> Deferred[None]:
        """Remove every trace of the unfinished object. May be called at any time; never fails.

        Waits for writes in flight, within the store's deadline. During ``commit`` it wins: the
        commit fails. After a finished commit it does nothing.
        """

    def take_back() -> Deferred[None]:
        """Remove the committed object again, if it is still this one that has the name.

        An object that another writer committed since under the same name is left alone.
        """


class IStoreReader(Interface):
    """One stored object, open for reading."""

    size = Attribute(
        "Length of the object in bytes; ``None`` where the store learns it only at the end."
    )

    def read(offset: int, length: int) -> Deferred[bytes]:
        """Read up to ``length`` bytes; fewer only at the end of the object."""

    def close() -> None:
        """Release what the reader holds. Safe to call twice, and with a read in flight.

        That read may still succeed; later ones fail with ``StoreError``.
        """


class IFileReader(IStoreReader):
    """A reader backed by a file of this machine, so that the kernel can send it."""

    def fileno() -> int:
        """Return the open descriptor. It stays owned by the reader."""

    def prefetch(offset: int, length: int) -> Deferred[int]:
        """Bring a range into the page cache, so that sending it does not wait for the disk.

        Fires at once if the range is there already. Of a file that is still being written it brings
        in what there is of the range, and waits while that is nothing.

        :returns: how many bytes from ``offset`` on can be sent now, at least one; of a file that is
            not being written, ``length``.
        :raises ReadElsewhere: this reader cannot go on, but another one of the same data can.
        """


class IStore(Interface):
    """One configured store."""

    store_id = Attribute("The operator's name for it, or the driver's name in single-store mode.")
    driver = Attribute("Driver name: ``file``, ``http``, …")
    schemes = Attribute("URL schemes that it answers for, a tuple of ``str``.")
    description = Attribute("``str`` or ``None``, shown to users.")
    weight = Attribute("``int``; higher is preferred among several copies.")
    writable = Attribute("``bool``; ``False`` for read-only drivers and faulty configurations.")

    def start() -> Deferred[None]:
        """Get ready: create what is missing, check that it can be used.

        :raises BadStoreConfiguration: it cannot. The store stays, with ``writable`` false, and
            reads what it can.
        """

    def stop() -> Deferred[None]:
        """Let go of threads and connections."""

    def properties() -> Mapping[str, Any]:
        """Return what administrators are told of how the store works, by option."""

    def open_writer(image_id: str, size: int | None) -> Deferred[Any]:
        """Begin an object and return its ``IStoreWriter``.

        :param image_id: the image's id, the last part of the URL.
        :param size: length in bytes where it is known beforehand.
        :raises DuplicateData: the name is taken.
        :raises StoreFull: ``size`` does not fit anywhere.
        :raises WriteDisabled: the store takes no writes.
        """

    def open_reader(url: str) -> Deferred[Any]:
        """Open an object and return its ``IStoreReader``.

        :raises DataNotFound: there is none.
        :raises BadLocation: the URL lies outside this store.
        """

    def size_of(url: str) -> Deferred[int]:
        """Return the length of an object in bytes; 0 where there is no telling.

        :raises DataNotFound: there is none.
        :raises BadLocation: the URL lies outside this store.
        """

    def delete(url: str) -> Deferred[None]:
        """Delete an object.

        :raises DataNotFound: there is none (most callers take that as done).
        :raises DeleteForbidden: the store's permissions refuse it.
        :raises InUse: something else still uses the data.
        :raises DeleteNotSupported: the data is not the store's to delete (likewise).
        :raises BadLocation: the URL lies outside this store.
        """

    def url_for(image_id: str) -> list[str]:
        """List the URLs under which an object for this image could stand, without looking."""

    def sweep() -> Deferred[int]:
        """Remove what dead writers left unfinished; return how many leftovers went.

        Never touches what a live writer, of this or another process, still holds.
        """

    def probe() -> Deferred[None]:
        """Tell whether the store can be used just now, for the health check.

        Looks at what can break beyond this process (a mount, a server, permissions), cheaply and
        without changing anything; a driver that keeps nothing anywhere has nothing to look at.
        Asked about once a second at most. May take as long as it must, but holds one thread at
        most.

        :raises StoreTimeout: the store does not answer.
        :raises StoreError: it cannot be used; the message is for the log.
        """

    def owns(url: str) -> bool:
        """Tell whether a URL lies inside this store."""


class IListable(Interface):
    """A store that can tell what it holds. Optional: a driver that can says so by providing it."""

    def holdings() -> Any:
        """Return the store's ``IHoldings``."""


class IHoldings(Interface):
    """What a store holds, and what may be done with that which no image refers to."""

    def page(after: str, limit: int) -> Deferred[list[Held]]:
        """List what comes next, in an order that stays the same.

        What live writers are at work on is left out. What comes and goes meanwhile may or may not
        be listed, everything else is, once.

        :param after: key of the last one before; empty to begin.
        :param limit: how many to return at most; none are returned at the end and only there.
        :raises StoreError: the store cannot be listed.
        """

    def look(key: str) -> Deferred[Held | None]:
        """Look at one thing again; ``None`` if it is not there, or a live writer has it."""

    def keys_of(urls: Sequence[str]) -> Deferred[list[list[str]]]:
        """Return, for each URL, the keys of what it may mean here: none where it leads elsewhere.

        A URL that means something in this store in any way, links and quoting included, has a key.
        """

    def is_barren(url: str) -> Deferred[bool]:
        """Tell whether nothing at all is where the data of a URL should be.

        It is so where a file system is not mounted. ``False`` where that cannot be told.
        """

    def set_aside(held: Held) -> Deferred[str]:
        """Take an object out of the store without destroying it, and return where it is now.

        :raises DataNotFound: it is not there any more, or something else is.
        :raises DeleteForbidden: the store's permissions refuse it.
        """

    def put_back(held: Held, place: str) -> Deferred[bool]:
        """Put an object back that was set aside; return whether its name was still free."""

    def drop_leftover(held: Held) -> Deferred[bool]:
        """Remove what a dead writer left; return whether it was so and is gone.

        :raises DeleteForbidden: the store's permissions refuse it.
        """


class IStoreFactory(Interface):
    """Makes stores of one driver; found by ``twisted.plugin.getPlugins(IStoreFactory)``."""

    driver = Attribute("Driver name as it stands in ``enabled_backends`` and ``stores``.")

    def options() -> list[Any]:
        """Return the driver's ``oslo_config`` options, for its section of the configuration."""

    def make(store_id: str, section: Any, reactor: Any) -> Any:
        """Make an ``IStore``.

        :param section: this store's values, an attribute per option; ``group`` names the section
            for messages, ``is_set(name)`` tells what the operator gave a value.
        :raises BadStoreConfiguration: the values cannot be used, and nothing can start. A fault
            that leaves reading possible is for ``IStore.start`` to tell.
        """
