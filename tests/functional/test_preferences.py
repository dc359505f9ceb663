"""Lists of images with the members of each, for clients that prefer so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.cloud import CALLERS, Cloud
from tests.functional.server import Answer, Server

PREFER = {"Prefer": "include=members"}
EVERYTHING = ("visibility=all&member_status=all", "visibility=shared&member_status=all")
APPLIED = "Preference-Applied"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud(settings={"image_member_quota": 10}) as cloud:
        # Images of p1 and p2 of every visibility; the shared ones with nobody, one and several.
        for owner in ("p1", "p2"):
            for visibility in ("public", "community", "private", "shared"):
                cloud.create("admin", owner=owner, visibility=visibility, name=visibility)
        _share(cloud, cloud.create(), p2="accepted")
        _share(cloud, cloud.create(), p2="rejected", p3="accepted", p9="pending")
        _share(cloud, cloud.create("admin", owner="p2"), p1="accepted", p3="pending")
        _share(cloud, cloud.create("admin", owner="p3"), p1="pending", p2="accepted")
        _share(cloud, cloud.create("admin", owner=None), p1="pending", p2="pending")
        # It was shared once; whom with is nobody's business any more.
        was = cloud.create()
        _share(cloud, was, p2="accepted")
        change = {"op": "replace", "path": "/visibility", "value": "private"}
        assert cloud.patch("member", was, change).status == 200
        yield cloud
        assert cloud.server.trouble() == []


def _share(cloud: Cloud, image_id: str, **statuses: str) -> None:
    path = f"/v2/images/{image_id}/members"
    for project, status in statuses.items():
        assert cloud.call("admin", "POST", path, {"member": project}).status == 200
        put = cloud.call("admin", "PUT", f"{path}/{project}", {"status": status})
        assert put.status == 200


def listed(cloud: Cloud, who: str, query: str = "", prefer: str = PREFER["Prefer"]) -> Answer:
    return cloud.call(who, "GET", f"/v2/images?{query}", headers={"Prefer": prefer})


def members_of(cloud: Cloud, who: str, image_id: str) -> Any:
    """Return what the route of one image's members says; nothing where it refuses."""
    answer = cloud.call(who, "GET", f"/v2/images/{image_id}/members")
    return answer.json["members"] if answer.status == 200 else None


@pytest.mark.parametrize("who", [who for who in CALLERS if who not in ("anonymous", "service")])
@pytest.mark.parametrize("query", ["", *EVERYTHING, "limit=3", "limit=0", "name=shared"])
def test_everyone_sees_what_the_members_routes_show(cloud: Cloud, who: str, query: str) -> None:
    answer = listed(cloud, who, query)
    plain = cloud.call(who, "GET", f"/v2/images?{query}")
    assert answer.status == plain.status
    if answer.status != 200:
        assert (who, answer.headers[APPLIED]) == ("no role", None)
        return
    assert answer.headers[APPLIED] == "include=members"
    assert "Prefer" in answer.headers.get_all("Vary", [])
    assert APPLIED not in plain.headers
    for image in answer.json["images"]:
        expected = members_of(cloud, who, image["id"])
        assert image.get("members") == expected
        assert ("members" in image) == (expected is not None)
        single = cloud.call(who, "GET", f"/v2/images/{image['id']}", headers=PREFER)
        assert single.headers[APPLIED] == "include=members"
        assert single.json == image
    bare = [{k: v for k, v in i.items() if k != "members"} for i in answer.json["images"]]
    assert {**answer.json, "images": bare} == plain.json


def test_who_sees_what(cloud: Cloud) -> None:
    """The same in so many words."""

    def seen(who: str) -> list[list[tuple[str, str]]]:
        images = listed(cloud, who, EVERYTHING[1] + "&sort=created_at:asc").json["images"]
        return [[(m["member_id"], m["status"]) for m in image["members"]] for image in images]

    of_p1 = [
        [],
        [("p2", "accepted")],
        [("p2", "rejected"), ("p3", "accepted"), ("p9", "pending")],
    ]
    of_p2 = [[("p1", "accepted"), ("p3", "pending")]]
    assert sorted(seen("admin")) == sorted(
        [*of_p1, [], *of_p2, [("p1", "pending"), ("p2", "accepted")],
         [("p1", "pending"), ("p2", "pending")]]
    )  # fmt: skip
    for who in ("member", "reader"):
        as_member = [[("p1", "accepted")], [("p1", "pending")], [("p1", "pending")]]
        assert sorted(seen(who)) == sorted([*of_p1, *as_member])
    as_member = [[("p2", "accepted")], [("p2", "rejected")], [("p2", "accepted")]]
    assert sorted(seen("other project")) == sorted([[], *of_p2, *as_member, [("p2", "pending")]])


