"""Whether a directory that the service keeps something else in gets in the way of a store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from glance.domain.errors import ConfigError
from glance.stores import datadirs
from glance.stores.errors import BadStoreConfiguration
from glance.stores.options import DEFAULTS_GROUP, Section


def file_directories(conf: Any) -> dict[str, list[str]]:
    """Return the directories of the stores that are files, by store, without making the stores.

    One whose options cannot be used has none: to say so is the start's business.
    """
    found: dict[str, list[str]] = {}
    for store_id, section in _file_stores(conf):
        try:
            places = datadirs.parse(
                section.group,
                section.filesystem_store_datadir,
                section.filesystem_store_datadirs,
                section.is_set("filesystem_store_datadir"),
            )
        except BadStoreConfiguration:
            places = []
        found[store_id] = [place.path for place in places]
    return found


def _file_stores(conf: Any) -> Iterator[tuple[str, Section]]:
    if not conf.enabled_backends:
        if {"file", "filesystem"} & {name.strip() for name in conf.glance_store.stores}:
            yield "file", Section(conf, "glance_store")
        return
    for store_id, driver in conf.enabled_backends.items():
        if driver == "file":
            yield store_id, Section(conf, store_id, DEFAULTS_GROUP)


def thd_check_apart(
    option: str, path: str, own: Iterable[str], directories: Mapping[str, Sequence[str]]
) -> None:
    """Check that a directory and the stores' own are not in each other's way.

    A store below it is not, as long as it is not in what the directory's user makes there.

    :param option: that names the directory, for the message.
    :param own: directories that are made in it.
    :param directories: see :func:`file_directories`.
    :raises ConfigError: they are; what is removed from one would be missing in the other.
    """
    place = os.path.realpath(path)
    for store_id, configured in directories.items():
        for directory in configured:
            data = os.path.realpath(directory)
            if is_inside(place, data) or any(
                is_inside(data, os.path.join(place, name)) for name in own
            ):
                raise ConfigError(
                    f"{option} = {path} and the directory {directory} of store {store_id} are in "
                    "each other's way: the files of one would be taken for the other's. Name "
                    "another directory."
                )


def is_inside(path: str, directory: str) -> bool:
    """Tell whether a path is a directory or below it; both absolute and normalised."""
    return path == directory or path.startswith(directory.rstrip(os.sep) + os.sep)
