"""The contract between what image data comes from and what it goes to.

Data of any size goes through in pieces, at the pace of the slower side: the receiver pauses the
stream whenever it has enough in hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from glance.remote.splicing import Flow, Outlet


class IByteReceiver(Interface):
    """Takes bytes in their order."""

    def write(data: bytes) -> None:
        """Take the next bytes. Whoever has enough of them pauses the stream."""


class IByteStream(Interface):
    """Bytes that come by themselves once they are started."""

    size = Attribute("How many bytes there are in all; ``None`` where nobody said.")

    def start(receiver: IByteReceiver) -> Deferred[None]:
        """Let the bytes come.

        Cancelling it stops them.

        :returns: fires when the last byte has been taken, and fails with a
            :class:`~glance.domain.errors.GlanceError` where they break off, or are fewer or more
            than ``size``.
        """

    def pause() -> None:
        """Let no more come until :meth:`resume`; those on their way may still do."""

    def resume() -> None:
        """Let them come again."""

    def stop() -> None:
        """Let go of the source, at whatever point; to be called also if never started."""


class ISpliceable(IByteStream):
    """Bytes that may go from connection to connection without coming through us."""

    def splice(outlet: Outlet, expected: int, flow: Flow, passed: Callable[[int], None]) -> bool:
        """Let the bytes go into a connection from now on; only the last ones come as before.

        To be called while they come.

        :param expected: how many are still to come.
        :param flow: is to pause and resume the stream.
        :param passed: told how many went there.
        :returns: whether they do.
        """
