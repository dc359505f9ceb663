"""Whether directories can be used: those of the stores, and those that the service keeps itself."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from glance.checks.results import Finding, doubt, fault, note
from glance.checks.setting import Setting

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.\w+)?")
#: Seconds after which a staged file is one that nobody will come back for.
_FORGOTTEN = 86400.0
#: Free bytes below which a directory is nearly full.
NEARLY_FULL = 1 << 30


def thd_trouble(path: str) -> str | None:
    """Say why a directory cannot be used, or made where it is missing.

    :returns: the end of a sentence that begins with the path; ``None`` if it can.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        parent = os.path.dirname(path.rstrip("/")) or "/"
        while not os.path.lexists(parent) and parent != "/":
            parent = os.path.dirname(parent)
        if not os.path.isdir(parent) or not _thd_open_to_us(parent):
            return f"is missing and cannot be made: {parent} is not a directory that we may write"
        return None
    except OSError as error:
        return f"cannot be looked at: {(error.strerror or str(error)).lower()}"
    if not stat.S_ISDIR(mode):
        return "is not a directory"
    if not _thd_open_to_us(path):
        return "cannot be read and written; give it to the user that runs the service"
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return "is on a file system that is mounted read-only"
    return None


def _thd_open_to_us(path: str) -> bool:
    return os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True)


def thd_directories(setting: Setting) -> Iterator[Finding]:
    """Look at the directories of the service's own: state, log and staging."""
    loaded = setting.loaded
    if loaded.embedded or loaded.conf.state_dir:
        yield from thd_usable("[DEFAULT]state_dir", str(loaded.state_dir))
    log = loaded.conf.log_file or ""
    if log or loaded.conf.log_dir:
        path = os.path.join(loaded.conf.log_dir or "", log)
        option = "log_dir" if loaded.conf.log_dir else "log_file"
        place = os.path.dirname(path) or "."
        if os.path.lexists(place):
            yield from thd_usable(f"[DEFAULT]{option}", place)
        else:
            yield fault(f"[DEFAULT]{option}: {place} is missing; make it.")
    staging = _staging(setting)
    if staging is not None:
        option, path = staging
        yield from thd_usable(option, path)
        yield from _thd_leftovers(option, path)


def thd_usable(option: str, path: str) -> Iterator[Finding]:
    """Say what is wrong with a directory, if anything is."""
    problem = thd_trouble(path)
    if problem is not None:
        yield fault(f"{option}: {path} {problem}.")


def _staging(setting: Setting) -> tuple[str, str] | None:
    """Return where files wait to be imported, and the option that says so, if one does."""
    if setting.conf.enabled_backends:
        section = "os_glance_staging_store"
        path = setting.written(section, "filesystem_store_datadir")
        return (f"[{section}]filesystem_store_datadir", path) if path else None
    uri = setting.written("DEFAULT", "node_staging_uri")
    if not uri:
        return None
    parts = urlsplit(uri)
    return ("[DEFAULT]node_staging_uri", unquote(parts.path)) if parts.scheme == "file" else None


def _thd_leftovers(option: str, path: str) -> Iterator[Finding]:
    try:
        files = [entry for entry in Path(path).iterdir() if _UUID.fullmatch(entry.name)]
    except OSError:
        # Missing, or told of already.
        return
    before = time.time() - _FORGOTTEN
    old = [entry for entry in files if entry.lstat().st_mtime < before]
    if old:
        size = sum(entry.lstat().st_size for entry in old)
        yield doubt(
            f"{option}: {path} holds {len(old)} staged files ({size} bytes) that nobody has touched"
            " for a day. If no import is under way, remove them."
        )


def thd_room(path: str) -> Iterator[Finding]:
    """Say how much room there is, if it is little."""
    stats = os.statvfs(path)
    free = stats.f_bavail * stats.f_frsize
    if free < NEARLY_FULL:
        yield doubt(f"{path} has {free >> 20} MiB left; make room before images are uploaded.")
    else:
        yield note(f"{path} has {free >> 30} GiB left.")
