"""Images over HTTP: create, show, change, delete, tags and actions."""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.functional.server import Answer, Server

UNKNOWN = "11111111-2222-4333-8444-555555555555"
V21 = "application/openstack-images-v2.1-json-patch"
V20 = "application/openstack-images-v2.0-json-patch"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

#: What a client may not set, with a value of the right kind.
OTHERS_FIELDS = {
    "checksum": "x",
    "created_at": "x",
    "updated_at": "x",
    "size": 1,
    "virtual_size": 1,
    "status": "active",
    "self": "x",
    "file": "x",
    "schema": "x",
    "direct_url": "x",
    "stores": "x",
    "location": "x",
    "deleted": "x",
    "deleted_at": "x",
    "locations": [],
    "os_glance_anything": "x",
}


def patch(server: Server, image_id: str, *operations: object, media_type: str = V21) -> Answer:
    headers = {"Content-Type": media_type}
    return server.request("PATCH", f"/v2/images/{image_id}", list(operations), headers)


class TestCreateAndShow:
    def test_least(self, server: Server) -> None:
        answer = server.request("POST", "/v2/images", {})
        assert answer.status == 201
        assert answer.headers["Content-Type"] == "application/json"
        image = answer.json
        image_id = image["id"]
        assert answer.headers["Location"] == f"{server.url}/v2/images/{image_id}"
        for stamp in ("created_at", "updated_at"):
            assert STAMP.fullmatch(image.pop(stamp))
        assert image == {
            "id": image_id,
            "name": None,
            "disk_format": None,
            "container_format": None,
            "visibility": "shared",
            "size": None,
            "virtual_size": None,
            "status": "queued",
            "checksum": None,
            "protected": False,
            "min_ram": 0,
            "min_disk": 0,
            "owner": None,
            "os_hidden": False,
            "os_hash_algo": None,
            "os_hash_value": None,
            "tags": [],
            "self": f"/v2/images/{image_id}",
            "file": f"/v2/images/{image_id}/file",
            "schema": "/v2/schemas/image",
        }
        assert server.show(image_id) == answer.json

    def test_everything(self, server: Server) -> None:
        fields = {
            "id": str(uuid.uuid4()),
            "name": "Debian é 日本",
            "disk_format": "qcow2",
            "container_format": "bare",
            "visibility": "public",
            "protected": False,
            "min_ram": 2**31 - 1,
            "min_disk": 7,
            "owner": "somebody",
            "os_hidden": True,
            "hw_disk_bus": "scsi",
            "a long text": "x" * 5000,
        }
        image_id = server.create(**fields, tags=["b", "a", "a"])
        image = server.show(image_id)
        assert {name: image[name] for name in fields} == fields
        assert sorted(image["tags"]) == ["a", "b"]

    def test_id_is_never_given_twice(self, server: Server) -> None:
        image_id = server.create()
        assert server.request("POST", "/v2/images", {"id": image_id}).status == 409
        server.request("DELETE", f"/v2/images/{image_id}")
        assert server.request("POST", "/v2/images", {"id": image_id}).status == 409

    @pytest.mark.parametrize("name", OTHERS_FIELDS)
    def test_fields_that_are_not_the_client_s(self, server: Server, name: str) -> None:
        value = OTHERS_FIELDS[name]
        assert server.request("POST", "/v2/images", {name: value}).status == 403

    @pytest.mark.parametrize(
        "fields",
        [
            {"id": "nonsense"},
            {"name": 5},
            {"name": "x" * 256},
            {"name": "\U0001f600"},
            {"disk_format": "nonsense"},
            {"container_format": "nonsense"},
            {"visibility": "nonsense"},
            {"min_ram": -1},
            {"min_disk": 2**31},
            {"min_ram": "5"},
            {"protected": "true"},
            {"tags": "x"},
            {"tags": ["x" * 256]},
            {"custom": 5},
            {"custom": None},
            {"x" * 256: "y"},
        ],
    )
    def test_values_that_do_not_fit(self, server: Server, fields: dict[str, object]) -> None:
        assert server.request("POST", "/v2/images", fields).status == 400


