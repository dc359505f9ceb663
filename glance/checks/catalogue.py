"""What the catalogue tells: deletions nobody carries out, work nobody does, data not found."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from glance.checks.results import Finding, doubt, fault, note, some
from glance.checks.setting import Setting
from glance.config import load
from glance.domain.image import ACTIVE, DEACTIVATED, IMPORTING, PENDING_DELETE, SAVING, UPLOADING

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: What a scrubber may be late by: a day if cron starts it, or two rounds of one that runs.
_LATE = timedelta(days=1)
_ROUNDS = 2
#: How long an image may be under way without any trace of who is at work on it.
_ABANDONED = timedelta(hours=1)
#: How long a task may take.
_LONG_TASK = timedelta(days=1)
#: The oldest and the newest locations whose data is looked for, of each so many.
SAMPLE = 100

_SCHEMES = (
    "file", "filesystem", "http", "https", "swift", "swift+http", "swift+https", "swift+config",
    "rbd", "s3", "s3+http", "s3+https", "cinder", "vsphere", "sheepdog",
)  # fmt: skip


def _has_catalogue(setting: Setting) -> bool:
    from glance.db.schema_status import State

    status = setting.schema
    return status is not None and status.state in {State.BEHIND, State.CURRENT, State.AHEAD}


def thd_pending_deletes(setting: Setting) -> Iterator[Finding]:
    """Look for deleted images whose data should have been removed by now."""
    if not _has_catalogue(setting):
        return
    # The scrubber has files of its own.
    scrubber = load("glance-scrubber", setting.files_given).conf
    margin = max(_LATE, _ROUNDS * timedelta(seconds=scrubber.wakeup_time))
    before = setting.now - timedelta(seconds=scrubber.scrub_time) - margin
    with setting.thd_connected() as connection:
        count, oldest = _thd_pending(connection, before)
    if count:
        yield doubt(
            f"{count} images wait to be scrubbed although their time was over more than "
            f"{_hours(margin)} ago, the oldest deleted on {oldest:%Y-%m-%d %H:%M} UTC. Is "
            "glance-scrubber running, here or on another node? Their data takes up room until it "
            "is run."
        )
    elif setting.conf.delayed_delete:
        yield note("Deletion is delayed, and no image waits longer than it should.")


def _thd_pending(connection: Connection, before: datetime) -> tuple[int, Any]:
    from sqlalchemy import func, select

    from glance.db.tables import images

    row = connection.execute(
        select(func.count(), func.min(images.c.deleted_at))
        .where(images.c.status == PENDING_DELETE)
        .where(images.c.deleted_at < before)
    ).one()
    return row[0], row[1]


def _hours(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):g} hours"


def thd_work(setting: Setting) -> Iterator[Finding]:
    """Look for uploads, leases and tasks that were left in the middle."""
    if not _has_catalogue(setting):
        return
    assert setting.schema is not None
    leased = bool(setting.schema.own)
    stale = timedelta(seconds=setting.conf.transfer_stale_time)
    with setting.thd_connected() as connection:
        for status in (SAVING, IMPORTING, UPLOADING):
            before = setting.now - max(_ABANDONED, 2 * stale)
            stuck = _thd_without_lease(connection, status, before, leased)
            if stuck:
                yield doubt(
                    f"{len(stuck)} images are {status}, and no service of this release is at "
                    f"work on them: {some(stuck)}. {_REMEDIES[status]}"
                )
        if leased:
            # A service that runs finds these by itself, sooner than this.
            still = _thd_still(connection, setting.now - 3 * stale)
            if still:
                yield doubt(
                    f"{len(still)} leases have not been renewed for {3 * stale.total_seconds():g} "
                    f"seconds, on the images {some(still)}. A glance-api that runs on this "
                    "database puts that right by itself: is none running, or do clocks differ?"
                )
        tasks = _thd_long_tasks(connection, setting.now - _LONG_TASK)
        if tasks:
            yield doubt(
                f"{len(tasks)} tasks have been under way for more than {_hours(_LONG_TASK)}: "
                f"{some(tasks)}. They were left by a process that is gone."
            )


_REMEDIES = {
    # Other releases leave no lease: what they are at work on for long looks just like this.
    SAVING: "If no service of another release is receiving their data, that broke off: delete "
    "them, and upload them anew.",
    IMPORTING: "If no service of another release is importing them, that broke off: delete them, "
    "and import them anew.",
    UPLOADING: "They were staged and never imported: delete them if nobody will.",
}


def _thd_without_lease(
    connection: Connection, status: str, before: datetime, leased: bool
) -> Sequence[str]:
    from sqlalchemy import false, select

    from glance.db.own_tables import transfer_leases
    from glance.db.tables import images

    query = (
        select(images.c.id)
        .where(images.c.deleted == false())
        .where(images.c.status == status)
        .where(images.c.updated_at < before)
        .order_by(images.c.updated_at)
    )
    if leased:
        query = query.where(images.c.id.not_in(select(transfer_leases.c.image_id)))
    return list(connection.scalars(query))


def _thd_still(connection: Connection, before: datetime) -> Sequence[str]:
    from sqlalchemy import select

    from glance.db.own_tables import transfer_leases as leases

    query = select(leases.c.image_id).where(leases.c.heartbeat_at < before)
    return list(connection.scalars(query.order_by(leases.c.heartbeat_at)))


def _thd_long_tasks(connection: Connection, before: datetime) -> Sequence[str]:
    from sqlalchemy import false, select

    from glance.db.tables import tasks

    return list(
        connection.scalars(
            select(tasks.c.id)
            .where(tasks.c.deleted == false())
            .where(tasks.c.status == "processing")
            .where(tasks.c.updated_at < before)
            .order_by(tasks.c.updated_at)
        )
    )


def thd_locations(setting: Setting) -> Iterator[Finding]:
    """Look whether there is a store for each image's data, and for a sample whether it is there."""
    if not _has_catalogue(setting):
        return
    if setting.stores is None:
        yield doubt("Not looked at, since the stores cannot be made.")
        return
    with setting.thd_connected() as connection:
        counts = _thd_schemes(connection)
        sample = _thd_sample(connection)
    yield from unserved(counts, setting.stores)
    yield from _thd_look_for(sample, setting.stores)


