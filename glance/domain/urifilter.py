"""From where the service may fetch: the rules, and the one reading of a URL that they judge.

Users give URLs of image data, and the service fetches them from inside the operator's network. A
URL is read here once, strictly, and what is connected to comes from that reading and never from
the text: no other parser gets a chance to see another host in it. Names are judged before they are
resolved, addresses after that and right before connecting (:meth:`UriFilter.check_addresses`), so
that neither a spelling nor a name server can lead the service to itself or its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import quote, unquote

from glance.domain.addresses import Address, embedded, kind_of
from glance.domain.errors import Invalid

DEFAULT_PORTS = {"http": 80, "https": 443}

#: Longest name that the domain name system knows (RFC 1035, section 2.3.4).
_LONGEST_NAME = 253

# RFC 3986, appendix B, for URLs with an authority; no scheme is fetched without one.
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.A | re.I | re.S)
#: Nothing prints these, and some parsers drop, trim or turn them around.
ODD = re.compile(
    r"[\x00-\x20\x7f-\xa0\\\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ud800-\udfff\ufeff]"
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.A | re.I)
# What inet_aton would read as a number, wherever it stands: a name may not end in it.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.A | re.I)
_PORT = re.compile("[0-9]{1,5}")
_V4 = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_V6 = re.compile(r"[0-9a-f:.]{2,45}", re.A | re.I)
_PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F))


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, read.

    :param scheme: in lower case.
    :param host: a name in lower case, or an address in its one canonical spelling, without
        brackets.
    :param port: written or the scheme's own; 0 where the scheme has none.
    :param port_written: whether the URL says it.
    :param path: with the query, percent-encoded, never empty.
    :param user: credentials of the URL, decoded; ``None`` if there are none.
    """

    scheme: str
    host: str
    port: int
    port_written: bool
    # Whatever a URL holds beside the host may be a secret: signatures stand in queries.
    path: str = field(repr=False)
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def address(self) -> Address | None:
        """The host, if the URL names it by its address."""
        return _address(self.host)

    @property
    def place(self) -> str:
        """Host and port."""
        return f"{self._bracketed}:{self.port}"

    @property
    def url(self) -> str:
        """The URL in its one spelling, without credentials."""
        place = self.place if self.port_written else self._bracketed
        return f"{self.scheme}://{place}{self.path}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials belong to (RFC 6454)."""
        return self.scheme, self.host, self.port


def parse(url: str) -> Target:
    """Read a URL.

    :raises Invalid: it is malformed, or spells its host in a way that others might read
        differently. The message does not repeat the URL.
    """
    if ODD.search(url):
        raise Invalid("The URI must not contain spaces, control characters or backslashes.")
    found = _URL.fullmatch(url)
    if found is None:
        raise Invalid("The URI must be of the form scheme://host/path.")
    scheme, authority, path, query = found.groups("")
    scheme = scheme.lower()
    userinfo, at, place = authority.rpartition("@")
    if "@" in userinfo:
        raise Invalid("The URI has more than one @ before its path; write %40 in credentials.")
    user = password = None
    if at:
        name, colon, secret = userinfo.partition(":")
        if not (name and colon):
            raise Invalid("The URI names a user without a password; write user:password@host.")
        user, password = unquote(name), unquote(secret)
    host, port = _split_port(place)
    return Target(
        scheme,
        _host(host),
        DEFAULT_PORTS.get(scheme, 0) if port is None else port,
        port is not None,
        quote((path or "/") + query, safe=_PRINTABLE),
        user,
        password,
    )


def _split_port(place: str) -> tuple[str, int | None]:
    if place.startswith("["):
        host, bracket, rest = place.partition("]")
        host += bracket
    else:
        host, colon, rest = place.partition(":")
        rest = colon + rest
    if not rest:
        return host, None
    if rest[0] != ":" or not _PORT.fullmatch(rest[1:]) or not 0 < int(rest[1:]) < 2**16:
        raise Invalid("The port in the URI must be a number from 1 to 65535.")
    return host, int(rest[1:])


def _host(host: str) -> str:
    if not host:
        raise Invalid("The URI names no host.")
    if host.startswith("["):
        return _bracketed(host)
    if not host.isascii():
        raise Invalid("The host in the URI must be in ASCII; write international names as xn--….")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        if not _V4.fullmatch(host) or _address(host) is None:
            raise Invalid("An IPv4 address in the URI must be four decimal numbers, as 192.0.2.1.")
        return host
    if len(host) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise Invalid("The host in the URI is not a host name; it must not end with a dot either.")
    return host.lower()


def _bracketed(host: str) -> str:
    address = _address(host[1:-1]) if host.endswith("]") and _V6.fullmatch(host[1:-1]) else None
    if not isinstance(address, IPv6Address):
        raise Invalid("An address in brackets in the URI must be one of IPv6, without a zone.")
    return str(address.ipv4_mapped or address)


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


