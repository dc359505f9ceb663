"""Which index driver a configuration asks for, and which it gets.

Drivers are imported when they are wanted: programs that cron runs all the time need one of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from oslo_config import cfg
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from glance.cache.interfaces import ICacheIndex
from glance.cache.layout import CacheDirectory
from glance.domain.caching import CachedImage, can_be_named
from glance.domain.errors import ConfigError

CENTRAL: Final = "centralized_db"
#: What the database takes.
LONGEST_URL: Final = 255

_log = Logger()


def chosen_driver(conf: Any) -> str:
    """Return the name of the driver that a configuration asks for.

    The default needs more than a default can know. So sqlite takes its place where nobody asked for
    it in so many words.

    :raises ConfigError: it was asked for, and cannot be; or the node's URL is none.
    """
    driver = str(conf.image_cache_driver)
    if driver != CENTRAL or node_url(conf) is not None:
        return driver
    if _is_set(conf, "image_cache_driver"):
        raise ConfigError(
            "[DEFAULT]image_cache_driver = centralized_db needs "
            "[DEFAULT]worker_self_reference_url, the URL at which other nodes reach this one. Set "
            "it, or use image_cache_driver = sqlite."
        )
    return "sqlite"


def node_url(conf: Any) -> str | None:
    """Return ``worker_self_reference_url`` as configured, since other software compares it.

    :raises ConfigError: it is no URL of a service.
    """
    url: str | None = conf.worker_self_reference_url
    if not url:
        return None
    problem = _problem(url)
    if problem is not None:
        raise ConfigError(f"[DEFAULT]worker_self_reference_url {problem}.")
    return url


def _problem(url: str) -> str | None:
    """Say what is wrong with a node's URL, without repeating it: it may hold a password."""
    if len(url) > LONGEST_URL:
        return f"is longer than {LONGEST_URL} characters"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        usable = usable and parts.port != 0  # a port that is no number is a ValueError
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        return "is not a URL such as http://node1.example.org:9292"
    if "@" in parts.netloc:
        return "has a user or a password in it, and everybody who may list nodes would see that"
    return None


def _is_set(conf: Any, name: str) -> bool:
    """Tell whether the operator gave an option a value."""
    found = conf.get_location(name)
    return found is not None and (
        found.location.is_user_controlled or found.location is cfg.Locations.set_override
    )


def needs_database(conf: Any) -> bool:
    """Tell whether the configured driver works on the catalogue's database.

    :raises ConfigError: as :func:`chosen_driver` does.
    """
    return chosen_driver(conf) == CENTRAL


def make_index(conf: Any, database: Any, reactor: Any) -> ICacheIndex:
    """Make the index that a configuration asks for. Nothing is opened before its start.

    :param database: the catalogue's ``Database``; ``None`` will do unless :func:`needs_database`.
    :raises ConfigError: options are missing or wrong.
    """
    driver = chosen_driver(conf)
    if not conf.image_cache_dir:
        raise ConfigError("[DEFAULT]image_cache_dir is not set, so there is no image cache.")
    directory = CacheDirectory(conf.image_cache_dir)
    path = _index_file(conf, directory)
    if driver == CENTRAL:
        from glance.cache.central_index import CentralIndex

        url = node_url(conf)
        if database is None or url is None:
            raise ValueError("the index needs the catalogue's database")
        central: ICacheIndex = CentralIndex(database, url, directory, path, reactor)
        return central
    from glance.cache.sqlite_index import SqliteIndex

    sqlite: ICacheIndex = SqliteIndex(directory, path, reactor)
    if driver == "xattr":
        from glance.cache.xattr_index import XattrIndex

        fallback: ICacheIndex = FallbackIndex(XattrIndex(directory, reactor), sqlite)
        return fallback
    if conf.image_cache_driver != driver:
        _log.info(
            "The image cache keeps book in {path}: centralized_db, the default of "
            "[DEFAULT]image_cache_driver, needs [DEFAULT]worker_self_reference_url",
            path=path,
        )
    return sqlite


def _index_file(conf: Any, directory: CacheDirectory) -> str:
    name = conf.image_cache_sqlite_db
    path = os.path.normpath(os.path.join(directory.root, name or ""))
    inside = os.path.relpath(path, directory.root).split(os.sep)
    taken = inside[0] in (os.curdir, "incomplete", "invalid", "queue", "locks")
    if not name or name.endswith(os.sep) or taken or can_be_named(inside[0]):
        raise ConfigError(
            f"[DEFAULT]image_cache_sqlite_db = {name}: this must be the name of a file, such as "
            "cache.db, and none that the cache's copies or directories have."
        )
    return path


@implementer(ICacheIndex)
class FallbackIndex:
    """An index in place of which another one is used where it cannot work.

    Only its start can tell.

    :param first: raises ``NoAttributes`` then.
    """

    def __init__(self, first: ICacheIndex, second: ICacheIndex) -> None:
        self._chosen = first
        self._second = second

    @property
    def name(self) -> str:
        """The name of the driver that is used."""
        return str(self._chosen.name)

    def start(self) -> Deferred[None]:
        """Start the one that can work here."""
        return self._chosen.start().addErrback(self._fall_back)

    def _fall_back(self, failure: Failure) -> Deferred[None]:
        from glance.cache.xattr_index import NoAttributes

        failure.trap(NoAttributes)
        _log.warn("{reason} The sqlite driver takes its place.", reason=failure.getErrorMessage())
        given_up, self._chosen = self._chosen, self._second
        stopped = given_up.stop()
        return stopped.addCallback(lambda _: self._chosen.start())

    def stop(self) -> Deferred[None]:
        """Stop the one that is used."""
        return self._chosen.stop()

    def entries(self) -> Deferred[list[CachedImage]]:
        """Return all entries."""
        return self._chosen.entries()

    def add(self, entries: Sequence[CachedImage]) -> Deferred[None]:
        """Record copies."""
        return self._chosen.add(entries)

    def remove(self, image_ids: Sequence[str]) -> Deferred[None]:
        """Forget copies."""
        return self._chosen.remove(image_ids)

    def touch(self, hits: Mapping[str, tuple[int, float]]) -> Deferred[None]:
        """Count hits."""
        return self._chosen.touch(hits)
