import json
from typing import Any

import fastjsonschema
import pytest

from glance.domain.documents import (
    UUID_PATTERN,
    image_schema,
    images_schema,
    served_schemas,
    split_custom,
    tasks_schema,
)
from glance.domain.errors import ConfigError
from glance.domain.image import Image
from glance.domain.rendering import render_image, render_page

DISK = ["raw", "qcow2"]
CONTAINER = ["bare"]

IMAGE_PROPERTIES = [
    "id", "name", "status", "visibility", "protected", "os_hidden", "checksum", "os_hash_algo",
    "os_hash_value", "owner", "size", "virtual_size", "container_format", "disk_format",
    "created_at", "updated_at", "tags", "direct_url", "min_ram", "min_disk", "self", "file",
    "stores", "schema", "locations",
]  # fmt: skip
TASK_PROPERTIES = [
    "id", "type", "status", "input", "result", "owner", "message", "image_id", "request_id",
    "user_id", "expires_at", "created_at", "updated_at", "self", "schema",
]  # fmt: skip


def undescribed(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "description"}


def test_the_image_document() -> None:
    document = image_schema(DISK, CONTAINER)
    assert list(document) == ["name", "properties", "additionalProperties", "links"]
    assert document["name"] == "image"
    assert document["additionalProperties"] == {"type": "string"}
    assert [link["rel"] for link in document["links"]] == ["self", "enclosure", "describedby"]
    properties = document["properties"]
    assert list(properties) == IMAGE_PROPERTIES
    assert {name: undescribed(schema) for name, schema in properties.items()} | {
        "locations": None
    } == {
        "id": {"type": "string", "pattern": UUID_PATTERN},
        "name": {"type": ["null", "string"], "maxLength": 255},
        "status": {
            "type": "string", "readOnly": True,
            "enum": [
                "queued", "saving", "active", "killed", "deleted", "uploading", "importing",
                "pending_delete", "deactivated",
            ],
        },
        "visibility": {"type": "string", "enum": ["community", "public", "private", "shared"]},
        "protected": {"type": "boolean"},
        "os_hidden": {"type": "boolean"},
        "checksum": {"type": ["null", "string"], "readOnly": True, "maxLength": 32},
        "os_hash_algo": {"type": ["null", "string"], "readOnly": True, "maxLength": 64},
        "os_hash_value": {"type": ["null", "string"], "readOnly": True, "maxLength": 128},
        "owner": {"type": ["null", "string"], "maxLength": 255},
        "size": {"type": ["null", "integer"], "readOnly": True},
        "virtual_size": {"type": ["null", "integer"], "readOnly": True},
        "container_format": {"type": ["null", "string"], "enum": [None, "bare"]},
        "disk_format": {"type": ["null", "string"], "enum": [None, "raw", "qcow2"]},
        "created_at": {"type": "string", "readOnly": True},
        "updated_at": {"type": "string", "readOnly": True},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 255}},
        "direct_url": {"type": "string", "readOnly": True},
        "min_ram": {"type": "integer"},
        "min_disk": {"type": "integer"},
        "self": {"type": "string", "readOnly": True},
        "file": {"type": "string", "readOnly": True},
        "stores": {"type": "string", "readOnly": True},
        "schema": {"type": "string", "readOnly": True},
        "locations": None,
    }  # fmt: skip
    validation = {
        "type": "object", "writeOnly": True, "additionalProperties": False,
        "properties": {
            "checksum": {"type": "string", "minLength": 32, "maxLength": 32},
            "os_hash_algo": {"type": "string", "maxLength": 64},
            "os_hash_value": {"type": "string", "maxLength": 128},
        },
        "required": ["os_hash_algo", "os_hash_value"],
    }  # fmt: skip
    location = properties["locations"]["items"]
    described = location["properties"]["validation_data"]
    assert location == {
        "type": "object",
        "properties": {
            "url": {"type": "string", "maxLength": 255},
            "metadata": {"type": "object"},
            "validation_data": described,
        },
        "required": ["url", "metadata"],
    }
    assert undescribed(described) == validation


