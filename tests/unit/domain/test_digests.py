"""Digests that clients state."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.digests import ALGORITHMS, Digest, check_digests, parse_digests
from glance.domain.errors import Invalid

HEADER = "Content-Digest"
SHA256 = hashlib.sha256(b"x").digest()


def written(**digests: bytes) -> str:
    return ", ".join(
        f"{name.replace('sha', 'sha-')}=:{b64encode(value).decode()}:"
        for name, value in digests.items()
    )


def digest_of(data: bytes) -> object:
    return lambda algorithm: hashlib.new(algorithm, data).digest()


def test_lengths_are_those_of_the_algorithms() -> None:
    for algorithm, length in ALGORITHMS.values():
        assert hashlib.new(algorithm).digest_size == length


def test_several() -> None:
    text = written(md5=bytes(16), sha256=SHA256, sha512=bytes(64))
    assert parse_digests(HEADER, text) == [
        Digest(HEADER, "md5", bytes(16)),
        Digest(HEADER, "sha-256", SHA256),
        Digest(HEADER, "sha-512", bytes(64)),
    ]


@pytest.mark.parametrize(
    "text", ["", "unixsum=30637", "sha=:aGk=:, crc32c", "a=(1 2)", "sha-384=:aGk=:;q=1"]
)
def test_others_are_ignored(text: str) -> None:
    assert parse_digests(HEADER, text) == []
    assert [d.name for d in parse_digests(HEADER, f"{text}, {written(md5=bytes(16))}".lstrip(", "))]


@pytest.mark.parametrize("header", ["Content-Digest", "Repr-Digest"])
@pytest.mark.parametrize("text", ["sha-256", "x=", "sha-256=:aGk", ",", "SHA-256=:aGk=:", "é=1"])
def test_what_cannot_be_read(text: str, header: str) -> None:
    with pytest.raises(Invalid, match=header):
        parse_digests(header, text)


@pytest.mark.parametrize("value", ["", "=?1", "=1", '="x"', "=::", "=x", "=(:aGk=:)"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_is_no_digest_of_that_kind(name: str, value: str) -> None:
    with pytest.raises(Invalid, match=f"{HEADER} must .*{name}.* {ALGORITHMS[name][1]} bytes"):
        parse_digests(HEADER, name + value)


@given(st.sampled_from(sorted(ALGORITHMS)), st.binary(max_size=70))
def test_only_the_right_length(name: str, value: bytes) -> None:
    text = f"{name}=:{b64encode(value).decode()}:"
    if len(value) == ALGORITHMS[name][1]:
        assert parse_digests(HEADER, text) == [Digest(HEADER, name, value)]
    else:
        with pytest.raises(Invalid, match=name):
            parse_digests(HEADER, text)


@given(st.binary(max_size=50), st.lists(st.sampled_from(sorted(ALGORITHMS))), st.data())
def test_all_have_to_fit(data: bytes, names: list[str], choose: st.DataObject) -> None:
    stated = []
    wrong = set()
    for name in names:
        value = hashlib.new(ALGORITHMS[name][0], data).digest()
        if choose.draw(st.booleans()):
            value = value[:-1] + bytes([value[-1] ^ 1])
            wrong.add(name)
        stated.append(Digest(HEADER, name, value))
    if not wrong:
        check_digests(stated, digest_of(data))  # type: ignore[arg-type]
        return
    with pytest.raises(Invalid) as caught:
        check_digests(stated, digest_of(data))  # type: ignore[arg-type]
    told = caught.value.message
    assert HEADER in told
    assert {name for name in ALGORITHMS if name in told} == wrong
