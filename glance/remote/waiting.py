"""Waiting until a node has cached what it was asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.task import deferLater

from glance.remote.cache import RemoteCache
from glance.remote.errors import RemoteError
from glance.remote.trouble import may_pass

#: Seconds between two looks, at least and at most.
PAUSE = 1.0
LONGEST_PAUSE = 15.0

#: How much longer a pause is than the look before it: a long list costs the node as much as us.
IDLENESS = 4

#: How many looks may fail in a row: a service that is reloaded is back after that.
FAILURES = 5


async def wait_until_cached(
    cache: RemoteCache,
    reactor: Any,
    image_ids: Iterable[str],
    told: Callable[[str, str | None], None],
    limit: float | None = None,
) -> None:
    """Wait until the fate of all images is known.

    :param reactor: the reactor; only its clock is used here.
    :param told: called with each image's id once it is cached, and with the reason if it is not
        going to be.
    :param limit: seconds after which that is so for those that are left; ``None`` for none.
    :raises RemoteError: the node cannot be asked any more.
    """
    began = reactor.seconds()
    # An image is lost if it was seen neither here nor there twice: the node may have looked at
    # the one place too early and at the other too late.
    missing: Mapping[str, int] = dict.fromkeys(image_ids, 0)
    failures = 0
    while missing:
        looked = reactor.seconds()
        try:
            state = await cache.state()
        except RemoteError as error:
            failures += 1
            if failures > FAILURES or not may_pass(error):
                raise
        else:
            failures = 0
            missing = _look(missing, {one.image_id for one in state.cached}, state.queued, told)
        if not missing:
            return
        now = reactor.seconds()
        pause = min(max(PAUSE, IDLENESS * (now - looked)), LONGEST_PAUSE)
        if limit is not None:
            if now - began >= limit:
                for image_id in missing:
                    told(image_id, f"it is not cached after {limit:g} s; it stays in the queue")
                return
            pause = min(pause, began + limit - now)
        await deferLater(reactor, pause)


def _look(
    missing: Mapping[str, int],
    cached: set[str],
    queued: list[str],
    told: Callable[[str, str | None], None],
) -> Mapping[str, int]:
    """Tell of images whose fate is known; return the others."""
    left = {}
    for image_id, absences in missing.items():
        if image_id in cached:
            told(image_id, None)
        elif image_id in queued:
            left[image_id] = 0
        elif absences:
            told(image_id, "it is neither cached nor queued any more")
        else:
            left[image_id] = 1
    return left
