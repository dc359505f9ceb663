"""The field's own clients: do they do their work with us, as far as definitions are concerned?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.functional.clients import Clients, clients, venv
from tests.functional.server import Server

__all__ = ["clients", "venv"]

pytestmark = pytest.mark.clients

_ALL = "/v2/metadefs/namespaces"
SMALL = {"title": "Width", "type": "integer", "minimum": 1, "default": 3}


def show(server: Server, name: str) -> Any:
    answer = server.request("GET", f"{_ALL}/{name}")
    assert answer.status == 200, answer
    return answer.json


def check_gone(server: Server, name: str) -> None:
    assert server.request("GET", f"{_ALL}/{name}").status == 404


def test_glanceclient(server: Server, clients: Clients) -> None:
    name = "Glance::Client"
    (clients.home / "namespace.json").write_text(
        json.dumps(
            {
                "namespace": "Glance::Import",
                "resource_type_associations": [{"name": "OS::Acme::A", "prefix": "a_"}],
                "properties": {"width": SMALL},
                "objects": [{"name": "size", "required": ["w"], "properties": {"w": SMALL}}],
                "tags": [{"name": "one"}],
            }
        )
    )
    schema = json.dumps({"enum": ["a", "b"], "operators": ["<or>"]})
    changed_schema = json.dumps({"default": "a"})
    size = json.dumps({"required": ["w"], "properties": {"w": SMALL}})
    said = clients.run_all(
        "glance",
        server.url,
        [
            ["md-namespace-create", "--display-name", "d", "--visibility", "public", name],
            ["md-namespace-import", "--file", "namespace.json"],
            ["md-namespace-list", "--visibility", "public", "--page-size", "1"],
            ["md-namespace-list", "--resource-types", "OS::Acme::A"],
            ["md-namespace-show", "--resource-type", "OS::Acme::A", "Glance::Import"],
            ["md-namespace-update", "--description", "changed", name],
            ["md-resource-type-associate", "--name", "OS::Acme::B", "--prefix", "b_", name],
            ["md-resource-type-list"],
            ["md-namespace-resource-type-list", name],
            ["md-property-create", "--name", "colour", "--title", "Colour", "--type", "string",
             "--schema", schema, name],
            ["md-property-list", name],
            ["md-property-show", name, "colour"],
            ["md-property-update", "--title", "Paint", "--schema", changed_schema, name, "colour"],
            ["md-object-create", "--name", "size", "--schema", size, name],
            ["md-object-list", name],
            ["md-object-show", name, "size"],
            ["md-object-property-show", name, "size", "w"],
            ["md-object-update", "--name", "extent", name, "size"],
            ["md-tag-create", "--name", "one", name],
            # It stumbles over a header of its own when it is to make several at once.
            ["md-tag-create", "--name", "two", name],
            ["md-tag-show", name, "one"],
            ["md-tag-update", "--name", "first", name, "one"],
            ["md-tag-list", name],
        ],
    )  # fmt: skip
    for number, words in (
        (2, (name,)),
        (3, ("Glance::Import",)),
        (4, ("a_width", "a_w")),
        (7, ("OS::Acme::A", "OS::Acme::B")),
        (8, ("OS::Acme::B", "b_")),
        (10, ("colour", "Colour")),
        (11, ("<or>",)),
        (14, ("size",)),
        (15, ("required",)),
        (16, ("Width",)),
        (22, ("first", "two")),
    ):
        for word in words:
            assert word in said[number], (number, said[number])
    assert name not in said[3]
    shown = show(server, name)
    assert (shown["description"], shown["display_name"]) == ("changed", "d")
    assert shown["properties"]["colour"]["title"] == "Paint"
    assert shown["properties"]["colour"]["default"] == "a"
    (found,) = shown["objects"]
    assert (found["name"], found["properties"]["w"]["default"]) == ("extent", "3")
    clients.run_all(
        "glance",
        server.url,
        [
            ["md-tag-delete", name, "first"],
            ["md-object-delete", name, "extent"],
            ["md-property-delete", name, "colour"],
            ["md-resource-type-deassociate", name, "OS::Acme::B"],
            ["md-namespace-tags-delete", name],
            ["md-namespace-objects-delete", name],
            ["md-namespace-properties-delete", name],
        ],
    )
    left = show(server, name)
    assert not {"tags", "objects", "properties", "resource_type_associations"} & set(left)
    deletions = [["md-namespace-delete", gone] for gone in (name, "Glance::Import")]
    clients.run_all("glance", server.url, deletions)
    check_gone(server, name)
    check_gone(server, "Glance::Import")


def test_openstackclient(server: Server, clients: Clients) -> None:
    name = "Open::Client"
    of_namespace = ["image", "metadef", "namespace"]
    of_property = ["image", "metadef", "property"]
    of_object = ["image", "metadef", "object"]
    of_type = ["image", "metadef", "resource", "type"]
    of_association = [*of_type, "association"]
    said = clients.run_all(
        "openstack",
        server.url,
        [
            [*of_namespace, "create", "--display-name", "d", "--public", name, "-f", "json"],
            [*of_namespace, "list"],
            [*of_namespace, "set", "--description", "changed", "--public", "--tag", "one", name],
            [*of_namespace, "show", name, "-f", "json"],
            [*of_association, "create", name, "OS::Acme::C", "-f", "json"],
            [*of_association, "list", name],
            [*of_type, "list"],
            [*of_property, "create", "--name", "colour", "--title", "Colour", "--type", "string",
             "--schema", "{}", name],
            [*of_property, "list", name],
            [*of_property, "set", "--title", "Paint", name, "colour"],
            [*of_property, "show", name, "colour", "-f", "json"],
            [*of_object, "create", "--namespace", name, "size", "-f", "json"],
            [*of_object, "list", name],
            [*of_object, "update", "--name", "extent", name, "size"],
            [*of_object, "show", name, "extent", "-f", "json"],
        ],
    )  # fmt: skip
    assert json.loads(said[0])["visibility"] == "public"
    assert name in said[1]
    assert json.loads(said[3])["description"] == "changed"
    assert "OS::Acme::C" in said[5]
    assert "OS::Acme::C" in said[6]
    assert "colour" in said[8]
    assert json.loads(said[10])["title"] == "Paint"
    assert "size" in said[12]
    assert json.loads(said[14])["name"] == "extent"
    assert [tag["name"] for tag in show(server, name)["tags"]] == ["one"]
    clients.run_all(
        "openstack",
        server.url,
        [
            [*of_namespace, "unset", "--tag", "one", name],
            [*of_object, "delete", name, "extent"],
            [*of_property, "delete", name, "colour"],
            [*of_association, "delete", name, "OS::Acme::C"],
        ],
    )
    left = show(server, name)
    assert not {"tags", "objects", "properties", "resource_type_associations"} & set(left)
    clients.run_all("openstack", server.url, [[*of_namespace, "delete", name]])
    check_gone(server, name)


SDK_SESSION = """
import sys
import openstack

