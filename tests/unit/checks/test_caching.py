import os

import pytest

from glance.checks import caching
from glance.checks.caching import file_system
from glance.checks.results import Level
from glance.domain.errors import ConfigError
from glance.services.cache_check import check_cache_options
from tests.unit.checks.conftest import bad, levels

IMAGE = "5f6c2d3e-0000-4000-8000-000000000001"
URL = "worker_self_reference_url = http://node1.example:9292\n"


def look(setting):
    return list(caching.thd_cache(check_cache_options, setting))


@pytest.fixture
def place(tmp_path):
    path = tmp_path / "cache"
    path.mkdir()
    return path


@pytest.fixture
def cached(make, place):
    """Make a setting with a cache and more of ``[DEFAULT]``."""

    def cached(more="image_cache_driver = sqlite\nimage_cache_max_size = 1048576\n", **kw):
        return make(f"[DEFAULT]\nimage_cache_dir = {place}\n{more}", **kw)

    return cached


def test_no_cache(make):
    (finding,) = look(make())
    assert finding.level is Level.SUCCESS
    assert "not cached" in finding.text


@pytest.mark.parametrize("flavor", ["caching", "cachemanagement", "keystone+caching"])
def test_flavor_without_a_directory(make, flavor):
    with pytest.raises(ConfigError) as caught:
        look(make(f"[paste_deploy]\nflavor = {flavor}\n"))
    assert f"[paste_deploy]flavor = {flavor}" in caught.value.message
    assert "[DEFAULT]image_cache_dir" in caught.value.message


def test_good(cached):
    (finding,) = look(cached())
    assert finding.level is Level.SUCCESS
    assert "holds 0 bytes of at most 1.0 MiB" in finding.text


class TestDriver:
    def test_default_without_the_nodes_url(self, cached):
        (told,) = bad(look(cached("image_cache_max_size = 1048576\n")))
        assert "sqlite stands in for centralized_db" in told
        assert "[DEFAULT]worker_self_reference_url" in told

    def test_asked_for_without_the_nodes_url(self, cached):
        with pytest.raises(ConfigError, match=r"\[DEFAULT\]worker_self_reference_url"):
            look(cached("image_cache_driver = centralized_db\n"))

    @pytest.mark.parametrize("driver", ["", "image_cache_driver = centralized_db\n"])
    def test_with_it(self, cached, driver):
        assert bad(look(cached(f"image_cache_max_size = 1048576\n{URL}{driver}"))) == []

    @pytest.mark.parametrize("works", [True, False])
    def test_attributes(self, cached, place, monkeypatch, works):
        def setxattr(*_):
            if not works:
                raise OSError(95, "Operation not supported")

        monkeypatch.setattr(os, "setxattr", setxattr)
        setting = cached("image_cache_driver = xattr\nimage_cache_max_size = 1048576\n")
        told = bad(look(setting))
        assert len(told) == (not works)
        assert all("operation not supported" in text for text in told)
        assert list(place.iterdir()) == []


