"""The contract between the cache and an index driver.

The directory is the truth: a copy exists if its file does. The index adds what files cannot say
well, hits and last accesses, and may at any time lack a file or know one that is gone; whoever
sees that puts it right (``glance.cache.upkeep``). So an index that fails costs statistics and the
order of eviction, never a download.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from glance.domain.caching import CachedImage
from glance.stores.interfaces import IFileReader


class ICacheIndex(Interface):
    """What is known of a node's copies. All processes of the node share it.

    Every method answers with a Deferred at once and never blocks the reactor. They fail with
    ``glance.domain.errors.Unavailable`` where the index cannot be used just now.
    """

    name = Attribute("The driver's name, as in ``image_cache_driver``.")

    def start() -> Deferred[None]:
        """Make what is missing: files, tables' rows.

        :raises ConfigError: it cannot work here, such as a file system without attributes.
        :raises Unavailable: it cannot be used just now. It may be used all the same, and works as
            soon as it can.
        """

    def stop() -> Deferred[None]:
        """Let go of threads and connections."""

    def entries() -> Deferred[list[CachedImage]]:
        """Return all of this node's entries, in any order.

        Drivers that keep them with the files know those that are there, and only those: with no
        hits where nothing else was noted.
        """

    def add(entries: Sequence[CachedImage]) -> Deferred[None]:
        """Record copies; an entry of the same image is replaced."""

    def remove(image_ids: Sequence[str]) -> Deferred[None]:
        """Forget copies; those that are not known are passed over."""

    def touch(hits: Mapping[str, tuple[int, float]]) -> Deferred[None]:
        """Count hits.

        :param hits: by image, how many more, and when the last one was. An image without an entry
            is passed over; a last access is never set back.
        """


class ISharedIndex(ICacheIndex):
    """An index that also knows of other nodes."""

    def nodes_with(image_id: str) -> Deferred[list[str]]:
        """Return the URLs of all nodes that have a copy, sorted."""


class ICachedReader(IFileReader):
    """A copy that is open for reading, complete or still growing."""

    def delivered() -> None:
        """Note that the copy was sent to somebody, to its end."""