class TestUpdate:
    def test_v21(self, server: Server) -> None:
        image_id = server.create(name="old", colour="red")
        answer = patch(
            server,
            image_id,
            {"op": "replace", "path": "/name", "value": "new"},
            {"op": "add", "path": "/shape", "value": "round"},
            {"op": "remove", "path": "/colour"},
            {"op": "replace", "path": "/tags", "value": ["x", "y", "x"]},
            {"op": "add", "path": "/a~1b~0c", "value": "odd"},
        )
        assert answer.status == 200
        image = answer.json
        assert (image["name"], image["shape"], image["a/b~c"]) == ("new", "round", "odd")
        assert "colour" not in image
        assert sorted(image["tags"]) == ["x", "y"]
        assert server.show(image_id) == image

    def test_v20(self, server: Server) -> None:
        image_id = server.create(name="old", colour="red")
        operations = [{"replace": "/name", "value": "new"}, {"add": "/shape", "value": "round"}]
        answer = patch(server, image_id, *operations, {"remove": "/colour"}, media_type=V20)
        assert (answer.json["name"], answer.json["shape"]) == ("new", "round")
        assert "colour" not in answer.json
        again = patch(server, image_id, {"add": "/shape", "value": "square"}, media_type=V20)
        assert again.status == 409

    def test_nothing_to_do(self, server: Server) -> None:
        image_id = server.create()
        before = server.show(image_id)
        answer = patch(server, image_id)
        assert (answer.status, answer.json) == (200, before)

    @pytest.mark.parametrize("media_type", ["application/json", "", "application/json-patch+json"])
    def test_other_media_types(self, server: Server, media_type: str) -> None:
        answer = patch(server, server.create(), media_type=media_type)
        assert answer.status == 415
        assert set(answer.headers["Accept-Patch"].split(", ")) == {V20, V21}

    @pytest.mark.parametrize(
        ("operation", "status"),
        [
            ({"op": "replace", "path": "/nothing", "value": "x"}, 409),
            ({"op": "remove", "path": "/nothing"}, 409),
            ({"op": "remove", "path": "/name"}, 403),
            ({"op": "replace", "path": "/status", "value": "active"}, 403),
            ({"op": "replace", "path": "/id", "value": UNKNOWN}, 403),
            ({"op": "replace", "path": "/checksum", "value": "x"}, 403),
            ({"op": "add", "path": "/os_glance_x", "value": "x"}, 403),
            ({"op": "add", "path": "/locations/-", "value": {"url": "x", "metadata": {}}}, 403),
            ({"op": "test", "path": "/name", "value": "x"}, 400),
            ({"op": "move", "path": "/name", "from": "/x"}, 400),
            ({"op": "add", "path": "/name"}, 400),
            ({"path": "/name", "value": "x"}, 400),
            ({"op": "add", "path": "name", "value": "x"}, 400),
            ({"op": "add", "path": "/a/b", "value": "x"}, 400),
            ({"op": "add", "path": "/a~2", "value": "x"}, 400),
            ({"op": "add", "path": "/custom", "value": 5}, 400),
            ({"op": "replace", "path": "/min_ram", "value": -1}, 400),
            ({"op": "replace", "path": "/disk_format", "value": "nonsense"}, 400),
            ("nonsense", 400),
        ],
    )
    def test_refused_and_nothing_changed(
        self, server: Server, operation: object, status: int
    ) -> None:
        image_id = server.create(name="old")
        before = server.show(image_id)
        first = {"op": "replace", "path": "/name", "value": "changed"}
        assert patch(server, image_id, first, operation).status == status
        assert server.show(image_id) == before

    def test_formats_of_an_image_with_data(self, server: Server) -> None:
        image_id = server.image(b"data")
        operation = {"op": "replace", "path": "/disk_format", "value": "ami"}
        assert patch(server, image_id, operation).status == 403

    def test_image_that_is_not_there(self, server: Server) -> None:
        assert patch(server, UNKNOWN).status == 404


