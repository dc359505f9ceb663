"""Pages of other origins: what a browser asks beforehand, and what it lets a page see."""

from collections.abc import Iterator

import pytest

from tests.functional.server import OCTETS, Answer, Server
from tests.functional.wire import Wire

PAGE = "https://dashboard.example"
STRANGER = "https://evil.example"


@pytest.fixture(scope="module")
def cors_server() -> Iterator[Server]:
    options = {"allowed_origin": f"{PAGE},https://other.example"}
    with Server(options={"cors": options}, settings={"json_body_limit": 1000}) as server:
        yield server
        assert server.trouble() == []


def cors_headers(answer: Answer) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in answer.headers.items()
        if name.lower().startswith("access-control-")
    }


def preflight(server: Server, origin: str, method: str, headers: str = "") -> Answer:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers:
        asked["Access-Control-Request-Headers"] = headers
    return server.request("OPTIONS", "/v2/images", headers=asked)


class TestPreflight:
    def test_allowed(self, cors_server: Server) -> None:
        answer = preflight(cors_server, PAGE, "PATCH", "x-auth-token,content-type")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["Vary"] == "Origin"
        assert cors_headers(answer) == {
            "access-control-allow-origin": PAGE,
            "access-control-allow-credentials": "true",
            "access-control-allow-methods": "PATCH",
            "access-control-allow-headers": "x-auth-token,content-type",
            "access-control-max-age": "3600",
        }

    @pytest.mark.parametrize(
        ("origin", "method", "headers"),
        [(STRANGER, "GET", ""), (PAGE, "TRACE", ""), (PAGE, "GET", "x-other")],
    )
    def test_refused(self, cors_server: Server, origin: str, method: str, headers: str) -> None:
        answer = preflight(cors_server, origin, method, headers)
        assert (answer.status, answer.body) == (200, b"")
        assert cors_headers(answer) == {}

    def test_no_preflight(self, cors_server: Server) -> None:
        answer = cors_server.request("OPTIONS", "/v2/images")
        assert (answer.status, answer.body, cors_headers(answer)) == (200, b"", {})


class TestAnswers:
    EXPOSED = (
        "X-Image-Meta-Checksum,X-Auth-Token,X-Subject-Token,X-Service-Token,X-OpenStack-Request-ID"
    )

    def check(self, answer: Answer) -> None:
        assert answer.headers["Vary"] == "Origin"
        assert cors_headers(answer) == {
            "access-control-allow-origin": PAGE,
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": self.EXPOSED,
        }

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/v2/images?limit=0", 200),
            ("GET", "/", 300),
            ("GET", "/versions", 200),
            ("GET", "/healthcheck", 200),
            ("GET", "/v2/images/nonsense", 404),
            ("PUT", "/v2/images", 405),
            ("GET", "/v2/nonsense", 404),
        ],
    )
    def test_every_one(self, cors_server: Server, method: str, path: str, status: int) -> None:
        answer = cors_server.request(method, path, headers={"Origin": PAGE})
        assert answer.status == status
        self.check(answer)

    def test_image_data(self, cors_server: Server) -> None:
        image_id = cors_server.create()
        answer = cors_server.upload(image_id, b"hello", Origin=PAGE)
        assert answer.status == 204
        self.check(answer)
        answer = cors_server.download(image_id, Origin=PAGE)
        assert answer.body == b"hello"
        self.check(answer)

    def test_early_refusals(self, cors_server: Server) -> None:
        answer = cors_server.request("POST", "/v2/images", bytes(2000), {"Origin": PAGE})
        assert answer.status == 413
        self.check(answer)
        headers = [f"{name}: {value}" for name, value in OCTETS.items()]
        with Wire(cors_server) as wire:
            wire.head("PUT", "/v2/images/x/file", f"Origin: {PAGE}", *headers)
            answer = wire.answer()
        assert answer.status == 411
        self.check(answer)

    def test_stranger(self, cors_server: Server) -> None:
        answer = cors_server.request("GET", "/v2/images?limit=0", headers={"Origin": STRANGER})
        assert answer.status == 200
        assert cors_headers(answer) == {}
        assert answer.headers["Vary"] == "Origin"

    def test_no_origin(self, cors_server: Server) -> None:
        answer = cors_server.request("GET", "/v2/images?limit=0")
        assert cors_headers(answer) == {}
        assert answer.headers["Vary"] == "Origin"


def test_not_configured(server: Server) -> None:
    for answer in (
        preflight(server, PAGE, "GET"),
        server.request("GET", "/v2/images?limit=0", headers={"Origin": PAGE}),
    ):
        assert answer.status == 200
        assert cors_headers(answer) == {}
        assert "Vary" not in answer.headers


def test_any_origin() -> None:
    with Server(options={"cors": {"allowed_origin": "*"}}) as server:
        answer = server.request("GET", "/versions", headers={"Origin": STRANGER})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Vary" not in answer.headers
