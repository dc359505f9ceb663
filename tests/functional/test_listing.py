"""Listing images over HTTP: order, filters, pages."""

import uuid
from collections.abc import Iterator

import pytest

from tests.functional.server import Server

UNKNOWN = "11111111-2222-4333-8444-555555555555"

NONSENSE = [
    "limit=x",
    "limit=-1",
    "marker=nonsense",
    "sort=nonsense",
    "sort=name:nonsense",
    "sort_key=nonsense",
    "sort_dir=nonsense",
    "sort=name&sort_key=name",
    "sort_key=name&sort_dir=asc&sort_dir=asc",
    "name=neq:x",
    "name=in:%22x",
    "name=%00",
    "visibility=nonsense",
    "os_hidden=x",
    "protected=x",
    "size_min=x",
    "created_at=nonsense",
    "created_at=gt:x",
    "updated_at=foo:2020-01-01T00:00:00Z",
    "changes-since=2020-01-01T00:00:00Z",
    "member_status=x",
]


@pytest.fixture(scope="module")
def family(server: Server) -> Iterator[dict[str, str]]:
    """Five images that no other test's can be taken for, by name."""
    tag = f"family-{uuid.uuid4().hex}"
    ids = {"tag": tag}
    for number, name in enumerate(["ant", "bee", "cat", "dog", "bee"]):
        fields = {"name": name, "tags": [tag, f"n{number % 2}"], "min_ram": number}
        fields |= {"legs": str(number), "protected": number == 3, "os_hidden": number == 4}
        ids[f"{name}{number}"] = server.create(**fields)
    server.upload(ids["ant0"], b"x" * 10)
    server.upload(ids["cat2"], b"x" * 30)
    yield ids
    unprotect = [{"op": "replace", "path": "/protected", "value": False}]
    media_type = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    server.request("PATCH", f"/v2/images/{ids['dog3']}", unprotect, media_type)
    for name, image_id in ids.items():
        if name != "tag":
            server.request("DELETE", f"/v2/images/{image_id}")


class TestList:
    def names(self, server: Server, family: dict[str, str], query: str) -> list[str]:
        answer = server.request("GET", f"/v2/images?tag={family['tag']}&{query}")
        assert answer.status == 200, answer
        return [f"{image['name']}{image['min_ram']}" for image in answer.json["images"]]

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("", ["dog3", "cat2", "bee1", "ant0"]),
            ("sort=name:asc", ["ant0", "bee1", "cat2", "dog3"]),
            ("sort_key=name&sort_dir=asc", ["ant0", "bee1", "cat2", "dog3"]),
            ("sort=status:asc,name:desc", ["cat2", "ant0", "dog3", "bee1"]),
            ("sort_key=status&sort_key=name&sort_dir=asc&sort_dir=desc",
             ["cat2", "ant0", "dog3", "bee1"]),
            ("sort=name:asc&limit=2", ["ant0", "bee1"]),
            ("limit=0", []),
            ("sort=name:asc&limit=100000", ["ant0", "bee1", "cat2", "dog3"]),
            ("name=bee", ["bee1"]),
            ("name=eq:bee", ["bee1"]),
            ("name=nobody", []),
            ("sort=name:asc&name=in:bee,%22cat%22,nobody", ["bee1", "cat2"]),
            ("sort=name:asc&status=active", ["ant0", "cat2"]),
            ("sort=name:asc&status=in:active,queued", ["ant0", "bee1", "cat2", "dog3"]),
            ("sort=name:asc&tag=n1", ["bee1", "dog3"]),
            ("tag=nobody", []),
            ("protected=true", ["dog3"]),
            ("os_hidden=true", ["bee4"]),
            ("size_min=11", ["cat2"]),
            ("size_max=11", ["ant0"]),
            ("size=30", ["cat2"]),
            ("min_ram=1", ["bee1"]),
            ("legs=2", ["cat2"]),
            ("wings=2", []),
            ("visibility=public", []),
            ("visibility=shared&name=cat", ["cat2"]),
            ("visibility=all&name=cat", ["cat2"]),
            ("created_at=gt:2020-01-01T00:00:00Z&name=cat", ["cat2"]),
            ("created_at=lt:2020-01-01T00:00:00Z", []),
        ],
    )  # fmt: skip
    def test_order_and_filters(
        self, server: Server, family: dict[str, str], query: str, names: list[str]
    ) -> None:
        assert self.names(server, family, query) == names

    @pytest.mark.parametrize("query", NONSENSE)
    def test_queries_that_make_no_sense(self, server: Server, query: str) -> None:
        assert server.request("GET", f"/v2/images?{query}").status == 400

    def test_marker_that_is_not_there(self, server: Server) -> None:
        assert server.request("GET", f"/v2/images?marker={UNKNOWN}").status == 400

    @pytest.mark.parametrize("sort", ["name:asc", "name:desc", "status:asc,size:desc", ""])
    @pytest.mark.parametrize("limit", [1, 2, 3, 4])
    def test_links_lead_through_every_page(
        self, server: Server, family: dict[str, str], sort: str, limit: int
    ) -> None:
        query = f"tag={family['tag']}" + (f"&sort={sort}" if sort else "")
        everything = server.request("GET", f"/v2/images?{query}").json["images"]
        page = server.request("GET", f"/v2/images?{query}&limit={limit}").json
        found = list(page["images"])
        while "next" in page:
            assert server.request("GET", page["first"]).json["images"] == found[:limit]
            page = server.request("GET", page["next"]).json
            assert len(page["images"]) <= limit
            found += page["images"]
        assert found == everything
        assert len(found) == 4

    def test_document(self, server: Server, family: dict[str, str]) -> None:
        page = server.request("GET", f"/v2/images?tag={family['tag']}&name=cat").json
        assert page["schema"] == "/v2/schemas/images"
        assert page["images"] == [server.show(family["cat2"])]
        assert "next" not in page