@pytest.mark.parametrize(
    "prefer", ["include=members, wait=5", 'INCLUDE="members";q=1', "respond-async,include=members"]
)
def test_ways_to_say_it(cloud: Cloud, prefer: str) -> None:
    assert listed(cloud, "member", prefer=prefer).headers[APPLIED] == "include=members"


@pytest.mark.parametrize(
    "prefer", ["", "include", "include=locations", "include=x, include=members", "members", "\xff"]
)
def test_other_wishes_change_nothing(cloud: Cloud, prefer: str) -> None:
    answer = listed(cloud, "member", prefer=prefer)
    plain = cloud.call("member", "GET", "/v2/images")
    assert (answer.status, answer.body) == (200, plain.body)
    assert APPLIED not in answer.headers
    assert answer.headers["Vary"] == plain.headers["Vary"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(settings={"api_limit_max": 1500}) as server:
        yield server
        assert server.trouble() == []


@pytest.mark.parametrize("value", ["p1,p2", ""])
def test_property_of_the_same_name(server: Server, value: str) -> None:
    """It stays what it is, and nothing is there that could be taken for it or it for."""
    shared = server.create(visibility="shared", owner="p1", name=f"one {value}")
    share = {"member": "p2"}
    assert server.request("POST", f"/v2/images/{shared}/members", share).status == 200
    other = server.create(visibility="public", members=value, name=f"one {value}")
    path = f"/v2/images?name=one%20{value}"
    page = server.request("GET", path, headers=PREFER)
    assert APPLIED not in page.headers
    assert "Prefer" in page.headers.get_all("Vary")
    assert page.body == server.request("GET", path).body
    assert [image.get("members") for image in page.json["images"]] == [value, None]
    for image_id, applied in ((shared, "include=members"), (other, None)):
        single = server.request("GET", f"/v2/images/{image_id}", headers=PREFER)
        assert single.headers[APPLIED] == applied
    # Of pages without it nothing is taken away.
    page = server.request("GET", f"{path}&id={shared}", headers=PREFER)
    assert page.headers[APPLIED] == "include=members"
    assert [m["member_id"] for m in page.json["images"][0]["members"]] == ["p2"]


def test_pages_longer_than_a_statement(server: Server) -> None:
    made = [server.create(visibility="shared", owner="p1", tags=["many"]) for _ in range(1001)]
    for image_id in (made[0], made[500], made[-1]):
        path = f"/v2/images/{image_id}/members"
        assert server.request("POST", path, {"member": "p2"}).status == 200
    images = server.request("GET", "/v2/images?tag=many&limit=1500", headers=PREFER).json["images"]
    assert [image["id"] for image in images] == made[::-1]
    found = {image["id"] for image in images if image["members"]}
    assert found == {made[0], made[500], made[-1]}


@pytest.mark.parametrize("rule", ["get_members", "get_member"])
def test_policy_forbids(rule: str) -> None:
    with Cloud() as cloud:
        image_id = cloud.create()
        cloud.share(image_id)
        rules = cloud.server.home / "policy.yaml"
        rules.write_text(f'"{rule}": "role:admin"\n')
        cloud.server.stop()
        cloud.server.configure({"oslo_policy": {"policy_file": rules}})
        cloud.server.start()
        for who, told in (("admin", True), ("member", False), ("other project", False)):
            assert (members_of(cloud, who, image_id) is not None) == told
            answer = listed(cloud, who, EVERYTHING[1])
            assert answer.headers[APPLIED] == "include=members"
            (image,) = answer.json["images"]
            assert ("members" in image) == told
            single = cloud.call(who, "GET", f"/v2/images/{image_id}", headers=PREFER)
            assert ("members" in single.json) == told
        assert cloud.server.trouble() == []


def test_images_that_policy_hides_take_their_members_with_them() -> None:
    with Cloud() as cloud:
        image_id = cloud.create()
        cloud.share(image_id)
        rules = cloud.server.home / "policy.yaml"
        rules.write_text('"get_image": "role:admin"\n')
        cloud.server.stop()
        cloud.server.configure({"oslo_policy": {"policy_file": rules}})
        cloud.server.start()
        assert listed(cloud, "member").json["images"] == []
        single = cloud.call("member", "GET", f"/v2/images/{image_id}", headers=PREFER)
        assert single.status == 404
        assert "p2" not in single.body.decode()
        assert cloud.server.trouble() == []
