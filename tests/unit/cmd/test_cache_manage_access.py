"""Which service is asked, and as whom."""

from __future__ import annotations

import pytest

from glance.cmd.cache_manage_access import read_access
from glance.cmd.cache_manage_options import parse
from glance.domain.errors import GlanceError
from glance.identity.credentials import Credentials

LOGIN = {
    "OS_AUTH_URL": "http://k:5000/v3/",
    "OS_USERNAME": "uma",
    "OS_PASSWORD": "canary-password",
    "OS_PROJECT_NAME": "p",
}


def access(*argv: str, **environ: str):
    return read_access(parse(argv), environ)


def login(*argv: str, **changes: str | None):
    """Return the login's body, of a complete set of variables."""
    environ = {name: value for name, value in {**LOGIN, **changes}.items() if value is not None}
    found = access(*argv, **environ).credentials
    assert isinstance(found, Credentials)
    return found


def scope(*argv: str, **changes: str | None):
    return login(*argv, **changes).body["auth"]["scope"]["project"]


def user(*argv: str, **changes: str | None):
    return login(*argv, **changes).body["auth"]["identity"]["password"]["user"]


class TestService:
    def test_unless_it_is_given(self):
        found = access()
        assert found.endpoint.url == "http://0.0.0.0:9292"
        assert (found.credentials, found.authorities, found.insecure) == (None, None, False)
        assert found.seconds == 60

    def test_given(self):
        found = access("-H", "https://h/image", "-p", "5", "-k", "--timeout", "3")
        assert found.endpoint.url == "https://h:5/image"
        assert (found.insecure, found.seconds) == (True, 3)

    def test_it_is_not_looked_up_in_the_catalogue(self):
        environ = {**LOGIN, "OS_REGION_NAME": "elsewhere"}
        assert access(**environ).endpoint.url == "http://0.0.0.0:9292"

    def test_authorities(self):
        assert access(OS_CACERT="/a").authorities == "/a"
        assert access("--os-cacert", "/b", OS_CACERT="/a").authorities == "/b"


class TestLogin:
    def test_body(self):
        found = login()
        assert found.auth_url == "http://k:5000/v3"
        assert found.body == {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {
                            "name": "uma",
                            "domain": {"id": "default"},
                            "password": "canary-password",
                        }
                    },
                },
                "scope": {"project": {"name": "p", "domain": {"id": "default"}}},
            }
        }
        assert "canary" not in repr(found)
        assert "canary" not in repr(access(**LOGIN))

    def test_all_on_the_command_line(self):
        argv = ["-N", "http://k/v3", "-I", "u", "-K", "pw", "-T", "q", "-S", "keystone"]
        found = access(*argv, "--os-domain-id", "d").credentials
        assert found.body["auth"]["identity"]["password"]["user"] == {
            "name": "u",
            "domain": {"id": "d"},
            "password": "pw",
        }
        assert found.body["auth"]["scope"] == {"project": {"name": "q", "domain": {"id": "d"}}}

    def test_domains(self):
        assert user(OS_USER_DOMAIN_ID="a")["domain"] == {"id": "a"}
        assert user(OS_USER_DOMAIN_NAME="A")["domain"] == {"name": "A"}
        assert user(OS_USER_DOMAIN_NAME="A", OS_USER_DOMAIN_ID="a")["domain"] == {"id": "a"}
        assert user("--os-user-domain-name", "B", OS_USER_DOMAIN_ID="a")["domain"] == {"name": "B"}
        assert user(OS_DOMAIN_ID="d")["domain"] == {"id": "d"}
        assert user("-os-user-domain-id", "x", OS_DOMAIN_ID="d")["domain"] == {"id": "x"}
        assert scope(OS_PROJECT_DOMAIN_ID="a", OS_DOMAIN_ID="d")["domain"] == {"id": "a"}
        assert scope(OS_PROJECT_DOMAIN_NAME="A")["domain"] == {"name": "A"}

    def test_projects(self):
        assert scope(OS_PROJECT_ID="1") == {"id": "1"}
        assert scope(OS_TENANT_ID="1") == {"id": "1"}
        assert scope("--os-tenant-id", "2", OS_PROJECT_ID="1") == {"id": "2"}
        assert scope("-T", "q", OS_PROJECT_ID="1")["name"] == "q"
        for name in ("OS_TENANT_NAME", "OS_AUTH_PROJECT"):
            assert scope(OS_PROJECT_NAME=None, **{name: "t"})["name"] == "t"

    def test_former_variables(self):
        found = user(OS_USERNAME=None, OS_AUTH_USER="u", OS_PASSWORD=None, OS_AUTH_KEY="k")
        assert (found["name"], found["password"]) == ("u", "k")

    @pytest.mark.parametrize(
        ("variable", "name"),
        [
            ("OS_AUTH_URL", "auth_url"),
            ("OS_USERNAME", "username"),
            ("OS_PASSWORD", "password"),
            ("OS_PROJECT_NAME", "project"),
        ],
    )
    def test_what_is_missing(self, variable, name):
        with pytest.raises(GlanceError) as caught:
            login(**{variable: None})
        assert caught.value.message == f"Missing required credential: {name}"

    @pytest.mark.parametrize("url", ["k:5000", "http://u:canary@k", "ftp://k", "http://k/v2.0"])
    def test_urls_that_are_none(self, url):
        with pytest.raises(GlanceError) as caught:
            login(OS_AUTH_URL=url)
        assert "OS_AUTH_URL or --os-auth-url" in caught.value.message
        assert "canary" not in caught.value.message

    def test_version_of_the_api_makes_no_difference(self):
        assert login(OS_IDENTITY_API_VERSION="2.0").auth_url == "http://k:5000/v3"


