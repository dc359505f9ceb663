"""Find an image's data among its locations: the first copy that can be read and is whole."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.logger import Logger

from glance.domain.image import Image
from glance.stores.errors import DataNotFound, StoreError
from glance.stores.interfaces import IStoreReader
from glance.stores.registry import Stores

_log = Logger()


async def open_data(
    stores: Stores, image: Image, preferred: Sequence[str] = (), *, attempt: int = 0
) -> tuple[IStoreReader, int] | None:
    """Open the first copy that can be read and is whole; ``None`` when there is no data.

    :param preferred: ids of stores to be tried first, in this order.
    :param attempt: how many copies that could be opened have failed since: as many are put last.
    :returns: the copy, which the caller closes, and its length.
    :raises StoreError: there is data, and none of it can be read.
    """
    error: StoreError | None = None
    places = stores.by_preference(image.locations, preferred)
    first = attempt % len(places) if places else 0
    for location in places[first:] + places[:first]:
        try:
            store = stores.for_url(location.url, location.store_id)
            reader: IStoreReader = await store.open_reader(location.url)
            size = _agreed(image.size, reader.size)
            if size is not None:
                return reader, size
            reader.close()
            error = StoreError("The stored data has another length than the image.")
        except StoreError as failed:
            error = failed
        _log.warn(
            "Image {id}: its data in store {store} cannot be read: {error}",
            id=image.id,
            store=location.store_id,
            error=error,
        )
    if error is None or isinstance(error, DataNotFound):
        return None
    raise error


def _agreed(size: int | None, other: int | None) -> int | None:
    """Return the length of data that the record and the store agree on, if either knows it."""
    known = {size, other} - {None}
    return known.pop() if len(known) == 1 else None
