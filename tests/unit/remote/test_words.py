"""What a service said, as a line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.remote.words import LONGEST, words

PAGE = (
    "<html>\n <head>\n  <title>404 Not Found</title>\n </head>\n <body>\n  <h1>404 Not Found</h1>\n"
    "  No image &lt;x&gt; here.<br /><br />\n\n\n </body>\n</html>"
)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", ""),
        (b"null", ""),
        (b"[1]", ""),
        (b'{"message": "No such image.<br /><br />\\n\\n\\n", "code": "404"}', "No such image."),
        (b'{"error": {"code": 401, "message": "Who are you?"}}', "Who are you?"),
        (b'{"error": "Nothing"}', "Nothing"),
        (b'{"error": {"message": 5}}', ""),
        (PAGE.encode(), "No image <x> here."),
        (b"<html><h1>502 Bad Gateway</h1><hr>nginx</html>", "nginx"),
        (b"<h1>Only this</h1>", "Only this"),
        (b"404 Not Found\n\nNo such\nimage.\n", "404 Not Found No such image."),
        (b"a\x1b[31mb\x07c\x00\xffd", "a [31mb c \ufffdd"),
        ("x\u202ey".encode(), "x y"),
    ],
)
def test_forms(body: bytes, said: str) -> None:
    assert words(body) == said


def test_it_is_cut() -> None:
    assert words(b"x" * 5000) == "x" * LONGEST + "…"


def test_secrets_are_blotted_out() -> None:
    body = json.dumps({"message": "No token canary-token here"}).encode()
    assert words(body, ["canary-token"]) == "No token *** here"


def test_words_are_no_secrets() -> None:
    assert words(b"a bad token", ["bad", ""]) == "a bad token"


@given(st.binary(max_size=2000))
def test_it_is_always_a_line(body: bytes) -> None:
    said = words(body)
    assert said.isprintable()
    assert len(said) <= LONGEST + 1


def test_hostile_markup_is_read_in_time() -> None:
    assert isinstance(words(b"<" * 1_000_000), str)
    assert isinstance(words(b"<head>" * 100_000), str)
    assert isinstance(words(b"<h1>" * 100_000), str)
