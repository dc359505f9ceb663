"""What keeps a service with a cache from starting."""

from types import SimpleNamespace

import pytest

from glance.domain.errors import ConfigError
from glance.identity.flavors import has_old_cache_routes, wants_cache
from glance.services.cache_check import check_cache_options, thd_check_cache_place
from tests.unit.identity.support import configured


class Stores:
    """A store of one directory, and one that has none."""

    def __init__(self, directory):
        self.file = SimpleNamespace(store_id="fast", directories=[str(directory)])

    def all(self):
        return [SimpleNamespace(store_id="web"), self.file]


def options(flavor, text=""):
    return configured({}, flavor=flavor, more=f"[DEFAULT]\n{text}")


@pytest.mark.parametrize(
    ("flavor", "wanted", "old"),
    [
        (None, False, False),
        ("keystone", False, False),
        ("caching", True, False),
        ("keystone+caching", True, False),
        ("cachemanagement", True, True),
        ("keystone+cachemanagement", True, True),
    ],
)
def test_flavors(flavor, wanted, old):
    assert (wants_cache(flavor), has_old_cache_routes(flavor)) == (wanted, old)


def test_no_cache():
    assert check_cache_options(options("keystone")) is None


@pytest.mark.parametrize("flavor", ["caching", "keystone+cachemanagement"])
def test_flavor_needs_a_directory(flavor):
    with pytest.raises(ConfigError) as caught:
        check_cache_options(options(flavor))
    for name in (f"[paste_deploy]flavor = {flavor}", "[DEFAULT]image_cache_dir"):
        assert name in caught.value.message


@pytest.mark.parametrize("flavor", ["", "keystone", "caching", "keystone+cachemanagement"])
def test_directory_does_with_any_flavor(flavor):
    assert check_cache_options(options(flavor, "image_cache_dir = /nowhere\n")) == "sqlite"


def test_driver_that_was_asked_for():
    text = "image_cache_dir = /nowhere\nimage_cache_driver = centralized_db\n"
    with pytest.raises(ConfigError, match="worker_self_reference_url"):
        check_cache_options(options("", text))


def test_directory_is_made(tmp_path):
    conf = options("", f"image_cache_dir = {tmp_path}/a/cache\n")
    thd_check_cache_place(conf, Stores(tmp_path / "images"))
    names = {path.name for path in (tmp_path / "a" / "cache").iterdir()}
    assert {"incomplete", "invalid", "queue", "locks"} <= names


def test_nothing_is_made_where_there_is_no_cache(tmp_path):
    thd_check_cache_place(options(""), Stores(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_made_in_a_store(tmp_path):
    conf = options("", f"image_cache_dir = {tmp_path}/images/cache\n")
    with pytest.raises(ConfigError) as caught:
        thd_check_cache_place(conf, Stores(tmp_path / "images"))
    for name in ("[DEFAULT]image_cache_dir", f"{tmp_path}/images/cache", "fast"):
        assert name in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_directory_that_cannot_be_used(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(ConfigError, match=r"\[DEFAULT\]image_cache_dir"):
        thd_check_cache_place(
            options("", f"image_cache_dir = {tmp_path}/cache\n"), Stores(tmp_path / "images")
        )
