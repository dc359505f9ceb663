"""Stating the digest of data that is sent."""

import base64
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from glance.remote.digests import content_digest


@given(st.sampled_from(["sha512", "sha256", "md5"]), st.binary())
def test_what_is_stated(algorithm, data):
    digest = hashlib.new(algorithm, data)
    stated = content_digest(algorithm, digest.hexdigest())
    name, _, rest = stated.partition("=:")
    assert name == {"sha512": "sha-512", "sha256": "sha-256", "md5": "md5"}[algorithm]
    assert rest.endswith(":")
    assert base64.b64decode(rest[:-1], validate=True) == digest.digest()


def test_what_cannot_be_stated():
    for algorithm, value in (
        ("sha3_512", "00" * 64),
        ("sha1", "00" * 20),
        ("sha256", "00" * 31),
        ("sha256", "0" * 63),
        ("sha256", "zz" * 32),
        ("sha256", ""),
        ("sha256", "ä" * 64),
    ):
        assert content_digest(algorithm, value) is None
