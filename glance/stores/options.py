"""One store's values of the configuration, whichever section they come from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from oslo_config import cfg

from glance.stores.errors import BadStoreConfiguration

DEFAULTS_GROUP = "backend_defaults"


def _unreadable(group: str, name: str, error: ValueError) -> BadStoreConfiguration:
    return BadStoreConfiguration(f"[{group}] {name}: the value cannot be used: {error}")


class Section:
    """The values of one group, with a second group to fall back on.

    Reading an attribute gives the option of that name.

    :param conf: the loaded configuration.
    :param group: the store's own section.
    :param defaults: section whose values stand in for what the store's own leaves unset.
    """

    def __init__(self, conf: Any, group: str, defaults: str | None = None) -> None:
        self._conf = conf
        self.group = group
        self._defaults = defaults

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        group = self._group_of(name)
        try:
            return getattr(getattr(self._conf, group), name)
        except cfg.NoSuchOptError:
            raise AttributeError(name) from None
        except ValueError as e:
            raise _unreadable(group, name, e) from e

    def is_set(self, name: str) -> bool:
        """Tell whether the operator gave the option a value."""
        return self._set_in(self._group_of(name), name)

    def elsewhere(self, group: str, options: Iterable[Any]) -> Section:
        """Return the values of a group that is not this store's alone.

        :param options: declared there, in case that the program has not done so.
        """
        register(self._conf, group, options)
        return Section(self._conf, group)

    def has_any(self, names: Iterable[str]) -> bool:
        """Tell whether the operator gave any of some options a value in the store's own section."""
        return any(self._set_in(self.group, name) for name in names)

    def _group_of(self, name: str) -> str:
        if (
            self._defaults is not None
            and not self._set_in(self.group, name)
            and self._set_in(self._defaults, name)
        ):
            return self._defaults
        return self.group

    def _set_in(self, group: str, name: str) -> bool:
        try:
            found = self._conf.get_location(name, group=group)
        except (cfg.NoSuchOptError, cfg.NoSuchGroupError):
            return False
        except ValueError as e:
            raise _unreadable(group, name, e) from e
        return found is not None and (
            found.location.is_user_controlled or found.location is cfg.Locations.set_override
        )


def register(conf: Any, group: str, options: Iterable[Any]) -> None:
    """Declare options in a section; those declared there already stay as they are."""
    for option in options:
        with contextlib.suppress(cfg.DuplicateOptError):
            conf.register_opt(option, group=group)
