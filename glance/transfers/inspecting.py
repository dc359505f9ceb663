"""Look into image data off the reactor, in a lane beside the hashes'."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from glance.domain.image import Image
from glance.domain.inspection import Inspection
from glance.transfers.hashing import Lane


class Inspector:
    """An :class:`~glance.domain.inspection.Inspection` that runs in threads."""

    def __init__(self, lane: Lane, inspection: Inspection) -> None:
        self._lane = lane
        self._inspection = inspection

    def feed(self, data: memoryview) -> Deferred[None]:
        """Look at the next piece; it must stay as it is until the Deferred has fired.

        :raises UnsupportedContent: the data is not of its format.
        """
        return self._lane.run(partial(self._inspection.feed, data))

    def finish(self) -> Deferred[int | None]:
        """Decide, at the end of the data; the Deferred gets the virtual size in bytes, if known.

        :raises UnsupportedContent: the data is not of its format, or not safe.
        """
        return self._lane.run(self._inspection.finish)


def make_inspector(reactor: Any, pool: Any, image: Image, options: Any) -> Inspector | None:
    """Make the inspector of an image's data.

    :param options: the group ``[image_format]``.
    :returns: ``None`` where nothing is said of the data.
    """
    if image.disk_format is None:
        return None
    inspection = Inspection(
        image.disk_format,
        require_match=options.require_image_format_match,
        gpt_nonfatal=options.gpt_safety_checks_nonfatal,
        contained=image.container_format != "bare",
    )
    return Inspector(Lane(reactor, pool), inspection)
