"""Locations that users give: an image's data is where they say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functional.server import Answer, Server
from tests.functional.web import DATA, WebServer


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with WebServer() as web:
        yield web


@pytest.fixture(scope="module")
def glance(web: WebServer) -> Iterator[Server]:
    """A service that shows locations and may fetch from the web server."""
    options = {
        "DEFAULT": {"enabled_backends": "here:file,web:http", "show_multiple_locations": True},
        "glance_store": {"default_backend": "here"},
        "import_filtering_opts": {
            "allowed_hosts": "[127.0.0.1]",
            "allowed_ports": f"[{web.port}]",
        },
    }
    with Server(options=options) as server:
        yield server
        assert server.trouble() == []


def add(server: Server, image_id: str, url: str, draft: str = "v2.1") -> Answer:
    """Add a location by a patch of either draft."""
    value = {"url": url, "metadata": {"speed": "88mph"}}
    operation = {"op": "add", "path": "/locations/-", "value": value}
    if draft == "v2.0":
        operation = {"add": "/locations/-", "value": value}
    kind = f"application/openstack-images-{draft}-json-patch"
    path = f"/v2/images/{image_id}"
    return server.request("PATCH", path, [operation], {"Content-Type": kind})


@pytest.mark.parametrize("draft", ["v2.0", "v2.1"])
def test_first_makes_an_image_active(glance: Server, web: WebServer, draft: str) -> None:
    image_id = glance.create()
    answer = add(glance, image_id, web.url("/plain"), draft)
    assert (answer.status, answer.json["status"]) == (200, "active")
    image = glance.show(image_id)
    assert image == answer.json
    assert (image["size"], image["os_hash_value"]) == (len(DATA), None)
    [location] = image["locations"]
    assert (location["url"], location["metadata"]["speed"]) == (web.url("/plain"), "88mph")
    assert glance.download(image_id).body == DATA


def test_more_are_kept_in_order(glance: Server, web: WebServer) -> None:
    image_id = glance.create()
    urls = [web.url(f"/plain#{number}") for number in range(3)]
    for url in urls:
        assert add(glance, image_id, url).status == 200
    assert [place["url"] for place in glance.show(image_id)["locations"]] == urls


def test_refused_places_leave_an_image_as_it_was(glance: Server, web: WebServer) -> None:
    image_id = glance.create()
    for url in ("http://127.0.0.1:9/", "http://192.0.2.1/", web.url("/missing")):
        answer = add(glance, image_id, url)
        assert (answer.status, b"does not pass filtering" in answer.body) == (400, True)
    image = glance.show(image_id)
    assert (image["status"], image["locations"]) == ("queued", [])
