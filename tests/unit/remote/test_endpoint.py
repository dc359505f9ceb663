"""What people type for an image service."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.errors import Invalid
from glance.remote.endpoint import Endpoint, read_endpoint


@pytest.mark.parametrize(
    ("text", "port", "url"),
    [
        ("0.0.0.0", None, "http://0.0.0.0:9292"),
        ("glance-1", 80, "http://glance-1:80"),
        ("glance_api", None, "http://glance_api:9292"),
        ("a.example:81", None, "http://a.example:81"),
        ("a.example:81", 81, "http://a.example:81"),
        ("::1", None, "http://[::1]:9292"),
        ("[::1]", 5, "http://[::1]:5"),
        ("[::1]:81", None, "http://[::1]:81"),
        (" host ", None, "http://host:9292"),
        ("::ffff:1.2.3.4", None, "http://[::ffff:1.2.3.4]:9292"),
        ("http://host", None, "http://host:80"),
        ("https://host", None, "https://host:443"),
        ("https://host", 9292, "https://host:9292"),
        ("https://host:9292/", None, "https://host:9292"),
        ("HTTPS://host:1/image/v2/", None, "https://host:1/image"),
        ("https://[fe80::1]:9/a/b", None, "https://[fe80::1]:9/a/b"),
    ],
)
def test_what_is_meant(text: str, port: int | None, url: str) -> None:
    assert read_endpoint(text, port).url == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "-x",
        "ftp://host",
        "http://",
        "http://user:canary@host",
        "user:canary@host",
        "http://host/?x=1",
        "http://host/#x",
        "http://host/a/../b",
        "http://host/a%0d",
        "host/path",
        "::1:19293",
        "[::1",
        "::g",
        "[1:2]",
        "1.2.3.4:5:6",
        "http://[::1",
        "[x]",
        "[host]",
        "host\r\nx",
        "http://h\u00f6st",
    ],
)
def test_what_names_no_service(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_endpoint(text)
    assert "canary" not in caught.value.message
    assert caught.value.message.startswith("The host must be")


@pytest.mark.parametrize(
    "text",
    ["host:0", "host:65536", "http://host:99999999999999", "host:port", "host:", "host:\u0663"],
)
def test_ports_that_there_are_not(text: str) -> None:
    with pytest.raises(Invalid, match="port"):
        read_endpoint(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ftp://host", "begins with http:// or https://"),
        ("http://user:canary@host", "without a user or a password"),
        ("::1:19293", "in brackets, as in"),
    ],
)
def test_what_is_wrong(text: str, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        read_endpoint(text)


def test_two_ports() -> None:
    with pytest.raises(Invalid, match="the port 81, but 82"):
        read_endpoint("https://host:81", 82)


@given(st.text(max_size=30))
def test_nothing_else_is_raised(text: str) -> None:
    for typed in (text, f"http://{text}", f"https://host{text}"):
        with contextlib.suppress(Invalid):
            url = read_endpoint(typed).url
            assert url.isascii() and url.isprintable() and " " not in url


@given(st.integers(1, 65535), st.sampled_from(["", "/image", "/a/b"]))
def test_its_own_urls_are_read_back(port: int, prefix: str) -> None:
    for host in ("a.example", "127.0.0.1", "::1"):
        endpoint = Endpoint(host, port, "https", prefix)
        assert read_endpoint(endpoint.url) == endpoint