class TestStrategy:
    def test_keystone_is_meant_where_anything_of_it_is_said(self):
        for name in ("OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD"):
            with pytest.raises(GlanceError, match="Missing required credential"):
                access(**{name: LOGIN[name]})
        assert access(OS_PROJECT_NAME="p", OS_DOMAIN_ID="d").credentials is None

    def test_keystone_that_is_asked_for(self):
        for argv, environ in ((["-S", "keystone"], {}), ([], {"OS_AUTH_STRATEGY": "keystone"})):
            with pytest.raises(GlanceError, match="Missing required credential: username"):
                access(*argv, **environ)

    def test_none(self):
        environ = {**LOGIN, "OS_AUTH_TOKEN": "t"}
        assert access("-S", "noauth", **environ).credentials is None
        assert access(**environ, OS_AUTH_STRATEGY="noauth").credentials is None
        assert access("-S", "noauth").credentials is None

    def test_command_line_wins(self):
        assert isinstance(
            access("-S", "keystone", **LOGIN, OS_AUTH_STRATEGY="noauth").credentials, Credentials
        )

    def test_unknown(self):
        with pytest.raises(GlanceError, match="OS_AUTH_STRATEGY is 'magic'; it must be keystone"):
            access(OS_AUTH_STRATEGY="magic")


class TestToken:
    def test_variables(self):
        assert access(OS_AUTH_TOKEN="t").credentials == "t"
        assert access(OS_TOKEN="t").credentials == "t"
        assert access(OS_TOKEN="t", OS_AUTH_TOKEN="a").credentials == "a"
        assert access("-A", "x", OS_AUTH_TOKEN="a").credentials == "x"

    def test_it_makes_a_login_needless(self):
        assert access(**LOGIN, OS_TOKEN="t").credentials == "t"
        assert access("-S", "keystone", OS_TOKEN="t").credentials == "t"

    def test_who_types_a_name_means_to_log_in(self):
        for argv in (["-I", "u"], ["-K", "pw"]):
            assert isinstance(access(*argv, **LOGIN, OS_TOKEN="t").credentials, Credentials)
        assert access("-A", "x", "-I", "u", **LOGIN).credentials == "x"

    def test_token_that_is_typed_is_sent_in_any_case(self):
        assert access("-S", "noauth", "-A", "x").credentials == "x"

    def test_it_is_not_shown(self):
        assert "canary" not in repr(access("-A", "canary"))
