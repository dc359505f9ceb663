"""Options of the ``file`` driver, and the rules that their values obey."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

from glance.stores.errors import BadStoreConfiguration


def options() -> list[Any]:
    """Return the options of the ``file`` driver, for whichever section they are to stand in."""
    return [
        cfg.StrOpt(
            "filesystem_store_datadir",
            default="/var/lib/glance/images",
            help="Directory for image files. Leave it unset when using filesystem_store_datadirs.",
        ),
        cfg.MultiStrOpt(
            "filesystem_store_datadirs",
            help="Directories for image files, each path or path:priority. The highest priority "
            "is filled first, and within one priority the directory with the most room.",
        ),
        cfg.StrOpt(
            "filesystem_store_metadata_file",
            help="JSON file with an object, or a list of them, holding id and mountpoint; the one "
            "whose mount point a file lies below becomes metadata of its location.",
        ),
        cfg.IntOpt(
            "filesystem_store_file_perm",
            default=0,
            help="Mode of image files in octal digits, such as 640. 0 leaves it to the umask.",
        ),
        cfg.IntOpt(
            "filesystem_store_chunk_size",
            default=65536,
            min=1,
            help="Accepted for compatibility; transfers choose their own sizes.",
        ),
        cfg.BoolOpt(
            "filesystem_thin_provisioning",
            default=False,
            help="Leave holes in the files instead of writing stretches of zeros.",
        ),
        cfg.IntOpt(
            "filesystem_store_timeout",
            default=0,
            min=0,
            help="Seconds after which a file operation counts as failed. 0 waits for ever.",
        ),
        cfg.IntOpt(
            "filesystem_store_thread_pool_size",
            default=10,
            min=1,
            help="Threads for file operations of this store.",
        ),
        cfg.IntOpt(
            "filesystem_store_threadpool_threshold",
            default=75,
            min=0,
            max=100,
            help="Percentage of busy threads from which on a warning is logged, where "
            "filesystem_store_timeout is on.",
        ),
        cfg.BoolOpt(
            "filesystem_store_direct_io",
            default=True,
            help="Write past the page cache where the file system can, which takes a fraction of "
            "the processor time.",
        ),
    ]


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
