import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.errors import Conflict, Duplicate, Forbidden, Invalid, InvalidStatus
from glance.domain.image import Image, Location
from glance.domain.locations import (
    ALGORITHMS,
    LONGEST_URL,
    REFUSED_SCHEMES,
    Digests,
    NewLocation,
    check_addition,
    check_metadata,
    check_removal,
    check_replacement,
    check_url,
    is_digest,
    new_digests,
    parse_patch_value,
    parse_post_body,
)

KNOWN = {"http", "https", "rbd", "file", "filesystem", "swift+https", "swift+config"}
URL = "http://user:secret@web.example/x"
SHA512 = hashlib.sha512(b"").hexdigest()
SHA256 = hashlib.sha256(b"").hexdigest()
MD5 = hashlib.md5(b"", usedforsecurity=False).hexdigest()


def patch(value):
    return parse_patch_value(value, KNOWN, "sha512")


def post(body, trusted=True):
    return parse_post_body(body, KNOWN, trusted=trusted)


def with_data(**data):
    return {"url": URL, "metadata": {}, "validation_data": data}


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "scheme"),
        [
            ("http://h/x?y", "http"),
            ("HTTPS://h", "https"),
            ("http://h/x#y", "http"),
            ("rbd://fsid/pool/image/snap", "rbd"),
            ("swift+https://p%3Au:key@h/v3/c/o#x", "swift+https"),
            ("http://h/" + "x" * (LONGEST_URL - 9), "http"),
        ],
    )
    def test_good(self, url, scheme):
        assert check_url(url, KNOWN) == (url, scheme)

    @pytest.mark.parametrize(
        "url",
        [
            "file:///etc/passwd", "FILE:///etc/passwd", "FiLeSyStEm:///etc/passwd",
            "file:/etc/passwd",
            "file:etc", "file:", " file:///etc/passwd", "\tfile:///x", "\0file:///x", "\x1ffile:///x",
            "\ufefffile:///x", "\u2028file:///x", "fi\nle:///x", "file\t:///x", "file\u200b:///x",
            "%66ile:///x", "file%3A///x", "url:file:///x", "view-source:file:///x", "\uff46ile:///x",
            "ﬁle:///x", "swift+config://ref/c/o", "SWIFT+CONFIG://ref/c/o", "swift+config:ref",
            "swift%2Bconfig://x", "ſwift+config://x", "pending://parallel-import/x", "gopher://h/x",
            "", "x", "://x", "/etc/passwd", "//h/x", "http:/h/x", "http:h", "http://",
            "http://h/x y", "http://h\\x", "http://0x7f000001/", "http://user@h/", "http://h:port/",
            "http://h/\U0001f600", "http://h/\ud800", "rbd://a b", "rbd://a\nb", "rbd://a\\b",
            "http://h/" + "x" * (LONGEST_URL - 8), None, 5, True, [], {},
        ],
    )  # fmt: skip
    def test_refused(self, url):
        with pytest.raises(Invalid) as caught:
            check_url(url, KNOWN)
        if isinstance(url, str) and len(url) > 9:
            assert url not in caught.value.message

    def test_without_such_a_store(self):
        with pytest.raises(Invalid):
            check_url("rbd://x", {"http"})

    @given(st.text() | st.sampled_from(sorted(REFUSED_SCHEMES)).flatmap(
        lambda scheme: st.tuples(
            st.text(max_size=3),
            st.lists(st.booleans(), min_size=len(scheme), max_size=len(scheme)),
            st.sampled_from(["://x", ":///x", ":x", "\t:///x", "%3A//x"]),
        ).map(lambda parts: parts[0] + "".join(
            char.upper() if up else char for char, up in zip(scheme, parts[1], strict=True)
        ) + parts[2])
    ))  # fmt: skip
    def test_no_spelling_of_a_refused_scheme_passes(self, url):
        try:
            _, scheme = check_url(url, KNOWN)
        except Invalid:
            return
        assert scheme in KNOWN - REFUSED_SCHEMES
        stripped = "".join(char for char in url if char.isprintable()).strip().lower()
        assert stripped.startswith(f"{scheme}://")


