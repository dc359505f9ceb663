"""Authorities and certificates for tests, made afresh each time."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

_DAY = datetime.timedelta(days=1)


class Certificate:
    """A certificate with its key.

    :param name: its common name.
    :param issuer: the authority that signs it; it signs itself where there is none.
    :param authority: whether it may sign others.
    :param days: of its life, from and to, counted from today.
    :param address: of the server that it is for.
    """

    def __init__(
        self,
        name: str,
        issuer: Certificate | None = None,
        *,
        authority: bool = False,
        days: tuple[int, int] = (-1, 30),
        address: str = "127.0.0.1",
    ) -> None:
        now = datetime.datetime.now(datetime.UTC)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(address))]
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(issuer.name if issuer else self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * _DAY)
            .not_valid_after(now + days[1] * _DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(issuer.key if issuer else self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, password: bytes | None = None) -> bytes:
        protection: KeySerializationEncryption = NoEncryption()
        if password is not None:
            protection = BestAvailableEncryption(password)
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)

    def write(self, folder: Path, name: str, chain: Sequence[Certificate] = ()) -> tuple[str, str]:
        """Write certificate and key into a folder; return the paths of the two files."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(self.pem + b"".join(more.pem for more in chain))
        key.write_bytes(self.key_pem())
        return str(certificate), str(key)


class Authority:
    """An authority, and the servers that it vouches for.

    :param directory: where the files are put.
    """

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._own = Certificate(name, authority=True)
        self.path = directory / f"{name}.pem"
        self.path.write_bytes(self._own.pem)

    def issue(self, address: str, name: str = "server") -> tuple[Path, Path]:
        """Issue a certificate for an IP address; return the files of certificate and key."""
        issued = Certificate(name, self._own, address=address)
        certificate, key = issued.write(self._directory, name)
        return Path(certificate), Path(key)

    def server(self, address: str = "127.0.0.1", *, ask_clients: bool = False) -> ssl.SSLContext:
        """Make what a server at an address needs.

        :param ask_clients: whether clients must show a certificate of this authority.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(address))
        if ask_clients:
            context.load_verify_locations(self.path)
            context.verify_mode = ssl.CERT_REQUIRED
        return context
