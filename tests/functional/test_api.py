"""The API's frame, as a client meets it over HTTP: versions, errors, request ids, schemas."""

import json
import re

import pytest

from tests.functional.server import Answer, Server
from tests.functional.wire import Wire

UNKNOWN = "11111111-2222-4333-8444-555555555555"
REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class TestVersions:
    @pytest.mark.parametrize(
        ("path", "status"),
        [("/", 300), ("/versions", 200), ("/v1", 300), ("/v1/images", 300), ("/v2.99/images", 300)],
    )
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    def test_document(self, server: Server, method: str, path: str, status: int) -> None:
        answer = server.request(method, path)
        assert answer.status == status
        assert answer.headers["Content-Type"] == "application/json"
        assert "x-openstack-request-id" not in answer.headers
        versions = answer.json["versions"]
        assert versions[0]["status"] == "CURRENT"
        assert {version["status"] for version in versions[1:]} == {"SUPPORTED"}
        minors = [int(version["id"].removeprefix("v2.")) for version in versions]
        assert minors == sorted(minors, reverse=True)
        assert {2, 7} <= set(minors)
        for version in versions:
            assert version["links"] == [{"rel": "self", "href": f"{server.url}/v2/"}]

    def test_every_version_in_it_is_served(self, server: Server) -> None:
        for version in server.request("GET", "/versions").json["versions"]:
            assert server.request("GET", f"/{version['id']}/images?limit=0").status == 200
            accept = {"Accept": f"application/vnd.openstack.images-{version['id']}"}
            assert server.request("GET", "/images?limit=0", headers=accept).status == 200

    def test_unknown_version_in_the_accept_header(self, server: Server) -> None:
        accept = {"Accept": "application/vnd.openstack.images-v2.99"}
        assert server.request("GET", "/images", headers=accept).status == 300

    def test_version_without_a_slash_is_sent_on(self, server: Server) -> None:
        answer = server.request("GET", "/v2")
        assert (answer.status, answer.headers["Location"]) == (302, f"{server.url}/v2/")

    def test_href_follows_the_host_header(self, server: Server) -> None:
        with Wire(server) as wire:
            wire.send(b"GET /versions HTTP/1.1\r\nHost: images.example:81\r\n\r\n")
            href = wire.answer().json["versions"][0]["links"][0]["href"]
        assert href == "http://images.example:81/v2/"

    def test_leading_slashes_are_skipped(self, server: Server) -> None:
        assert server.request("GET", "//v2/images?limit=0").status == 200


class TestHealthcheck:
    def test_forms(self, server: Server) -> None:
        plain = server.request("GET", "/healthcheck")
        assert (plain.status, plain.body) == (200, b"OK")
        assert plain.headers["Content-Type"].startswith("text/plain")
        assert server.request("HEAD", "/healthcheck").status == 204
        assert server.request("POST", "/healthcheck").status == 200
        as_json = server.request("GET", "/healthcheck", headers={"Accept": "application/json"})
        assert as_json.json == {"detailed": False, "reasons": ["OK"]}
        page = server.request("GET", "/healthcheck", headers={"Accept": "text/html"})
        assert page.headers["Content-Type"].startswith("text/html")


class TestUsage:
    def test_without_limits_of_projects(self, server: Server) -> None:
        answer = server.request("GET", "/v2/info/usage")
        assert (answer.status, answer.json) == (200, {"usage": {}})


