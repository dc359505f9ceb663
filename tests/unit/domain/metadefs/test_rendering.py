"""How metadata definitions look in a reply."""

from datetime import datetime
from typing import Any

import pytest

from glance.domain.metadefs.model import Association, Namespace, Object, Property, ResourceType, Tag
from glance.domain.metadefs.rendering import (
    path_of,
    render_association,
    render_entry,
    render_namespace,
    render_namespaces,
    render_object,
    render_properties,
    render_property,
    render_resource_type,
    render_tag,
    render_whole,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678900)
TIMES = {"created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z"}
SMALL = {"type": "string", "title": "t"}


def whole() -> Namespace:
    return Namespace(
        "Acme::1", "p1", "public", True, "d", "", NOW, NOW, 7,
        [Association("OS::A", "a_", "image", NOW, NOW), Association("OS::B", None, None, NOW, NOW)],
        [Property("p", SMALL, NOW, NOW)],
        [Object("o", None, ["q"], {"q": SMALL}, NOW, NOW)],
        [Tag("t", NOW, NOW)],
    )  # fmt: skip


OWN = {
    "namespace": "Acme::1", "display_name": "d", "description": "", "visibility": "public",
    "protected": True, "owner": "p1", **TIMES,
}  # fmt: skip
ENDED = {"self": "/v2/metadefs/namespaces/Acme::1", "schema": "/v2/schemas/metadefs/namespace"}
ASSOCIATIONS = [
    {"name": "OS::A", "prefix": "a_", "properties_target": "image", **TIMES},
    {"name": "OS::B", **TIMES},
]


def rendered_object(prefix: str = "") -> dict[str, Any]:
    return {
        "name": "o",
        "required": [f"{prefix}q"],
        "properties": {f"{prefix}q": SMALL},
        **TIMES,
        "self": "/v2/metadefs/namespaces/Acme::1/objects/o",
        "schema": "/v2/schemas/metadefs/object",
    }


@pytest.mark.parametrize(
    ("resource_type", "prefix"), [(None, ""), ("OS::A", "a_"), ("OS::B", ""), ("OS::C", "")]
)
def test_a_whole_namespace(resource_type: str | None, prefix: str) -> None:
    body = render_whole(whole(), resource_type)
    assert body == {
        **OWN,
        "resource_type_associations": ASSOCIATIONS,
        "properties": {f"{prefix}p": SMALL},
        "objects": [rendered_object(prefix)],
        "tags": [{"name": "t"}],
        **ENDED,
    }


def test_what_is_not_there_is_left_out() -> None:
    bare = Namespace("Acme::1", "p1", created_at=NOW)
    wanted = {
        "namespace": "Acme::1", "visibility": "private", "protected": False, "owner": "p1",
        "created_at": TIMES["created_at"], **ENDED,
    }  # fmt: skip
    assert render_whole(bare) == render_entry(bare) == render_namespace(bare) == wanted


def test_a_namespace_without_what_it_defines() -> None:
    assert render_namespace(whole()) == {**OWN, **ENDED}
    entry = {**OWN, "resource_type_associations": ASSOCIATIONS, **ENDED}
    assert render_entry(whole()) == entry


def test_a_page() -> None:
    page = render_namespaces([{"a": 1}], "first", None)
    assert page == {
        "namespaces": [{"a": 1}], "first": "first", "schema": "/v2/schemas/metadefs/namespaces",
    }  # fmt: skip
    assert render_namespaces([], "first", "next")["next"] == "next"


def test_parts() -> None:
    assert render_property(Property("p", SMALL)) == {"name": "p", **SMALL}
    assert render_properties([Property("p", SMALL)]) == {"p": SMALL}
    assert render_object(whole().objects[0], "Acme::1") == rendered_object()
    assert render_object(Object("o", "d"), "A")["description"] == "d"
    assert render_tag(Tag("t", NOW, NOW)) == {"name": "t", **TIMES}
    assert render_association(Association("a", "")) == {"name": "a", "prefix": ""}
    assert render_resource_type(ResourceType("a", True, NOW, NOW)) == {"name": "a", **TIMES}


def test_links_are_links() -> None:
    assert path_of("a b?", "objects", "ü%") == (
        "/v2/metadefs/namespaces/a%20b%3F/objects/%C3%BC%25"
    )
