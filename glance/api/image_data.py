"""An image's bytes: upload and download."""

from __future__ import annotations

from functools import partial
from typing import Any

from glance.api.routing import NO_CONTENT, Reply, media_type, query_pairs, route
from glance.api.sending import send
from glance.api.streaming import StreamingRequest
from glance.cache.filling import OpenStore
from glance.cache.front import ImageCache
from glance.cache.interfaces import ICachedReader
from glance.db import images
from glance.db.txdbapi import Database
from glance.domain.digests import DIGEST_HEADERS, Digest, parse_digests
from glance.domain.errors import Forbidden, Invalid, UnsupportedContent
from glance.domain.image import ACTIVE, DEACTIVATED, Image
from glance.domain.ranges import ByteRange, parse_range
from glance.domain.text import shorten
from glance.identity.context import RequestContext
from glance.identity.policy import IPolicy
from glance.stores.errors import DataNotFound, StoreError
from glance.stores.interfaces import IStoreReader
from glance.stores.registry import Stores
from glance.transfers.detached import detached
from glance.transfers.opening import open_data
from glance.transfers.upload import Order, Uploader

OCTET_STREAM = "application/octet-stream"

#: States in which an image's data is what it is said to be.
READABLE = frozenset({ACTIVE, DEACTIVATED})


