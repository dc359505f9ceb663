"""Locations are sealed as the contract has it, and whatever stands in a row is survived."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from glance.db import images, locations
from glance.db.engine import make_engine
from glance.db.image_listing import thd_list
from glance.db.sealed_locations import Sealer, seal_with, thd_opener, thd_seal
from glance.db.tables import image_locations
from glance.domain.errors import ConfigError
from glance.domain.image import Location
from glance.domain.listing import ListQuery
from tests.unit.transfers.doubles import EVERYTHING, IMAGE, CatalogueCase

KEY = "0123456789abcdef"
URL = "file:///srv/images/9d1c3f0e-6a51-4f3e-8d60-8f6f2f3c7a11"
#: Made by "openssl enc -aes-…-cbc -nopad" of the URL, a zero byte and 01 02 03 …, the IV 00 … 0f.
VECTORS = {
    "0123456789abcdef": "AAECAwQFBgcICQoLDA0ODwN9q7DYs0ycN8QvdDeOF-LxX7hSj1uANE41"
    "dSQHbfBZDStyKn33WOsDVan8IXaW60I10Be5_NIqrtXxXve8pS0=",
    "0123456789abcdef01234567": "AAECAwQFBgcICQoLDA0OD_64SFRq9ekzj9Sb-gkXzM3PO46fteI4BzxI"
    "X-OImyg9WYqzb6IvFR-MctohmgMPBXuMV4QX0EowgWXT8fjv_L4=",
    "0123456789abcdef0123456789abcdef": "AAECAwQFBgcICQoLDA0OD5CUS2e-eSRR7lP59hi4p_tI4FZj8H1bwf9R"
    "D9GABvaxrkZ9iPgdOcHYPJvIUKa7cVze-P-o0d9gCT2J_E5jwH8=",
}

keys = st.sampled_from(sorted(VECTORS))
urls = st.builds(
    "{}:{}".format,
    st.from_regex(r"[a-z][a-z0-9+.-]{0,9}", fullmatch=True),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)


@pytest.mark.parametrize("key", sorted(VECTORS))
def test_what_others_sealed(key):
    assert Sealer(key).open(IMAGE, VECTORS[key]) == URL


@given(keys, urls)
def test_round_trip(key, url):
    sealed = Sealer(key).seal(url)
    assert Sealer(key).open(IMAGE, sealed) == url
    raw = base64.urlsafe_b64decode(sealed)
    assert len(raw) % 16 == 0
    assert len(raw) == 16 + (len(url.encode()) // 16 + 1) * 16
    assert ":" not in sealed


def test_every_sealing_is_different():
    assert len({Sealer(KEY).seal(URL) for _ in range(20)}) == 20


@given(st.integers(1, 40))
def test_filler_has_no_zero(length):
    sealer = Sealer(KEY)
    raw = base64.urlsafe_b64decode(sealer.seal("a:" + "x" * length))
    decryptor = sealer._cipher(raw[:16]).decryptor()
    plain = decryptor.update(raw[16:]) + decryptor.finalize()
    assert plain.count(0) == 1
    assert plain.index(0) == 2 + length


@given(keys, urls)
def test_rows_in_the_clear_are_read_as_they_are(key, url):
    assert Sealer(key).open(IMAGE, url) == url


@given(st.text())
def test_whatever_cannot_be_opened_stays(value):
    assert Sealer(KEY).open(IMAGE, value) == value


@given(st.binary(min_size=32, max_size=96), keys)
def test_arbitrary_ciphertexts_give_no_url_or_stay(raw, key):
    value = base64.urlsafe_b64encode(raw).decode()
    assert Sealer(key).open(IMAGE, value) == value


def test_another_key_is_told_once_and_shows_nothing():
    sealed = Sealer(KEY).seal(URL)
    other = Sealer("another key 1234")
    with capturedLogs() as events:
        assert [other.open(IMAGE, sealed) for _ in range(3)] == [sealed] * 3
    (event,) = events
    text = formatEvent(event)
    assert IMAGE in text
    assert "metadata_encryption_key" in text
    assert sealed not in text


def test_the_key_is_not_shown():
    assert KEY not in repr(Sealer(KEY))


@pytest.mark.parametrize("key", ["short", "x" * 15, "x" * 33, "é" * 15])
def test_wrong_length(key):
    with pytest.raises(ConfigError) as raised:
        Sealer(key)
    assert "metadata_encryption_key" in str(raised.value)
    assert key not in str(raised.value)


def test_length_is_counted_in_bytes():
    assert Sealer("é" * 8).open(IMAGE, Sealer("é" * 8).seal(URL)) == URL


class TestWithoutAKey(SynchronousTestCase):
    def test_nothing_is_sealed(self):
        engine = seal_with(make_engine("sqlite://"), None)
        with engine.connect() as connection:
            self.assertIsNone(thd_opener(connection))
            self.assertEqual(thd_seal(connection, URL), URL)


class TestCatalogue(CatalogueCase):
    def setUp(self):
        super().setUp()
        seal_with(self.database.engine, KEY)
        self.add_image(status="active")
        self.run_in_database(images.thd_add_location, IMAGE, Location(URL, {"store": "fast"}))

    def kept(self):
        return [
            row[0]
            for row in self.run_in_database(
                lambda c: c.execute(select(image_locations.c.value)).all()
            )
        ]

    def add_row(self, value):
        self.run_in_database(
            lambda c: (
                c.execute(
                    insert(image_locations), {"image_id": IMAGE, "value": value, "status": "active"}
                )
                and None
            )
        )

    def listed(self):
        query = ListQuery(limit=10)
        return self.run_in_database(thd_list, query, EVERYTHING)[0].locations

    def test_written_sealed_and_read_open(self):
        (value,) = self.kept()
        self.assertNotIn("images", value)
        self.assertNotIn(":", value)
        self.assertEqual([place.url for place in self.image().locations], [URL])
        self.assertEqual([place.url for place in self.listed()], [URL])
        self.assertEqual(self.image().locations[0].metadata, {"store": "fast"})

    def test_leaving(self):
        self.run_in_database(locations.thd_mark_leaving, self.image().locations)
        (leaving,) = self.run_in_database(locations.thd_leaving, IMAGE)
        self.assertEqual(leaving.url, URL)

    def test_rows_from_before_the_key(self):
        self.add_row("file:///srv/images/older")
        self.assertEqual(
            [place.url for place in self.image().locations], [URL, "file:///srv/images/older"]
        )

    def test_rows_that_cannot_be_opened_do_not_break_a_list(self):
        lost = [Sealer("another key 1234").seal(URL) for _ in range(2)]
        for value in lost:
            self.add_row(value)
        self.assertEqual([place.url for place in self.listed()], [URL, *lost])
        self.assertEqual([place.url for place in self.image().locations], [URL, *lost])
