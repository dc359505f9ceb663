"""The blocking half of writing: direct I/O and its fallbacks, holes, publishing, sweeping."""

import errno
import fcntl
import mmap
import os
import stat
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.stores import partfile
from glance.stores.errors import DuplicateData, StoreError, StoreFull, WriteDenied
from glance.stores.partfile import ZERO_PIECE, PartFile, runs_of_data, thd_sweep

MIB = 1024 * 1024


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path)


def part(directory, name="abc", perm=0, direct=True, thin=False):
    return PartFile(directory, name, perm, direct, thin).thd_open()


def content(directory, name="abc"):
    with open(os.path.join(directory, name), "rb") as file:
        return file.read()


def aligned(byte=b"x", length=MIB):
    memory = mmap.mmap(-1, length)
    memory.write(byte * length)
    return memoryview(memory)


def oserror(code):
    return OSError(code, os.strerror(code))


def test_aligned_and_unaligned_pieces(directory):
    file = part(directory)
    file.thd_write(MIB, aligned(b"b"))
    file.thd_write(0, aligned(b"a"))
    file.thd_write(2 * MIB, aligned(b"c")[:777])
    assert file.thd_commit() == 2 * MIB + 777
    assert content(directory) == b"a" * MIB + b"b" * MIB + b"c" * 777
    assert os.listdir(directory) == ["abc"]


def test_unaligned_memory(directory):
    file = part(directory)
    file.thd_write(0, memoryview(bytearray(b"_" + b"z" * MIB))[1:])
    file.thd_commit()
    assert content(directory) == b"z" * MIB


def test_file_system_that_refuses_direct_open(directory, monkeypatch):
    opened = []
    real = os.open

    def refuse(path, flags, *args, **kwargs):
        opened.append(bool(flags & os.O_DIRECT))
        if flags & os.O_DIRECT:
            os.close(real(path, flags & ~os.O_DIRECT, *args, **kwargs))
            raise oserror(errno.EINVAL)
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    file = part(directory)
    assert opened == [False, True, False]
    file.thd_write(0, aligned())
    file.thd_commit()
    assert content(directory) == b"x" * MIB
    assert os.listdir(directory) == ["abc"]


def test_file_system_that_refuses_direct_writes(directory, monkeypatch):
    file = part(directory)
    real = os.pwrite
    tried = []

    def refuse(fd, data, offset):
        direct = bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)
        tried.append(direct)
        if direct:
            raise oserror(errno.EINVAL)
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", refuse)
    file.thd_write(0, aligned(b"a"))
    file.thd_write(MIB, aligned(b"b"))
    assert tried == [True, False, False]
    file.thd_commit()
    assert content(directory) == b"a" * MIB + b"b" * MIB


def test_flag_cleared_by_another_thread_meanwhile(directory, monkeypatch):
    file = part(directory)
    real = os.pwrite
    calls = []

    def refuse_once(fd, data, offset):
        calls.append(offset)
        if len(calls) == 1:
            # Another write finds out first.
            file._leave_direct()
            raise oserror(errno.EINVAL)
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", refuse_once)
    file.thd_write(0, aligned(b"a"))
    file.thd_commit()
    assert content(directory) == b"a" * MIB


def test_invalid_argument_of_a_plain_write_is_an_error(directory, monkeypatch):
    file = part(directory, direct=False)

    def refuse(fd, data, offset):
        raise oserror(errno.EINVAL)

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(StoreError):
        file.thd_write(0, aligned())
    file.thd_discard()


@pytest.mark.parametrize("direct", [True, False])
def test_short_writes_are_continued(directory, monkeypatch, direct):
    file = part(directory, direct=direct)
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:100_000], at))
    memory = mmap.mmap(-1, MIB)
    memory.write(os.urandom(MIB))
    file.thd_write(0, memoryview(memory))
    file.thd_commit()
    assert content(directory) == memory[:]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EFBIG, StoreFull),
        (errno.EACCES, WriteDenied),
        (errno.EPERM, WriteDenied),
        (errno.EROFS, WriteDenied),
        (errno.EIO, StoreError),
    ],
)
@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_errors_have_names_and_leave_nothing(directory, monkeypatch, code, error, call):
    file = part(directory)

    def refuse(*args):
        raise oserror(code)

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(error) as caught:
        file.thd_write(0, aligned())
        file.thd_commit()
    assert type(caught.value) is error
    assert directory not in caught.value.message
    file.thd_discard()
    assert os.listdir(directory) == []


