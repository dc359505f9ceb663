"""Which requests bring image data: never fewer than those that the upload's route takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.api.site import is_upload

PATH = b"/v2/images/some-id/file"


@pytest.mark.parametrize(
    "uri",
    [
        PATH,
        PATH + b"?a=b",
        b"//v2/images/x/file",
        b"/v2.7/images/x/file",
        b"/images/x/file",
        b"/v2/images/x%2Ffile",
        b"/%76%32/images/x/fil%65",
        b"/v2/images/%ff/file",
        b"/v2/images/a?/file".replace(b"?", b"%3f"),
    ],
)
def test_upload(uri):
    assert is_upload(b"PUT", uri)


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        (b"GET", PATH),
        (b"POST", PATH),
        (b"PUT", b"/v2/images/x"),
        (b"PUT", b"/v2/images/x/tags/file"),
        (b"PUT", b"/v2/images/x/file/y"),
        (b"PUT", b"/v2/images/x/y?/file"),
        (b"PUT", b"/v2/images/x/fil%2565"),
        (b"PUT", b""),
    ],
)
def test_anything_else(method, uri):
    assert not is_upload(method, uri)


@given(st.sets(st.integers(0, len(PATH) - 1)))
def test_percent_encoding_makes_no_difference(places):
    uri = b"".join(
        b"%%%02x" % byte if n in places else bytes([byte]) for n, byte in enumerate(PATH)
    )
    assert is_upload(b"PUT", uri)