class TestDelete:
    def test_gone_for_good(self, server: Server) -> None:
        image_id = server.image(b"data")
        answer = server.request("DELETE", f"/v2/images/{image_id}")
        assert (answer.status, answer.body) == (204, b"")
        assert server.stored(image_id) == []
        for method in ("GET", "DELETE"):
            assert server.request(method, f"/v2/images/{image_id}").status == 404
        assert server.download(image_id).status == 404
        assert patch(server, image_id).status == 404

    def test_data_that_is_gone_already(self, server: Server) -> None:
        image_id = server.image(b"data")
        (server.images / image_id).unlink()
        assert server.request("DELETE", f"/v2/images/{image_id}").status == 204

    def test_protected(self, server: Server) -> None:
        image_id = server.image(b"data", protected=True)
        assert server.request("DELETE", f"/v2/images/{image_id}").status == 403
        assert server.download(image_id).body == b"data"
        patch(server, image_id, {"op": "replace", "path": "/protected", "value": False})
        assert server.request("DELETE", f"/v2/images/{image_id}").status == 204


class TestTags:
    def test_there_and_back(self, server: Server) -> None:
        image_id = server.create()
        path = f"/v2/images/{image_id}/tags"
        for _ in range(2):
            assert server.request("PUT", f"{path}/new").status == 204
        assert server.request("PUT", f"{path}/%C3%A9%20x").status == 204
        assert sorted(server.show(image_id)["tags"]) == ["new", "é x"]
        assert server.request("DELETE", f"{path}/new").status == 204
        assert server.request("DELETE", f"{path}/new").status == 404
        assert server.show(image_id)["tags"] == ["é x"]

    def test_too_long_or_odd(self, server: Server) -> None:
        path = f"/v2/images/{server.create()}/tags"
        assert server.request("PUT", f"{path}/{'x' * 255}").status == 204
        assert server.request("PUT", f"{path}/{'x' * 256}").status == 400
        assert server.request("PUT", f"{path}/a%2Fb").status == 404

    def test_quota(self, server: Server) -> None:
        tags = [str(number) for number in range(128)]
        image_id = server.create(tags=tags)
        assert server.request("PUT", f"/v2/images/{image_id}/tags/0").status == 204
        assert server.request("PUT", f"/v2/images/{image_id}/tags/more").status == 413


class TestActions:
    def test_there_and_back(self, server: Server) -> None:
        image_id = server.image(b"data")
        path = f"/v2/images/{image_id}/actions"
        for action, status in [("deactivate", "deactivated"), ("reactivate", "active")] * 2:
            for _ in range(2):
                answer = server.request("POST", f"{path}/{action}")
                assert (answer.status, answer.body) == (204, b"")
                assert server.status(image_id) == status

    def test_other_states(self, server: Server) -> None:
        path = f"/v2/images/{server.create()}/actions"
        assert server.request("POST", f"{path}/deactivate").status == 403
        assert server.request("POST", f"{path}/reactivate").status == 403


class TestManyWriters:
    """However many write at once, each one's change is made and none fails."""

    def lives(self, server: Server, number: int) -> list[int]:
        """Make, change and delete one image after the other; return the statuses."""
        statuses = []
        for _ in range(5):
            made = server.request("POST", "/v2/images", {"name": f"writer {number}"})
            statuses.append(made.status)
            image_id = made.json["id"]
            operation = {"op": "add", "path": "/number", "value": str(number)}
            changed = patch(server, image_id, operation)
            statuses.append(changed.status)
            assert changed.json["number"] == str(number)
            statuses.append(server.request("PUT", f"/v2/images/{image_id}/tags/x").status)
            statuses.append(server.request("DELETE", f"/v2/images/{image_id}").status)
        return statuses

    @pytest.mark.parametrize("fixture", ["server", "server_with_workers"])
    def test_their_own_images(self, request: pytest.FixtureRequest, fixture: str) -> None:
        server = request.getfixturevalue(fixture)
        with ThreadPoolExecutor(16) as threads:
            found = threads.map(lambda number: self.lives(server, number), range(16))
            assert all(statuses == [201, 200, 204, 204] * 5 for statuses in found)

    def test_one_image(self, server: Server) -> None:
        image_id = server.create()

        def change(number: int) -> int:
            operation = {"op": "add", "path": f"/key{number}", "value": "x"}
            return patch(server, image_id, operation).status

        with ThreadPoolExecutor(16) as threads:
            assert set(threads.map(change, range(48))) == {200}
        assert {f"key{number}" for number in range(48)} <= set(server.show(image_id))
