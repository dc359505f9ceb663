"""What a patch may do to an image's locations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from glance.domain.errors import (
    Conflict,
    Forbidden,
    GlanceError,
    Invalid,
    InvalidStatus,
    LimitExceeded,
)
from glance.domain.image import ACTIVE, DEACTIVATED, QUEUED, Image, Location
from glance.domain.location_changes import NewPlaces
from glance.domain.patch import apply, parse_v21
from glance.domain.quotas import Quotas
from glance.domain.schemas import ImageValidator

VALIDATOR = ImageValidator(["raw"], ["bare"])
ONE, TWO, THREE = ("http://host/one", "http://host/two", "http://host/three")
SIZE = 300
SHA = "ab" * 64


def place(url: str, metadata: Mapping[str, Any]) -> Location:
    return Location(url, {**metadata, "store": "web"})


def places() -> NewPlaces:
    found = {ONE: SIZE, TWO: SIZE, THREE: 1}
    return NewPlaces(place, frozenset({"http", "https"}), "sha512", found)


def image(*urls: str, status: str = ACTIVE, **fields: Any) -> Image:
    stored = [Location(url, {"store": "web"}, id=n) for n, url in enumerate(urls, 1)]
    formats = {"disk_format": "raw", "container_format": "bare"}
    size = SIZE if urls else None
    return Image("i", status, **{**formats, "size": size, "locations": stored, **fields})


def add(url: str, position: str = "-", **more: Any) -> dict[str, Any]:
    value = {"url": url, "metadata": {}, **more}
    return {"op": "add", "path": f"/locations/{position}", "value": value}


def swap(*urls: str, **metadata: Any) -> dict[str, Any]:
    value = [{"url": url, "metadata": metadata} for url in urls]
    return {"op": "replace", "path": "/locations", "value": value}


def drop(position: str) -> dict[str, Any]:
    return {"op": "remove", "path": f"/locations/{position}"}


def patched(before: Image, *items: dict[str, Any], **more: Any) -> Image:
    more = {"quotas": Quotas(), "places": places(), **more}
    return apply(before, parse_v21(list(items)), is_admin=False, validator=VALIDATOR, **more)


def urls(of: Image) -> list[str]:
    return [location.url for location in of.locations]


class TestAdding:
    def test_first_one_makes_a_queued_image_active(self) -> None:
        before = image(status=QUEUED)
        after = patched(before, add(ONE))
        assert (after.status, after.size, urls(after)) == (ACTIVE, SIZE, [ONE])
        assert after.locations[0].metadata == {"store": "web"}
        assert (before.status, before.size, before.locations) == (QUEUED, None, [])

    @pytest.mark.parametrize(("position", "order"), [("-", [ONE, TWO]), ("0", [TWO, ONE])])
    def test_position(self, position: str, order: list[str]) -> None:
        assert urls(patched(image(ONE), add(TWO, position))) == order

    @pytest.mark.parametrize(
        ("before", "item", "error"),
        [
            (image(ONE), add(ONE), Invalid),
            (image(ONE), add(THREE), Invalid),
            (image(ONE, status=DEACTIVATED), add(TWO), InvalidStatus),
            (image(status=QUEUED, disk_format=None), add(ONE), Invalid),
            (image(status=QUEUED), add("file:///etc/passwd"), Invalid),
            (image(status=QUEUED), add("http://host/elsewhere"), Conflict),
            (image(status=QUEUED), {"op": "add", "path": "/locations/-", "value": 1}, Invalid),
        ],
    )
    def test_refused(self, before: Image, item: Any, error: type[GlanceError]) -> None:
        with pytest.raises(error):
            patched(before, item)

    def test_quota(self) -> None:
        with pytest.raises(LimitExceeded):
            patched(image(ONE), add(TWO), quotas=Quotas(image_location_quota=1))

    def test_formats_may_come_with_it(self) -> None:
        change = {"op": "replace", "path": "/disk_format", "value": "raw"}
        assert patched(image(status=QUEUED, disk_format=None), change, add(ONE)).status == ACTIVE
        with pytest.raises(Forbidden):
            patched(image(status=QUEUED), add(ONE), change)


class TestHashes:
    stated = {"validation_data": {"os_hash_algo": "sha512", "os_hash_value": SHA}}

    def test_are_taken_while_queued(self) -> None:
        after = patched(image(status=QUEUED), add(ONE, **self.stated))
        assert (after.os_hash_algo, after.os_hash_value) == ("sha512", SHA)

    def test_must_agree_with_what_is_known(self) -> None:
        known = image(ONE, os_hash_algo="sha512", os_hash_value=SHA)
        assert urls(patched(known, add(TWO, **self.stated))) == [ONE, TWO]
        known.os_hash_value = "cd" * 64
        with pytest.raises(Conflict):
            patched(known, add(TWO, **self.stated))

    def test_are_not_added_to_an_active_image(self) -> None:
        with pytest.raises(Conflict):
            patched(image(ONE), add(TWO, **self.stated))


class TestReplacing:
    def test_gives_a_queued_image_all_at_once(self) -> None:
        after = patched(image(status=QUEUED), swap(ONE, TWO))
        assert (after.status, urls(after)) == (ACTIVE, [ONE, TWO])

    def test_changes_metadata_only(self) -> None:
        after = patched(image(ONE, TWO), swap(TWO, ONE, note="new"))
        assert [(p.url, p.id) for p in after.locations] == [(ONE, 1), (TWO, 2)]
        assert {p.metadata["note"] for p in after.locations} == {"new"}
        assert {p.metadata["store"] for p in after.locations} == {"web"}

    @pytest.mark.parametrize(
        ("item", "error"),
        [
            (swap(), Forbidden),
            (swap(ONE), Invalid),
            (swap(ONE, THREE), Invalid),
            (swap(ONE, ONE), Invalid),
            ({"op": "replace", "path": "/locations", "value": {}}, Invalid),
        ],
    )
    def test_refused(self, item: Any, error: type[GlanceError]) -> None:
        with pytest.raises(error):
            patched(image(ONE, TWO), item)


class TestRemoving:
    @pytest.mark.parametrize(("position", "left"), [("0", [TWO]), ("1", [ONE]), ("-", [ONE])])
    def test_position(self, position: str, left: list[str]) -> None:
        assert urls(patched(image(ONE, TWO), drop(position))) == left

    @pytest.mark.parametrize(
        ("before", "position", "error"),
        [
            (image(ONE), "0", Forbidden),
            (image(ONE, TWO), "2", Invalid),
            (image(ONE, TWO, status=DEACTIVATED), "0", InvalidStatus),
        ],
    )
    def test_refused(self, before: Image, position: str, error: type[GlanceError]) -> None:
        with pytest.raises(error):
            patched(before, drop(position))
