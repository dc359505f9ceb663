"""Versions, by path, header and configuration, and the links to them."""

import json

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.web.resource import Resource

from glance.api.limits import Limits
from glance.api.site import refuse
from glance.api.streaming import StreamingSite
from glance.api.versions import VersionRoot, minor_versions

PLAIN = (17, 15, 9, 7, 6, 5, 4, 3, 2, 1, 0)
STORES = (17, 15, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
CACHE = (18, 17, 16, 15, 14, 9, 7, 6, 5, 4, 3, 2, 1, 0)


@pytest.mark.parametrize(
    ("stores", "cache", "minors"),
    [
        (False, False, PLAIN),
        (True, False, STORES),
        (False, True, CACHE),
        (True, True, tuple(range(18, -1, -1))),
    ],
)
def test_what_the_configuration_entitles_to(stores, cache, minors):
    assert minor_versions(stores=stores, cache=cache) == minors


class Api(Resource):
    """Says which path it was asked for."""

    isLeaf = True

    def render(self, request):
        return b"/".join(request.postpath)


def ask(
    path="/versions",
    *headers,
    method="GET",
    version="1.1",
    host="x",
    endpoint=None,
    minors=PLAIN,
    trust=False,
):
    root = VersionRoot(Api(), endpoint, minors, {})
    site = StreamingSite(
        root,
        MemoryReactorClock(),
        streams=lambda method, uri: False,
        refuse=refuse,
        limits=Limits(),
        trust_proxies=trust,
    )
    transport = StringTransport(hostAddress=IPv4Address("TCP", "127.0.0.1", 9292))
    channel = site.buildProtocol(None)
    channel.makeConnection(transport)
    lines = [f"{method} {path} HTTP/{version}", *headers]
    if host is not None:
        lines.append(f"Host: {host}")
    channel.dataReceived("\r\n".join([*lines, "", ""]).encode("latin-1"))
    head, _, body = transport.value().partition(b"\r\n\r\n")
    status, *rest = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in rest), body


def href(*args, **more):
    status, _, body = ask("/versions", *args, **more)
    assert status == 200
    [link] = {version["links"][0]["href"] for version in json.loads(body)["versions"]}
    return link


@pytest.mark.parametrize("minors", [PLAIN, STORES, CACHE])
def test_what_is_listed_is_accepted_and_nothing_else(minors):
    listed = json.loads(ask(minors=minors)[2])["versions"]
    assert [version["id"] for version in listed] == [f"v2.{minor}" for minor in minors]
    assert [version["status"] for version in listed] == ["CURRENT"] + ["SUPPORTED"] * (
        len(minors) - 1
    )
    accepted = [n for n in range(30) if ask(f"/v2.{n}/images", minors=minors)[0] == 200]
    assert accepted == sorted(minors)
    by_header = [
        n
        for n in range(30)
        if ask("/images", f"Accept: application/vnd.openstack.images-v2.{n}", minors=minors)[0]
        == 200
    ]
    assert by_header == sorted(minors)


class TestLinks:
    def test_host_of_the_request(self):
        assert href(host="images.example:81") == "http://images.example:81/v2/"

    def test_public_endpoint(self):
        for endpoint in ("https://images.example/image", "https://images.example/image/"):
            assert href(endpoint=endpoint) == "https://images.example/image/v2/"

    def test_old_client_without_a_host(self):
        assert href(host=None, version="1.0") == "http://127.0.0.1:9292/v2/"

    @pytest.mark.parametrize(
        ("headers", "link"),
        [
            (["X-Forwarded-Proto: https"], "https://x/v2/"),
            (["X-Forwarded-Host: images.example:8443"], "http://images.example:8443/v2/"),
            (["X-Forwarded-Prefix: /image"], "http://x/image/v2/"),
            (["Forwarded: proto=https;host=images.example"], "https://images.example/v2/"),
            (["X-Forwarded-Proto: javascript", "X-Forwarded-Host: a b"], "http://x/v2/"),
        ],
    )
    def test_proxies(self, headers, link):
        assert href(*headers, trust=True) == link
        assert href(*headers) == "http://x/v2/"
        assert href(*headers, trust=True, endpoint="https://p.example") == "https://p.example/v2/"

    def test_redirect(self):
        headers = "X-Forwarded-Proto: https", "X-Forwarded-Prefix: /image"
        status, told, _ = ask("/v2", *headers, trust=True)
        assert (status, told["Location"]) == (302, "https://x/image/v2/")


class TestHosts:
    def test_missing(self):
        assert ask(host=None)[0] == 400
        assert ask(host=None, version="1.0")[0] == 200

    def test_two(self):
        assert ask("/versions", "Host: x")[0] == 400
        assert ask("/versions", "Host: x", version="1.0")[0] == 400

    def test_refusals_have_a_request_id(self):
        assert "X-Openstack-Request-Id" in ask(host=None)[1]
        assert "X-Openstack-Request-Id" not in ask()[1]


class TestAbsoluteForm:
    """How a request looks that was meant for a proxy (RFC 9112, section 3.2.2)."""

    @pytest.mark.parametrize("scheme", ["http", "HTTPS"])
    def test_path(self, scheme):
        status, _, body = ask(f"{scheme}://images.example/v2/images?x=y")
        assert (status, body) == (200, b"images")

    def test_its_host_counts(self):
        _, _, body = ask("http://images.example:81/versions", host="other.example")
        assert json.loads(body)["versions"][0]["links"][0]["href"] == (
            "http://images.example:81/v2/"
        )

    def test_no_path(self):
        assert ask("http://images.example")[0] == 300

    @pytest.mark.parametrize("target", ["http://u@images.example/v2/x", "http://a b/", "x/v2", "x"])
    def test_refused(self, target):
        assert ask(target)[0] == 400


def test_asterisk():
    assert ask("*", method="OPTIONS")[0] == 200
    assert ask("*")[0] == 405