def _thd_schemes(connection: Connection) -> dict[str, int]:
    """Count the locations of images by scheme; under the empty one those of none that is known."""
    from sqlalchemy import case, false, func, select

    from glance.db.tables import image_locations as locations

    sums = [
        func.coalesce(func.sum(case((locations.c.value.like(f"{scheme}://%"), 1), else_=0)), 0)
        for scheme in _SCHEMES
    ]
    query = select(func.count(), *sums).where(locations.c.deleted == false())
    total, *counts = connection.execute(query).one()
    found = {scheme: int(count) for scheme, count in zip(_SCHEMES, counts, strict=True) if count}
    rest = int(total) - sum(found.values())
    return {**found, **({"": rest} if rest else {})}


def unserved(counts: dict[str, int], stores: Any) -> Iterator[Finding]:
    """Say of which schemes there are locations but no store."""
    for scheme, count in counts.items():
        if scheme and not any(scheme in store.schemes for store in stores.all()):
            yield fault(
                f"{count} copies of images are in {scheme} stores, and no such store is "
                "configured: they cannot be read."
            )


def _thd_sample(connection: Connection) -> list[tuple[str, str, Any]]:
    """Return image, URL and metadata of some locations of images that have data, old and new."""
    from sqlalchemy import false, select

    from glance.db.sealed_locations import thd_opener
    from glance.db.tables import image_locations as locations
    from glance.db.tables import images

    opened = thd_opener(connection) or (lambda image_id, value: value)
    query = (
        select(locations.c.id, locations.c.image_id, locations.c.value, locations.c.meta_data)
        .join(images, images.c.id == locations.c.image_id)
        .where(locations.c.deleted == false())
        .where(images.c.deleted == false())
        .where(images.c.status.in_((ACTIVE, DEACTIVATED)))
        .limit(SAMPLE)
    )
    found = {}
    for order in (locations.c.id.asc(), locations.c.id.desc()):
        for row in connection.execute(query.order_by(order)):
            found[row[0]] = (row[1], opened(row[1], row[2]), row[3])
    return list(found.values())


def _thd_look_for(sample: Sequence[tuple[str, str, Any]], stores: Any) -> Iterator[Finding]:
    from glance.stores.errors import BadLocation, UnknownStore

    nowhere, gone, sealed = [], [], []
    for image_id, url, metadata in sample:
        known = metadata if isinstance(metadata, dict) else {}
        try:
            store = stores.for_url(url, known.get("store") or known.get("backend"))
        except UnknownStore:
            if url.partition("://")[0] in _SCHEMES:
                nowhere.append(image_id)
            continue
        except BadLocation:
            sealed.append(image_id)
            continue
        if store.driver == "file" and not _thd_is_file(url):
            gone.append(image_id)
    if nowhere:
        yield fault(
            f"{len(nowhere)} of {len(sample)} copies looked at are in no store that is configured, "
            f"for instance of the images {some(dict.fromkeys(nowhere))}. Do the stores' "
            "directories stand in the configuration as they did when the images were uploaded?"
        )
    if gone:
        yield fault(
            f"{len(gone)} of {len(sample)} copies looked at are not where the catalogue says, for "
            f"instance of the images {some(dict.fromkeys(gone))}. Is a file system not mounted? "
            "glance-manage store verify looks at all of them."
        )
    if sealed:
        yield fault(
            f"{len(sealed)} of {len(sample)} locations looked at are encrypted and cannot be read, "
            f"for instance of the images {some(dict.fromkeys(sealed))}. Set "
            "[DEFAULT]metadata_encryption_key to the key that they were written with."
        )
    if sample and not (nowhere or gone or sealed):
        yield note(f"{len(sample)} copies were looked for, and are there.")


def _thd_is_file(url: str) -> bool:
    from glance.stores.datadirs import split_url
    from glance.stores.errors import BadLocation

    try:
        return any(os.path.isfile(os.path.join(*pair)) for pair in split_url(url))
    except BadLocation:
        return False