class TestPatch:
    def test_plain(self):
        assert patch({"url": URL, "metadata": {"k": "v"}}) == NewLocation(URL, "http", {"k": "v"})
        assert "secret" not in repr(patch({"url": URL, "metadata": {}}))

    def test_with_digests(self):
        found = patch(with_data(os_hash_algo="sha512", os_hash_value=SHA512.upper()))
        assert found.digests == Digests("sha512", SHA512)
        found = patch(with_data(os_hash_algo="sha512", os_hash_value=SHA512, checksum=MD5.upper()))
        assert found.digests == Digests("sha512", SHA512, MD5)

    @pytest.mark.parametrize(
        "value",
        [
            None, [], "x", {}, {"url": URL}, {"metadata": {}}, {"url": URL, "metadata": []},
            {"url": URL, "metadata": None}, {"url": URL, "metadata": {}, "status": "active"},
            {"url": "file:///x", "metadata": {}}, with_data(), with_data(os_hash_algo="sha512"),
            with_data(os_hash_value=SHA512), {"url": URL, "metadata": {}, "validation_data": None},
            with_data(os_hash_algo="sha512", os_hash_value=5),
            with_data(os_hash_algo=None, os_hash_value=SHA512),
            with_data(os_hash_algo="sha512", os_hash_value="a" * 129),
            with_data(os_hash_algo="a" * 65, os_hash_value=SHA512),
            with_data(os_hash_algo="sha512", os_hash_value=SHA512, checksum="a"),
            with_data(os_hash_algo="sha512", os_hash_value=SHA512, checksum=None),
            with_data(os_hash_algo="sha512", os_hash_value=SHA512, other="x"),
        ],
    )  # fmt: skip
    def test_malformed(self, value):
        with pytest.raises(Invalid) as caught:
            patch(value)
        assert "secret" not in caught.value.message

    @pytest.mark.parametrize(
        "data",
        [
            {"os_hash_algo": "sha256", "os_hash_value": SHA256},
            {"os_hash_algo": "SHA512", "os_hash_value": SHA512},
            {"os_hash_algo": "sha512", "os_hash_value": SHA256},
            {"os_hash_algo": "sha512", "os_hash_value": ""},
            {"os_hash_algo": "sha512", "os_hash_value": "g" * 128},
            {"os_hash_algo": "sha512", "os_hash_value": SHA512, "checksum": "g" * 32},
        ],
    )
    def test_digests_that_cannot_be(self, data):
        with pytest.raises(Conflict):
            patch(with_data(**data))


class TestPost:
    def test_plain(self):
        assert post({"url": URL}) == NewLocation(URL, "http")
        for nothing in ({}, None):
            assert post({"url": URL, "validation_data": nothing}).digests is None

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_with_digests(self, algorithm):
        value = hashlib.new(algorithm, b"").hexdigest()
        data = {"os_hash_algo": algorithm, "os_hash_value": value.upper()}
        assert post({"url": URL, "validation_data": data}).digests == Digests(algorithm, value)

    def test_who_may_give_what(self):
        assert post({"url": URL}, trusted=False).scheme == "http"
        assert post({"url": "rbd://a/b/c/d"}).scheme == "rbd"
        for url in ("rbd://a/b/c/d", "file:///x", "gopher://x/"):
            with pytest.raises(Forbidden):
                post({"url": url}, trusted=False)
        with pytest.raises(Forbidden):
            parse_post_body({"url": URL}, {"rbd"}, trusted=False)
        for url in ("file:///x", "swift+config://x", "gopher://x/"):
            with pytest.raises(Invalid):
                post({"url": url})

    @pytest.mark.parametrize(
        "data",
        [
            [],
            "x",
            {"os_hash_algo": "sha512"},
            {"os_hash_value": SHA512},
            {"os_hash_algo": "sha384", "os_hash_value": "a" * 96},
            {"os_hash_algo": "SHA512", "os_hash_value": SHA512},
            {"os_hash_algo": "sha512", "os_hash_value": SHA256},
            {"os_hash_algo": "sha256", "os_hash_value": "g" * 64},
            {"os_hash_algo": "sha256", "os_hash_value": 5},
            {"os_hash_algo": "sha256", "os_hash_value": SHA256, "checksum": MD5},
        ],
    )
    def test_malformed_digests(self, data):
        with pytest.raises(Invalid):
            post({"url": URL, "validation_data": data})

    @pytest.mark.parametrize("body", [None, [], {}, {"url": URL, "metadata": {}}, {"url": 5}])
    def test_malformed(self, body):
        with pytest.raises(Invalid):
            post(body)