class ImageDataResource:
    """The route ``/images/{image_id}/file``.

    :param stall_time: seconds without progress after which a download is cut off.
    :param cache: this node's image cache, if it has one.
    """

    def __init__(
        self,
        database: Database,
        policy: IPolicy,
        stores: Stores,
        uploader: Uploader,
        reactor: Any,
        stall_time: float,
        cache: ImageCache | None = None,
    ) -> None:
        self._database = database
        self._policy = policy
        self._stores = stores
        self._uploader = uploader
        self._reactor = reactor
        self._stall_time = stall_time
        self._cache = cache

    @route(
        "PUT",
        "/images/<image_id>/file",
        policies=("upload_image",),
        success=(204,),
        errors=(404, 409, 410, 411, 413, 415),
        request="data",
        parameters=("X-Image-Meta-Store", "X-OpenStack-Image-Size", *DIGEST_HEADERS),
    )
    async def upload(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply:
        """Take the data of a queued image."""
        _check_octet_stream(request)
        size = _declared_size(request)
        digests = _stated_digests(request)
        store_id = request.getHeader("X-Image-Meta-Store")
        store = self._stores.default if store_id is None else self._stores.get(store_id)
        check = partial(self._policy.check, context, "upload_image")
        order = Order(image_id, context.viewer, check, size, digests)
        await detached(self._uploader.upload(order, request.streaming_body(), store))
        return NO_CONTENT

    @route(
        "GET",
        "/images/<image_id>/file",
        no_body=True,
        policies=(
            "download_image",
            "download_from_store",
        ),
        success=(200, 204, 206, 304),
        errors=(403, 404, 416),
        reply="data",
        parameters=("prefer", "Range", "Content-Range", "If-None-Match", "If-Range"),
    )
    async def download(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply | None:
        """Send an image's data, whole or a range of it."""
        preferred = self._preferred(request)
        image = await self._get(context, image_id)
        if preferred:
            self._policy.check(context, "download_from_store", image)
        if image.status not in READABLE:
            return NO_CONTENT
        open_store = partial(open_data, self._stores, image, preferred)
        cached = await self._open_cached(request, image, open_store)
        if cached is not None:
            source = _Source(cached, cached.size, open_store)
        else:
            found = await open_store()
            if found is None:
                return NO_CONTENT
            source = _Source(*found, open_store)
        try:
            wanted = _set_head(request, image, source.size)
            if wanted is None:
                return Reply(304, content_type=None)
            first, length = wanted
            await send(
                request,
                source.reader,
                first,
                length,
                self._reactor,
                self._stall_time,
                source.elsewhere,
            )
            if cached is not None and length == source.size:
                cached.delivered()
        finally:
            source.close()
        return None

    async def _open_cached(
        self, request: StreamingRequest, image: Image, open_store: OpenStore
    ) -> ICachedReader | None:
        """Open the image in the cache, if it is to come from there.

        Only who wants all of it has it cached. A deactivated image, which administrators get, never
        comes from there, as the cache sees to, nor does one of which the catalogue knows no place.
        """
        if self._cache is None or not image.locations:
            return None
        asked = request.getHeader("Range") or request.getHeader("Content-Range")
        if asked is None and not _has_already(request, image):
            return await self._cache.open(image, open_store)
        return await self._cache.open_copy(image)

    @route(
        "HEAD",
        "/images/<image_id>/file",
        no_body=True,
        policies=("download_image",),
        success=(200, 204, 304),
        errors=(403, 404),
        reply="data",
        parameters=("If-None-Match",),
    )
    async def examine(
        self, request: StreamingRequest, context: RequestContext, image_id: str
    ) -> Reply | None:
        """Tell what a download would send, without sending it."""
        image = await self._get(context, image_id)
        if not image.locations or image.size is None or image.status not in READABLE:
            return NO_CONTENT
        if _set_head(request, image, image.size) is None:
            return Reply(304, content_type=None)
        request.write(b"")
        return None

    async def _get(self, context: RequestContext, image_id: str) -> Image:
        image = await self._database.runReading(images.thd_get, image_id, context.viewer)
        self._policy.check(context, "download_image", image)
        if image.status == DEACTIVATED and not context.is_admin:
            raise Forbidden(f"Image {image_id} is deactivated; its data cannot be downloaded.")
        return image

    def _preferred(self, request: StreamingRequest) -> list[str]:
        """Return the stores that the client wants to be tried first, in its order."""
        if not request.args or b"prefer" not in request.args:
            return []
        wanted = [value for name, value in query_pairs(request) if name == "prefer"]
        if not self._stores.multiple:
            raise Invalid("prefer names stores, and this service has only one.")
        names = [name.strip() for text in wanted for name in text.split(",") if name.strip()]
        known = {store.store_id for store in self._stores.listed()}
        for name in names:
            if name not in known:
                raise Invalid(f"prefer names the store {shorten(name)}, which there is not.")
        return names


class _Source:
    """What a download is read from: one reader, and another one should that fail.

    :param open_store: opens the data in a store.
    """

    def __init__(self, reader: IStoreReader, size: int, open_store: OpenStore) -> None:
        self.reader = reader
        self.size = size
        self._open_store = open_store

    async def elsewhere(self) -> IStoreReader:
        """Open the data in a store, in place of what there was.

        :raises StoreError: it is not there any more, or is another.
        """
        self.reader.close()
        found = await self._open_store()
        if found is None:
            raise DataNotFound("The image's data is gone.")
        self.reader, size = found
        if size != self.size:
            raise StoreError("The stored data has another length than the image.")
        return self.reader

    def close(self) -> None:
        """Let go."""
        self.reader.close()


def _check_octet_stream(request: StreamingRequest) -> None:
    if media_type(request) != OCTET_STREAM:
        raise UnsupportedContent(f"Image data must be sent with Content-Type {OCTET_STREAM}.")


def _declared_size(request: StreamingRequest) -> int | None:
    """Return how many bytes the client says it will send."""
    text = request.getHeader("X-Openstack-Image-Size")
    if text is not None:
        if not (text.isascii() and text.isdigit() and len(text) <= 19):
            raise Invalid("The header X-Openstack-Image-Size must be a number of bytes.")
        return int(text)
    length = request.getHeader("Content-Length")
    return None if length is None else int(length)


def _stated_digests(request: StreamingRequest) -> list[Digest]:
    """Return the digests that the client says its data has."""
    found: list[Digest] = []
    for header in DIGEST_HEADERS:
        lines = request.requestHeaders.getRawHeaders(header.encode())
        if lines is not None:
            # What is not ASCII is refused, whichever letters it is taken for.
            found += parse_digests(header, b", ".join(lines).decode("latin-1"))
    return found


def _set_head(request: StreamingRequest, image: Image, size: int) -> tuple[int, int] | None:
    """Set status and headers of a download.

    :returns: first byte and length to send, or ``None`` when the client has the data already.
    """
    headers = request.responseHeaders
    etag = _etag(image)
    headers.setRawHeaders("Accept-Ranges", ["bytes"])
    if etag:
        headers.setRawHeaders("ETag", [etag])
    if _has_already(request, image):
        return None
    wanted = _wanted_range(request, etag, size)
    headers.setRawHeaders("Content-Type", [OCTET_STREAM])
    if image.checksum:
        headers.setRawHeaders("Content-MD5", [image.checksum])
    if wanted is None:
        request.setResponseCode(200)
        headers.setRawHeaders("Content-Length", [str(size)])
        return 0, size
    request.setResponseCode(206)
    headers.setRawHeaders("Content-Range", [wanted.content_range])
    headers.setRawHeaders("Content-Length", [str(wanted.length)])
    return wanted.first, wanted.length


def _etag(image: Image) -> str | None:
    return f'"{image.os_hash_value or image.checksum}"' if image.checksum else None


def _has_already(request: StreamingRequest, image: Image) -> bool:
    """Tell whether the client says that it has the data."""
    etag = _etag(image)
    return etag is not None and _matches(request.getHeader("If-None-Match"), etag)


def _wanted_range(request: StreamingRequest, etag: str | None, size: int) -> ByteRange | None:
    if request.method != b"GET":
        # A range is for GET alone (RFC 9110, section 14.2).
        return None
    asked = request.getHeader("Range")
    condition = request.getHeader("If-Range")
    if asked is not None and condition is not None and condition != etag:
        # The client's part is of other data: it gets all of this (RFC 9110, section 13.1.5).
        return None
    return parse_range(asked, request.getHeader("Content-Range"), size)


def _matches(header: str | None, etag: str) -> bool:
    if header is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or etag in tags
