"""TLS to the services that we ask, verified by Twisted with service-identity."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    AcceptableCiphers,
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from glance.domain.errors import ConfigError

_PEM = re.compile(
    rb"-----BEGIN ((?:TRUSTED |X509 )?CERTIFICATE)-----.+?-----END \1-----", re.DOTALL
)

_UNUSABLE = (SSL.Error, crypto.Error, ValueError)


@dataclass(frozen=True, slots=True)
class Files:
    """Options that name PEM files.

    :param section: the section they stand in, for messages; empty for the command line.
    :param authorities: option and path of the authorities' certificates.
    :param certificate: option and path of our own certificate.
    :param key: option and path of its private key.
    """

    section: str
    authorities: tuple[str, str | None]
    certificate: tuple[str, str | None] = ("certfile", None)
    key: tuple[str, str | None] = ("keyfile", None)

    def read(self, which: tuple[str, str | None]) -> bytes | None:
        """Return a file's contents, or ``None`` where the option is not set.

        :raises ConfigError: it cannot be read.
        """
        option, path = which
        if not path:
            return None
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{self._place}{option} = {path} cannot be read: {error.strerror or error}."
            ) from None

    def unusable(self, which: tuple[str, str | None]) -> ConfigError:
        """Make the error for a file that holds something else."""
        return ConfigError(
            f"{self._place}{which[0]} = {which[1]} does not hold what it should, in PEM."
        )

    @property
    def _place(self) -> str:
        return f"[{self.section}] " if self.section else ""


@implementer(IPolicyForHTTPS)
class ClientTLS:
    """How we connect by TLS.

    :param files: certificates to use; read at once.
    :param insecure: take any certificate of the other side.
    :param ciphers: in OpenSSL's notation; ``None`` for Twisted's choice.
    :raises ConfigError: a file or the ciphers cannot be used.
    """

    def __init__(self, files: Files, *, insecure: bool = False, ciphers: str | None = None) -> None:
        self._insecure = insecure
        self._trust = self._read_trust(files)
        self._own = self._read_own(files)
        self._more: dict[str, Any] = {}
        if ciphers:
            try:
                SSL.Context(SSL.TLS_CLIENT_METHOD).set_cipher_list(ciphers.encode())
            except _UNUSABLE:
                raise ConfigError(
                    f"[{files.section}] the ciphers {ciphers!r} are none that OpenSSL knows."
                ) from None
            self._more["acceptableCiphers"] = AcceptableCiphers.fromOpenSSLCipherString(ciphers)

    def _read_trust(self, files: Files) -> Any:
        data = files.read(files.authorities)
        if data is None:
            return platformTrust()
        blocks = [match[0] for match in _PEM.finditer(data)]
        try:
            certificates = [Certificate.loadPEM(block) for block in blocks]
        except _UNUSABLE:
            certificates = []
        if not certificates:
            raise files.unusable(files.authorities)
        return trustRootFromCertificates(certificates)

    def _read_own(self, files: Files) -> PrivateCertificate | None:
        certificate = files.read(files.certificate)
        if certificate is None:
            return None
        key = files.read(files.key)
        try:
            return PrivateCertificate.loadPEM(certificate + b"\n" + (key or b""))
        except _UNUSABLE:
            raise files.unusable(files.certificate if key is None else files.key) from None

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:
        """Make what Twisted's HTTP client needs to connect to a host."""
        return self.creator(hostname.decode("ascii"))

    def creator(self, hostname: str) -> Any:
        """Make what starts TLS on a connection to a host."""
        if self._insecure:
            return _Unverified(hostname, self._own, self._more)
        return optionsForClientTLS(
            hostname,
            trustRoot=self._trust,
            clientCertificate=self._own,
            extraCertificateOptions=dict(self._more),
        )


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    """Start TLS without looking at who is on the other side."""

    def __init__(self, hostname: str, own: PrivateCertificate | None, more: dict[str, Any]) -> None:
        own_options = {}
        if own is not None:
            own_options = {
                "privateKey": own.privateKey.original,
                "certificate": own.original,
            }
        self._context = CertificateOptions(**own_options, **more).getContext()
        self._name = b"" if isIPAddress(hostname) or isIPv6Address(hostname) else hostname.encode()

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Make the connection."""
        connection = SSL.Connection(self._context, None)
        if self._name:
            connection.set_tlsext_host_name(self._name)
        return connection
