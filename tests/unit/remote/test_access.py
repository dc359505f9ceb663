"""Where a side is and as whom it is asked, by variables."""

from __future__ import annotations

import pytest

from glance.domain.errors import ConfigError
from glance.identity.credentials import Credentials
from glance.remote.access import read_side
from glance.remote.endpoint import Endpoint
from glance.remote.side import Side

LOGIN = {
    "OS_AUTH_URL": "https://keystone.example:5000/v3",
    "OS_USERNAME": "uma",
    "OS_PASSWORD": "canary-password",
    "OS_PROJECT_NAME": "p",
}
APPLICATION = {
    "SOURCE_OS_APPLICATION_CREDENTIAL_ID": "a1",
    "SOURCE_OS_APPLICATION_CREDENTIAL_SECRET": "canary-secret",
}


def side(**environ: str) -> Side:
    return read_side(environ, "the source", "SOURCE_")


def user(found: Side) -> dict:
    assert isinstance(found.credentials, Credentials)
    return found.credentials.body["auth"]["identity"]["password"]["user"]


def test_nothing():
    assert side() == Side("the source", trust=side().trust)


def test_login():
    found = side(**LOGIN)
    assert user(found)["name"] == "uma"
    assert (found.endpoint, found.interface, found.region) == (None, "public", None)
    assert "canary" not in repr(found)


def test_what_counts_for_the_side_alone():
    found = side(
        **LOGIN,
        SOURCE_OS_USERNAME="uwe",
        SOURCE_OS_PROJECT_ID="p1",
        TARGET_OS_USERNAME="nobody",
    )
    assert user(found)["name"] == "uwe"
    assert found.credentials.body["auth"]["scope"] == {"project": {"id": "p1"}}
    assert user(read_side(LOGIN, "the target", "TARGET_"))["name"] == "uma"


def test_user_by_id():
    login = {name: value for name, value in LOGIN.items() if name != "OS_USERNAME"}
    assert user(side(**login, OS_USER_ID="u1"))["id"] == "u1"


def test_token():
    assert side(**LOGIN, SOURCE_OS_TOKEN="canary-1").credentials == "canary-1"
    assert side(**LOGIN, OS_TOKEN="canary-1").credentials == "canary-1"
    # A login that counts for the side alone is nearer than a token for both.
    for nearer in ({"SOURCE_OS_USERNAME": "uwe"}, APPLICATION):
        assert isinstance(side(**LOGIN, OS_TOKEN="canary-1", **nearer).credentials, Credentials)


def test_no_login():
    assert side(**LOGIN, SOURCE_OS_AUTH_STRATEGY="noauth").credentials is None


def test_application_credential():
    found = side(OS_AUTH_URL=LOGIN["OS_AUTH_URL"], **APPLICATION)
    assert found.credentials.body["auth"]["identity"]["application_credential"] == {
        "id": "a1",
        "secret": "canary-secret",
    }


def test_where_it_is():
    found = side(
        SOURCE_OS_IMAGE_ENDPOINT_OVERRIDE="https://images.example/image/v2",
        OS_INTERFACE="internalURL",
        OS_REGION_NAME="east",
        SOURCE_OS_CACERT="/ca.pem",
        OS_INSECURE="True",
    )
    assert found.endpoint == Endpoint("images.example", 443, "https", "/image")
    assert (found.interface, found.region) == ("internal", "east")
    assert found.trust.authorities[1] == "/ca.pem"
    assert found.trust.insecure


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"OS_USERNAME": "uma"}, "Missing required credential: password"),
        (APPLICATION, "Missing required credential: auth_url"),
        ({**LOGIN, "OS_AUTH_URL": "canary"}, "SOURCE_OS_AUTH_URL or OS_AUTH_URL must be a URL"),
        ({"SOURCE_OS_IMAGE_URL": "ftp://canary"}, "SOURCE_OS_IMAGE_ENDPOINT_OVERRIDE: The host"),
        ({"SOURCE_OS_AUTH_STRATEGY": "magic"}, "it must be keystone or noauth"),
    ],
)
def test_mistakes(environ, told):
    with pytest.raises(ConfigError) as caught:
        side(**environ)
    assert told in str(caught.value)
    assert "canary" not in str(caught.value)