cloud = openstack.connect(
    auth_type="none", endpoint=sys.argv[1], image_endpoint_override=sys.argv[1]
)
image = cloud.image
name = "SDK"
made = image.create_metadef_namespace(namespace=name, visibility="public", description="d")
assert (made.namespace, made.owner, made.is_protected) == (name, "admin", False), made
image.create_metadef_namespace(namespace="SDK::Other")
names = [found.namespace for found in image.metadef_namespaces(limit=1)]
assert len(set(names)) == len(names) and {name, "SDK::Other"} <= set(names), names
image.update_metadef_namespace(name, description="changed", visibility="public")
assert image.get_metadef_namespace(name).description == "changed"
image.create_metadef_resource_type_association(name, name="OS::Acme::D", prefix="d_")
found = list(image.metadef_resource_type_associations(name))
assert [(one.name, one.prefix) for one in found] == [("OS::Acme::D", "d_")], found
assert "OS::Acme::D" in [one.name for one in image.metadef_resource_types()]
image.create_metadef_property(name, name="colour", title="Colour", type="string", enum=["a"])
image.update_metadef_property("colour", name, name="paint", title="Paint", type="string")
assert [one.name for one in image.metadef_properties(name)] == ["paint"]
assert image.get_metadef_property("paint", name).title == "Paint"
small = {"w": {"title": "W", "type": "integer"}}
image.create_metadef_object(name, name="size", required=["w"], properties=small)
image.update_metadef_object("size", name, name="extent", properties=small)
assert [one.name for one in image.metadef_objects(name)] == ["extent"]
assert image.get_metadef_object("extent", name).properties == small
image.add_tag_to_metadef_namespace(name, "one")
image.add_tag_to_metadef_namespace(name, "two")
image.remove_tag_from_metadef_namespace(name, "one")
image.remove_tags_from_metadef_namespace(name)
image.delete_metadef_object("extent", name)
image.delete_metadef_property("paint", name)
image.delete_metadef_resource_type_association("OS::Acme::D", name)
image.delete_all_metadef_objects(name)
image.delete_all_metadef_properties(name)
for what in ("namespace", "object", "property", "tag", "resource_type"):
    plural = {"property": "properties"}.get(what, what + "s")
    for one in (what, plural):
        assert getattr(image, f"get_metadef_{one}_schema")().properties, one
for one in (name, "SDK::Other"):
    image.delete_metadef_namespace(one, ignore_missing=False)
assert name not in [found.namespace for found in image.metadef_namespaces()]
print("done")
"""


def test_openstacksdk(server: Server, clients: Clients) -> None:
    assert clients.run("python", "-", server.url, stdin=SDK_SESSION).endswith("done\n")
    check_gone(server, "SDK")
