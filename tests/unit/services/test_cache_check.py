"""What keeps a service with a cache from starting."""

import os

import pytest

from glance.config import load
from glance.domain.errors import ConfigError
from glance.identity.flavors import has_old_cache_routes, wants_cache
from glance.services.cache_check import check_cache_options, thd_check_cache, thd_prepare_cache
from tests.unit.identity.support import configured


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


def test_directory_is_the_same_wherever_a_program_is_started():
    conf = options("", "image_cache_dir = cache\n")
    for check in (check_cache_options, thd_prepare_cache):
        with pytest.raises(ConfigError, match="image_cache_dir = cache is not an absolute path"):
            check(conf)


def beside(directory, cache):
    """Options of a cache and of a store in some directory."""
    return options(
        "", f"image_cache_dir = {cache}\n[glance_store]\nfilesystem_store_datadir = {directory}\n"
    )


def test_directory_is_made(tmp_path):
    thd_prepare_cache(beside(tmp_path / "images", tmp_path / "a" / "cache"))
    names = {path.name for path in (tmp_path / "a" / "cache").iterdir()}
    assert {"incomplete", "invalid", "queue", "locks"} <= names


def test_nothing_is_made_in_a_store(tmp_path):
    with pytest.raises(ConfigError) as caught:
        thd_prepare_cache(beside(tmp_path / "images", tmp_path / "images" / "cache"))
    for name in ("[DEFAULT]image_cache_dir", f"{tmp_path}/images/cache", "file"):
        assert name in caught.value.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("section", ["slow", "backend_defaults"])
def test_one_of_several_stores(tmp_path, section):
    conf = options(
        "",
        f"image_cache_dir = {tmp_path}/x\nenabled_backends = fast:file,slow:file,web:http\n"
        f"[{section}]\nfilesystem_store_datadirs = {tmp_path}/y:1\n"
        f"filesystem_store_datadirs = {tmp_path}/x:2\n",
    )
    with pytest.raises(ConfigError, match=r"store (fast|slow)"):
        thd_prepare_cache(conf)


def test_directory_that_cannot_be_used(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(ConfigError, match=r"\[DEFAULT\]image_cache_dir"):
        thd_prepare_cache(beside(tmp_path / "images", tmp_path / "cache"))


@pytest.mark.parametrize(
    "program",
    ["glance-cache", "glance-cache-cleaner", "glance-cache-pruner", "glance-cache-prefetcher"],
)
def test_no_program_takes_a_store_for_the_cache(tmp_path, monkeypatch, program):
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    images = tmp_path / "images"
    images.mkdir()
    path = tmp_path / "x.conf"
    path.write_text(
        f"[DEFAULT]\nimage_cache_dir = {images}\nenabled_backends = fast:file\n"
        f"[glance_store]\ndefault_backend = fast\n"
        f"[fast]\nfilesystem_store_datadir = {images}\n"
        f"[database]\nconnection = sqlite:///{tmp_path}/x.sqlite\n"
    )
    with pytest.raises(ConfigError, match="store fast"):
        thd_check_cache(load(program, ["--config-file", str(path)]))
    assert list(images.iterdir()) == []
