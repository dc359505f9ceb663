"""Whether the configured stores can be used: made as the service makes them, then written to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from glance.checks.places import thd_room, thd_trouble
from glance.checks.results import Finding, doubt, fault, note
from glance.checks.running import thd_finish
from glance.checks.setting import Setting
from glance.domain.errors import GlanceError

if TYPE_CHECKING:
    from glance.stores.registry import Stores

#: Part of a check's time that its stores may take, all side by side.
_SHARE = 0.9
#: Name of the file that is written; what is made of it is one that the stores' sweep removes.
_NAME = "glance-status"
#: One block.
_DATA = memoryview(bytes(4096))


def thd_stores(setting: Setting) -> Iterator[Finding]:
    """Look whether the stores make sense together, and try each that is written to."""
    conf = setting.conf
    with _listening() as heard:
        stores = _thd_make(conf)
    setting.stores = stores
    yield from heard
    found: dict[str, list[Finding]] = {store.store_id: [] for store in stores.all()}
    jobs = {
        store.store_id: partial(_thd_try, conf, stores, store, found[store.store_id])
        for store in stores.all()
    }
    finished = thd_finish(jobs, setting.patience * _SHARE)
    for store_id, findings in found.items():
        yield from list(findings)
        if not finished[store_id]:
            yield fault(
                f"Store {store_id} has not answered within {setting.patience * _SHARE:g} seconds. "
                "Is its file system there, and its server up?"
            )


def _thd_make(conf: Any) -> Stores:
    """Make the stores, as the service does before it starts them.

    :raises BadStoreConfiguration: the service could not.
    """
    from twisted.internet.task import Clock

    from glance.stores.drivers import BUILT_IN
    from glance.stores.registry import Stores

    named = (conf.enabled_backends or {}).values()
    if set(named) <= set(BUILT_IN):
        # They only keep it for later.
        return Stores(conf, Clock())
    from twisted.internet import reactor

    return Stores(conf, reactor)


@contextmanager
def _listening() -> Iterator[list[Finding]]:
    """Collect what the stores would log of their configuration."""
    from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogPublisher
    from zope.interface import provider

    heard: list[Finding] = []

    @provider(ILogObserver)
    def hear(event: Any) -> None:
        if str(event.get("log_namespace")).startswith("glance.stores"):
            level = event.get("log_level", LogLevel.debug)
            if level >= LogLevel.info:
                heard.append(doubt(formatEvent(event)))

    globalLogPublisher.addObserver(hear)
    try:
        yield heard
    finally:
        globalLogPublisher.removeObserver(hear)


def _thd_try(conf: Any, stores: Stores, store: Any, findings: list[Finding]) -> None:
    """Try one store and add to the findings."""
    from glance.stores import options

    section = (
        options.Section(conf, store.store_id, options.DEFAULTS_GROUP)
        if stores.multiple
        else options.Section(conf, "glance_store")
    )
    tries = {"file": _thd_try_file, "http": _thd_try_http}
    look = tries.get(store.driver)
    if look is None:
        findings.append(note(f"Store {store.store_id} ({store.driver}) was not tried."))
        return
    try:
        for finding in look(section):
            findings.append(Finding(finding.level, f"Store {store.store_id}: {finding.text}"))
    except GlanceError as error:
        findings.append(fault(f"Store {store.store_id}: {error.message}"))


def _thd_try_file(section: Any) -> Iterator[Finding]:
    from glance.stores import datadirs, file_options

    places = datadirs.parse(
        section.group,
        section.filesystem_store_datadir,
        section.filesystem_store_datadirs,
        section.is_set("filesystem_store_datadir"),
    )
    perm = file_options.parse_perm(section.group, section.filesystem_store_file_perm)
    for place in places:
        yield from thd_try_directory(place.path, perm, section.filesystem_store_direct_io)
    if path := section.filesystem_store_metadata_file:
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            yield fault(f"filesystem_store_metadata_file: {path} cannot be read: {error}.")
        else:
            file_options.parse_metadata(section.group, text)


def thd_try_directory(path: str, perm: int, direct: bool) -> Iterator[Finding]:
    """Write a file into a directory of a store, the way images are written, and remove it."""
    from glance.stores.errors import StoreError
    from glance.stores.partfile import PartFile

    problem = thd_trouble(path)
    if problem is not None:
        yield fault(f"{path} {problem}.")
        return
    if not os.path.exists(path):
        yield note(f"{path} is not there yet; the service makes it when it starts.")
        return
    part = PartFile(path, _NAME, perm, direct, thin=False)
    try:
        part.thd_open()
        try:
            part.thd_write(0, _DATA)
        finally:
            part.thd_discard()
    except StoreError as error:
        yield fault(f"{path} was tried by writing a file into it: {error.message}")
        return
    yield from thd_room(path)


def _thd_try_http(section: Any) -> Iterator[Finding]:
    if path := section.https_ca_certificates_file:
        from glance.stores.trust import thd_read_authorities

        thd_read_authorities(section.group, path)
    elif section.https_insecure:
        yield doubt(
            "certificates of https servers are not verified; see https_ca_certificates_file and "
            "https_insecure."
        )
