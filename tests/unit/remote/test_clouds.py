"""Sides of which a file clouds.yaml tells."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from glance.domain.errors import ConfigError
from glance.identity.credentials import Credentials
from glance.remote.clouds import thd_read_cloud
from glance.remote.endpoint import Endpoint
from glance.remote.side import Side

CLOUDS = """
clouds:
  east:
    auth:
      auth_url: https://keystone.example:5000/v3
      username: uma
      password: canary-password
      project_name: p
      user_domain_name: Default
      project_domain_name: Default
    region_name: RegionEast
    interface: internal
    cacert: /etc/ssl/east.pem
    image_endpoint_override: https://images.example/image
  beside:
    auth_url: https://keystone.example:5000/v3
    username: uma
    password: canary-password
    project_name: p
    user_domain_name: Default
    project_domain_name: Default
  application:
    auth_type: v3applicationcredential
    auth:
      auth_url: https://keystone.example:5000/v3
      application_credential_id: a1
      application_credential_secret: canary-secret
    verify: false
  token:
    auth_type: v3token
    auth: {auth_url: "https://keystone.example:5000/v3", token: canary-token, project_id: p1}
  open:
    auth_type: none
    image_endpoint_override: http://127.0.0.1:9292
  nowhere:
    auth_type: none
  fixed:
    auth_type: admin_token
    auth: {endpoint: "http://127.0.0.1:9292", token: canary-token}
    image_endpoint_override: http://127.0.0.1:9292
  old:
    auth_type: v2password
    auth: {auth_url: "https://keystone.example:5000/v2.0", username: u, password: canary}
  regions:
    auth: {auth_url: "https://k.example", username: u, password: p, user_domain_id: d,
           project_id: i}
    regions: [one, two]
  broken-endpoint:
    auth: {auth_url: "https://k.example", username: u, password: p, user_domain_id: d}
    image_endpoint_override: ftp://canary@images.example
  incomplete:
    auth: {username: u, password: canary-password}
"""


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    # Nothing that whoever runs the tests has configured is found.
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("OS_CLOUD", "OS_CLIENT_CONFIG_FILE", "OS_AUTH_URL", "OS_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "clouds.yaml"
    path.write_text(CLOUDS)

    def read(cloud: str, **more: Any) -> Side:
        return thd_read_cloud(cloud, files=[str(path)], **more)

    return read


def body(side: Side) -> Any:
    assert isinstance(side.credentials, Credentials)
    return side.credentials.body["auth"]


def test_password(read):
    side = read("east")
    assert side.credentials.auth_url == "https://keystone.example:5000/v3"
    user = body(side)["identity"]["password"]["user"]
    assert user == {"name": "uma", "domain": {"name": "Default"}, "password": "canary-password"}
    assert body(side)["scope"] == {"project": {"name": "p", "domain": {"name": "Default"}}}
    assert (side.region, side.interface) == ("RegionEast", "internal")
    assert side.endpoint == Endpoint("images.example", 443, "https", "/image")
    assert side.trust.authorities == ("clouds.yaml, cloud 'east': cacert", "/etc/ssl/east.pem")
    assert not side.trust.insecure
    assert "canary" not in repr(side)


def test_variables(read, monkeypatch):
    """The library leaves what they say where it is not in a file."""
    variables = {
        "AUTH_URL": "https://keystone.example:5000/v3",
        "USERNAME": "uma",
        "PASSWORD": "canary-password",
        "PROJECT_NAME": "p",
        "USER_DOMAIN_NAME": "Default",
        "PROJECT_DOMAIN_NAME": "Default",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"OS_{name}", value)
    found, stated = read("envvars").credentials, read("east").credentials
    assert isinstance(found, Credentials) and isinstance(stated, Credentials)
    assert (found.auth_url, found.body) == (stated.auth_url, stated.body)


def test_application_credential_of_variables(read, monkeypatch):
    variables = {
        "AUTH_TYPE": "v3applicationcredential",
        "AUTH_URL": "https://keystone.example:5000/v3",
        "APPLICATION_CREDENTIAL_ID": "a1",
        "APPLICATION_CREDENTIAL_SECRET": "canary-secret",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"OS_{name}", value)
    found, stated = read("envvars").credentials, read("application").credentials
    assert isinstance(found, Credentials) and isinstance(stated, Credentials)
    assert (found.auth_url, found.body) == (stated.auth_url, stated.body)


def test_login_that_stands_beside_its_place(read):
    found, stated = read("beside").credentials, read("east").credentials
    assert isinstance(found, Credentials) and isinstance(stated, Credentials)
    assert (found.auth_url, found.body) == (stated.auth_url, stated.body)


def test_application_credential(read):
    side = read("application")
    assert body(side)["identity"]["application_credential"]["id"] == "a1"
    assert side.trust.insecure
    assert (side.endpoint, side.interface, side.region) == (None, "public", None)


def test_token(read):
    assert body(read("token")) == {
        "identity": {"methods": ["token"], "token": {"id": "canary-token"}},
        "scope": {"project": {"id": "p1"}},
    }


def test_no_login(read):
    side = read("open")
    assert side.credentials is None
    assert side.endpoint == Endpoint("127.0.0.1", 9292)


def test_fixed_token(read):
    assert read("fixed").credentials == "canary-token"


def test_regions(read):
    assert read("regions").region == "one"
    assert read("regions", region="two").region == "two"


@pytest.mark.parametrize(
    ("cloud", "more", "told"),
    [
        ("west", {}, "No cloud 'west' is in clouds.yaml; there are: application, beside, broken-"),
        ("nowhere", {}, "cloud 'nowhere': image_endpoint_override is not set"),
        ("old", {}, "cloud 'old': auth_type = v2password is not available"),
        ("regions", {"region": "three"}, "cloud 'regions': Region three is not a valid region"),
        ("broken-endpoint", {}, "cloud 'broken-endpoint': the endpoint of image: The host must"),
        ("incomplete", {}, "cloud 'incomplete' auth_url is not set"),
    ],
)
def test_mistakes(read, cloud, more, told):
    with pytest.raises(ConfigError) as caught:
        read(cloud, **more)
    assert told in str(caught.value)
    assert "canary" not in str(caught.value)


def test_what_is_no_yaml(read, tmp_path):
    (tmp_path / "clouds.yaml").write_text("clouds:\n  a: [canary-password\n  b: }")
    with pytest.raises(ConfigError) as caught:
        read("a")
    assert str(caught.value) == (
        "No cloud 'a' is in clouds.yaml; there are: none. "
        f"Skipping config file {tmp_path}/clouds.yaml: it is not as it should be."
    )
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("text", ["- canary", "canary", "clouds: canary", "clouds: {a: canary}"])
def test_yaml_of_another_kind(read, tmp_path, text):
    (tmp_path / "clouds.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read("a")
    assert "canary" not in str(caught.value)


def test_library_that_is_not_there(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "openstack.config", None)
    with pytest.raises(ConfigError, match=r"pip install 'txglance\[clouds\]'"):
        read("east")