class UriFilter:
    """The rules of ``[import_filtering_opts]``.

    A list of what is allowed, if not empty, decides alone; otherwise what is disallowed does.

    :param allowed_hosts: names and addresses. They are trusted: where they lead is not examined.
    :param disallowed_hosts: names, addresses and networks (``10.0.0.0/8``); the latter two refuse
        names that lead to them, too.
    :raises ValueError: a port is not a number.
    """

    def __init__(
        self,
        *,
        allowed_schemes: Iterable[str] = ("http", "https"),
        disallowed_schemes: Iterable[str] = (),
        allowed_hosts: Iterable[str] = (),
        disallowed_hosts: Iterable[str] = (),
        allowed_ports: Iterable[int | str] = (80, 443),
        disallowed_ports: Iterable[int | str] = (),
    ) -> None:
        self._allowed_schemes = frozenset(text.strip().lower() for text in allowed_schemes)
        self._disallowed_schemes = frozenset(text.strip().lower() for text in disallowed_schemes)
        self._allowed_hosts = frozenset(_listed_host(text) for text in allowed_hosts)
        self._disallowed_hosts = frozenset(_listed_host(text) for text in disallowed_hosts)
        self._networks = [net for text in self._disallowed_hosts if (net := _network(text))]
        self._allowed_ports = frozenset(int(port) for port in allowed_ports)
        self._disallowed_ports = frozenset(int(port) for port in disallowed_ports)

    @classmethod
    def configured(cls, group: Any) -> UriFilter:
        """Make the filter that a configuration's group describes."""
        return cls(
            allowed_schemes=group.allowed_schemes,
            disallowed_schemes=group.disallowed_schemes,
            allowed_hosts=group.allowed_hosts,
            disallowed_hosts=group.disallowed_hosts,
            allowed_ports=group.allowed_ports,
            disallowed_ports=group.disallowed_ports,
        )

    def check(self, url: str) -> Target:
        """Read a URL and check all that can be known without resolving its host.

        :raises Invalid: it is malformed or not allowed. The message does not repeat the URL, but
            tells what is wrong and which option decides.
        """
        target = parse(url)
        self._check(target)
        return target

    def _check(self, target: Target) -> None:
        if not _passes(target.scheme, self._allowed_schemes, self._disallowed_schemes):
            raise _refused("scheme", "schemes", self._allowed_schemes)
        if not _passes(target.host, self._allowed_hosts, self._disallowed_hosts):
            raise _refused("host", "hosts", self._allowed_hosts)
        if target.port_written and not _passes(
            target.port, self._allowed_ports, self._disallowed_ports
        ):
            raise _refused("port", "ports", self._allowed_ports)
        address = target.address
        if address is not None:
            self.check_addresses(target, [address])
        elif target.host.rpartition(".")[2] == "localhost" and not self._trusts(target):
            # Whoever resolves it, a proxy for one: it is always the loopback (RFC 6761).
            raise _leads_to("a loopback address")

    def check_addresses(self, target: Target, addresses: Iterable[Address | str]) -> None:
        """Check where the host of a URL leads; all of its addresses must be good.

        :param addresses: what it was resolved to, and what alone may be connected to then.
        :raises Invalid: one of them may not be connected to, or there is none.
        """
        found = [ip_address(address) for address in addresses]
        if not found:
            raise Invalid("The host in the URI cannot be resolved.")
        if self._trusts(target):
            return
        for address in found:
            if (kind := kind_of(address)) is not None:
                raise _leads_to(kind)
            if not self._allowed_hosts and self._disallows(address):
                raise _refused("host", "hosts", ())

    def _trusts(self, target: Target) -> bool:
        """Tell whether the operator allows a host by name."""
        return target.host in self._allowed_hosts

    def _disallows(self, address: Address) -> bool:
        inner = embedded(address)
        return any(
            address in network or (inner is not None and inner in network)
            for network in self._networks
        )


def _passes(value: object, allowed: frozenset[Any], disallowed: frozenset[Any]) -> bool:
    return value in allowed if allowed else value not in disallowed


def _refused(what: str, option: str, allowed: Iterable[object]) -> Invalid:
    option = f"allowed_{option}" if allowed else f"disallowed_{option}"
    return Invalid(
        f"The URI is not allowed because of its {what} (see [import_filtering_opts] {option})."
    )


def _leads_to(kind: str) -> Invalid:
    return Invalid(
        f"The URI is not allowed because its host is or leads to {kind} "
        "(see [import_filtering_opts] allowed_hosts)."
    )


def _listed_host(text: str) -> str:
    """Bring a host of a list to the spelling that URLs are brought to."""
    text = text.strip().lower().removeprefix("[").removesuffix("]").removesuffix(".")
    address = _address(text)
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address)
    return text


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
