"""The fixtures themselves: a Keystone and a memcached that do what tests ask of them."""

from __future__ import annotations

import http.client

import pytest

from tests.services.identity import Login, Refused, unique
from tests.services.keystone import REGION, Keystone
from tests.services.memcached import Memcached

pytestmark = pytest.mark.service


def test_users_sign_in_with_their_roles(keystone: Keystone) -> None:
    identity = keystone.identity
    project, role = identity.project(), unique("role")
    login = identity.login("reader", role, project=project)
    said = identity.validate(identity.token(login))
    assert said is not None
    assert said["project"]["id"] == project.id
    assert {role["name"] for role in said["roles"]} == {"reader", role}
    with pytest.raises(Refused, match="401"):
        identity.token(Login(login.name, "wrong", project=project.name))


def test_a_service_user_validates_tokens_of_others(keystone: Keystone) -> None:
    identity = keystone.identity
    service = identity.token(identity.service())
    user = identity.token(identity.login("admin"))
    headers = {**service.headers, "X-Subject-Token": user.id}
    response, _ = identity.send("GET", "/auth/tokens", None, headers)
    assert response.status == 200


def test_tokens_end_when_told_to(keystone: Keystone) -> None:
    identity = keystone.identity
    login = identity.login()
    token, other = identity.token(login), identity.token(login)
    ended = identity.token(login, lifetime=0)
    assert ended.body["expires_at"] == ended.body["issued_at"]
    assert identity.validate(ended) is None
    assert identity.validate(ended, allow_expired=True) is not None
    identity.revoke(token)
    assert identity.validate(token) is None
    assert identity.validate(other) is not None


def test_scopes(keystone: Keystone) -> None:
    identity = keystone.identity
    user, domain = identity.user(), identity.domain()
    identity.assign(user, "reader")
    identity.assign(user, "admin", domain=domain.id)
    assert "system" in identity.token(Login(user.name, user.password, system=True)).body
    scoped = identity.token(Login(user.name, user.password, domain=domain.id))
    assert scoped.body["domain"]["id"] == domain.id
    assert "roles" not in identity.token(Login(user.name, user.password)).body
    identity.assign(user, "reader", remove=True)
    with pytest.raises(Refused, match="401"):
        identity.token(Login(user.name, user.password, system=True))


def test_disabled_users_and_projects_are_shut_out(keystone: Keystone) -> None:
    identity = keystone.identity
    project = identity.project()
    user = identity.user(project)
    token = identity.token(Login(user.name, user.password, project=project.name))
    identity.change_user(user, enabled=False)
    assert identity.validate(token) is None
    identity.change_user(user, enabled=True)
    identity.change_project(project, enabled=False)
    with pytest.raises(Refused, match="401"):
        identity.token(Login(user.name, user.password, project=project.name))


def test_application_credentials(keystone: Keystone) -> None:
    identity = keystone.identity
    rules = [{"service": "image", "method": "GET", "path": "/v2/images/*"}]
    login = identity.login("member", "reader")
    credential = identity.application_credential(login, roles=["reader"], access_rules=rules)
    token = identity.application_token(credential)
    assert [role["name"] for role in token.body["roles"]] == ["reader"]
    [rule] = token.body["application_credential"]["access_rules"]
    assert {key: rule[key] for key in rules[0]} == rules[0]


def test_the_catalogue_and_limits(keystone: Keystone) -> None:
    identity = keystone.identity
    region = identity.region()
    identity.endpoint("image", "http://127.0.0.1:1", region)
    made = identity.endpoint("image", "http://127.0.0.1:2", region, ["public"])
    project = identity.project()
    token = identity.token(identity.login(project=project))
    offered = {service["type"]: service["endpoints"] for service in token.body["catalog"]}
    here = [endpoint for endpoint in offered["image"] if endpoint["region"] == region]
    assert [(e["id"], e["url"]) for e in here] == [(made["public"], "http://127.0.0.1:2")]
    own = [endpoint["url"] for endpoint in offered["identity"] if endpoint["region"] == REGION]
    assert set(own) == {f"{keystone.url}/v3"}
    for value in (10, 20):
        identity.registered_limit("image_count_total", value, region)
    for value in (20, 21):
        identity.limit(project, "image_count_total", value, region)
    # Who has a role in the whole system may read the limits of all projects.
    reader = identity.user()
    identity.assign(reader, "reader")
    headers = identity.token(Login(reader.name, reader.password, system=True)).headers
    _, text = identity.send("GET", f"/limits?project_id={project.id}", None, headers)
    assert b'"resource_limit": 21' in text


def test_one_of_its_own_stops_and_starts_again(own_keystone: Keystone) -> None:
    identity = own_keystone.identity
    token = identity.token(identity.login())
    before, port = len(own_keystone.requests("GET /v3/auth/tokens 200")), own_keystone.port
    assert identity.validate(token)
    assert len(own_keystone.requests("GET /v3/auth/tokens 200")) == before + 1
    own_keystone.stop()
    with pytest.raises(OSError):
        identity.validate(token)
    own_keystone.start()
    assert own_keystone.port == port
    assert identity.validate(token)
    own_keystone.freeze()
    # It can be connected to and says nothing.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.2)
    connection.request("GET", "/v3")
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    own_keystone.thaw()
    assert identity.validate(token)


def test_memcached_answers_and_can_be_stopped(
    memcached: Memcached, own_memcached: Memcached
) -> None:
    assert memcached.port != own_memcached.port
    assert own_memcached.ask("set key 0 0 5\r\nvalue") == ["STORED"]
    assert own_memcached.ask("get key") == ["VALUE key 0 5", "value"]
    assert memcached.ask("get key") == []
    own_memcached.stop()
    with pytest.raises(OSError):
        own_memcached.ask("version")
    own_memcached.start()
    assert own_memcached.ask("get key") == []
