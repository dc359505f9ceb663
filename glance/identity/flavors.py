"""What ``[paste_deploy] flavor`` can be: the pipelines of former paste files."""

from __future__ import annotations

from glance.domain.errors import ConfigError

_OPEN = frozenset({"", "caching", "cachemanagement"})
_KEYSTONE = frozenset({"keystone", "keystone+caching", "keystone+cachemanagement"})
_TRUSTED = frozenset({"trusted-auth", "trusted-auth+cachemanagement"})


def authenticates(flavor: str | None) -> bool:
    """Tell whether callers are asked who they are.

    :raises ConfigError: there is no such flavor.
    """
    name = (flavor or "").strip()
    if name in _TRUSTED:
        raise ConfigError(
            f"[paste_deploy] flavor = {name} would believe whatever a request's headers say of "
            "who makes it. It is not available; use keystone."
        )
    if name not in _OPEN | _KEYSTONE:
        known = ", ".join(sorted((_OPEN | _KEYSTONE) - {""}))
        raise ConfigError(
            f"[paste_deploy] flavor = {name} is unknown. It must be unset or one of {known}."
        )
    return name in _KEYSTONE


def wants_cache(flavor: str | None) -> bool:
    """Tell whether data is to be cached on this node."""
    return "cach" in (flavor or "")


def has_old_cache_routes(flavor: str | None) -> bool:
    """Tell whether the cache can be managed by the routes of old, too."""
    return "cachemanagement" in (flavor or "")
