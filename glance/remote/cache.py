"""The image cache of another service's node, over HTTP.

There are two sets of routes. The older ones (``/v2/cached_images``, ``/v2/queued_images``) are
there where the flavor has ``cachemanagement``, in all releases; the newer ones (``/v2/cache``)
wherever there is a cache, since release 24. The older ones are tried first.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from glance.domain.caching import CachedImage
from glance.identity.http import CallFailed
from glance.remote.errors import Absent, Answered, NotEnabled
from glance.remote.service import ImageService

T = TypeVar("T")

CACHED, QUEUED = "cached_images", "queued_images"
#: The newer routes, and the header that says which half of the cache a removal is about.
_CACHE = "/v2/cache"
_TARGET = "X-Image-Cache-Clear-Target"
_TARGETS = {CACHED: "cache", QUEUED: "queue"}


@dataclass(frozen=True, slots=True)
class CacheState:
    """What a node has, and what it is going to have."""

    cached: list[CachedImage]
    queued: list[str]


class RemoteCache:
    """The cache of one node.

    Every method raises :exc:`~glance.remote.errors.RemoteError`; among these ``NotEnabled`` where
    the service has no cache, or none that can be managed.
    """

    def __init__(self, service: ImageService) -> None:
        self._service = service
        self._older = True

    async def cached(self) -> list[CachedImage]:
        """Return the copies that the node has."""
        return (await self._half(CACHED)).cached

    async def queued(self) -> list[str]:
        """Return the ids of the images that wait for being cached, the next one first."""
        return (await self._half(QUEUED)).queued

    async def state(self) -> CacheState:
        """Return both.

        An image on its way from the queue into the cache is not missed: where they are asked for
        one by one, the queue comes first.
        """
        queued = await self._half(QUEUED)
        if not self._older:
            return queued
        return CacheState((await self._half(CACHED)).cached, queued.queued)

    async def queue(self, image_id: str) -> None:
        """Have an image cached."""

        async def newer() -> None:
            try:
                await self._service.request("PUT", f"{_CACHE}/{image_id}")
            except Absent as error:
                raise await self._which(error) from None

        await self._either("PUT", f"/v2/{QUEUED}/{image_id}", _nothing, newer)

    async def delete_cached(self, image_id: str) -> None:
        """Remove a copy; to remove one that is not there does no harm."""
        await self._delete(image_id, CACHED)

    async def delete_queued(self, image_id: str) -> None:
        """Take an image off the queue; to take one off that is not in it does no harm."""
        await self._delete(image_id, QUEUED)

    async def delete_all_cached(self) -> int:
        """Remove all copies; return how many there were."""
        return await self._clear(CACHED)

    async def delete_all_queued(self) -> int:
        """Empty the queue; return how many were in it."""
        return await self._clear(QUEUED)

    # What both halves have in common.

    async def _half(self, half: str) -> CacheState:
        def read(document: Any) -> CacheState:
            return self._read(document, half)

        async def newer() -> CacheState:
            return await self._whole()

        return await self._either("GET", f"/v2/{half}", read, newer)

    async def _delete(self, image_id: str, half: str) -> None:
        async def newer() -> None:
            # This route takes an image out of both halves.
            state = await self._whole()
            cached = any(entry.image_id == image_id for entry in state.cached)
            queued = image_id in state.queued
            if (queued and not cached) if half == CACHED else (cached and not queued):
                return
            try:
                await self._service.request("DELETE", f"{_CACHE}/{image_id}")
            except Absent as error:
                raise await self._which(error) from None

        await self._either("DELETE", f"/v2/{half}/{image_id}", _nothing, newer)

    async def _clear(self, half: str) -> int:
        def read(document: Any) -> int:
            count = document.get("num_deleted") if isinstance(document, dict) else None
            if not isinstance(count, int):
                raise self._service.unintelligible()
            return count

        async def newer() -> int:
            state = await self._whole()
            await self._service.request("DELETE", _CACHE, headers={_TARGET: _TARGETS[half]})
            return len(state.cached if half == CACHED else state.queued)

        return await self._either("DELETE", f"/v2/{half}", read, newer)

    async def _whole(self) -> CacheState:
        try:
            document = await self._service.request_json("GET", _CACHE)
        except Absent as error:
            raise await self._which(error) from None
        return self._read(document, CACHED, QUEUED)

    async def _either(
        self,
        method: str,
        path: str,
        read: Callable[[Any], T],
        newer: Callable[[], Awaitable[T]],
    ) -> T:
        """Ask on an older route, and do without it where there is none."""
        if self._older:
            try:
                answer = await self._service.request(method, path)
            except Absent:
                self._older = False
            else:
                try:
                    return read(answer.json() if answer.body else None)
                except CallFailed:
                    raise self._service.unintelligible() from None
        return await newer()

    async def _which(self, absent: Absent) -> Exception:
        """Find out what it is that is not there: image, cache, or image service."""
        try:
            await self._service.request("GET", _CACHE)
        except Absent:
            pass
        except Answered:
            # Whoever may not see the cache is told what the service said first.
            return absent
        else:
            return absent
        try:
            document = await self._service.request_json("GET", "/versions")
        except Answered:
            document = {}
        if not isinstance(document.get("versions"), list):
            return self._service.unintelligible()
        place = self._service.endpoint.place
        return NotEnabled(f"The image service at {place} has no cache that can be managed.")

    # What answers say.

    def _read(self, document: Any, *halves: str) -> CacheState:
        try:
            found = {half: document[half] for half in halves}
            if not all(isinstance(value, list) for value in found.values()):
                raise TypeError
            return CacheState(
                [_entry(item) for item in found.get(CACHED, ())],
                [_name(item) for item in found.get(QUEUED, ())],
            )
        except (TypeError, KeyError, ValueError, OverflowError, OSError):
            raise self._service.unintelligible() from None


def _nothing(_: Any) -> None:
    return None


def _entry(item: Any) -> CachedImage:
    return CachedImage(
        image_id=_name(item["image_id"]),
        size=_number(item["size"]),
        hits=_number(item["hits"]),
        last_accessed=_moment(item["last_accessed"]),
        last_modified=_moment(item["last_modified"]),
    )


def _name(value: Any) -> str:
    # It is going to be shown on a terminal.
    if not isinstance(value, str) or not value.isprintable():
        raise TypeError
    return value


def _number(value: Any) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _moment(value: Any) -> float:
    """Return a time, 0 for none."""
    if value is None:
        return 0.0
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError
    # A time that no calendar has is none.
    datetime.fromtimestamp(value, UTC)
    return float(value)
