import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.services.logmask import LONGEST, clean, mask, one_line

SECRET = "Zq9canary"


@pytest.mark.parametrize(
    "text",
    [
        "X-Auth-Token: {}",
        "x-service-token={}",
        "{{'X-Auth-Token': '{}', 'other': 1}}",
        '{{"password": "a {} b", "x": 2}}',
        "b'X-Subject-Token': [b'{}']",
        "Headers({{b'x-auth-token': [b'{}']}})",
        "Authorization: Bearer {}",
        "authorization: Basic {}",
        "admin_password = {}",
        "?password={}&x=1",
        "s3_store_secret_key: {}",
        "swift_store_key = {}",
        "metadata_encryption_key={}",
        "token={}",
        "passwd={}",
        '\\"token\\": \\"{}\\"',
        "mysql://user:{}@host/db",
        "mysql+pymysql://user:a/b{}@host/db",
        "postgresql+psycopg://u:a@b{}@host/db",
        "swift+https://{}@host/container",
        "at https://u:p{}@h and http://other",
        "gAAAAAB{}0123456789abcdefghij==",
        "password='unclosed {}",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    line = mask(text.format(SECRET))
    assert SECRET not in line
    assert "***" in line


@pytest.mark.parametrize(
    "text",
    [
        "GET /v2/images?limit=25&marker=0 200",
        "the token has expired",
        "http://127.0.0.1:9292/v2/images",
        "file:///var/lib/glance/images/x",
        "user@example.org wrote",
        "keyword: value, monkey=1",
        "",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert clean(text) == text


def test_what_is_around_a_secret_stays() -> None:
    assert mask("a mysql://u:p@h/d b") == "a mysql://***@h/d b"
    assert mask("{'X-Auth-Token': 'abc', 'n': 1}") == "{'X-Auth-Token': ***, 'n': 1}"


@given(st.text())
def test_one_line_stays_one(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert not any(character < " " and character != "\t" for character in line)
    line.encode("utf-8")


def test_escapes_are_readable() -> None:
    assert one_line("a\nb\r\x1b[31m\x00\u2028\udc80\t") == "a\\nb\\r\\x1b[31m\\x00\\u2028\\udc80\t"


def test_long_text_is_cut_without_showing_half_a_secret() -> None:
    for offset in range(LONGEST - 40, LONGEST + 10):
        text = "x" * offset + f" mysql://u:{SECRET}@h/d " + "y" * LONGEST
        line = clean(text)
        assert len(line) < LONGEST + 100
        assert SECRET[:4] not in line
        assert "characters)" in line


@pytest.mark.parametrize(
    "piece", ["token", "a://", "://a:", "password='\\", "token ", "x-", "secret=", "a:@"]
)
def test_no_text_makes_the_search_run_away(piece: str) -> None:
    """The search is linear: this takes milliseconds, or hours if it is not."""
    clean(piece * (2_000_000 // len(piece)))
    mask(piece * (100_000 // len(piece)))
