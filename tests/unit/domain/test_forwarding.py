"""What a proxy says, and what a liar can make of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.forwarding import HOST, NOTHING, Forwarded, parse


def parsed(**headers):
    """Parse headers given as a value or a list of them, with underscores in their names."""
    given_ = {name.lower().replace("_", "-"): value for name, value in headers.items()}

    def values(name):
        value = given_.get(name.lower(), [])
        return value if isinstance(value, list) else [value]

    return parse(values)


def test_nothing_said():
    assert parsed() == NOTHING == Forwarded()


class TestOlderHeaders:
    def test_all_of_them(self):
        said = parsed(
            x_forwarded_proto="https",
            x_forwarded_host="images.example:8443",
            x_forwarded_for="192.0.2.7",
            x_forwarded_prefix="/image/",
        )
        assert said == Forwarded("https", "images.example:8443", "192.0.2.7", "/image")

    def test_first_proxy_counts(self):
        said = parsed(
            x_forwarded_proto="https, http",
            x_forwarded_host=["a.example, b.example", "c.example"],
            x_forwarded_for="2001:db8::1, 10.0.0.1",
        )
        assert said == Forwarded("https", "a.example", "2001:db8::1")

    @pytest.mark.parametrize("address", ["192.0.2.7:4711", "[2001:db8::1]:4711", "[2001:db8::1]"])
    def test_ports_of_clients_are_left_out(self, address):
        assert parsed(x_forwarded_for=address).client in ("192.0.2.7", "2001:db8::1")


class TestForwarded:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("proto=https", Forwarded("https")),
            (
                "for=192.0.2.7;proto=HTTPS;host=a.example",
                Forwarded("https", "a.example", "192.0.2.7"),
            ),
            (
                'for="[2001:db8::1]:99";host="a.example:81"',
                Forwarded(None, "a.example:81", "2001:db8::1"),
            ),
            (
                "For=192.0.2.7 ; Proto=http , for=10.0.0.1;proto=https",
                Forwarded("http", None, "192.0.2.7"),
            ),
            ('host="a\\.example"', Forwarded(None, "a.example")),
            ("for=unknown;proto=https", Forwarded("https")),
            ("for=_hidden", NOTHING),
            ("by=10.0.0.1;proto=https", Forwarded("https")),
        ],
    )
    def test_read(self, text, said):
        assert parsed(forwarded=text) == said

    def test_wins_over_the_older_ones(self):
        assert parsed(forwarded="proto=http", x_forwarded_host="b.example") == Forwarded("http")

    def test_several_headers_are_one_list(self):
        assert parsed(forwarded=["proto=https", "proto=http"]) == Forwarded("https")

    def test_prefix_goes_with_either(self):
        assert parsed(forwarded="proto=https", x_forwarded_prefix="/p").prefix == "/p"

    @pytest.mark.parametrize(
        "text", ["", "nonsense", "proto", 'host="a', "proto=http;proto=https", "proto = https", ";"]
    )
    def test_broken_ones_say_nothing(self, text):
        assert parsed(forwarded=text, x_forwarded_proto="https") == NOTHING


class TestLies:
    @pytest.mark.parametrize("scheme", ["javascript", "ftp", "https://x", "http\r\nX: y", ""])
    def test_schemes(self, scheme):
        assert parsed(x_forwarded_proto=scheme).scheme is None

    @pytest.mark.parametrize(
        "host",
        [
            "",
            "a b",
            "a/b",
            "u@h",
            "a?b",
            "a#b",
            "a\r\nSet-Cookie: x",
            'a"b',
            "<a>",
            "\xff",
            "a:b:c",
            "a:",
        ],
    )
    def test_hosts(self, host):
        assert parsed(x_forwarded_host=host).host is None

    @pytest.mark.parametrize(
        "prefix",
        [
            "",
            "/",
            "x",
            "//evil.example",
            "/a//b",
            "/a b",
            "/../x",
            "/a/.",
            "/a?b",
            "/\xff",
            "/a\nb",
        ],
    )
    def test_prefixes(self, prefix):
        assert parsed(x_forwarded_prefix=prefix).prefix == ""

    @pytest.mark.parametrize(
        "client", ["", "unknown", "localhost", "1.2.3", "fe80::1%x y", "[::1", "a"]
    )
    def test_clients(self, client):
        assert parsed(x_forwarded_for=client).client is None


@given(st.text(), st.text(), st.text(), st.text(), st.booleans())
def test_whatever_is_said_makes_no_other_url_and_no_other_line(host, scheme, prefix, client, old):
    if old:
        said = parsed(
            x_forwarded_host=host,
            x_forwarded_proto=scheme,
            x_forwarded_prefix=prefix,
            x_forwarded_for=client,
        )
    else:
        said = parsed(
            forwarded=f'host="{host}";proto={scheme};for="{client}"', x_forwarded_prefix=prefix
        )
    assert said.scheme in (None, "http", "https")
    assert said.host is None or HOST.fullmatch(said.host)
    for text in (said.host, said.prefix, said.client):
        assert text is None or (text.isascii() and text.isprintable() and " " not in text)
