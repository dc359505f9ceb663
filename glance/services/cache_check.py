"""What has to be right of the image cache's options before a service starts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from glance.cache.layout import CacheDirectory
from glance.domain.caching import DIRECTORIES
from glance.domain.errors import ConfigError
from glance.identity.flavors import wants_cache
from glance.services.cache_owner import become_owner
from glance.stores.neighbours import file_directories, thd_check_apart

if TYPE_CHECKING:
    from glance.config import Loaded

OPTION = "[DEFAULT]image_cache_dir"


def check_cache_options(conf: Any) -> str | None:
    """Check what the options alone can tell.

    :returns: which index driver it will be, ``None`` where there is no cache.
    :raises ConfigError: they do not go together.
    """
    if conf.image_cache_dir:
        from glance.cache.indexes import chosen_driver

        _check_place(conf.image_cache_dir)
        return chosen_driver(conf)
    flavor = conf.paste_deploy.flavor
    if wants_cache(flavor):
        raise ConfigError(
            f"[paste_deploy]flavor = {flavor} asks for the image cache, but {OPTION} is not set. "
            "Set it to the directory that copies are to be kept in, or take the cache out of the "
            "flavor."
        )
    return None


def thd_prepare_cache(conf: Any) -> CacheDirectory:
    """Make the cache's directory ready, if it may be what is configured.

    :raises ConfigError: it cannot be used, or is in a store's way.
    """
    _check_place(conf.image_cache_dir)
    thd_check_apart(OPTION, conf.image_cache_dir, DIRECTORIES, file_directories(conf))
    directory = CacheDirectory(conf.image_cache_dir)
    directory.thd_prepare()
    return directory


def _check_place(path: str) -> None:
    """Check that a path means the same to all programs, wherever they are started.

    :raises ConfigError: it does not.
    """
    if not os.path.isabs(path):
        raise ConfigError(f"{OPTION} = {path} is not an absolute path.")


def thd_check_cache(loaded: Loaded) -> CacheDirectory:
    """Check, for a program of the cache's own, that there is a cache; make its directory ready.

    :raises ConfigError: there is none, or it cannot be used.
    """
    if not loaded.conf.image_cache_dir:
        raise ConfigError(f"{OPTION} is not set, so there is no image cache. {_files_of(loaded)}")
    return thd_prepare_cache(loaded.conf)


def thd_check_cache_once(loaded: Loaded) -> CacheDirectory:
    """Check the same for a program that cron runs; root's one goes on as the cache's own user.

    :raises ConfigError: there is no cache, or it cannot be used.
    """
    if loaded.conf.image_cache_dir:
        become_owner(loaded.conf.image_cache_dir)
    return thd_check_cache(loaded)


def thd_check_catalogue(loaded: Loaded, *, needed: bool) -> bool:
    """Check the catalogue's database, where a program of the cache's own works on it.

    :param needed: whether it does so whatever the index is kept in.
    :returns: whether it does.
    :raises ConfigError: it cannot.
    :raises Unavailable: the database cannot be reached.
    """
    from glance.cache.indexes import needs_database

    central = needs_database(loaded.conf)
    if not (needed or central):
        return False
    if not loaded.conf.database.connection:
        why = "[DEFAULT]image_cache_driver = centralized_db" if central else loaded.program
        raise ConfigError(
            f"[database]connection is not set, and {why} needs the catalogue. {_files_of(loaded)}"
        )
    from glance.services.database_check import thd_check_database

    if loaded.embedded:
        loaded.thd_make_state_dir()
    thd_check_database(loaded)
    return True


def _files_of(loaded: Loaded) -> str:
    if loaded.config_files:
        return f"Configuration files that were read: {', '.join(loaded.config_files)}."
    return "No configuration file was found; name one with --config-file."
