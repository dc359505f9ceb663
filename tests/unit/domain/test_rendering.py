from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.image import ACTIVE, DEACTIVATED, Image, Location
from glance.domain.rendering import HIDDEN_PROPERTIES, render_image, render_page

ID = "3f2b9c1e-1111-4222-8333-444455556666"
ALWAYS = [
    "name", "disk_format", "container_format", "visibility", "size", "virtual_size", "status",
    "checksum", "protected", "min_ram", "min_disk", "owner", "os_hidden", "os_hash_algo",
    "os_hash_value", "id", "created_at", "updated_at",
]  # fmt: skip
LINKS = ["tags", "self", "file", "schema"]


def an_image(**fields: object) -> Image:
    image = Image(ID, created_at=datetime(2026, 1, 2, 3, 4, 5, 999_999))
    image.updated_at = datetime(2026, 12, 31, 23, 59, 59)
    for name, value in fields.items():
        setattr(image, name, value)
    return image


def test_a_fresh_image_has_every_field_in_order() -> None:
    body = render_image(an_image())
    assert list(body) == ALWAYS + LINKS
    assert body == {
        "name": None, "disk_format": None, "container_format": None, "visibility": "shared",
        "size": None, "virtual_size": None, "status": "queued", "checksum": None,
        "protected": False, "min_ram": 0, "min_disk": 0, "owner": None, "os_hidden": False,
        "os_hash_algo": None, "os_hash_value": None, "id": ID,
        "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-12-31T23:59:59Z", "tags": [],
        "self": f"/v2/images/{ID}", "file": f"/v2/images/{ID}/file",
        "schema": "/v2/schemas/image",
    }  # fmt: skip


def test_everything_on_keeps_the_order() -> None:
    image = an_image(
        properties={"hw_b": "2", "hw_a": None},
        tags=["z", "a"],
        locations=[
            Location("file:///one", {"store": "fast"}, id=7),
            Location("file:///two", {"store": "slow"}, id=8),
        ],
    )
    body = render_image(
        image, show_direct_url=True, show_multiple_locations=True, stores_enabled=True
    )
    assert list(body) == [
        "hw_b", "hw_a", *ALWAYS, "locations", "direct_url", *LINKS, "stores",
    ]  # fmt: skip
    assert body["hw_a"] == ""
    assert body["tags"] == ["a", "z"]
    assert body["stores"] == "fast,slow"
    assert body["direct_url"] == "file:///one"
    assert body["locations"] == [
        {"url": "file:///one", "metadata": {"store": "fast"}},
        {"url": "file:///two", "metadata": {"store": "slow"}},
    ]


def test_without_data_there_is_no_direct_url_and_no_stores() -> None:
    body = render_image(
        an_image(), show_direct_url=True, show_multiple_locations=True, stores_enabled=True
    )
    assert body["locations"] == []
    assert "direct_url" not in body
    assert "stores" not in body


@pytest.mark.parametrize(
    ("switch", "field"),
    [
        ("show_direct_url", "direct_url"),
        ("show_multiple_locations", "locations"),
        ("stores_enabled", "stores"),
    ],
)
def test_each_switch_shows_its_own_field(switch: str, field: str) -> None:
    image = an_image(locations=[Location("file:///one", {"store": "fast"})])
    plain = render_image(image)
    assert list(plain) == ALWAYS + LINKS
    assert set(render_image(image, **{switch: True})) - set(plain) == {field}


def test_where_data_of_a_deactivated_image_is_takes_a_word_to_show() -> None:
    image = an_image(status=DEACTIVATED, locations=[Location("file:///secret")])
    assert render_image(image, show_multiple_locations=True)["locations"] == []


def test_an_image_that_is_not_saved_yet_has_no_times() -> None:
    body = render_image(Image(ID))
    assert body["created_at"] is None
    assert body["updated_at"] is None


@pytest.mark.parametrize(
    ("status", "is_admin", "shown"),
    [(ACTIVE, False, True), (DEACTIVATED, False, False), (DEACTIVATED, True, True)],
)
def test_a_deactivated_image_hides_where_its_data_is(
    status: str, is_admin: bool, shown: bool
) -> None:
    image = an_image(status=status, locations=[Location("file:///secret", {"store": "fast"})])
    body = render_image(
        image,
        show_direct_url=True,
        show_multiple_locations=True,
        stores_enabled=True,
        is_admin=is_admin,
    )
    assert bool(body["locations"]) is shown
    assert ("direct_url" in body) is shown
    assert ("stores" in body) is shown


@pytest.mark.parametrize("name", [*sorted(HIDDEN_PROPERTIES), "stores", "locations", "direct_url"])
def test_withheld_properties_never_show(name: str) -> None:
    assert name not in render_image(an_image(properties={name: "http://worker:9292"}))


@given(st.dictionaries(st.text(), st.none() | st.text()))
def test_no_custom_property_can_pose_as_a_field(properties: dict[str, str | None]) -> None:
    plain = render_image(an_image())
    body = render_image(
        an_image(properties={**properties, "status": "active", "os_hash_value": "forged"})
    )
    assert {name: body[name] for name in plain} == plain


def test_rendering_leaves_the_image_alone() -> None:
    image = an_image(tags=["b", "a"], properties={"p": None})
    render_image(image)
    assert image == an_image(tags=["b", "a"], properties={"p": None})


def test_a_page_has_a_next_link_only_when_one_follows() -> None:
    assert render_page([{"id": 1}], "/first", None) == {
        "images": [{"id": 1}], "first": "/first", "schema": "/v2/schemas/images",
    }  # fmt: skip
    assert list(render_page([], "/first", "/next")) == ["images", "first", "next", "schema"]
