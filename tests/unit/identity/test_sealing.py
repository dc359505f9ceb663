"""Protection of what is kept where others may write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.identity.sealing import Encrypted, Open, Signed

DATA = b"canary of a token's description"


@pytest.mark.parametrize("kind", [Signed, Encrypted])
class TestSeals:
    def test_what_was_closed_opens(self, kind):
        assert kind(b"secret").open(b"k", kind(b"secret").close(b"k", DATA)) == DATA

    def test_not_under_another_key(self, kind):
        assert kind(b"secret").open(b"l", kind(b"secret").close(b"k", DATA)) is None

    def test_not_with_another_secret(self, kind):
        assert kind(b"other").open(b"k", kind(b"secret").close(b"k", DATA)) is None

    def test_not_when_any_byte_was_changed(self, kind):
        seal = kind(b"secret")
        closed = seal.close(b"k", DATA)
        for place in range(len(closed)):
            changed = bytearray(closed)
            changed[place] ^= 1
            assert seal.open(b"k", bytes(changed)) is None
        for length in range(len(closed)):
            assert seal.open(b"k", closed[:length]) is None

    @given(data=st.binary())
    def test_not_what_nobody_closed(self, kind, data):
        assert kind(b"secret").open(b"k", data) is None


def test_encryption_hides():
    seal = Encrypted(b"secret")
    assert b"canary" not in seal.close(b"k", DATA)
    assert seal.close(b"k", DATA) != seal.close(b"k", DATA)


def test_no_protection():
    assert Open().open(b"k", Open().close(b"k", DATA)) == DATA


def test_names_differ():
    assert len({Open.name, Signed.name, Encrypted.name}) == 3
