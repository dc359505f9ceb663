"""The measuring tool signs in with a real Keystone."""

from __future__ import annotations

import pytest

from bench.identity import IdentityError, SignedIn
from tests.services.identity import Token
from tests.services.keystone import REGION, Keystone

pytestmark = pytest.mark.service


def test_signs_in_and_renews(keystone: Keystone) -> None:
    environ = keystone.identity.login().environment(keystone.url, REGION)
    for worn, renewed in ((0.5, False), (0, True)):
        signed_in = SignedIn(keystone.url, environ, worn)
        first = signed_in.headers
        signed_in.refresh()
        assert (signed_in.headers != first) is renewed
        name, token = signed_in.headers.decode().removesuffix("\r\n").split(": ")
        assert name == "X-Auth-Token"
        assert keystone.identity.validate(Token(token, {}))


def test_is_refused(keystone: Keystone) -> None:
    environ = keystone.identity.login().environment(keystone.url, REGION)
    with pytest.raises(IdentityError, match="401"):
        SignedIn(keystone.url, {**environ, "OS_PASSWORD": "wrong"})
