"""What a store may fail with. ``glance.api.errors`` maps each of these to an answer."""

from __future__ import annotations

from glance.domain.errors import ConfigError, GlanceError


class StoreError(GlanceError):
    """A store failed in a way that has no narrower name."""


class DataNotFound(StoreError):
    """The store holds nothing under that URL."""


class DuplicateData(StoreError):
    """The store holds data of that name already."""


class StoreFull(StoreError):
    """The store has no room left for the data."""


class WriteDenied(StoreError):
    """The store's own permissions refuse the write."""


class WriteDisabled(StoreError):
    """The store takes no data: by its nature, or for a fault in its configuration."""


class DeleteForbidden(StoreError):
    """The store's own permissions refuse the deletion."""


class DeleteNotSupported(StoreError):
    """The data is not the store's to delete; for whoever wants it gone that is as good as done."""


class InUse(StoreError):
    """The store refuses to delete data that something else still uses."""


class BadLocation(StoreError):
    """A location is not one that this store can have written, or is malformed."""


class FetchRefused(BadLocation):
    """The rules for what may be fetched refuse a URL, or the address that it leads to."""


class ReadElsewhere(StoreError):
    """A reader cannot go on. What it gave was right: one of another copy can go on from there."""


class UnknownStore(StoreError):
    """No store of that name, or for that URL scheme, is configured."""


class StoreTimeout(StoreError):
    """The store did not answer within its deadline."""


class RemoteUnavailable(StoreError):
    """The server that holds the data cannot be reached, breaks off, or fails; it may recover."""


class BadStoreConfiguration(ConfigError):
    """A store's options cannot be used; the message names option and group."""
