"""Tell which stores have lost sight of their data, as where a file system is not mounted.

To a store that is empty all data is gone already, and a pass would say so of every image that
waits: their data would be left, and nobody would know of it. So before a pass it is seen whether
anything at all is where images that are in use have theirs.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import TimeoutError

from glance.db.locations import thd_newest
from glance.db.txdbapi import Database
from glance.domain.image import Location
from glance.scrub.lanes import SILENT
from glance.stores.errors import StoreError
from glance.stores.interfaces import IListable
from glance.stores.registry import Stores

#: The newest places of images in use, by which the stores are judged.
SAMPLE = 200

NOTHING = (
    "There is nothing at all where images that are in use have their data; is a file system not "
    "mounted?"
)


#: Seconds in which a store has to say so.
LOOK_TIME = 30.0


async def blind_stores(database: Database, stores: Stores, reactor: Any) -> dict[str, str]:
    """Return, by store, why it is not to be believed that data is gone.

    :raises Unavailable: the database cannot be reached.
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    for location in await database.runReading(thd_newest, SAMPLE):
        directory = location.url.rpartition("/")[0]
        if directory in seen:
            continue
        seen.add(directory)
        store = _listable(stores, location)
        if store is None or store.store_id in found:
            continue
        try:
            looking = store.holdings().is_barren(location.url)
            if await looking.addTimeout(LOOK_TIME, reactor):
                found[store.store_id] = NOTHING
        except TimeoutError:
            found[store.store_id] = SILENT
        except StoreError as error:
            found[store.store_id] = error.message
    return found


def _listable(stores: Stores, location: Location) -> Any:
    try:
        store = stores.for_url(location.url, location.store_id)
    except StoreError:
        return None
    return store if IListable.providedBy(store) else None
