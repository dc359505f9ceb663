"""TLS for the ports that the API listens on: the certificates, read and found good before a start.

TLS 1.2 and 1.3 are spoken, with the ciphers that Twisted chooses; HTTP/2 is not offered.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from OpenSSL import SSL, crypto
from twisted.internet.ssl import CertificateOptions, TLSVersion

from glance.domain.errors import ConfigError


def thd_make_tls(conf: Any, warn: Callable[[str], None]) -> CertificateOptions:
    """Make what TLS connections are made from, by ``cert_file``, ``key_file`` and ``ca_file``.

    :param warn: tells the operator what clients will not like.
    :raises ConfigError: a file cannot be used; the message names it and its option.
    """
    chain = _thd_certificates("cert_file", conf.cert_file)
    key = _thd_key(conf.key_file)
    if _public(chain[0].public_key()) != _public(key.public_key()):
        raise ConfigError(
            f"[DEFAULT]key_file: {conf.key_file} is not the key of the first certificate in "
            f"[DEFAULT]cert_file, {conf.cert_file}."
        )
    _check_dates(chain[0], conf.cert_file, warn)
    authorities = _thd_certificates("ca_file", conf.ca_file) if conf.ca_file else []
    of_openssl = crypto.X509.from_cryptography
    try:
        options = CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(key),
            certificate=of_openssl(chain[0]),
            extraCertChain=[of_openssl(more) for more in chain[1:]],
            raiseMinimumTo=TLSVersion.TLSv1_2,
            caCerts=[of_openssl(authority) for authority in authorities] or None,
            verify=bool(authorities),
        )
        # Made now, for OpenSSL has its own ideas of what key is long enough.
        options.getContext()
    except (SSL.Error, crypto.Error, TypeError, ValueError) as error:
        raise ConfigError(
            f"[DEFAULT]cert_file: {conf.cert_file} cannot be used for TLS: {_words(error)}."
        ) from None
    return options


def _thd_read(option: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"[DEFAULT]{option}: {path} cannot be read: {(error.strerror or str(error)).lower()}."
        ) from None


def _thd_certificates(option: str, path: str) -> list[x509.Certificate]:
    data = _thd_read(option, path)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise ConfigError(
            f"[DEFAULT]{option}: {path} does not hold certificates in PEM form."
        ) from None


def _thd_key(path: str) -> Any:
    data = _thd_read("key_file", path)
    try:
        return load_pem_private_key(data, None)
    except TypeError:
        raise ConfigError(
            f"[DEFAULT]key_file: {path} is encrypted, and nobody is there to type its password; "
            "store the key without one, readable for the service alone."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        # The error's own words may quote the file.
        raise ConfigError(
            f"[DEFAULT]key_file: {path} does not hold a private key in PEM form."
        ) from None


def _public(key: Any) -> bytes:
    found: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found


def _check_dates(certificate: x509.Certificate, path: str, warn: Callable[[str], None]) -> None:
    now = datetime.datetime.now(datetime.UTC)
    if certificate.not_valid_after_utc < now:
        warn(f"[DEFAULT]cert_file: the certificate in {path} has expired; clients will refuse it.")
    elif certificate.not_valid_before_utc > now:
        warn(f"[DEFAULT]cert_file: the certificate in {path} is not valid yet.")


def _words(error: Exception) -> str:
    """Return OpenSSL's reason without its library and function."""
    try:
        return str(error.args[0][0][2])
    except (IndexError, TypeError):
        return str(error)
