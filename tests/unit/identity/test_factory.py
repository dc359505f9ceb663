"""From the configuration to the authenticator, and what cannot be followed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock

from glance.domain.errors import ConfigError
from glance.identity.authentication import IAuthenticator, NoAuthentication
from glance.identity.factory import make_authenticator
from glance.identity.flavors import authenticates
from glance.identity.keystone import KeystoneAuthenticator
from tests.unit.identity.support import BASIC, URL, configured

GROUP = "keystone_authtoken"


def make(options=None, *, flavor="keystone", more="", **changes):
    conf = configured(options or {**BASIC, **changes}, flavor=flavor, more=more)
    reactor = MemoryReactorClock()
    made = make_authenticator(conf, reactor, lambda _: False)
    assert not (reactor.tcpClients or reactor.connectors or reactor.getDelayedCalls())
    IAuthenticator(made)
    return made


@pytest.mark.parametrize("flavor", ["keystone", "keystone+caching", "keystone+cachemanagement"])
def test_flavors_that_authenticate(flavor):
    assert isinstance(make(flavor=flavor), KeystoneAuthenticator)
    assert authenticates(flavor)


@pytest.mark.parametrize("flavor", ["", "caching", "cachemanagement"])
def test_flavors_that_do_not(flavor):
    # Whatever else is configured.
    assert isinstance(make({"auth_url": "nonsense"}, flavor=flavor), NoAuthentication)
    assert not authenticates(flavor)
    assert not authenticates(None)


@pytest.mark.parametrize(
    ("flavor", "told"),
    [
        ("trusted-auth", "believe whatever a request's headers say"),
        ("trusted-auth+cachemanagement", "believe whatever a request's headers say"),
        ("keystones", "is unknown"),
        ("Keystone", "is unknown"),
    ],
)
def test_flavors_that_there_are_not(flavor, told):
    with pytest.raises(ConfigError, match=told):
        make(flavor=flavor)


def test_rules():
    rules = make()._rules
    assert rules.challenge == f'Keystone uri="{URL}"'
    assert not rules.anonymous
    assert (rules.service_type, rules.service_roles) == ("image", {"service"})
    assert rules.service_roles_required
    assert rules.refused_bindings == {"kerberos"}
    rules = make(
        www_authenticate_uri="http://public.example",
        service_type="pictures",
        service_token_roles="a, b",
        service_token_roles_required="false",
        enforce_token_bind="strict",
        more="[DEFAULT]\nallow_anonymous_access = true",
    )._rules
    assert rules.challenge == 'Keystone uri="http://public.example"'
    assert rules.anonymous
    assert (rules.service_type, rules.service_roles) == ("pictures", {"a", "b"})
    assert not rules.service_roles_required
    assert rules.refused_bindings is None
    assert make(enforce_token_bind="disabled")._rules.refused_bindings == frozenset()


def test_former_names():
    rules = make(auth_uri="http://public.example")._rules
    assert rules.challenge == 'Keystone uri="http://public.example"'
    options = {**BASIC, "auth_plugin": "v3token"}
    with pytest.raises(ConfigError, match="auth_type = v3token"):
        make(options)
    assert make(memcache_servers="h:1")._lookup._shelf is not None


def test_session():
    session = make(
        interface="public", region_name="two", http_connect_timeout=7, http_request_max_retries=0
    )._session
    assert (session._interface, session._region) == ("public", "two")
    assert (session._http._attempt_time, session._http._retries) == (7, 0)
    session = make()._session
    assert (session._interface, session._region) == ("internal", None)
    assert (session._http._attempt_time, session._http._retries) == (10, 3)


def test_cache():
    lookup = make()._lookup
    assert (lookup._cache_time, lookup._shelf) == (300, None)
    assert make(token_cache_time=-1, memcached_servers="h:1")._lookup._shelf is None


def test_memcached():
    shelf = make(memcached_servers="h:1, h:1, [::1]:2, unix:/x")._lookup._shelf
    assert [server.name for server in shelf._servers] == ["h:1", "[::1]:2", "unix:/x"]
    assert shelf._prefix.endswith(b":open:")
    # Tokens of another cloud are another's.
    other = make(auth_url="http://other.example", memcached_servers="h:1")._lookup._shelf
    assert other._prefix != shelf._prefix
    for strategy, name in [("MAC", b":mac:"), ("encrypt", b":aes:")]:
        sealed = make(
            memcached_servers="h:1",
            memcache_security_strategy=strategy,
            memcache_secret_key="canary-secret",
        )._lookup._shelf
        assert sealed._prefix.endswith(name)
        assert b"canary" not in sealed._prefix


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"password": ""}, "password is not set"),
        ({"auth_version": "v2.0"}, "auth_version = v2.0: there is only v3"),
        ({"www_authenticate_uri": 'http://x/"y'}, r"\[keystone_authtoken\] www_authenticate_uri"),
        ({"enforce_token_bind": "required"}, "enforce_token_bind = required"),
        ({"enforce_token_bind": "kerberos"}, "enforce_token_bind = kerberos"),
        ({"memcached_servers": "h:x"}, "memcached_servers: 'h:x' is not of the form host:port"),
        ({"memcache_sasl_enabled": "true"}, "memcache_sasl_enabled is not available"),
        ({"memcache_security_strategy": "MAC"}, "= MAC needs memcache_secret_key"),
        ({"memcache_security_strategy": "ENCRYPT"}, "= ENCRYPT needs memcache_secret_key"),
        ({"cafile": "/absent"}, "cafile = /absent cannot be read: No such file or directory"),
        ({"certfile": "/absent"}, "certfile = /absent cannot be read"),
        (
            {"memcached_servers": "h", "memcache_tls_enabled": "1", "memcache_tls_cafile": "/a"},
            "memcache_tls_cafile = /a cannot be read",
        ),
        (
            {
                "memcached_servers": "h",
                "memcache_tls_enabled": "1",
                "memcache_tls_allowed_ciphers": "ROT13",
            },
            "the ciphers 'ROT13' are none that OpenSSL knows",
        ),
    ],
)
def test_what_cannot_be_followed(changes, told):
    with pytest.raises(ConfigError, match=told) as caught:
        make(**changes)
    assert GROUP in caught.value.message


@pytest.mark.parametrize("option", ["cafile", "certfile"])
def test_file_that_holds_something_else(option):
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_text("nonsense")
        with pytest.raises(ConfigError, match=f"{option} = {file.name} does not hold"):
            make(**{option: file.name})


def test_v3_may_be_said():
    for version in ("v3", "3", "V3.0"):
        make(auth_version=version)