class TestDirectory:
    def test_not_there_yet(self, cached, place):
        place.rmdir()
        findings = look(cached())
        assert levels(findings) == [Level.SUCCESS]
        assert "makes it when it starts" in findings[0].text
        assert not place.exists()

    def test_no_directory(self, cached, place):
        place.rmdir()
        place.write_text("")
        (finding,) = look(cached())
        assert finding.level is Level.FAILURE
        assert finding.text.startswith(f"[DEFAULT]image_cache_dir: {place}")

    @pytest.mark.parametrize(
        ("data", "apart"),
        [
            ("images", True),
            ("cache", False),
            ("", False),
            ("cache/images", True),
            ("cache/incomplete", False),
            ("cache/queue/x", False),
            ("link", False),
        ],
    )
    def test_beside_a_store(self, make, tmp_path, place, data, apart):
        (tmp_path / "link").symlink_to(tmp_path)
        setting = make(
            f"[DEFAULT]\nimage_cache_dir = {place}\nimage_cache_max_size = 1048576\n"
            "image_cache_driver = sqlite\n"
            f"[glance_store]\nfilesystem_store_datadir = {tmp_path}/{data}\n",
            default_store=False,
        )
        findings = look(setting)
        faults = [f.text for f in findings if f.level is Level.FAILURE]
        assert len(faults) == (not apart)
        assert all("[DEFAULT]image_cache_dir" in text and "store" in text for text in faults)

    def test_store_that_cannot_be_made(self, make, tmp_path, place):
        setting = make(
            f"[DEFAULT]\nimage_cache_dir = {place}\nimage_cache_max_size = 1048576\n"
            "image_cache_driver = sqlite\n"
            f"[glance_store]\nfilesystem_store_datadir = {place}\n"
            f"filesystem_store_datadirs = {place}\n",
            default_store=False,
        )
        # Which another check says.
        assert bad(look(setting)) == []

    @pytest.mark.parametrize(("kind", "shared"), [("ext4", False), ("nfs4", True), ("9p", True)])
    def test_network_file_system(self, cached, monkeypatch, kind, shared):
        monkeypatch.setattr(caching, "file_system", lambda *_: kind)
        told = bad(look(cached()))
        assert len(told) == shared
        assert all(f"({kind})" in text for text in told)

    def test_mounts_in_another_encoding(self, cached, place, monkeypatch):
        mounts = place / "mounts"
        monkeypatch.setattr(caching, "_MOUNTS", mounts)
        mounts.write_bytes(b"1 0 8:1 / / rw - nfs4 x rw\n2 1 0:5 / /\xff rw - ext4 x rw\n")
        assert len(bad(look(cached()))) == 1


class TestIndex:
    def test_file_of_others(self, cached, place, monkeypatch):
        (place / "cache.db").write_bytes(b"")
        assert bad(look(cached())) == []
        real = os.access
        monkeypatch.setattr(
            os, "access", lambda path, how, **kw: "cache.db" not in str(path) and real(path, how)
        )
        (told,) = bad(look(cached()))
        assert f"[DEFAULT]image_cache_sqlite_db: {place}/cache.db is not a file" in told

    def test_no_file(self, cached, place):
        (place / "cache.db").mkdir()
        (told,) = bad(look(cached()))
        assert f"{place}/cache.db is not a file" in told


class TestRoom:
    @pytest.mark.parametrize(
        ("where", "size", "counts"),
        [
            (IMAGE, 2 << 20, True),
            (f"incomplete/{IMAGE}", 2 << 20, True),
            (f"invalid/{IMAGE}", 2 << 20, True),
            (IMAGE, 1 << 20, False),
            (f"queue/{IMAGE}", 2 << 20, False),
            ("cache.db", 2 << 20, False),
            ("disk.img", 2 << 20, False),
        ],
    )
    def test_over_the_limit(self, cached, place, where, size, counts):
        path = place / where
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
        told = bad(look(cached()))
        assert len(told) == counts
        assert all("holds 2.0 MiB" in text and "allows 1.0 MiB" in text for text in told)

    @pytest.mark.parametrize(("free", "enough"), [(512 << 10, True), ((512 << 10) - 1, False)])
    def test_disk(self, cached, place, monkeypatch, free, enough):
        (place / IMAGE).write_bytes(bytes(512 << 10))
        real = os.statvfs(place)

        class Stats:
            f_bavail, f_frsize, f_flag = free, 1, real.f_flag

        monkeypatch.setattr(os, "statvfs", lambda path: Stats)
        told = bad(look(cached()))
        assert len(told) == (not enough)
        assert all("image_cache_max_size" in text for text in told)


MOUNTS = """\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:5 / /srv rw shared:1 master:2 - nfs4 server:/x rw
3 1 0:6 / /srv/my\\040cache rw - xfs /dev/sdb rw
4 1 0:7 / /over rw - ext4 /dev/sdc rw
5 1 0:8 / /over rw - tmpfs none rw
6 1 0:9 / /мир/a\\134\\040é rw - cifs none rw
nonsense
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/var/lib", "ext4"),
        ("/srv", "nfs4"),
        ("/srv/a", "nfs4"),
        ("/srvx", "ext4"),
        ("/srv/my cache/a", "xfs"),
        ("/over/x", "tmpfs"),
        ("/мир/a\\ é/x", "cifs"),
    ],
)
def test_file_system(path, kind):
    assert file_system(path, MOUNTS) == kind


def test_file_system_that_is_not_told():
    assert file_system("/x", "") is None
