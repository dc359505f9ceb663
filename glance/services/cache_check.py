"""What has to be right of the image cache's options before a service starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glance.cache.layout import CacheDirectory
from glance.domain.caching import DIRECTORIES
from glance.domain.errors import ConfigError
from glance.identity.flavors import wants_cache
from glance.stores.neighbours import thd_check_apart

if TYPE_CHECKING:
    from glance.stores.registry import Stores

OPTION = "[DEFAULT]image_cache_dir"


def check_cache_options(conf: Any) -> str | None:
    """Check what the options alone can tell.

    :returns: which index driver it will be, ``None`` where there is no cache.
    :raises ConfigError: they do not go together.
    """
    if conf.image_cache_dir:
        from glance.cache.indexes import chosen_driver

        return chosen_driver(conf)
    flavor = conf.paste_deploy.flavor
    if wants_cache(flavor):
        raise ConfigError(
            f"[paste_deploy]flavor = {flavor} asks for the image cache, but {OPTION} is not set. "
            "Set it to the directory that copies are to be kept in, or take the cache out of the "
            "flavor."
        )
    return None


def thd_check_cache_place(conf: Any, stores: Stores) -> None:
    """Make the cache's directory ready, if it may be what is configured.

    :raises ConfigError: it cannot be used, or is in a store's way.
    """
    if conf.image_cache_dir:
        thd_check_apart(OPTION, conf.image_cache_dir, DIRECTORIES, stores.all())
        CacheDirectory(conf.image_cache_dir).thd_prepare()
