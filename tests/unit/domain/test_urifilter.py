import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.web.client import URI

from glance.domain.addresses import kind_of
from glance.domain.errors import Invalid
from glance.domain.urifilter import Target, UriFilter, parse

OPEN = UriFilter()


def refused(check, *words):
    with pytest.raises(Invalid) as caught:
        check()
    for word in words:
        assert word in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("url", "host", "port", "normal"),
    [
        ("http://example.com", "example.com", 80, "http://example.com/"),
        ("HTTPS://Example.COM/A?b#c", "example.com", 443, "https://example.com/A?b"),
        ("http://a_b.example-x:8080?q", "a_b.example-x", 8080, "http://a_b.example-x:8080/?q"),
        ("http://192.0.2.1:0080/", "192.0.2.1", 80, "http://192.0.2.1:80/"),
        ("http://[2001:DB8:0::1]/x", "2001:db8::1", 80, "http://[2001:db8::1]/x"),
        ("http://[::ffff:192.0.2.1]:81/", "192.0.2.1", 81, "http://192.0.2.1:81/"),
        ("http://xn--bcher-kva.example/ü", "xn--bcher-kva.example", 80,
         "http://xn--bcher-kva.example/%C3%BC"),
        ("http://h//a/../b;c?", "h", 80, "http://h//a/../b;c?"),
        ("ftp://h/x", "h", 0, "ftp://h/x"),
    ],
)  # fmt: skip
def test_reading(url, host, port, normal):
    target = parse(url)
    assert (target.host, target.port, target.url) == (host, port, normal)


def test_credentials_are_taken_out_and_never_shown():
    target = parse("http://us%40er:se%2Fcret@h:81/path?sig=secret")
    assert (target.user, target.password) == ("us@er", "se/cret")
    assert target.url == "http://h:81/path?sig=secret"
    for word in ("us@er", "se/cret", "sig", "path"):
        assert word not in repr(target)


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "example.com", "//h/x", "http:", "http:/h", "http:h", "http://", "http:///x",
        "http://?", "http://:80/", "http://@h/", "http://user@h/", "http://:secret@h/",
        "://h", "1http://h",
        # More than one host, depending on who reads it.
        "http://a@b@h/", "http://a:b@c:d@h/", "http://good\\@bad/", "http://bad\\.good/",
        "http://good#@bad@x y/", "http://bad%2F@good%00/", "http://good:80:81/", "http://h:/",
        # Characters that others skip or trim.
        " http://h/", "http://h/ ", "http://h/a b", "ht\ttp://h/", "http://h\n/",
        "http://h/\r\nX: y",
        "http://h\0.good/", "http://h\u2028/", "http://h/\u200b", "http://h/\ud800", "http://h/\x7f",
        # Hosts.
        "http://h./", "http://127.0.0.1./", "http://.h/", "http://a..b/", "http://-a/", "http://a-/",
        "http://h%6f/", "http://%31%32%37.0.0.1/", "http://bücher.example/", "http://127。0。0。1/",
        "http://①②⑦.0.0.1/", "http://loc\u00adalhost/", "http://" + "a" * 64 + "/",
        "http://" + ".".join(["a" * 60] * 5) + "/", "http://a,b/", "http://a*b/",
        # Addresses.
        "http://2130706433/", "http://0x7f000001/", "http://017700000001/", "http://127.1/",
        "http://127.0.1/", "http://0177.0.0.1/", "http://127.0.0.01/", "http://0x7f.0.0.1/",
        "http://127.0.0.0x1/", "http://256.0.0.1/", "http://1.2.3.4.5/", "http://1.2.3.999/",
        "http://0/", "http://0x/", "http://00000/", "http://foo.0x7f000001/", "http://foo.1/",
        "http://[::1/", "http://::1/", "http://[::1]x/", "http://[::1]]/", "http://[127.0.0.1]/",
        "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[v1.x]/", "http://[]/",
        "http://[::1]:/", "http://[:::1]/", "http://[h]/",
        # Ports.
        "http://h:0/", "http://h:65536/", "http://h:99999999999/", "http://h:x/", "http://h:-1/",
        "http://h:+80/", "http://h:８０/", "http://h:80a/",
    ],
)  # fmt: skip
def test_malformed(url):
    message = refused(lambda: OPEN.check(url))
    assert len(url) < 12 or url not in message


