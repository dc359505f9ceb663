"""Whether a directory that the service keeps something else in gets in the way of a store."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from glance.domain.errors import ConfigError


def thd_check_apart(option: str, path: str, own: Iterable[str], stores: Iterable[Any]) -> None:
    """Check that a directory and the stores' own are not in each other's way.

    A store below it is not, as long as it is not in what the directory's user makes there.

    :param option: that names the directory, for the message.
    :param own: directories that are made in it.
    :param stores: those without a list ``directories`` are passed over.
    :raises ConfigError: they are; what is removed from one would be missing in the other.
    """
    place = os.path.realpath(path)
    for store in stores:
        for configured in getattr(store, "directories", ()):
            data = os.path.realpath(configured)
            if is_inside(place, data) or any(
                is_inside(data, os.path.join(place, name)) for name in own
            ):
                raise ConfigError(
                    f"{option} = {path} and the directory {configured} of store {store.store_id} "
                    "are in each other's way: the files of one would be taken for the other's. "
                    "Name another directory."
                )


def is_inside(path: str, directory: str) -> bool:
    """Tell whether a path is a directory or below it; both absolute and normalised."""
    return path == directory or path.startswith(directory.rstrip(os.sep) + os.sep)
