"""What may go wrong with copies, besides what :mod:`glance.remote.errors` has of services."""

from __future__ import annotations

from glance.domain.errors import GlanceError
from glance.replicate.outcome import Vanished


class BadDocument(GlanceError):
    """An image's description cannot be read; the message says where, and where in it."""


class WrongData(GlanceError):
    """Data came whole, but it is not the image's: its length or its hash is another one."""


class NoData(Vanished):
    """The source has the image, but not its data: it was dumped with its metadata alone."""


class DumpError(GlanceError):
    """The directory cannot be read or written; the message names the path."""


class NoRoom(DumpError):
    """The directory's file system is full, or the quota there is."""


class DumpBusy(DumpError):
    """Another run writes to the directory."""
