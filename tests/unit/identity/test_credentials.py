"""From options to the body of a login."""

import pytest

from glance.domain.errors import ConfigError
from glance.identity.credentials import check_url, make_credentials, read_credentials
from tests.unit.identity.support import BASIC, URL, configured

GROUP = "keystone_authtoken"


def credentials(**changes):
    options = {name: value for name, value in {**BASIC, **changes}.items() if value is not None}
    return read_credentials(configured(options), GROUP)


def refusal(**changes):
    with pytest.raises(ConfigError) as caught:
        credentials(**changes)
    assert "canary" not in caught.value.message
    return caught.value.message


NAMED = {
    "name": "glance",
    "domain": {"name": "Default"},
    "password": "canary-password",
}


@pytest.mark.parametrize("auth_type", [None, "password", "v3password"])
def test_password(auth_type):
    found = credentials(auth_type=auth_type)
    assert found.auth_url == URL
    assert found.body == {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": NAMED}},
            "scope": {"project": {"name": "service", "domain": {"name": "Default"}}},
        }
    }


def test_secrets_do_not_show():
    found = credentials()
    assert "canary" not in repr(found)


def test_ids_win_over_names():
    body = credentials(user_id="u", project_id="p", user_domain_id="d", project_domain_id="d").body[
        "auth"
    ]
    assert body["identity"]["password"]["user"] == {"id": "u", "password": "canary-password"}
    assert body["scope"] == {"project": {"id": "p"}}
    domain = credentials(user_domain_id="d").body["auth"]["identity"]["password"]["user"]["domain"]
    assert domain == {"id": "d"}


def test_default_domain():
    body = credentials(
        user_domain_name=None, project_domain_name=None, default_domain_id="default"
    ).body["auth"]
    assert body["identity"]["password"]["user"]["domain"] == {"id": "default"}
    assert body["scope"]["project"]["domain"] == {"id": "default"}


@pytest.mark.parametrize(
    ("options", "scope"),
    [
        ({"system_scope": "all"}, {"system": {"all": True}}),
        ({"domain_id": "d"}, {"domain": {"id": "d"}}),
        ({"domain_name": "D"}, {"domain": {"name": "D"}}),
        ({"trust_id": "t"}, {"OS-TRUST:trust": {"id": "t"}}),
        ({}, None),
    ],
)
def test_scopes(options, scope):
    body = credentials(project_name=None, **options).body
    assert body["auth"].get("scope") == scope


@pytest.mark.parametrize("auth_type", [None, "v3applicationcredential"])
def test_application_credential(auth_type):
    secret = {"application_credential_secret": "canary-secret", "auth_type": auth_type}
    by_id = credentials(application_credential_id="c", **secret).body["auth"]
    assert by_id == {
        "identity": {
            "methods": ["application_credential"],
            "application_credential": {"id": "c", "secret": "canary-secret"},
        }
    }
    by_name = credentials(application_credential_name="C", **secret).body["auth"]["identity"]
    assert by_name["application_credential"] == {
        "name": "C",
        "user": {"name": "glance", "domain": {"name": "Default"}},
        "secret": "canary-secret",
    }


def test_section_of_their_own():
    options = {"auth_section": "elsewhere", "auth_url": "http://wrong.example"}
    lines = "\n".join(f"{name} = {value}" for name, value in BASIC.items())
    conf = configured(options, more=f"[elsewhere]\n{lines}")
    found = read_credentials(conf, "elsewhere")
    assert (found.auth_url, found.source) == (URL, "[elsewhere]")


@pytest.mark.parametrize("section", ["DEFAULT", "bind_host"])
def test_section_that_cannot_hold_them(section):
    with pytest.raises(ConfigError, match=r"\[keystone_authtoken\]auth_section"):
        configured({"auth_section": section})


@pytest.mark.parametrize("section", ["database", GROUP, "elsewhere"])
def test_section_that_there_is_already_or_not_at_all(section):
    conf = configured({"auth_section": section})
    with pytest.raises(ConfigError, match=rf"\[{section}\] auth_url is not set"):
        read_credentials(conf, section)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"auth_url": None}, f"[{GROUP}] auth_url is not set"),
        ({"username": None}, f"[{GROUP}] username or user_id is not set"),
        ({"password": None}, f"[{GROUP}] password is not set"),
        ({"password": ""}, f"[{GROUP}] password is not set"),
        ({"user_domain_name": None}, f"[{GROUP}] user_domain_id or user_domain_name is not set"),
        ({"project_domain_name": None}, "project_domain_id or project_domain_name is not set"),
        ({"auth_type": "v3token"}, f"[{GROUP}] auth_type = v3token is not available"),
        ({"system_scope": "all"}, "project_name and system_scope exclude each other"),
        ({"project_name": None, "system_scope": "some"}, "system_scope = some: it can only be all"),
        (
            {"auth_type": "v3applicationcredential"},
            "application_credential_id or application_credential_name is not set",
        ),
        (
            {"auth_type": "v3applicationcredential", "application_credential_id": "x"},
            "application_credential_secret is not set",
        ),
    ],
)
def test_what_is_missing_or_does_not_go_together(changes, told):
    assert told in refusal(**changes)


@pytest.mark.parametrize(
    "url",
    [
        "identity.example",
        "ftp://identity.example",
        "http://",
        "http://:5000",
        "http://user:canary@identity.example",
        "http://identity.example:port",
        "http://identity.example:0",
        "http://identity.example/?a=b",
        "http://identity.example/#a",
        'http://identity.example/"',
        "http://identity.example/a b",
        "http://[::1",
        "http://identität.example",
    ],
)
def test_what_is_no_url(url):
    assert f"[{GROUP}] auth_url must be a URL" in refusal(auth_url=url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h", "http://h"),
        ("https://h:5000/", "https://h:5000"),
        ("http://h/identity//", "http://h/identity"),
        ("http://[::1]:5000/v3/", "http://[::1]:5000/v3"),
    ],
)
def test_slashes_at_the_end_of_a_url_mean_nothing(url, expected):
    assert check_url(url, "x") == expected


def test_credentials_from_elsewhere_than_a_section():
    options = {"auth_url": f"{URL}/", "username": "u", "password": "canary", "user_domain_id": "d"}
    found = make_credentials(options, "the user 'u'")
    assert (found.auth_url, found.source) == (URL, "the user 'u'")
    assert found.body["auth"]["identity"]["password"]["user"]["domain"] == {"id": "d"}
    with pytest.raises(ConfigError, match=r"^the user 'u' password is not set"):
        make_credentials({**options, "password": ""}, "the user 'u'")
