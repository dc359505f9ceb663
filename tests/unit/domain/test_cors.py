"""What browsers are told about pages of other origins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.cors import make_cors
from glance.domain.errors import ConfigError

PAGE = "https://dashboard.example"


def cors(*origins, **options):
    options = {"allow_methods": ["GET", "PUT"], "allow_headers": ["X-Auth-Token"], **options}
    return make_cors(origins, **options)


class TestSimple:
    def test_allowed_origin(self):
        rules = cors(PAGE, expose_headers=["A", "B"])
        assert rules.simple(PAGE) == [
            ("Access-Control-Allow-Origin", PAGE),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Expose-Headers", "A,B"),
        ]

    def test_without_credentials_and_exposed_headers(self):
        rules = cors(PAGE, allow_credentials=False)
        assert rules.simple(PAGE) == [("Access-Control-Allow-Origin", PAGE)]

    @pytest.mark.parametrize(
        "origin",
        [
            "https://other.example",
            "http://dashboard.example",
            PAGE + ":8443",
            PAGE + ".evil",
            "",
            "null",
        ],
    )
    def test_stranger(self, origin):
        assert cors(PAGE).simple(origin) == []

    def test_any_origin_is_not_named_and_gets_no_credentials(self):
        assert cors("*").simple(PAGE) == [("Access-Control-Allow-Origin", "*")]

    def test_named_origin_beside_any(self):
        rules = cors("*", PAGE)
        assert ("Access-Control-Allow-Credentials", "true") in rules.simple(PAGE)
        assert rules.simple("https://x.example") == [("Access-Control-Allow-Origin", "*")]

    def test_answers_vary_unless_all_get_the_same(self):
        assert cors(PAGE).varies
        assert cors("*", PAGE).varies
        assert not cors("*").varies


class TestPreflight:
    def test_allowed(self):
        rules = cors(PAGE, max_age=60, expose_headers=["A"])
        assert rules.preflight(PAGE, "PUT", "x-auth-token, Content-Type") == [
            ("Access-Control-Allow-Origin", PAGE),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Max-Age", "60"),
            ("Access-Control-Allow-Methods", "PUT"),
            ("Access-Control-Allow-Headers", "x-auth-token,Content-Type"),
        ]

    def test_headers_are_not_told_when_not_asked_for(self):
        names = [name for name, _ in cors(PAGE).preflight(PAGE, "GET", "")]
        assert "Access-Control-Allow-Headers" not in names
        assert "Access-Control-Max-Age" not in names

    @pytest.mark.parametrize(
        ("origin", "method", "headers"),
        [
            ("https://other.example", "GET", ""),
            (PAGE, "DELETE", ""),
            (PAGE, "get", ""),
            (PAGE, "GET", "X-Other"),
            (PAGE, "GET", "X-Auth-Token, X-Other"),
        ],
    )
    def test_refused(self, origin, method, headers):
        assert cors(PAGE).preflight(origin, method, headers) == []


class TestOptions:
    @pytest.mark.parametrize("origins", [None, [], [""]])
    def test_nothing_allowed(self, origins):
        assert make_cors(origins) is None

    def test_written_as_people_do(self):
        assert cors(" HTTPS://Dashboard.Example/ ").simple(PAGE)

    @pytest.mark.parametrize(
        "origin", ["dashboard", "https://", "https://a/b", "a b", "https://u@h"]
    )
    def test_no_origin(self, origin):
        with pytest.raises(ConfigError, match="allowed_origin"):
            cors(origin)


@given(st.text(), st.text(), st.text())
def test_strangers_get_nothing_whatever_they_say(origin, method, headers):
    rules = cors(PAGE)
    assert rules.simple(origin) == []
    assert rules.preflight(origin, method, headers) == []
