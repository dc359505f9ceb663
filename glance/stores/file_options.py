"""Rules that values of the file driver's options obey; the directories have ``datadirs``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from glance.stores.errors import BadStoreConfiguration


def parse_perm(group: str, value: int) -> int:
    """Read ``filesystem_store_file_perm``, whose digits are octal, as a mode; ``0`` for none.

    :raises BadStoreConfiguration: it is no mode, or not one that lets the service read its files.
    """
    if value <= 0:
        return 0
    try:
        perm = int(str(value), 8)
    except ValueError:
        perm = 0o10000
    if perm > 0o7777:
        raise BadStoreConfiguration(
            f"[{group}] filesystem_store_file_perm: {value} is not a file mode; write octal "
            "digits such as 640."
        )
    if not perm & 0o400:
        raise BadStoreConfiguration(
            f"[{group}] filesystem_store_file_perm: {value} does not let the owner read; the "
            "service could not read its own files. Use 600 or more."
        )
    return perm


def parse_metadata(group: str, text: str) -> list[dict[str, Any]]:
    """Read the content of ``filesystem_store_metadata_file``.

    :raises BadStoreConfiguration: it is not one object, or a list of them, each with an ``id`` and
        a ``mountpoint``.
    """
    wrong = BadStoreConfiguration(
        f"[{group}] filesystem_store_metadata_file: the file must hold a JSON object, or a list of "
        'objects, each with the texts "id" and "mountpoint".'
    )
    try:
        value = json.loads(text)
    except ValueError:
        raise wrong from None
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        if not isinstance(entry, dict) or not all(
            isinstance(entry.get(key), str) and entry[key] for key in ("id", "mountpoint")
        ):
            raise wrong
    return entries


def metadata_for(path: str, entries: list[dict[str, Any]]) -> Mapping[str, Any]:
    """Return the entry whose mount point a file lies below, the nearest one, or nothing."""
    best: Mapping[str, Any] = {}
    for entry in entries:
        mount = entry["mountpoint"].rstrip("/")
        longer = not best or len(mount) > len(best["mountpoint"].rstrip("/"))
        if longer and (path + "/").startswith(mount + "/"):
            best = entry
    return best
