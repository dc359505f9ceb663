"""What an IP address stands for, as far as it decides whether the service may connect to it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_RESERVED = IPv4Network("240.0.0.0/4")
_EMBEDDING = (
    # Addresses of IPv6 that stand for one of IPv4, and where in them it stands: translated
    # (RFC 6052; RFC 8215), 6to4 (RFC 3056), compatible (RFC 4291, section 2.5.5.1).
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("64:ff9b:1::/48"), 0),
    (IPv6Network("2002::/16"), 80),
    (IPv6Network("::/96"), 0),
)


def kind_of(address: Address) -> str | None:
    """Say what is wrong with connecting to an address; ``None`` for nothing.

    Only what can be no image server is named: this machine, and what has no meaning beyond its own
    network segment, such as the metadata services of clouds. Private networks are where many
    operators keep their mirrors.
    """
    inner = embedded(address)
    if inner is not None and (kind := kind_of(inner)) is not None:
        return kind
    if address.is_loopback:
        return "a loopback address"
    if address.is_link_local:
        return "a link-local address"
    if address.is_unspecified or (address.version == 4 and address in _THIS_NETWORK):
        return "an unspecified address"
    if address.is_multicast:
        return "a multicast address"
    if address.version == 4 and address in _RESERVED:
        return "a broadcast or reserved address"
    return None


def embedded(address: Address) -> IPv4Address | None:
    """Return the address of IPv4 that one of IPv6 stands for, if it does."""
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    for network, shift in _EMBEDDING:
        # "::" and "::1" have meanings of their own.
        if address in network and int(address) > 1:
            return IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return None
