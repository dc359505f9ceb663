"""Which certificates of https servers are believed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from OpenSSL.crypto import Error as CertificateError
from OpenSSL.SSL import Connection
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, CertificateOptions, trustRootFromCertificates
from twisted.web.client import BrowserLikePolicyForHTTPS, HostnameCachingHTTPSPolicy
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from glance.stores.errors import BadStoreConfiguration

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.S)


def thd_read_authorities(group: str, path: str) -> list[Certificate]:
    """Read the certificates of a PEM file.

    :raises BadStoreConfiguration: it cannot be read, or there are none in it.
    """
    option = f"[{group}] https_ca_certificates_file: {path}"
    try:
        with open(path, "rb") as file:
            found = [Certificate.loadPEM(text) for text in _CERTIFICATE.findall(file.read())]
    except OSError as e:
        raise BadStoreConfiguration(f"{option} cannot be read: {e.strerror}.") from e
    except (CertificateError, ValueError) as e:
        raise BadStoreConfiguration(f"{option} holds something that is no certificate.") from e
    if not found:
        raise BadStoreConfiguration(f"{option} holds no certificate in PEM form.")
    return found


def make_policy(authorities: Sequence[Certificate] | None, insecure: bool) -> IPolicyForHTTPS:
    """Make the policy for connections.

    :param authorities: whose certificates are trusted; ``None`` for those that the system trusts.
    :param insecure: trust all. The authorities, if there are some, win.
    """
    if authorities is None and insecure:
        return Unverified()
    root = None if authorities is None else trustRootFromCertificates(authorities)
    return HostnameCachingHTTPSPolicy(BrowserLikePolicyForHTTPS(root))


@implementer(IPolicyForHTTPS, IOpenSSLClientConnectionCreator)
class Unverified:
    """Encrypts, and does not ask to whom it speaks."""

    def __init__(self, host: str = "") -> None:
        self._options = CertificateOptions(verify=False)
        self._host = host

    def creatorForNetloc(self, hostname: bytes, port: int) -> Unverified:
        """Return what makes connections to a host."""
        return Unverified(hostname.decode("ascii"))

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Connection:
        """Make a connection, which tells the host whom it wants to speak to (RFC 6066)."""
        connection = Connection(self._options.getContext())
        if self._host and not isIPAddress(self._host) and not isIPv6Address(self._host):
            connection.set_tlsext_host_name(self._host.encode("ascii"))
        return connection
