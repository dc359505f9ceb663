"""Who asked for gzip, and who only seems to have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.encodings import takes_gzip


@pytest.mark.parametrize(
    "header",
    [
        "gzip",
        "deflate, gzip",
        "GZIP",
        "gzip;q=0.5",
        "gzip ; q=1.0",
        "x-gzip",
        "*",
        "br, *;q=0.1",
        "gzip;q=0.001",
    ],
)
def test_taken(header):
    assert takes_gzip(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "deflate",
        "gzip;q=0",
        "gzip; q=0.000",
        "identity",
        "*;q=0",
        "gzip;q=0, *",
        "*, gzip;q=0",
        "gzip;q=x",
        "gzip;q=nan",
        "nogzip",
    ],
)
def test_not_taken(header):
    assert not takes_gzip(header)


@given(st.text())
def test_nonsense_is_no_error(header):
    takes_gzip(header)