class TestErrors:
    @pytest.mark.parametrize(
        ("accept", "form"),
        [
            (None, "text/plain"),
            ("text/plain", "text/plain"),
            ("application/json", "application/json"),
            ("text/html", "text/html"),
            ("*/*", "text/html"),
            ("application/json, text/html", "text/html"),
        ],
    )
    def test_form_is_the_client_s_choice(
        self, server: Server, accept: str | None, form: str
    ) -> None:
        headers = {} if accept is None else {"Accept": accept}
        answer = server.request("GET", f"/v2/images/{UNKNOWN}", headers=headers)
        assert answer.status == 404
        assert answer.headers["Content-Type"].startswith(form)
        assert REQUEST_ID.fullmatch(answer.headers["x-openstack-request-id"])
        if form == "application/json":
            assert answer.json["code"] == "404 Not Found"
            assert answer.json["title"] == "Not Found"
            assert UNKNOWN in answer.json["message"]
        else:
            text = answer.body.decode()
            assert "404 Not Found" in text
            assert UNKNOWN in text

    def test_what_the_client_sent_cannot_become_markup(self, server: Server) -> None:
        path = "/v2/images/%3Cscript%3Ealert(1)%3C%2Fscript%3E"
        answer = server.request("GET", path, headers={"Accept": "text/html"})
        assert b"<script>" not in answer.body

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/v2/", 404),
            ("GET", "/v2/images/", 404),
            ("GET", "/v2/nonsense", 404),
            ("POST", "/v2/nonsense", 404),
            ("FOO", "/v2/nonsense", 501),
            ("GET", f"/v2/images/{UNKNOWN}/nonsense", 404),
            ("GET", f"/v2/images/{UNKNOWN}", 404),
            ("DELETE", f"/v2/images/{UNKNOWN}", 404),
            ("GET", f"/v2/images/{UNKNOWN}/file", 404),
            ("PUT", f"/v2/images/{UNKNOWN}/tags/x", 404),
            ("DELETE", f"/v2/images/{UNKNOWN}/tags/x", 404),
            ("POST", f"/v2/images/{UNKNOWN}/actions/deactivate", 404),
            ("POST", f"/v2/images/{UNKNOWN}/actions/nonsense", 404),
            ("GET", "/v2/schemas/nonsense", 404),
            ("GET", "/v2/images/%ff", 400),
            ("GET", "/v2/images?name=%ff", 400),
        ],
    )
    def test_not_there(self, server: Server, method: str, path: str, status: int) -> None:
        answer = server.request(method, path)
        assert answer.status == status
        assert answer.headers["Content-Type"].startswith("text/plain")

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PUT", "/v2/images", {"GET", "POST"}),
            ("HEAD", "/v2/images", {"GET", "POST"}),
            ("POST", f"/v2/images/{UNKNOWN}", {"GET", "PATCH", "DELETE"}),
            ("FOO", f"/v2/images/{UNKNOWN}", {"GET", "PATCH", "DELETE"}),
            ("DELETE", f"/v2/images/{UNKNOWN}/file", {"GET", "PUT"}),
            ("GET", f"/v2/images/{UNKNOWN}/tags/x", {"PUT", "DELETE"}),
            ("GET", f"/v2/images/{UNKNOWN}/actions/deactivate", {"POST"}),
            ("POST", "/v2/schemas/image", {"GET"}),
        ],
    )
    def test_method_that_a_resource_does_not_know(
        self, server: Server, method: str, path: str, allowed: set[str]
    ) -> None:
        answer = server.request(method, path)
        assert answer.status == 405
        assert set(answer.headers["Allow"].split(", ")) == allowed

    @pytest.mark.parametrize("path", ["/v2/images", "/v2/nonsense", "/", "/v1"])
    def test_options(self, server: Server, path: str) -> None:
        answer = server.request("OPTIONS", path)
        assert (answer.status, answer.body) == (200, b"")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v2/images/{}"),
            ("DELETE", "/v2/images/{}"),
            ("GET", "/v2/images/{}/file"),
            ("PUT", "/v2/images/{}/tags/x"),
            ("DELETE", "/v2/images/{}/tags/x"),
            ("POST", "/v2/images/{}/actions/deactivate"),
            ("GET", "/v2/schemas/image"),
        ],
    )
    def test_body_where_none_is_expected(self, server: Server, method: str, path: str) -> None:
        image_id = server.create()
        answer = server.request(method, path.format(image_id), b"x")
        assert answer.status == 400
        assert server.show(image_id)["tags"] == []

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"nonsense", b"5", b'"text"', b"null", b"[]", b"\xff", b'{"name": NaN}']
    )
    def test_json_that_is_none(self, server: Server, body: bytes) -> None:
        assert server.request("POST", "/v2/images", body).status == 400

    def test_json_beyond_the_limit(self, server: Server) -> None:
        body = json.dumps({"name": "x" * 1024 * 1024}).encode()
        assert server.request("POST", "/v2/images", body).status == 413
        assert server.request("POST", "/v2/images", iter([body])).status == 413

    def test_json_nested_beyond_reason(self, server: Server) -> None:
        depth = 100_000
        assert server.request("POST", "/v2/images", b"[" * depth + b"]" * depth).status == 400


