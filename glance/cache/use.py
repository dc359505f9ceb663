"""What the cache's files take, and are going to take: the basis of every decision about room.

Everything here blocks and belongs into a thread that is alone (``CacheDirectory.thd_alone``).
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass

from glance.cache.claims import thd_read_state
from glance.cache.layout import CacheDirectory, CacheFile, thd_unlinked, try_lock


@dataclass(frozen=True, slots=True)
class Use:
    """What the cache's files take.

    :param total: bytes.
    :param promised: those of them that are still to be written.
    :param live: images that are being written now.
    """

    total: int
    promised: int
    live: frozenset[str]
    copies: list[CacheFile]
    partials: list[CacheFile]
    invalid: list[CacheFile]


def thd_look_at(directory: CacheDirectory, apart_from: str | None = None) -> Use:
    """Look at all files, except for what is there of one image unfinished."""
    partials = [p for p in directory.thd_partials() if p.image_id != apart_from]
    written = {p.image_id: p.size for p in partials}
    reserved: dict[str, int] = {}
    for image_id, path in directory.thd_fill_locks().items():
        if image_id != apart_from and (size := thd_reserved(path)) is not None:
            reserved[image_id] = max(size, written.get(image_id, 0))
    copies, invalid = directory.thd_copies(), directory.thd_invalid()
    return Use(
        total=sum(file.size for file in (*copies, *invalid)) + sum((written | reserved).values()),
        promised=sum(size - written.get(image_id, 0) for image_id, size in reserved.items()),
        live=frozenset(reserved),
        copies=copies,
        partials=partials,
        invalid=invalid,
    )


def thd_reserved(path: str) -> int | None:
    """Return what a copy that is being written is going to have; ``None`` if nobody writes it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        if try_lock(fd, fcntl.LOCK_SH):
            # Who wrote it is dead.
            thd_unlinked(path)
            return None
        state = thd_read_state(fd)
        return None if state is None else state[0]
    finally:
        os.close(fd)
