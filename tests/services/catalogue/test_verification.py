"""What a verification reads and changes, on every database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from glance.db import images, leases, locations, verification
from glance.domain.image import Image, Location
from tests.services.catalogue.support import Catalogue


def add(catalogue: Catalogue, *urls: str, **fields: Any) -> Image:
    image = catalogue.add(**{"status": "active", "size": 5, **fields})
    for url in urls:
        catalogue.run(images.thd_add_location, image.id, Location(url, {"store": "one"}))
    return seen(catalogue, image.id)


def seen(catalogue: Catalogue, image_id: str) -> Image:
    look = catalogue.read(verification.thd_look, [image_id])
    image: Image = look.images[image_id]
    return image


def pages(catalogue: Catalogue, limit: int, ids: set[str] | None = None) -> list[Image]:
    found: list[Image] = []
    while page := catalogue.read(verification.thd_page, found[-1].id if found else "", limit, ids):
        found += page
    return found


def test_pages_of_what_should_have_data(catalogue: Catalogue) -> None:
    wanted = [add(catalogue, f"file:///{n}", f"file:///{n}/2") for n in range(5)]
    wanted.append(add(catalogue, status="deactivated"))
    add(catalogue, status="queued")
    gone = add(catalogue, "file:///gone")
    catalogue.run(images.thd_mark_deleted, gone, delayed=False)
    wanted.sort(key=lambda image: image.id)
    for limit in (1, 4, 100):
        found = pages(catalogue, limit)
        assert sorted(found, key=lambda image: image.id) == wanted
    assert catalogue.read(verification.thd_count, None) == (6, 30)
    few = {wanted[0].id, wanted[3].id, gone.id}
    assert {image.id for image in pages(catalogue, 1, few)} == few - {gone.id}
    assert catalogue.read(verification.thd_count, few) == (2, 10)
    assert catalogue.read(verification.thd_count, set()) == (0, 0)


def test_identifiers_of_no_image(catalogue: Catalogue) -> None:
    one, gone = add(catalogue), add(catalogue)
    catalogue.run(images.thd_mark_deleted, gone, delayed=False)
    assert catalogue.read(verification.thd_unknown, {one.id, gone.id, "b", "a"}) == ["a", "b"]
    assert catalogue.read(verification.thd_unknown, {one.id}) == []


def test_a_look(catalogue: Catalogue) -> None:
    one, other = add(catalogue, "file:///1"), add(catalogue, "file:///2", "file:///3")
    catalogue.run(images.thd_mark_deleted, one, delayed=True)
    catalogue.run(locations.thd_mark_leaving, other.locations[:1])
    catalogue.run(leases.thd_take, "nobody", leases.UPLOAD, "n", "w")
    look = catalogue.read(verification.thd_look, [one.id, other.id, "nobody", "nothing"])
    assert look.busy == {"nobody"}
    assert set(look.images) == {other.id}
    assert [place.url for place in look.images[other.id].locations] == ["file:///3"]
    assert look.statuses == {one.id: "pending_delete", other.id: "active"}
    assert {name: set(urls) for name, urls in look.urls.items()} == {
        one.id: {"file:///1"},
        other.id: {"file:///2", "file:///3"},
    }


def test_references(catalogue: Catalogue) -> None:
    kept, scrubbed, gone = (add(catalogue, f"file:///{n}") for n in range(3))
    catalogue.run(images.thd_mark_deleted, scrubbed, delayed=True)
    catalogue.run(images.thd_mark_deleted, gone, delayed=False)
    first = catalogue.read(verification.thd_references, 0, 1)
    assert [url for _, url in first] == ["file:///0"]
    rest = catalogue.read(verification.thd_references, first[0][0], 10)
    assert [url for _, url in rest] == ["file:///1"]
    ids = [kept.id, scrubbed.id, gone.id]
    assert set(catalogue.read(verification.thd_urls, ids)) == {"file:///0", "file:///1"}


def strike(catalogue: Catalogue, image: Image) -> bool:
    return bool(catalogue.run(verification.thd_strike_off, image, [image.locations[0].id]))


def deactivate(catalogue: Catalogue, image: Image) -> bool:
    return bool(catalogue.run(verification.thd_deactivate, image))


def fill_in(catalogue: Catalogue, image: Image) -> bool:
    values = {"os_hash_algo": "sha256", "os_hash_value": "aa", "checksum": "bb"}
    return bool(catalogue.run(verification.thd_fill_in, image, values))


Change = Callable[[Catalogue, Image], bool]
CHANGES = [strike, deactivate, fill_in]


@pytest.mark.parametrize("change", CHANGES)
def test_changes(catalogue: Catalogue, change: Change) -> None:
    image = add(catalogue, "file:///1", "file:///2")
    assert change(catalogue, image)
    after = seen(catalogue, image.id)
    urls = [place.url for place in after.locations]
    assert urls == (["file:///2"] if change is strike else ["file:///1", "file:///2"])
    assert after.status == ("deactivated" if change is deactivate else "active")
    assert after.os_hash_value == ("aa" if change is fill_in else None)
    # And not a second time.
    assert not change(catalogue, image)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("meanwhile", ["lease", "status", "location", "hash", "deleted"])
def test_changes_of_what_has_changed(catalogue: Catalogue, change: Change, meanwhile: str) -> None:
    image = add(catalogue, "file:///1", "file:///2")
    if meanwhile == "lease":
        catalogue.run(leases.thd_take, image.id, leases.REMOVAL, "n", "w")
    elif meanwhile == "status":
        catalogue.run(images.thd_set_status, image.id, "active", "deactivated")
    elif meanwhile == "location":
        catalogue.run(locations.thd_mark_leaving, image.locations[1:])
    elif meanwhile == "hash":
        values = {"os_hash_value": "cc"}
        catalogue.run(images.thd_set_status, image.id, "active", "active", values)
    else:
        catalogue.run(images.thd_mark_deleted, image, delayed=False)
    before = catalogue.read(verification.thd_look, [image.id])
    assert not change(catalogue, image)
    assert catalogue.read(verification.thd_look, [image.id]) == before


def test_the_last_copy_is_never_struck_off(catalogue: Catalogue) -> None:
    image = add(catalogue, "file:///1")
    assert not strike(catalogue, image)
    assert len(seen(catalogue, image.id).locations) == 1


def test_holding(catalogue: Catalogue) -> None:
    image = add(catalogue, "file:///1")
    for name in (image.id, "no image's"):
        lease = catalogue.run(verification.thd_hold, name, "n", "w")
        assert lease
        assert catalogue.run(verification.thd_hold, name, "n", "w") is None
        assert catalogue.run(leases.thd_end, lease)