class TestHeadersThatAreNoText:
    """Bytes beyond ASCII in a header are the client's business and no error of the service's."""

    def ask(self, server: Server, line: str, *headers: bytes) -> Answer:
        with Wire(server) as wire:
            host = [] if any(h.startswith(b"Host") for h in headers) else [b"Host: x"]
            wire.send(b"\r\n".join([line.encode() + b" HTTP/1.1", *host, *headers, b"", b""]))
            return wire.answer(line.partition(" ")[0])

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/healthcheck", 200),
            ("/versions", 200),
            ("/", 300),
            ("/v2", 302),
            ("/v2/images?limit=0", 200),
            ("/v2/images/nope", 404),
            ("/v2/nonsense", 404),
            ("/nonsense", 300),
        ],
    )
    def test_accept(self, server: Server, path: str, status: int) -> None:
        assert self.ask(server, f"GET {path}", b"Accept: \xff\xfe").status == status

    @pytest.mark.parametrize("path", ["/healthcheck", "/versions", "/v2", "/v2/images", "/x"])
    @pytest.mark.parametrize("host", [b"\xff", b"a b", b"x/y", b'"', b"a@b"])
    def test_host(self, server: Server, path: str, host: bytes) -> None:
        assert self.ask(server, f"GET {path}", b"Host: " + host).status == 400

    @pytest.mark.parametrize("host", [b"a..b", b"x" * 100, b"", b"[::1]:80", b"a_b:x", b".", b"%"])
    def test_odd_hosts_change_nothing(self, server: Server, host: bytes) -> None:
        assert self.ask(server, "GET /v2/images?limit=0", b"Host: " + host).status == 200

    def test_request_id(self, server: Server) -> None:
        answer = self.ask(server, "GET /v2/images?limit=0", b"X-Openstack-Request-ID: \xff")
        assert REQUEST_ID.fullmatch(answer.headers["x-openstack-request-id"])

    def test_too_large_a_body(self, server: Server) -> None:
        headers = b"Content-Length: 99999999", b"Accept: \xff"
        assert self.ask(server, "POST /v2/images", *headers).status == 413

    @pytest.mark.parametrize(
        ("header", "status"),
        [
            (b"Range", 416),
            (b"Content-Range", 416),
            (b"If-None-Match", 200),
            (b"If-Range", 200),
            (b"User-Agent", 200),
            (b"X-Roles", 200),
            (b"Cookie", 200),
        ],
    )
    def test_download(self, server: Server, header: bytes, status: int) -> None:
        path = f"GET /v2/images/{server.image(b'data')}/file"
        assert self.ask(server, path, header + b": \xff").status == status

    @pytest.mark.parametrize(
        ("header", "status"),
        [
            (b"Content-Type: \xff", 415),
            (b"X-Openstack-Image-Size: \xff", 400),
            (b"X-Image-Meta-Store: \xff", 400),
            (b"Expect: \xff", 204),
        ],
    )
    def test_upload(self, server: Server, header: bytes, status: int) -> None:
        path = f"PUT /v2/images/{server.create()}/file"
        octets = b"Content-Type: application/octet-stream"
        answer = self.ask(server, path, octets, header, b"Content-Length: 0")
        assert answer.status == status

    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    def test_media_type_of_json(self, server: Server, method: str) -> None:
        path = "/v2/images" if method == "POST" else f"/v2/images/{server.create()}"
        answer = self.ask(server, f"{method} {path}", b"Content-Type: \xff", b"Content-Length: 0")
        assert answer.status in (400, 415)


class TestRequestId:
    def test_made_anew_each_time(self, server: Server) -> None:
        ids = {
            server.request("GET", "/v2/images?limit=0").headers["x-openstack-request-id"]
            for _ in range(3)
        }
        assert len(ids) == 3
        assert all(REQUEST_ID.fullmatch(name) for name in ids)

    @pytest.mark.parametrize(("sent", "got"), [("req-mine", "req-mine"), ("mine", "req-mine")])
    def test_client_s_own(self, server: Server, sent: str, got: str) -> None:
        headers = {"X-Openstack-Request-ID": sent}
        answer = server.request("GET", "/v2/images?limit=0", headers=headers)
        assert answer.headers["x-openstack-request-id"] == got

    def test_too_long(self, server: Server) -> None:
        headers = {"X-Openstack-Request-ID": "x" * 100}
        answer = server.request("GET", "/v2/images?limit=0", headers=headers)
        assert answer.status == 431
        assert "x" * 100 not in str(answer.headers)


class TestSchemas:
    def test_image_matches_its_schema(self, server: Server) -> None:
        schema = server.request("GET", "/v2/schemas/image").json
        assert schema["name"] == "image"
        assert set(server.show(server.create())) <= set(schema["properties"])
        assert schema["additionalProperties"] == {"type": "string"}
        assert None in schema["properties"]["disk_format"]["enum"]

    def test_list_refers_to_it(self, server: Server) -> None:
        schema = server.request("GET", "/v2/schemas/images").json
        image = server.request("GET", "/v2/schemas/image").json
        assert schema["properties"]["images"]["items"]["properties"] == image["properties"]