def test_refusals_do_not_repeat_the_url():
    rules = UriFilter(disallowed_hosts=["canary.example"], allowed_ports=[80])
    for url in (
        "http://canary.example/canary", "http://canary@h/", "http://canary:8/", "http://canary./",
        "canary://canary:canary@canary/canary", "http://canary:canary@canary:canary/",
    ):  # fmt: skip
        assert "canary" not in refused(lambda url=url: rules.check(url))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://127.255.255.254:80/", "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0/", "http://0.1.2.3/", "http://255.255.255.255/", "http://224.0.0.1/",
        "http://240.0.0.1/", "http://[::1]/", "http://[::]/", "http://[fe80::a9fe:a9fe]/",
        "http://[ff02::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:ffff:169.254.169.254]/", "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/", "http://[64:ff9b:1::a9fe:a9fe]/", "http://[2002:7f00:1::]/",
        "http://localhost/", "http://LOCALHOST/", "http://metadata.localhost/",
    ],
)  # fmt: skip
def test_addresses_that_are_never_right(url):
    refused(lambda: OPEN.check(url), "allowed_hosts")
    host = parse(url).host
    for trusted in (host, host.upper(), f" {host} ", f"[{host}]", f"{host}."):
        assert UriFilter(allowed_hosts=[trusted]).check(url).host == host


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "http://192.168.1.1/", "http://[fd00::1]/", "http://100.64.0.1/"]
)
def test_private_networks_are_allowed(url):
    assert OPEN.check(url)


class TestLists:
    def test_schemes(self):
        refused(lambda: OPEN.check("ftp://h/"), "scheme", "allowed_schemes")
        rules = UriFilter(allowed_schemes=[], disallowed_schemes=["FTP"])
        refused(lambda: rules.check("ftp://h/"), "disallowed_schemes")
        assert rules.check("gopher://h/")

    def test_hosts(self):
        rules = UriFilter(allowed_hosts=["Good.example"], disallowed_hosts=["good.example"])
        assert rules.check("http://GOOD.example/")
        refused(lambda: rules.check("http://other.example/"), "host", " allowed_hosts")
        refused(lambda: rules.check("http://x.good.example/"), "host", " allowed_hosts")
        rules = UriFilter(disallowed_hosts=["bad.example", "192.0.2.1", "2001:db8::/32"])
        for url in ("http://BAD.example/", "http://192.0.2.1/", "http://[::ffff:192.0.2.1]/"):
            refused(lambda url=url: rules.check(url), "disallowed_hosts")
        refused(lambda: rules.check("http://[2001:DB8::5]/"), "disallowed_hosts")
        assert rules.check("http://other.example/")

    def test_ports(self):
        refused(lambda: OPEN.check("http://h:8080/"), "port", " allowed_ports")
        assert OPEN.check("https://h:80/")
        rules = UriFilter(allowed_ports=[], disallowed_ports=["22"])
        refused(lambda: rules.check("http://h:22/"), "disallowed_ports")
        assert rules.check("http://h:8080/")

    def test_a_port_that_is_not_written_is_not_checked(self):
        rules = UriFilter(allowed_ports=[8080])
        assert rules.check("http://h/")
        refused(lambda: rules.check("http://h:80/"))

    def test_ports_are_numbers(self):
        with pytest.raises(ValueError):
            UriFilter(allowed_ports=["http"])


