"""Looking services up in a catalogue, and keeping equal ones once."""

import gc

import pytest

from glance.identity.catalog import Catalog, Catalogs, find_endpoint


def endpoint(url, interface="internal", region="one"):
    return {"interface": interface, "region_id": region, "region": region, "url": url}


SERVICES = [
    {"type": "image", "endpoints": [endpoint("http://i", "public"), endpoint("http://i2")]},
    {
        "type": "identity",
        "endpoints": [
            endpoint("http://two", region="two"),
            endpoint("http://one"),
            endpoint("http://admin", "admin"),
        ],
    },
    {"type": "broken", "endpoints": None},
    {"type": "broken", "endpoints": [7, {"interface": "internal"}, endpoint("")]},
    {},
]


@pytest.mark.parametrize(
    ("service", "interface", "region", "url"),
    [
        ("image", "public", None, "http://i"),
        ("image", "publicURL", "one", "http://i"),
        ("image", "internal", None, "http://i2"),
        ("image", "admin", None, None),
        ("identity", "internal", None, "http://two"),
        ("identity", "internal", "one", "http://one"),
        ("identity", "internal", "three", None),
        ("identity", "adminURL", None, "http://admin"),
        ("volumev3", "internal", None, None),
        ("broken", "internal", None, None),
    ],
)
def test_find(service, interface, region, url):
    catalog = Catalogs().get(SERVICES)
    assert find_endpoint(catalog, service, interface, region) == url


def test_it_is_a_sequence_of_services():
    catalog = Catalogs().get(SERVICES)
    assert list(catalog) == SERVICES
    assert len(catalog) == len(SERVICES)
    assert catalog[0]["type"] == "image"
    assert catalog[:1] == SERVICES[:1]
    assert list(Catalog()) == []


def test_what_is_in_it_stays_out_of_logs():
    assert "http" not in repr(Catalogs().get(SERVICES))


def test_equal_ones_are_kept_once_and_no_longer_than_used():
    catalogs = Catalogs()
    first = catalogs.get(SERVICES)
    assert catalogs.get([dict(service) for service in SERVICES]) is first
    assert catalogs.get([]) is not first
    del first
    gc.collect()
    assert len(catalogs._known) == 0


@pytest.mark.parametrize("services", [None, {}, "x", [1], [{}, None]])
def test_what_is_none(services):
    with pytest.raises(ValueError, match="not a list of services"):
        Catalogs().get(services)
