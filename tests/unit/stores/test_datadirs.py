"""Directories of a file store: the options, the choice, and what lies inside."""

import os
import posixpath
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.stores.datadirs import (
    DataDir,
    choose,
    parse,
    plain_name,
    split_url,
    thd_prepare,
    url_of,
)
from glance.stores.errors import BadLocation, BadStoreConfiguration, StoreFull


def paths(found):
    return [(d.path, d.priority) for d in found]


@pytest.mark.parametrize(
    ("datadir", "datadirs", "is_set", "expected"),
    [
        ("/a", None, True, [("/a", 0)]),
        ("/a", [], False, [("/a", 0)]),
        (" //a/b/../c/ ", None, True, [("/a/c", 0)]),
        ("/default", ["/x"], False, [("/x", 0)]),
        (None, ["/x", "/y:20", "/z:5"], True, [("/y", 20), ("/z", 5), ("/x", 0)]),
        ("", ["/x:-1", "/y"], True, [("/y", 0), ("/x", -1)]),
        (None, ["/x:1", "/x/:1"], False, [("/x", 1)]),
        (None, ["/a:b:3"], False, [("/a:b", 3)]),
    ],
)
def test_parse(datadir, datadirs, is_set, expected):
    assert paths(parse("fast", datadir, datadirs, is_set)) == expected


@pytest.mark.parametrize(
    ("datadir", "datadirs", "option"),
    [
        ("", None, "filesystem_store_datadir"),
        (None, None, "filesystem_store_datadir"),
        ("   ", [], "filesystem_store_datadir"),
        ("relative/path", None, "filesystem_store_datadir"),
        ("/a", ["/b"], "filesystem_store_datadirs"),
        (None, ["/a:high"], "filesystem_store_datadirs"),
        (None, ["/a:"], "filesystem_store_datadirs"),
        (None, ["a:1"], "filesystem_store_datadirs"),
        (None, ["/a:1", "/a:2"], "filesystem_store_datadirs"),
    ],
)
def test_parse_refuses(datadir, datadirs, option):
    with pytest.raises(BadStoreConfiguration) as caught:
        parse("fast", datadir, datadirs, True)
    assert option in caught.value.message
    assert "[fast]" in caught.value.message


A, B, C = DataDir("/a", 10), DataDir("/b", 5), DataDir("/c", 5)


@pytest.mark.parametrize(
    ("free", "size", "expected"),
    [
        ([100, 1000, 2000], 50, [A, C, B]),
        ([100, 1000, 2000], 100, [A, C, B]),
        ([100, 1000, 2000], 101, [C, B]),
        ([100, 1000, 2000], 1500, [C]),
        ([100, 3000, 2000], None, [A, B, C]),
        ([0, 1, 0], None, [B]),
        ([0, 0, 0], 0, [A, B, C]),
    ],
)
def test_choose(free, size, expected):
    assert choose(list(zip((A, B, C), free, strict=True)), size) == expected


@pytest.mark.parametrize("size", [2001, None])
def test_choose_refuses_what_fits_nowhere(size):
    free = 0 if size is None else 2000
    with pytest.raises(StoreFull):
        choose([(A, free), (B, free)], size)


@pytest.mark.parametrize(
    ("url", "pairs"),
    [
        ("file:///images/abc", [("/images", "abc")]),
        ("filesystem:///images/abc", [("/images", "abc")]),
        ("FILE:///images/abc", [("/images", "abc")]),
        ("file:////images//deep///abc", [("/images/deep", "abc")]),
        ("file:///abc", [("/", "abc")]),
        ("file:///a%20b/abc", [("/a%20b", "abc"), ("/a b", "abc")]),
        ("file:///images/abc?x#y", [("/images", "abc?x#y")]),
        ("file:///images/%2e%2e", [("/images", "%2e%2e")]),
        ("file:///images/%2e%2e/etc/passwd", [("/images/%2e%2e/etc", "passwd")]),
        ("file:///images/x%2f..%2f..%2fetc%2fpasswd", [("/images", "x%2f..%2f..%2fetc%2fpasswd")]),
        (
            "file:///images/%2fetc%2fpasswd",
            [("/images", "%2fetc%2fpasswd"), ("/images/etc", "passwd")],
        ),
        ("file:///images/abc%00", [("/images", "abc%00")]),
    ],
)
def test_split_url(url, pairs):
    assert split_url(url) == pairs


BAD_URLS = [
    "",
    "file:",
    "file://",
    "file:///",
    "file:///images/",
    "file:/images/abc",
    "file://images/abc",
    "file://localhost/images/abc",
    "file://..//images/abc",
    "file://%2fimages",
    "file:///images/..",
    "file:///images/.",
    "file:///images/../etc/passwd",
    "file:///images/./abc",
    "file:///images/.abc.0123.part",
    "file:///images/\0abc",
    "file:///images/abc\0",
    "file:///images/\udfff\ud800",
    "http://host/images/abc",
    "/images/abc",
    " file:///images/abc",
    "file+x:///images/abc",
    "swift+config:///images/abc",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_split_url_refuses_without_repeating(url):
    with pytest.raises(BadLocation) as caught:
        split_url(url)
    assert "images" not in caught.value.message


fragments = st.lists(
    st.sampled_from(
        [
            "/",
            "//",
            ".",
            "..",
            "%2e",
            "%2E%2e",
            "%2f",
            "%252f",
            "%00",
            "\0",
            "a",
            "images",
            "é",
            "%",
            ":",
        ]
    )
    | st.text(max_size=4),
    max_size=12,
).map("".join)


@given(st.sampled_from(["file://", "filesystem://", "file:", "FILE:///", ""]), fragments)
def test_no_url_climbs(scheme, rest):
    try:
        pairs = split_url(scheme + rest)
    except BadLocation:
        return
    for directory, name in pairs:
        joined = posixpath.join(directory, name)
        assert directory.startswith("/")
        assert posixpath.normpath(directory) == directory
        assert posixpath.dirname(posixpath.normpath(joined)) == directory
        assert posixpath.basename(posixpath.normpath(joined)) == name
        assert "\0" not in joined


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1), max_size=4
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1),
)
def test_written_urls_are_understood(parts, name):
    directory = "/" + "/".join(p for p in parts if p not in (".", ".."))
    if plain_name(name):
        assert split_url(url_of(directory, name))[0] == (directory, name)


@pytest.mark.parametrize(
    ("perm", "before", "after"),
    [
        (0, 0o700, 0o700),
        (0o600, 0o700, 0o700),
        (0o640, 0o700, 0o710),
        (0o644, 0o700, 0o711),
        (0o604, 0o700, 0o701),
        (0o644, 0o755, 0o755),
    ],
)
def test_directories_open_to_those_who_may_read(perm, before, after):
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, before)
        thd_prepare("fast", "filesystem_store_datadir", DataDir(path), perm)
        assert os.stat(path).st_mode & 0o777 == after


def test_missing_directories_are_created():
    with tempfile.TemporaryDirectory() as path:
        deep = os.path.join(path, "a", "b")
        thd_prepare("fast", "filesystem_store_datadir", DataDir(deep), 0)
        assert os.path.isdir(deep)


def test_directories_that_cannot_be():
    with tempfile.NamedTemporaryFile() as file, pytest.raises(BadStoreConfiguration) as caught:
        thd_prepare("fast", "filesystem_store_datadirs", DataDir(f"{file.name}/x"), 0)
    assert "[fast] filesystem_store_datadirs" in caught.value.message
