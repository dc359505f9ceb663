"""The index in extended attributes: what the original's say, and what reading must not change."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from glance.cache import xattr_index
from glance.cache.layout import CacheDirectory
from glance.cache.xattr_index import NoAttributes, XattrIndex
from glance.domain.errors import Unavailable
from tests.unit.cache.index_contract import IndexContract
from tests.unit.cache.index_doubles import (
    IMAGE,
    OTHER,
    T0,
    InlineThreads,
    cached,
    make_directory,
    result,
    write_copy,
)

#: Longer than it takes; only what hangs waits for it.
PATIENCE = 20


def has_attributes(path: Path) -> bool:
    try:
        os.setxattr(path, "user.hits", b"0")
    except OSError:
        return False
    return True


@pytest.fixture
def directory(tmp_path: Path) -> CacheDirectory:
    if not has_attributes(tmp_path):
        pytest.skip(f"the file system of {tmp_path} has no user attributes")
    return make_directory(tmp_path)


@pytest.fixture
def index(directory: CacheDirectory) -> XattrIndex:
    index = XattrIndex(directory, Clock(), InlineThreads())
    result(index.start())
    return index


class TestXattr(IndexContract):
    """The driver's promises."""


def only(index: XattrIndex) -> Any:
    (entry,) = result(index.entries())
    return entry


def test_start_leaves_nothing(index: XattrIndex, directory: CacheDirectory) -> None:
    assert not [p for p in Path(directory.root).iterdir() if p.is_file()]


def test_files_are_entries(index: XattrIndex, directory: CacheDirectory) -> None:
    path = write_copy(directory, IMAGE, b"seven..")
    Path(directory.root, "cache.db").touch()
    Path(directory.root, OTHER).mkdir()
    Path(directory.partial(OTHER)).touch()
    os.utime(path, (T0 + 3, T0))
    assert only(index) == cached(size=7, last_accessed=T0 + 3)


def test_links_are_none(index: XattrIndex, directory: CacheDirectory, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_bytes(b"data")
    os.symlink(target, directory.copy(IMAGE))
    result(index.touch({IMAGE: (1, T0)}))
    assert result(index.entries()) == []
    assert os.listxattr(target) == []


def test_pipes_are_none(index: XattrIndex, directory: CacheDirectory) -> None:
    """To open one waits for somebody who writes."""
    os.mkfifo(directory.copy(IMAGE))
    touching = threading.Thread(target=lambda: result(index.touch({IMAGE: (1, T0)})), daemon=True)
    touching.start()
    touching.join(PATIENCE)
    assert not touching.is_alive()


def test_what_the_original_noted(index: XattrIndex, directory: CacheDirectory) -> None:
    path = write_copy(directory, IMAGE)
    os.setxattr(path, "user.hits", b"12")
    os.utime(path, (T0 + 3, T0))
    assert only(index) == cached(hits=12, last_accessed=T0 + 3)
    result(index.touch({IMAGE: (1, T0 + 5)}))
    assert os.getxattr(path, "user.hits") == b"13"
    assert (path.stat().st_atime, path.stat().st_mtime) == (T0 + 5, T0)
    # And what it noted when it had the directory again.
    os.setxattr(path, "user.hits", b"14")
    os.utime(path, (T0 + 9, T0))
    assert only(index) == cached(hits=14, last_accessed=T0 + 9)


def test_reading_is_no_hit(index: XattrIndex, directory: CacheDirectory) -> None:
    path = write_copy(directory, IMAGE)
    result(index.add([cached()]))
    result(index.touch({IMAGE: (1, T0 + 5.125)}))
    # What the kernel does when somebody reads.
    os.utime(path, (T0 + 1000, T0))
    assert only(index) == cached(hits=1, last_accessed=T0 + 5.125)
    result(index.touch({IMAGE: (1, T0 + 6)}))
    assert only(index) == cached(hits=2, last_accessed=T0 + 6)
    assert path.stat().st_atime == T0 + 6


@pytest.mark.parametrize(
    ("hits", "note"), [(b"many", b"many 5"), (b"-3", b"-3 5"), (b"0", b"0 nan"), (b"0", b"0")]
)
def test_attributes_that_make_no_sense(
    index: XattrIndex, directory: CacheDirectory, hits: bytes, note: bytes
) -> None:
    path = write_copy(directory, IMAGE)
    os.setxattr(path, "user.hits", hits)
    os.setxattr(path, "user.last_hit", note)
    os.utime(path, (T0, T0))
    assert only(index) == cached()


def test_files_that_vanish(
    index: XattrIndex, directory: CacheDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for image_id in (IMAGE, OTHER):
        write_copy(directory, image_id)
    result(index.add([cached(), cached(OTHER)]))
    listed = directory.thd_copies()
    os.unlink(directory.copy(IMAGE))
    monkeypatch.setattr(CacheDirectory, "thd_copies", lambda self: listed)
    assert only(index).image_id == OTHER
    result(index.touch({IMAGE: (1, T0), OTHER: (1, T0)}))
    assert only(index).hits == 1


def test_names_that_are_no_images(index: XattrIndex, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.touch()
    result(index.touch({"../victim": (1, T0)}))
    result(index.remove(["../victim"]))
    assert os.listxattr(victim) == []


def test_removed_from_a_copy_that_stays(index: XattrIndex, directory: CacheDirectory) -> None:
    path = write_copy(directory, IMAGE)
    result(index.add([cached(hits=3, checksum="0" * 32)]))
    result(index.remove([IMAGE]))
    assert os.listxattr(path) == []
    assert only(index) == cached()


def refuse(code: int) -> Any:
    def setxattr(*args: Any, **kwargs: Any) -> None:
        raise OSError(code, os.strerror(code))

    return setxattr


def test_no_attributes_here(directory: CacheDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xattr_index.os, "setxattr", refuse(errno.ENOTSUP))
    with pytest.raises(NoAttributes) as caught:
        result(XattrIndex(directory, Clock(), InlineThreads()).start())
    assert "image_cache_driver" in caught.value.message
    assert directory.root in caught.value.message


def test_a_full_disk_says_nothing_of_attributes(
    directory: CacheDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xattr_index.os, "setxattr", refuse(errno.ENOSPC))
    with pytest.raises(Unavailable):
        result(XattrIndex(directory, Clock(), InlineThreads()).start())


def test_attributes_that_cannot_be_written(
    index: XattrIndex, directory: CacheDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for image_id in (IMAGE, OTHER):
        write_copy(directory, image_id)
    original, bad = os.setxattr, os.stat(directory.copy(IMAGE)).st_ino

    def setxattr(fd: int, *args: Any) -> None:
        if os.fstat(fd).st_ino == bad:
            raise OSError(errno.EIO, "broken")
        original(fd, *args)

    monkeypatch.setattr(xattr_index.os, "setxattr", setxattr)
    result(index.touch({IMAGE: (1, T0), OTHER: (1, T0)}))
    assert {e.image_id: e.hits for e in result(index.entries())} == {IMAGE: 0, OTHER: 1}
    with pytest.raises(Unavailable):
        result(index.touch({IMAGE: (1, T0)}))
