"""Who the measured requests come from."""

from __future__ import annotations

import pytest

from bench.identity import Believed, SignedIn, credentials, lifetime

CLIENT = {"OS_USERNAME": "someone", "OS_PASSWORD": "secret", "OS_PROJECT_NAME": "somewhere"}


def test_credentials_are_those_of_any_client() -> None:
    auth = credentials({**CLIENT, "OS_PROJECT_DOMAIN_NAME": "Realm"})["auth"]
    assert auth["identity"]["password"]["user"] == {
        "name": "someone",
        "password": "secret",
        "domain": {"id": "default"},
    }
    assert auth["scope"]["project"] == {"name": "somewhere", "domain": {"name": "Realm"}}


@pytest.mark.parametrize("name", list(CLIENT))
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        credentials({**CLIENT, name: ""})


def test_only_a_keystone_of_this_machine() -> None:
    with pytest.raises(ValueError, match="--keystone"):
        SignedIn("http://192.0.2.1:5000", CLIENT)


def test_lifetime() -> None:
    token = {
        "issued_at": "2026-11-25T23:59:30.000000Z",
        "expires_at": "2026-11-26T00:01:00.000000Z",
    }
    assert lifetime(token) == 90


def test_headers_end_with_their_line() -> None:
    assert Believed.headers.endswith(b"\r\n")
    assert b"\r\n\r\n" not in Believed.headers
