"""Whether to ask again."""

import pytest
from twisted.internet.error import ConnectionLost

from glance.domain.errors import Invalid
from glance.identity.http import CallFailed
from glance.remote.endpoint import Endpoint
from glance.remote.errors import (
    Absent,
    Failed,
    LoginFailed,
    NoEndpoint,
    NotAllowed,
    NotAuthenticated,
    TokenExpired,
    TooLarge,
    Unintelligible,
    Unreachable,
    Untrusted,
    WrongLength,
)
from glance.remote.trouble import explain, may_pass


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("x"),
        TokenExpired("x", 401),
        LoginFailed("x"),
        *(Failed("x", status) for status in (408, 425, 429, 500, 502, 503, 504, 599)),
    ],
)
def test_what_may_pass(error):
    assert may_pass(error)


@pytest.mark.parametrize(
    "error",
    [
        Untrusted("x"),
        Unintelligible("x"),
        TooLarge("x"),
        NoEndpoint("x"),
        WrongLength("x"),
        LoginFailed("x", refused=True),
        NotAuthenticated("x", 401),
        NotAllowed("x", 403),
        Absent("x", 404),
        *(Failed("x", status) for status in (400, 409, 410, 413, 415, 416, 501, 505, 507, 511)),
        Invalid("x"),
        ValueError("x"),
    ],
)
def test_what_lasts(error):
    assert not may_pass(error)


@pytest.mark.parametrize(
    ("scheme", "answered", "asks"),
    [("http", False, True), ("http", True, False), ("https", False, False)],
)
def test_https_is_thought_of_only_where_nothing_ever_answered(scheme, answered, asks):
    failure = CallFailed("x", ConnectionLost())
    error = explain(failure, Endpoint("a.example", scheme=scheme), 1, answered=answered)
    assert isinstance(error, Unreachable)
    assert ("Does it want https://?" in error.message) == asks
