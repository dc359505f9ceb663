"""Finding version 3 by a version document."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.identity.discovery import is_versioned, v3_url

URL = "http://internal.example:5000"


def version(href, name="v3.14", status="stable"):
    return {"id": name, "status": status, "links": [{"rel": "self", "href": href}]}


@pytest.mark.parametrize(
    ("url", "href", "expected"),
    [
        (URL, f"{URL}/v3/", f"{URL}/v3"),
        (URL, f"{URL}/v3", f"{URL}/v3"),
        (URL, f"{URL}/deeper/v3/", f"{URL}/deeper/v3"),
        # Behind a proxy the document names what is public.
        (URL, "https://public.example/identity/v3/", f"{URL}/identity/v3"),
        (f"{URL}/identity", "https://public.example/identity/v3/", f"{URL}/identity/v3"),
        (f"{URL}/identity", "https://public.example/v3/", f"{URL}/identity/v3"),
        (f"{URL}/identity", "https://public.example/other/v3/", f"{URL}/identity/v3"),
        (URL, "nonsense", f"{URL}/v3"),
        (URL, "http://[", f"{URL}/v3"),
        (URL, None, f"{URL}/v3"),
        (URL, f"{URL}/x", f"{URL}/v3"),
    ],
)
@pytest.mark.parametrize("form", ["values", "list", "single"])
def test_path_is_the_document_s_and_the_host_is_ours(url, href, expected, form):
    document = {
        "values": {"versions": {"values": [version("x", "v2.0", "deprecated"), version(href)]}},
        "list": {"versions": [version(href)]},
        "single": {"version": version(href)},
    }[form]
    assert v3_url(url, document) == expected


@pytest.mark.parametrize(
    "document",
    [
        {"versions": {"values": [version(URL, "v2.0")]}},
        {"versions": {"values": [version(URL, "v3", "experimental")]}},
        {"versions": []},
        {"versions": {"values": ["v3"]}},
        {"versions": 3},
        {},
        [],
        None,
    ],
)
def test_document_that_offers_none(document):
    assert v3_url(URL, document) is None


json = st.recursive(
    st.none() | st.booleans() | st.text() | st.sampled_from(["v3", "self", "/v3"]),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["version", "versions", "values", "id", "links", "rel", "href"]), inner
        )
    ),
)


@given(json)
def test_any_document_leads_nowhere_else(document):
    found = v3_url(URL, document)
    assert found is None or found.startswith(URL + "/")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{URL}/v3", True),
        (f"{URL}/identity/v3", True),
        (URL, False),
        (f"{URL}/v3x", False),
        (f"{URL}/v3/x", False),
        (f"{URL}/v2.0", False),
    ],
)
def test_url_that_names_it_already(url, expected):
    assert is_versioned(url) is expected
