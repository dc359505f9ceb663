"""Behind a proxy: what it says of a request counts where it is trusted, and nowhere else."""

from collections.abc import Iterator

import pytest

from tests.functional.server import Server
from tests.functional.wire import Wire

SAID = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "images.example",
    "X-Forwarded-Prefix": "/image",
    "X-Forwarded-For": "192.0.2.7",
}


@pytest.fixture(scope="module")
def trusting_server() -> Iterator[Server]:
    with Server(options={"oslo_middleware": {"enable_proxy_headers_parsing": True}}) as server:
        yield server
        assert server.trouble() == []


def href(server: Server, headers: dict[str, str]) -> str:
    answer = server.request("GET", "/versions", headers=headers)
    return str(answer.json["versions"][0]["links"][0]["href"])


class TestTrusted:
    def test_links(self, trusting_server: Server) -> None:
        assert href(trusting_server, SAID) == "https://images.example/image/v2/"
        forwarded = {"Forwarded": 'for="[2001:db8::1]";proto=https;host="images.example:8443"'}
        assert href(trusting_server, forwarded) == "https://images.example:8443/v2/"

    def test_location(self, trusting_server: Server) -> None:
        answer = trusting_server.request("POST", "/v2/images", {"name": "x"}, SAID)
        assert answer.status == 201
        path = f"/v2/images/{answer.json['id']}"
        assert answer.headers["Location"] == f"https://images.example/image{path}"
        # Links of an image are paths of the service, as ever.
        assert answer.json["self"] == path

    def test_client_in_the_log(self, trusting_server: Server) -> None:
        server = trusting_server
        server.request("GET", "/v2/images/logged", headers=SAID)
        assert '192.0.2.7 "GET /v2/images/logged HTTP/1.1" 404' in server.log_text()

    def test_client_in_the_log_of_a_refused_request(self, trusting_server: Server) -> None:
        with Wire(trusting_server) as wire:
            wire.head("PUT", "/v2/images/logged/file", "X-Forwarded-For: 192.0.2.9")
            assert wire.answer().status == 411
        assert '192.0.2.9 "PUT /v2/images/logged/file' in trusting_server.log_text()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("X-Forwarded-Proto", "javascript"),
            ("X-Forwarded-Host", "evil.example/path"),
            ("X-Forwarded-Host", "a b"),
            ("X-Forwarded-Prefix", "//evil.example"),
            ("X-Forwarded-Prefix", "/../x"),
            ("Forwarded", 'host="x'),
        ],
    )
    def test_lies(self, trusting_server: Server, name: str, value: str) -> None:
        assert href(trusting_server, {name: value}) == f"{trusting_server.url}/v2/"

    def test_client_that_is_no_address(self, trusting_server: Server) -> None:
        headers = {"X-Forwarded-For": 'evil "GET / HTTP/1.1" 200'}
        trusting_server.request("GET", "/v2/images/lied", headers=headers)
        assert '127.0.0.1 "GET /v2/images/lied HTTP/1.1" 404' in trusting_server.log_text()


def test_not_trusted(server: Server) -> None:
    assert href(server, SAID) == f"{server.url}/v2/"
    answer = server.request("POST", "/v2/images", {"name": "x"}, SAID)
    assert answer.headers["Location"].startswith(server.url + "/v2/")
    server.request("GET", "/v2/images/distrusted", headers=SAID)
    assert '127.0.0.1 "GET /v2/images/distrusted HTTP/1.1" 404' in server.log_text()


def test_public_endpoint_wins() -> None:
    trust = {"enable_proxy_headers_parsing": True}
    endpoint = {"public_endpoint": "https://public.example"}
    with Server(settings=endpoint, options={"oslo_middleware": trust}) as server:
        assert href(server, SAID) == "https://public.example/v2/"
