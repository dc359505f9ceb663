"""How an image looks in a reply.

A page of a thousand images is rendered in one go on the reactor's thread, so this is written as
plain dictionary building: no call per field, no ``strftime``, no validation of stored values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glance.domain.image import DEACTIVATED, Image, is_readable
from glance.domain.protection import Guard

#: Custom properties that stay inside: addresses of this service's own workers.
HIDDEN_PROPERTIES = frozenset({"os_glance_stage_host", "os_glance_hash_op_host"})

#: Never taken from custom properties. The last three are fields of ours that not every reply has:
#: a property of that name, left by an older service, must not be mistaken for them.
_WITHHELD = HIDDEN_PROPERTIES | {"locations", "direct_url", "stores"}


def render_image(
    image: Image,
    *,
    show_direct_url: bool = False,
    show_multiple_locations: bool = False,
    stores_enabled: bool = False,
    is_admin: bool = False,
    guard: Guard | None = None,
) -> dict[str, Any]:
    """Build the JSON object of one image, its fields in the API's order.

    :param image: the image; its locations in the order of preference.
    :param show_direct_url: whether ``direct_url`` is shown (``show_image_direct_url``).
    :param show_multiple_locations: whether ``locations`` is shown.
    :param stores_enabled: whether several stores are configured, which shows ``stores``.
    :param is_admin: whether the caller is an administrator: only they see where the data of a
        deactivated image is, for others could read it there.
    :param guard: what the caller may do to custom properties, where they are protected.
    """
    created = image.created_at
    updated = image.updated_at
    link = f"/v2/images/{image.id}"
    properties = image.properties if guard is None else guard.readable(image.properties)
    body: dict[str, Any] = {
        name: "" if value is None else value
        for name, value in properties.items()
        if name not in _WITHHELD
    }
    body["name"] = image.name
    body["disk_format"] = image.disk_format
    body["container_format"] = image.container_format
    body["visibility"] = image.visibility
    body["size"] = image.size
    body["virtual_size"] = image.virtual_size
    body["status"] = image.status
    body["checksum"] = image.checksum
    body["protected"] = image.protected
    body["min_ram"] = image.min_ram
    body["min_disk"] = image.min_disk
    body["owner"] = image.owner
    body["os_hidden"] = image.os_hidden
    body["os_hash_algo"] = image.os_hash_algo
    body["os_hash_value"] = image.os_hash_value
    body["id"] = image.id
    body["created_at"] = created and created.isoformat(timespec="seconds") + "Z"
    body["updated_at"] = updated and updated.isoformat(timespec="seconds") + "Z"
    locations = image.locations if is_admin or image.status != DEACTIVATED else []
    if show_multiple_locations:
        body["locations"] = [{"url": loc.url, "metadata": loc.metadata} for loc in locations]
    if show_direct_url:
        direct = next((loc.url for loc in locations if is_readable(loc.url)), None)
        if direct is not None:
            body["direct_url"] = direct
    body["tags"] = sorted(image.tags)
    body["self"] = link
    body["file"] = link + "/file"
    body["schema"] = "/v2/schemas/image"
    if stores_enabled and locations:
        body["stores"] = ",".join(
            [loc.metadata["store"] for loc in locations if "store" in loc.metadata]
        )
    return body


def render_page(
    images: Iterable[dict[str, Any]], first: str, following: str | None
) -> dict[str, Any]:
    """Build the JSON object of one page of the list of images.

    :param images: the rendered images.
    :param first: the link to the list's first page.
    :param following: the link to the page after this one, ``None`` on the last.
    """
    return page_of("images", images, first, following, "/v2/schemas/images")


def page_of(
    name: str, entries: Iterable[dict[str, Any]], first: str, following: str | None, schema: str
) -> dict[str, Any]:
    """Build the JSON object of one page of a list.

    :param name: what the entries are called there.
    :param entries: the rendered entries.
    :param first: the link to the list's first page.
    :param following: the link to the page after this one, ``None`` on the last.
    :param schema: the path of the list's schema.
    """
    body: dict[str, Any] = {name: list(entries), "first": first}
    if following is not None:
        body["next"] = following
    body["schema"] = schema
    return body
