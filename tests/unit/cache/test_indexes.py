"""Which driver a configuration gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from zope.interface.verify import verifyObject

from glance.cache.central_index import CentralIndex
from glance.cache.indexes import FallbackIndex, chosen_driver, make_index, needs_database, node_url
from glance.cache.interfaces import ICacheIndex, ISharedIndex
from glance.cache.sqlite_index import SqliteIndex
from glance.cache.xattr_index import NoAttributes, XattrIndex
from glance.config.options.cache import OPTIONS
from glance.domain.errors import ConfigError, Unavailable
from tests.unit.cache.index_doubles import IMAGE, result

URL = "http://node1.example.org:9292"


@pytest.fixture
def logged() -> Any:
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    yield lambda level: [e for e in events if e["log_level"] == level]
    globalLogPublisher.removeObserver(events.append)


@pytest.fixture
def configure(tmp_path: Path) -> Any:
    """Load options from a file, as an operator has them."""

    def configure(**options: str) -> cfg.ConfigOpts:
        options.setdefault("image_cache_dir", str(tmp_path / "cache"))
        lines = [f"{name} = {value}" for name, value in options.items()]
        file = tmp_path / "x.conf"
        file.write_text("\n".join(["[DEFAULT]", *lines]))
        conf = cfg.ConfigOpts()
        conf.register_opts(OPTIONS["DEFAULT"])
        conf([f"--config-file={file}"], default_config_files=[], default_config_dirs=[])
        return conf

    return configure


def test_centralized_is_the_default(configure: Any) -> None:
    conf = configure(worker_self_reference_url=URL)
    index = make_index(conf, object(), Clock())
    assert isinstance(index, CentralIndex)
    assert verifyObject(ISharedIndex, index)
    assert needs_database(conf)


def test_by_default_sqlite_takes_its_place(configure: Any, tmp_path: Path, logged: Any) -> None:
    conf = configure(image_cache_sqlite_db="book.db")
    assert not needs_database(conf)
    index = make_index(conf, None, Clock())
    assert isinstance(index, SqliteIndex)
    assert index._path == str(tmp_path / "cache/book.db")
    (event,) = logged(LogLevel.info)
    assert "worker_self_reference_url" in event["log_format"]


@pytest.mark.parametrize("by", ["file", "environment", "override"])
def test_who_asks_for_it_must_say_which_node(
    configure: Any, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "environment":
        monkeypatch.setenv("OS_DEFAULT__IMAGE_CACHE_DRIVER", "centralized_db")
    conf = configure(**{"image_cache_driver": "centralized_db"} if by == "file" else {})
    if by == "override":
        conf.set_override("image_cache_driver", "centralized_db")
    with pytest.raises(ConfigError) as caught:
        make_index(conf, object(), Clock())
    assert "image_cache_driver" in caught.value.message
    assert "worker_self_reference_url" in caught.value.message


def test_sqlite_by_name(configure: Any, logged: Any) -> None:
    conf = configure(image_cache_driver="sqlite", worker_self_reference_url=URL)
    assert isinstance(make_index(conf, None, Clock()), SqliteIndex)
    assert logged(LogLevel.info) == []


def test_xattr(configure: Any) -> None:
    index = make_index(configure(image_cache_driver="xattr"), None, Clock())
    assert isinstance(index, FallbackIndex)
    assert verifyObject(ICacheIndex, index)
    assert not ISharedIndex.providedBy(index)
    assert index.name == "xattr"


@pytest.mark.parametrize(
    "url",
    [
        "node1:9292", "//node1:9292", "ftp://node1", "http://", "http:///path", "http://n:x",
        "http://n:0", "http://n/a b", "http://n\u00f6de", "http://n:99999", "http://[::1",
        "http://admin:s3cret@node1:9292", "http://" + "n" * 249,
    ],
)  # fmt: skip
def test_urls_that_are_none(configure: Any, url: str) -> None:
    conf = configure(worker_self_reference_url=url)
    with pytest.raises(ConfigError) as caught:
        chosen_driver(conf)
    assert "worker_self_reference_url" in caught.value.message
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [URL, URL + "/", "https://[::1]:9292/image", "HTTP://Node", "http://" + "n" * 248],
)
def test_urls_are_kept_as_they_are(configure: Any, url: str) -> None:
    assert node_url(configure(worker_self_reference_url=url)) == url


@pytest.mark.parametrize(
    "name", ["", ".", "sub/", "queue/x", "locks", "./invalid", IMAGE, "a/../incomplete"]
)
def test_names_that_the_cache_has_itself(configure: Any, name: str) -> None:
    conf = configure(image_cache_driver="sqlite", image_cache_sqlite_db=name)
    with pytest.raises(ConfigError, match="image_cache_sqlite_db"):
        make_index(conf, None, Clock())


def test_a_file_elsewhere(configure: Any, tmp_path: Path) -> None:
    conf = configure(image_cache_driver="sqlite", image_cache_sqlite_db=str(tmp_path / "x.db"))
    index = make_index(conf, None, Clock())
    assert isinstance(index, SqliteIndex)
    assert index._path == str(tmp_path / "x.db")


class Probe:
    """An index that tells what is done with it."""

    def __init__(self, name: str, started: Deferred[None]) -> None:
        self.name = name
        self._started = started
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*args: object) -> Any:
            self.calls.append(name)
            return self._started if name == "start" else succeed(None)

        return call


def test_sqlite_where_there_are_no_attributes(logged: Any) -> None:
    xattr = Probe("xattr", fail(NoAttributes("No attributes here.")))
    sqlite = Probe("sqlite", succeed(None))
    index = FallbackIndex(xattr, sqlite)  # type: ignore[arg-type]
    result(index.start())
    assert index.name == "sqlite"
    for answer in (index.entries(), index.add([]), index.remove([]), index.touch({})):
        result(answer)
    result(index.stop())
    assert xattr.calls == ["start", "stop"]
    assert sqlite.calls == ["start", "entries", "add", "remove", "touch", "stop"]
    (event,) = logged(LogLevel.warn)
    assert "No attributes here." in event["reason"]


@pytest.mark.parametrize("error", [ConfigError("No directory."), Unavailable("Full.")])
def test_other_troubles_are_no_reason(error: Exception) -> None:
    xattr, sqlite = Probe("xattr", fail(error)), Probe("sqlite", succeed(None))
    index = FallbackIndex(xattr, sqlite)  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        result(index.start())
    result(index.entries())
    assert (xattr.calls, sqlite.calls) == (["start", "entries"], [])


def test_xattr_where_there_are_attributes(configure: Any) -> None:
    xattr, sqlite = Probe("xattr", succeed(None)), Probe("sqlite", succeed(None))
    index = FallbackIndex(xattr, sqlite)  # type: ignore[arg-type]
    result(index.start())
    result(index.touch({}))
    assert (index.name, xattr.calls, sqlite.calls) == ("xattr", ["start", "touch"], [])
    assert isinstance(
        make_index(configure(image_cache_driver="xattr"), None, Clock())._chosen, XattrIndex
    )