class TestMetadata:
    def test_good(self):
        for metadata in ({}, {"a": [1, {"b": None}], "ü": "ü"}, {"a": "x" * 60000}):
            assert check_metadata(metadata) == metadata

    @pytest.mark.parametrize(
        "metadata", [None, [], "x", {"a": "\U0001f600"}, {"\ud800": 1}, {"a": "x" * 65536}]
    )
    def test_bad(self, metadata):
        with pytest.raises(Invalid):
            check_metadata(metadata)

    def test_reserved(self):
        with pytest.raises(Forbidden):
            check_metadata({"os_glance_parallel_import": "pending"})


def image(*urls, status="active", **fields):
    return Image("id", status, locations=[Location(url, {"store": "s"}) for url in urls], **fields)


class TestChanges:
    @pytest.mark.parametrize(
        ("status", "patched", "posted"),
        [("queued", True, True), ("active", True, False), ("saving", False, False),
         ("deactivated", False, False), ("importing", False, False)],
    )  # fmt: skip
    def test_status(self, status, patched, posted):
        for allowed, by_patch in ((patched, True), (posted, False)):
            if allowed:
                check_addition(image(status=status), Location("u"), patch=by_patch)
            else:
                with pytest.raises(InvalidStatus):
                    check_addition(image(status=status), Location("u"), patch=by_patch)

    def test_twice(self):
        queued = image("a", status="queued")
        with pytest.raises(Invalid):
            check_addition(queued, Location("a", {"store": "s"}), patch=True)
        check_addition(queued, Location("a", {"store": "other"}), patch=True)
        with pytest.raises(Duplicate):
            check_addition(queued, Location("a", {"store": "other"}), patch=False)
        check_addition(queued, Location("b", {"store": "s"}), patch=False)

    def test_replacing(self):
        check_replacement(image("a", "b"), [Location("b"), Location("a")])
        check_replacement(image(status="queued"), [Location("a")])
        with pytest.raises(Forbidden):
            check_replacement(image("a", "b"), [])
        for urls in (["a"], ["a", "b", "c"], ["a", "c"]):
            with pytest.raises(Invalid):
                check_replacement(image("a", "b"), [Location(url) for url in urls])
        with pytest.raises(Invalid):
            check_replacement(image("a", "b"), [Location(url) for url in "aab"])
        with pytest.raises(InvalidStatus):
            check_replacement(image("a", status="deactivated"), [Location("a")])

    def test_removing(self):
        check_removal(image("a", "b"))
        with pytest.raises(Forbidden):
            check_removal(image("a"))
        with pytest.raises(InvalidStatus):
            check_removal(image("a", "b", status="queued"))


class TestWhatBecomesKnown:
    digests = Digests("sha512", SHA512, MD5)

    def test_nothing_said(self):
        assert new_digests(image(), None) == {}

    def test_new(self):
        expected = {"checksum": MD5, "os_hash_algo": "sha512", "os_hash_value": SHA512}
        assert new_digests(image(status="queued"), self.digests) == expected
        del expected["checksum"]
        assert new_digests(image(status="queued"), Digests("sha512", SHA512)) == expected

    def test_known_already(self):
        known = image(checksum=MD5, os_hash_algo="sha512", os_hash_value=SHA512)
        assert new_digests(known, self.digests) == {}

    def test_contradicting(self):
        known = {"checksum": MD5, "os_hash_algo": "sha512", "os_hash_value": SHA512}
        for name, other in (("checksum", "0" * 32), ("os_hash_value", "0" * 128)):
            for status in ("active", "queued"):
                with pytest.raises(Conflict):
                    new_digests(image(status=status, **{**known, name: other}), self.digests)

    def test_too_late(self):
        with pytest.raises(Conflict):
            new_digests(image(status="active"), self.digests)
        with pytest.raises(Conflict):
            new_digests(image(os_hash_algo="sha512", os_hash_value=SHA512), self.digests)


@given(st.text(max_size=130), st.sampled_from(ALGORITHMS))
def test_a_digest_is_hexadecimal(text, algorithm):
    if is_digest(text, algorithm):
        assert len(bytes.fromhex(text)) == hashlib.new(algorithm).digest_size