class TestResolvedAddresses:
    name = parse("http://name.example/")

    def test_good(self):
        OPEN.check_addresses(self.name, ["192.0.2.1", "10.0.0.1", "2001:db8::1"])

    def test_one_bad_among_them(self):
        for bad in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1%eth0"):
            for addresses in ([bad], ["192.0.2.1", bad], [bad, "192.0.2.1"]):
                refused(lambda a=addresses: OPEN.check_addresses(self.name, a), "allowed_hosts")

    def test_none(self):
        refused(lambda: OPEN.check_addresses(self.name, []), "resolved")
        rules = UriFilter(allowed_hosts=["name.example"])
        refused(lambda: rules.check_addresses(self.name, []), "resolved")

    def test_trusted_hosts_may_lead_anywhere(self):
        rules = UriFilter(allowed_hosts=["name.example"], disallowed_hosts=["127.0.0.1"])
        rules.check_addresses(self.name, ["127.0.0.1", "::1"])

    def test_disallowed_addresses_and_networks(self):
        rules = UriFilter(disallowed_hosts=["192.0.2.1", "10.0.0.0/8", "[2001:db8::1]", "junk/8"])
        for bad in ("192.0.2.1", "::ffff:192.0.2.1", "10.9.9.9", "::ffff:10.1.1.1", "2001:db8::1"):
            refused(
                lambda bad=bad: rules.check_addresses(self.name, ["192.0.2.9", bad]),
                "disallowed_hosts",
            )
        rules.check_addresses(self.name, ["192.0.2.2", "2001:db8::2"])

    def test_names_are_trusted_and_not_what_they_lead_to(self):
        rules = UriFilter(allowed_hosts=["127.0.0.1", "name.example"])
        other = Target("http", "other.example", 80, False, "/")
        refused(lambda: rules.check_addresses(other, ["127.0.0.1"]))


# Hosts as an attacker would write them, URLs built of what parsers disagree about.
numbers = st.one_of(
    st.integers(0, 2**32).map(str),
    st.integers(0, 2**32).map(hex),
    st.integers(0, 2**32).map(lambda n: f"0{n:o}"),
    st.sampled_from(["0", "127", "0x7f", "0177", "00", "1", "256", "0X7F", "0x", ""]),
)
dotted = st.lists(numbers, min_size=1, max_size=5).map(".".join)
pieces = st.sampled_from(
    ["http", "https", ":", "/", "//", "@", "\\", "?", "#", "[", "]", "%", "%40", "::1", "127.0.0.1",
     ".", "localhost", "good.example", "80", ";", "user:pw", " ", "\t", "\n", "\0", "。", "ü", "&"]
)  # fmt: skip
crafted = st.lists(pieces, max_size=12).map("".join)
urls = st.one_of(
    st.text(),
    crafted,
    crafted.map(lambda text: f"http://{text}"),
    dotted.map(lambda host: f"http://{host}/"),
)


@given(dotted)
def test_no_number_is_read_as_another_address_than_the_system_reads(host):
    try:
        address = socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        address = None
    try:
        target = parse(f"http://{host}/")
    except Invalid:
        return
    assert target.host == address == host


@given(urls)
def test_what_is_read_is_read_alike_by_everybody(url):
    try:
        target = parse(url)
    except Invalid:
        return
    again = parse(target.url)
    assert (again.host, again.port, again.path) == (target.host, target.port, target.path)
    split = urlsplit(target.url)
    assert split.hostname == target.host
    assert split.username is None
    if target.scheme in ("http", "https"):
        twisted = URI.fromBytes(target.url.encode("ascii"))
        assert (twisted.host.decode(), twisted.port) == (target.host, target.port)


@given(urls)
def test_what_passes_names_no_refused_address(url):
    try:
        target = OPEN.check(url)
    except Invalid:
        return
    assert target.scheme in ("http", "https")
    assert target.host.split(".")[-1] != "localhost"
    if target.address is not None:
        assert kind_of(target.address) is None
        assert str(ip_address(target.host)) == target.host


def spellings(address):
    """An address of IPv4 and those of IPv6 that lead to it."""
    number = int(address)
    return [
        address,
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address((0x64FF9B << 96) | number),
        IPv6Address((0x64FF9B0001 << 80) | number),
        IPv6Address((0x2002 << 112) | number << 80),
        IPv6Address(number),
    ]


@given(st.integers(2, 2**32 - 1).map(IPv4Address))
def test_an_address_within_an_address_is_judged_alike(address):
    found = [kind_of(spelling) for spelling in spellings(address)]
    assert found == [found[0]] * len(found)


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "10.1.2.3", "2001:db8::1", "fd00::1", "2002:808:808::1"]
)
def test_addresses_that_are_fine(text):
    assert kind_of(ip_address(text)) is None
