"""What ``glance-cache-manage`` prints of a cache."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glance.domain.caching import CachedImage


def cached_text(images: Sequence[CachedImage]) -> str:
    """Return the table of cached images."""
    if not images:
        return "No cached images."
    rows = [
        (
            image.image_id,
            moment(image.last_accessed),
            moment(image.last_modified),
            image.size,
            image.hits,
        )
        for image in images
    ]
    columns = ["ID", "Last Accessed (UTC)", "Last Modified (UTC)", "Size", "Hits"]
    return f"Found {len(images)} cached images...\n{_table(columns, rows, right=('Size', 'Hits'))}"


def queued_text(image_ids: Sequence[str]) -> str:
    """Return the table of queued images."""
    if not image_ids:
        return "No queued images."
    rows = [(image_id,) for image_id in image_ids]
    return f"Found {len(image_ids)} queued images...\n{_table(['ID'], rows)}"


def cached_json(images: Sequence[CachedImage]) -> str:
    """Return cached images as JSON, in the form of the API."""
    return json.dumps(
        {
            "cached_images": [
                {
                    "image_id": image.image_id,
                    "last_accessed": image.last_accessed,
                    "last_modified": image.last_modified,
                    "size": image.size,
                    "hits": image.hits,
                }
                for image in images
            ]
        },
        indent=2,
    )


def queued_json(image_ids: Sequence[str]) -> str:
    """Return queued images as JSON, in the form of the API."""
    return json.dumps({"queued_images": list(image_ids)}, indent=2)


def moment(seconds: float) -> str:
    """Return a time as the table has it."""
    if not seconds:
        return "N/A"
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()


def _table(
    columns: list[str], rows: Sequence[tuple[object, ...]], right: Sequence[str] = ()
) -> str:
    from prettytable import PrettyTable

    table = PrettyTable(columns)
    for column in right:
        table.align[column] = "r"
    table.add_rows([list(row) for row in rows])
    return str(table.get_string())