def test_directory_that_cannot_be_synchronised_takes_the_file_back(directory, monkeypatch):
    file = part(directory)
    real = os.fsync

    def refuse_directories(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise oserror(errno.EIO)
        real(fd)

    monkeypatch.setattr(os, "fsync", refuse_directories)
    with pytest.raises(StoreError):
        file.thd_commit()
    file.thd_discard()
    assert os.listdir(directory) == []


def test_directory_without_synchronising(directory, monkeypatch):
    file = part(directory)
    real = os.fsync

    def refuse_directories(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise oserror(errno.EINVAL)
        real(fd)

    monkeypatch.setattr(os, "fsync", refuse_directories)
    assert file.thd_commit() == 0
    assert os.listdir(directory) == ["abc"]


def test_file_is_durable_before_it_has_its_name(directory, monkeypatch):
    order = []
    fsync, link = os.fsync, os.link
    monkeypatch.setattr(
        os,
        "fsync",
        lambda fd: (
            order.append("dir" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"),
            fsync(fd),
        ),
    )
    monkeypatch.setattr(os, "link", lambda *a, **k: (order.append("link"), link(*a, **k)))
    part(directory).thd_commit()
    assert order == ["file", "link", "dir"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_file_system_without_hard_links(directory, monkeypatch, code):
    def refuse(*args, **kwargs):
        raise oserror(code)

    monkeypatch.setattr(os, "link", refuse)
    first, second = part(directory), part(directory)
    first.thd_write(0, memoryview(b"first"))
    first.thd_commit()
    with pytest.raises(DuplicateData):
        second.thd_commit()
    second.thd_discard()
    assert content(directory) == b"first"
    assert os.listdir(directory) == ["abc"]


@pytest.mark.parametrize("kind", ["file", "directory", "dangling link"])
def test_names_that_are_taken(directory, kind):
    path = os.path.join(directory, "abc")
    late = part(directory)
    if kind == "file":
        open(path, "w").close()
    elif kind == "directory":
        os.mkdir(path)
    else:
        os.symlink("nowhere", path)
    with pytest.raises(DuplicateData):
        part(directory)
    with pytest.raises(DuplicateData):
        late.thd_commit()
    late.thd_discard()
    assert os.listdir(directory) == ["abc"]


def test_permissions(directory, monkeypatch):
    file = part(directory, perm=0o644)
    hidden = os.path.join(directory, os.listdir(directory)[0])
    assert os.stat(hidden).st_mode & 0o777 == 0o600
    file.thd_commit()
    assert os.stat(os.path.join(directory, "abc")).st_mode & 0o777 == 0o644


def test_permissions_of_the_umask(directory):
    before = os.umask(0o027)
    try:
        part(directory).thd_commit()
    finally:
        os.umask(before)
    assert os.stat(os.path.join(directory, "abc")).st_mode & 0o777 == 0o640


def test_refused_permissions_do_not_fail_the_image(directory, monkeypatch):
    def refuse(*args):
        raise oserror(errno.EPERM)

    monkeypatch.setattr(os, "fchmod", refuse)
    part(directory, perm=0o644).thd_commit()
    assert os.listdir(directory) == ["abc"]


def test_unpublish_removes_only_its_own_file(directory):
    file = part(directory)
    file.thd_commit()
    path = os.path.join(directory, "abc")
    os.rename(path, path + "-moved")
    other = part(directory)
    other.thd_write(0, memoryview(b"another writer's"))
    other.thd_commit()
    file.thd_unpublish()
    assert content(directory) == b"another writer's"
    other.thd_unpublish()
    other.thd_unpublish()
    assert os.listdir(directory) == ["abc-moved"]


def test_descriptors_are_closed(directory):
    before = len(os.listdir("/proc/self/fd"))
    part(directory).thd_commit()
    part(directory, "other").thd_discard()
    with pytest.raises(DuplicateData):
        part(directory)
    with pytest.raises(StoreError):
        part(os.path.join(directory, "missing"))
    thd_sweep(directory)
    assert len(os.listdir("/proc/self/fd")) == before


# Thin provisioning


def test_zeros_become_holes(directory):
    file = part(directory, thin=True)
    file.thd_write(0, aligned(b"\0"))
    file.thd_write(MIB, aligned(b"x"))
    file.thd_write(2 * MIB, aligned(b"\0"))
    file.thd_write(3 * MIB, aligned(b"\0")[:4321])
    assert file.thd_commit() == 3 * MIB + 4321
    assert content(directory) == bytes(MIB) + b"x" * MIB + bytes(MIB + 4321)
    assert os.stat(os.path.join(directory, "abc")).st_blocks * 512 < 1.5 * MIB


def test_zeros_are_written_unless_asked_otherwise(directory):
    file = part(directory)
    file.thd_write(0, aligned(b"\0"))
    file.thd_commit()
    assert os.stat(os.path.join(directory, "abc")).st_blocks * 512 >= MIB


blocks = st.lists(
    st.tuples(st.sampled_from([b"\0", b"x"]), st.integers(1, 3 * ZERO_PIECE)), max_size=5
).map(lambda runs: b"".join(byte * n for byte, n in runs))


@given(blocks)
def test_runs_cover_all_data(data):
    rebuilt = bytearray(len(data))
    end = -1
    for start, stop in runs_of_data(memoryview(data)):
        assert end < start < stop <= len(data)
        assert start % ZERO_PIECE == 0
        rebuilt[start:stop] = data[start:stop]
        end = stop
    assert rebuilt == data


@given(st.integers(0, 4 * ZERO_PIECE - 1))
def test_a_single_byte_is_not_overlooked(at):
    data = bytearray(4 * ZERO_PIECE)
    data[at] = 1
    piece = at // ZERO_PIECE * ZERO_PIECE
    assert list(runs_of_data(memoryview(data))) == [(piece, piece + ZERO_PIECE)]


# Sweeping


def leftover(directory, host=None, name=".abc.{}-0123456789abcdef.part"):
    path = os.path.join(directory, name.format(host or partfile.host_mark()))
    with open(path, "w") as file:
        file.write("half")
    return path


def test_sweep_takes_the_dead_and_leaves_the_live(directory):
    dead = leftover(directory)
    live = part(directory, "live")
    part(directory, "done").thd_commit()
    assert thd_sweep(directory) == 1
    assert not os.path.exists(dead)
    live.thd_commit()
    assert sorted(os.listdir(directory)) == ["done", "live"]


@pytest.mark.parametrize(
    "name",
    [
        "abc",
        ".hidden",
        ".abc.part",
        "abc.{}-0123456789abcdef.part",
        ".abc.{}-0123456789abcdef.part.gz",
        ".abc.{}-xyz.part",
    ],
)
def test_sweep_leaves_other_files(directory, name):
    path = leftover(directory, name=name)
    assert thd_sweep(directory) == 0
    assert os.path.exists(path)


def test_sweep_waits_before_it_judges_another_machine(directory):
    path = leftover(directory, host="00000000")
    assert thd_sweep(directory) == 0
    long_ago = time.time() - 3601
    os.utime(path, (long_ago, long_ago))
    assert thd_sweep(directory) == 1


def test_sweep_after_a_crash_between_link_and_unlink(directory):
    path = leftover(directory)
    os.link(path, os.path.join(directory, "abc"))
    assert thd_sweep(directory) == 1
    assert content(directory) == b"half"


def test_sweep_follows_nothing(directory, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "precious"
    outside.write_text("x")
    mark = partfile.host_mark()
    os.symlink(outside, os.path.join(directory, f".a.{mark}-0123456789abcdef.part"))
    os.mkfifo(os.path.join(directory, f".b.{mark}-0123456789abcdef.part"))
    os.mkdir(os.path.join(directory, f".c.{mark}-0123456789abcdef.part"))
    assert thd_sweep(directory) == 0
    assert outside.exists()


def test_sweep_of_a_missing_directory(directory):
    assert thd_sweep(os.path.join(directory, "missing")) == 0


def test_a_sweep_between_creating_and_locking_costs_nothing(directory, monkeypatch):
    real = fcntl.flock
    swept = []

    def sweep_first(fd, operation):
        if not swept:
            swept.append(None)
            swept[0] = thd_sweep(directory)
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    file = part(directory)
    assert swept == [1]
    file.thd_write(0, memoryview(b"safe"))
    file.thd_commit()
    assert content(directory) == b"safe"


def test_file_system_without_locks(directory, monkeypatch):
    def refuse(fd, operation):
        raise oserror(errno.ENOLCK)

    monkeypatch.setattr(fcntl, "flock", refuse)
    file = part(directory)
    assert thd_sweep(directory) == 0
    file.thd_commit()
    assert os.listdir(directory) == ["abc"]