def test_the_member_and_task_documents() -> None:
    served = served_schemas(DISK, CONTAINER)
    text, uuid = {"type": "string"}, {"type": "string", "pattern": UUID_PATTERN}
    link = {"readOnly": True, "type": "string"}
    members = served["members"]
    assert list(members["properties"]) == ["members", "schema"]
    assert members["properties"]["members"] == {"type": "array", "items": served["member"]}
    assert [each["rel"] for each in members["links"]] == ["describedby"]
    assert {name: undescribed(s) for name, s in served["member"]["properties"].items()} == {
        "member_id": text, "image_id": uuid, "created_at": text, "updated_at": text,
        "status": {"type": "string", "enum": ["pending", "accepted", "rejected"]},
        "schema": link,
    }  # fmt: skip
    maybe = {"type": ["null", "object"]}
    assert {name: undescribed(s) for name, s in served["task"]["properties"].items()} == {
        "id": uuid,
        "type": {"enum": ["import", "api_image_import", "location_import"], "type": "string"},
        "status": {"enum": ["pending", "processing", "success", "failure"], "type": "string"},
        "input": maybe, "result": maybe, "owner": text, "message": text, "image_id": text,
        "request_id": text, "user_id": text, "expires_at": {"type": ["null", "string"]},
        "created_at": text, "updated_at": text, "self": link, "schema": link,
    }  # fmt: skip


def test_every_field_is_described() -> None:
    for path in ("image", "task"):
        for name, schema in served_schemas(DISK, CONTAINER)[path]["properties"].items():
            if name not in ("self", "schema"):
                assert schema["description"], name


def test_pages_wrap_their_items() -> None:
    document = images_schema(DISK, CONTAINER)
    assert list(document) == ["name", "properties", "links"]
    assert list(document["properties"]) == ["images", "first", "next", "schema"]
    assert document["properties"]["images"]["items"] == image_schema(DISK, CONTAINER)
    assert [link["rel"] for link in document["links"]] == ["first", "next", "describedby"]


def test_the_served_paths_and_their_names() -> None:
    served = served_schemas(DISK, CONTAINER)
    images = {path: served[path] for path in served if not path.startswith("metadefs/")}
    assert list(images) == ["image", "images", "member", "members", "task", "tasks"]
    assert all(document["name"] == path for path, document in images.items())
    json.dumps(served)


def test_tasks_leave_out_what_may_be_long() -> None:
    task = served_schemas(DISK, CONTAINER)["task"]
    assert list(task["properties"]) == TASK_PROPERTIES
    page = tasks_schema()["properties"]
    assert list(page) == ["tasks", "schema"]
    item = page["tasks"]["items"]
    assert list(item["properties"]) == [
        name for name in TASK_PROPERTIES if name not in ("input", "result", "message")
    ]


def test_what_is_rendered_matches_what_is_served() -> None:
    image = render_image(Image("0" * 8 + "-1111-4222-8333-" + "4" * 12))
    image["created_at"] = image["updated_at"] = "2026-01-01T00:00:00Z"
    page = render_page([image], "/v2/images", "/v2/images?marker=x")
    fastjsonschema.compile(images_schema(DISK, CONTAINER))(page)


@pytest.mark.parametrize(
    "custom",
    [
        {"arch": {"type": "string", "description": "Processor"}},
        {"properties": {"arch": {"type": "string", "description": "Processor"}}},
    ],
)
def test_custom_properties_are_marked(custom: dict[str, Any]) -> None:
    document = image_schema(DISK, CONTAINER, custom)
    assert list(document["properties"]) == [*IMAGE_PROPERTIES, "arch"]
    assert document["properties"]["arch"] == {
        "type": "string", "description": "Processor", "is_base": False,
    }  # fmt: skip
    assert "required" not in document
    assert custom in (
        {"arch": {"type": "string", "description": "Processor"}},
        {"properties": {"arch": {"type": "string", "description": "Processor"}}},
    )


def test_required_custom_properties() -> None:
    custom = {"properties": {"arch": {"type": "string"}}, "required": ["arch"]}
    assert image_schema(DISK, CONTAINER, custom)["required"] == ["arch"]


def test_a_flat_file_may_have_a_property_called_properties() -> None:
    custom = {"properties": {"type": "string"}}
    assert split_custom(custom) == (custom, [])
    beside: dict[str, Any] = {"properties": {"items": {"type": "string"}}, "arch": {}}
    assert split_custom(beside) == (beside, [])


def test_a_base_field_may_be_repeated_but_not_changed() -> None:
    same = {"name": {"type": ["null", "string"], "maxLength": 255, "description": "Other words"}}
    assert image_schema(DISK, CONTAINER, same) == image_schema(DISK, CONTAINER)
    with pytest.raises(ConfigError, match="schema-image.json.*'name'"):
        image_schema(DISK, CONTAINER, {"name": {"type": "string"}})


@pytest.mark.parametrize(
    "custom",
    [
        {"arch": "string"},
        {"": {"type": "string"}},
        {"properties": {"arch": {}}, "required": "arch"},
        {"properties": {"arch": {}}, "required": [1]},
    ],
)
def test_malformed_custom_properties(custom: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="schema-image.json"):
        image_schema(DISK, CONTAINER, custom)
