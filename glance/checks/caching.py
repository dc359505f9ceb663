"""Whether the image cache can work where it is configured to, and within its limit."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from glance.checks.places import thd_usable
from glance.checks.results import Finding, doubt, fault, note
from glance.checks.setting import Setting
from glance.domain.amounts import human_size
from glance.domain.caching import DIRECTORIES, can_be_named
from glance.domain.errors import ConfigError

OPTION = "[DEFAULT]image_cache_dir"
#: File systems that other machines have, too.
_SHARED = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "gfs2", "glusterfs", "gpfs", "lustre",
     "ocfs2", "beegfs", "fuse.glusterfs", "fuse.ceph", "fuse.sshfs", "virtiofs"}
)  # fmt: skip
_OCTAL = re.compile(r"\\([0-7]{3})")
_MOUNTS = Path("/proc/self/mountinfo")
_ATTRIBUTE = "user.glance-status"


def thd_cache(choose: Callable[[Any], str | None], setting: Setting) -> Iterator[Finding]:
    """Look at the options of the cache, its directory, and the disk below.

    :param choose: checks the options and returns the index driver.
    """
    conf = setting.conf
    path = conf.image_cache_dir
    driver = choose(conf)
    if driver is None:
        yield note("Images are not cached on this node.")
        return
    if driver != conf.image_cache_driver:
        yield doubt(
            f"[DEFAULT]image_cache_driver: {driver} stands in for {conf.image_cache_driver}, "
            "the default, which needs [DEFAULT]worker_self_reference_url. Without that URL no "
            "other node learns what this one has cached."
        )
    troubles = list(thd_usable(OPTION, path))
    yield from troubles
    if troubles:
        return
    yield from _thd_apart(setting)
    if not os.path.isdir(path):
        yield note(f"{path} is not there yet; the service makes it when it starts.")
        return
    kind = file_system(os.path.realpath(path), os.fsdecode(_MOUNTS.read_bytes()))
    if kind in _SHARED:
        yield doubt(
            f"{OPTION}: {path} is on a network file system ({kind}). Use a disk of this machine: "
            "to read a copy from there is hardly faster than from the store, and two nodes that "
            "share the directory would remove each other's copies."
        )
    if driver == "xattr":
        yield from _thd_attributes(path)
    elif driver == "sqlite":
        yield from _thd_index(os.path.join(path, conf.image_cache_sqlite_db))
    yield from _thd_room(path, conf.image_cache_max_size)


def _thd_apart(setting: Setting) -> Iterator[Finding]:
    from glance.stores.neighbours import file_directories, thd_check_apart

    conf = setting.conf
    try:
        thd_check_apart(OPTION, conf.image_cache_dir, DIRECTORIES, file_directories(conf))
    except ConfigError as error:
        yield fault(error.message)


def file_system(path: str, mounts: str) -> str | None:
    """Return the kind of file system that a path is on.

    :param path: absolute, without symbolic links.
    :param mounts: what ``/proc/self/mountinfo`` says; see ``proc(5)``.
    """
    found: tuple[int, str] | None = None
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if len(fields) < 5:
            continue
        # Blanks, tabs, line ends and backslashes are written in octal.
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4])
        inside = point == "/" or path == point or path.startswith(point + "/")
        # What was mounted last on a place covers what was before.
        if inside and (found is None or len(point) >= found[0]):
            found = (len(point), kinds[0])
    return None if found is None else found[1]


def _thd_index(path: str) -> Iterator[Finding]:
    if not os.path.lexists(path):
        return
    usable = os.access(path, os.R_OK | os.W_OK, effective_ids=True)
    if not (os.path.isfile(path) and usable):
        yield fault(
            f"[DEFAULT]image_cache_sqlite_db: {path} is not a file that can be read and written. "
            "Give it to the user that runs the service, or remove it: it is made anew, and only "
            "knows how often copies were sent."
        )


def _thd_attributes(path: str) -> Iterator[Finding]:
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            os.setxattr(file.fileno(), _ATTRIBUTE, b"1")
    except OSError as error:
        yield doubt(
            "[DEFAULT]image_cache_driver = xattr: files below "
            f"{path} cannot have extended attributes ({(error.strerror or '').lower()}), so the "
            "sqlite driver takes its place."
        )


def _thd_room(path: str, limit: int) -> Iterator[Finding]:
    used = sum(
        entry.stat(follow_symlinks=False).st_size
        for place in (path, *(os.path.join(path, name) for name in ("incomplete", "invalid")))
        for entry in _thd_files(place)
    )
    stats = os.statvfs(path)
    free = stats.f_bavail * stats.f_frsize
    if used > limit:
        yield doubt(
            f"{path} holds {human_size(used)}, and [DEFAULT]image_cache_max_size allows "
            f"{human_size(limit)}: what was not asked for longest is removed at the next pruning."
        )
    elif limit - used > free:
        yield doubt(
            f"[DEFAULT]image_cache_max_size lets the cache have {human_size(limit - used)} more, "
            f"but only {human_size(free)} are left where {path} is. It stops when the disk is "
            "full; lower the limit if others need room there."
        )
    else:
        yield note(f"{path} holds {human_size(used)} of at most {human_size(limit)}.")


def _thd_files(place: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            yield from (
                entry
                for entry in entries
                if can_be_named(entry.name) and entry.is_file(follow_symlinks=False)
            )
    except FileNotFoundError:
        return
