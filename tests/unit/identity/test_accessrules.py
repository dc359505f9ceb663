"""Which requests the access rules of an application credential allow."""

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.identity.accessrules import AccessRule, allowed

FILE = "/v2/images/5f2c/file"


def rule(path, method="GET", service="image"):
    return AccessRule(service, method, path)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/v2/images", "/v2/images", True),
        ("/v2/images", "/v2/images/", False),
        ("/v2/images", "/v2/imagesx", False),
        ("/v2/images", "/v2", False),
        ("/v2/image.", "/v2/images", False),
        ("/v2/images/*", "/v2/images/5f2c", True),
        ("/v2/images/*", "/v2/images/", False),
        ("/v2/images/*", FILE, False),
        ("/v2/images/*/file", FILE, True),
        ("/v2/images/{image_id}", "/v2/images/5f2c", True),
        ("/v2/images/{image_id}", FILE, False),
        ("/v2/images/{image_id}/file", FILE, True),
        ("/v2/{a}/{b}/file", FILE, True),
        ("/v2/images/**", FILE, True),
        ("/v2/images/**", "/v2/images/5f2c", True),
        ("/v2/images/**", "/v2/images", False),
        ("/v2/images/**", "/v2/tasks", False),
        ("/v2/**/file", FILE, True),
        ("**", FILE, True),
        ("/v2/ima*", "/v2/images", True),
        ("/v2/{unclosed", "/v2/{unclosed", True),
    ],
)
def test_patterns(pattern, path, expected):
    assert allowed([rule(pattern)], "image", "GET", path) is expected


def test_service_and_method_must_be_those_of_the_rule():
    rules = [rule("/v2/images"), rule("/v2/images", "POST", "volumev3")]
    assert allowed(rules, "image", "GET", "/v2/images")
    assert not allowed(rules, "image", "POST", "/v2/images")
    assert not allowed(rules, "compute", "GET", "/v2/images")


def test_no_rule_allows_nothing():
    assert not allowed([], "image", "GET", "/v2/images")


@pytest.mark.parametrize(
    "path",
    ["/v2/images/5f2c%2Ffile", "/v2/images/5f2c%2ffile", "/v2/%69mages/5f2c%2Ffile"],
)
def test_path_is_compared_as_it_is_routed(path):
    """An encoded slash divides segments for the router, so it must here."""
    assert not allowed([rule("/v2/images/*")], "image", "GET", path)
    assert allowed([rule("/v2/images/*/file")], "image", "GET", path)


@pytest.mark.parametrize(
    "path", ["/v2/images", "//v2/images", "/v2.7/images", "/images", "/v2//images", "/v%32/images"]
)
def test_ways_to_name_the_version(path):
    assert allowed([rule("/v2/images")], "image", "GET", path)
    assert not allowed([rule("/v2/tasks")], "image", "GET", path)


def test_rule_may_name_a_minor_version():
    assert allowed([rule("/v2.7/images")], "image", "GET", "/v2.7/images")
    assert not allowed([rule("/v2.7/images")], "image", "GET", "/v2.6/images")


@given(st.text(), st.text())
def test_any_text_is_a_pattern_and_a_path(pattern, path):
    assert allowed([rule(pattern)], "image", "GET", path) in (True, False)


@given(st.text(alphabet="ab/.+", max_size=12))
def test_plain_path_matches_itself_only(path):
    path = "/v2/x" + path
    assert allowed([rule(path)], "image", "GET", path)
    assert not allowed([rule(path)], "image", "GET", path + "y")


def as_expression(pattern):
    """The meaning of a pattern, in the way that would take for ever."""
    parts = re.split(r"(\*\*|\*|\{[^{}/]*\})", pattern)
    wild = ["[^/]+" if part != "**" else ".*" for part in parts[1::2]]
    parts[1::2], parts[::2] = wild, map(re.escape, parts[::2])
    return re.compile("".join(parts), re.DOTALL)


@given(
    st.lists(st.sampled_from(["*", "**", "{a}", "{a/", "a", "b", "/", "\n", "ab"]), max_size=8),
    st.text(alphabet="ab/\n{", max_size=10),
)
def test_wildcards_mean_what_an_expression_would(pieces, path):
    pattern = "/v2/" + "".join(pieces)
    expected = as_expression(pattern).fullmatch("/v2/" + path.lstrip("/")) is not None
    assert allowed([rule(pattern)], "image", "GET", "/v2/" + path.lstrip("/")) is expected


def steps(pattern, path):
    """Count the lines that are run to compare a path with a pattern that does not match."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        matched = allowed([rule(pattern)], "image", "GET", path)
    finally:
        sys.settrace(before)
    assert not matched
    return count


@pytest.mark.parametrize("wildcard", ["*", "**", "{x}"])
def test_no_pattern_takes_for_ever(wildcard):
    """Users write patterns; an expression would try every way to share out the path."""
    pattern = "/v2/images/" + f"{wildcard}a" * 10 + "b"
    short, long = (steps(pattern, "/v2/images/" + "a" * length) for length in (400, 4000))
    assert long < 11 * short
    assert steps(f"{pattern}{wildcard}a", "/v2/images/" + "a" * 400) < 2 * short
