"""Metadata definitions over HTTP: what matrix and descriptions cannot tell of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.functional.cloud import Cloud
from tests.functional.server import ROOT, Server

CATALOGUE = ROOT / "conf/metadefs"
ALL = "/v2/metadefs/namespaces"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud
        assert cloud.server.trouble() == []


def get(cloud: Cloud, path: str, who: str = "admin") -> Any:
    answer = cloud.call(who, "GET", path)
    assert answer.status == 200, answer
    return answer.json


def do(cloud: Cloud, status: int, method: str, path: str, body: Any = None, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = cloud.call("admin", method, path, body, named)
    assert answer.status == status, answer
    return answer.json if answer.body else None


def names(page: Any) -> list[str]:
    return [namespace["namespace"] for namespace in page["namespaces"]]


def test_what_is_made_is_where_the_answer_says(cloud: Cloud) -> None:
    """Whatever its name is, as long as a path can have it."""
    odd = "Ünï code?#%:;&+ 画像"
    body = {"namespace": odd, "objects": [{"name": odd}], "tags": [{"name": odd}]}
    made = cloud.call("admin", "POST", ALL, body)
    assert made.status == 201, made
    where = urlsplit(made.headers["Location"])
    assert made.headers["Location"].startswith(cloud.server.url)
    assert where.path == made.json["self"]
    found = get(cloud, where.path)
    assert found == made.json
    assert (found["namespace"], found["owner"], found["visibility"]) == (odd, "admins", "private")
    assert get(cloud, found["objects"][0]["self"]) == found["objects"][0]
    do(cloud, 204, "DELETE", found["self"])
    do(cloud, 404, "GET", found["self"])


def test_who_sees_what_came_along(cloud: Cloud) -> None:
    """Two namespaces have no visibility, and are as private ones are."""
    shipped = {json.loads(path.read_bytes())["namespace"] for path in CATALOGUE.iterdir()}
    hidden = {"OS::Glance::CommonImageProperties", "OS::OperatingSystem"}

    def seen(who: str, query: str = "") -> set[str]:
        return shipped & set(names(get(cloud, f"{ALL}?limit=100{query}", who)))

    assert seen("admin") == shipped
    assert seen("reader") == shipped - hidden
    assert seen("admin", "&visibility=private") == hidden
    assert seen("admin", "&visibility=public") == shipped - hidden
    assert seen("reader", "&visibility=private") == set()
    for name in hidden:
        assert get(cloud, f"{ALL}/{name}")["visibility"] == "private"
        for path in (name, f"{name}/properties", f"{name}/properties/os_distro"):
            assert cloud.call("reader", "GET", f"{ALL}/{path}").status == 404


def test_pages(cloud: Cloud) -> None:
    made = [cloud.namespace(visibility="public") for _ in range(5)]
    page = get(cloud, f"{ALL}?limit=2&visibility=public&resource_types=OS::Acme::Anvil")
    assert names(page) == made[:2:-1]
    assert page["first"] == (
        f"{ALL}?limit=2&visibility=public&resource_types=OS%3A%3AAcme%3A%3AAnvil"
    )
    assert get(cloud, page["first"]) == page
    found = names(page)
    while "next" in page:
        page = get(cloud, page["next"], "other project")
        found += names(page)
    assert found == made[::-1]
    (associated,) = page["namespaces"][0]["resource_type_associations"]
    assert (associated["name"], associated["prefix"]) == ("OS::Acme::Anvil", "acme_")
    assert "properties" not in page["namespaces"][0]
    for name in made:
        do(cloud, 204, "DELETE", f"{ALL}/{name}")


def test_names_by_resource_type(cloud: Cloud) -> None:
    name = cloud.namespace()
    plain, typed = (
        get(cloud, f"{ALL}/{name}{query}") for query in ("", "?resource_type=OS::Acme::Anvil")
    )
    assert [*plain["properties"], *plain["objects"][0]["required"]] == ["weight", "width"]
    assert [*typed["properties"], *typed["objects"][0]["required"]] == ["acme_weight", "acme_width"]
    assert get(cloud, f"{ALL}/{name}?resource_type=OS::Other") == plain
    path = f"{ALL}/{name}/properties"
    do(cloud, 201, "POST", f"{ALL}/{name}/resource_types", {"name": "OS::Acme::Bare"})
    of_anvil = "?resource_type=OS::Acme::Anvil"
    wanted = get(cloud, f"{path}/weight")
    assert wanted["name"] == "weight"
    assert get(cloud, f"{path}/acme_weight{of_anvil}") == wanted
    assert get(cloud, f"{path}/weight?resource_type=OS::Acme::Bare") == wanted
    for missing in (f"weight{of_anvil}", "weight?resource_type=OS::Other", "acme_weight"):
        do(cloud, 404, "GET", f"{path}/{missing}")


def test_a_change_puts_back_what_it_does_not_say(cloud: Cloud) -> None:
    name = cloud.namespace(visibility="public", display_name="d", description="d", protected=True)
    path = f"{ALL}/{name}"
    before = get(cloud, path)
    after = do(cloud, 200, "PUT", path, {"namespace": f"{name}::new", "tags": [{"name": "x"}]})
    assert {key: after[key] for key in ("visibility", "protected", "owner")} == {
        "visibility": "private", "protected": False, "owner": "admins",
    }  # fmt: skip
    assert not {"display_name", "description", "tags"} & set(after)
    do(cloud, 404, "GET", path)
    found = get(cloud, f"{path}::new")
    assert found["tags"] == before["tags"]
    assert found["properties"] == before["properties"]


def test_tags_are_replaced_or_added(cloud: Cloud) -> None:
    path = f"{ALL}/{cloud.namespace()}/tags"

    def tags() -> list[str]:
        return [tag["name"] for tag in get(cloud, f"{path}?sort_key=name&sort_dir=asc")["tags"]]

    two = {"tags": [{"name": "b"}, {"name": "a"}]}
    assert do(cloud, 201, "POST", path, two) == two
    assert tags() == ["a", "b"]
    do(cloud, 201, "POST", path, {"tags": [{"name": "c"}]}, X_Openstack_Append="true")
    assert tags() == ["a", "b", "c"]
    # All or nothing.
    new = {"tags": [{"name": "d"}, {"name": "c"}]}
    do(cloud, 409, "POST", path, new, X_Openstack_Append="True")
    assert tags() == ["a", "b", "c"]
    do(cloud, 201, "POST", path, new, X_Openstack_Append="false")
    assert tags() == ["c", "d"]
    assert get(cloud, f"{path}?limit=1&marker=d&sort_key=name")["tags"] == [{"name": "c"}]
    do(cloud, 404, "GET", f"{path}?marker=none")


@pytest.mark.parametrize(
    "tail",
    ["", "/tags", "/objects", "/properties", "/tags/spring", "/objects/size", "/properties/weight",
     "/resource_types/OS::Acme::Anvil"],
)  # fmt: skip
def test_nothing_of_a_protected_namespace_is_deleted(cloud: Cloud, tail: str) -> None:
    name = cloud.namespace(protected=True)
    path = f"{ALL}/{name}"
    before = get(cloud, path)
    message = do(cloud, 403, "DELETE", path + tail)["message"]
    assert "protected" in message
    assert get(cloud, path) == before
    do(cloud, 201, "POST", f"{path}/tags/summer")
    do(cloud, 200, "PUT", path, {"namespace": name})
    do(cloud, 204, "DELETE", path + tail)


def test_what_is_wrong_is_told(cloud: Cloud) -> None:
    for status, body, words in (
        (400, {"namespace": "n", "colour": 1}, "schema 'namespace': 'colour' is not one of"),
        (403, {"namespace": "n", "self": "x"}, "Attribute self is read-only"),
        (409, {"namespace": "n", "tags": [{"name": "a"}] * 2}, "'a' is there twice"),
        (400, [], "must be a JSON object, not a list"),
    ):
        assert words in do(cloud, status, "POST", ALL, body)["message"]
    do(cloud, 404, "GET", f"{ALL}/n")
    for query in ("limit=x", "sort_key=x", "sort_dir=x", "visibility=shared", "marker=%00"):
        do(cloud, 400, "GET", f"{ALL}?{query}")


def test_without_authentication(server: Server) -> None:
    """Nobody has a project, but a namespace has an owner."""
    assert server.request("POST", ALL, {"namespace": "Nobody's"}).json["owner"] == "admin"
    changed = server.request("PUT", f"{ALL}/Nobody's", {"namespace": "Nobody's", "owner": "p1"})
    assert changed.json["owner"] == "p1"
    changed = server.request("PUT", f"{ALL}/Nobody's", {"namespace": "Nobody's"})
    assert changed.json["owner"] == "p1"
    assert server.request("DELETE", f"{ALL}/Nobody's").status == 204
