"""Protection of what is kept in memcached, where others may read and write.

``MAC`` signs (HMAC-SHA-256), ``ENCRYPT`` encrypts and signs (AES-256-GCM). What is sealed under one
key does not open under another, so nobody can give one token's contents to another. Keys are
derived from the secret by HKDF.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12


class Seal(Protocol):
    """Protects."""

    #: Tells one protection from another in the names of what is kept.
    name: bytes

    def close(self, key: bytes, data: bytes) -> bytes:
        """Return data in the form that is kept.

        :param key: what it is kept under.
        """

    def open(self, key: bytes, kept: bytes) -> bytes | None:
        """Return what was closed; ``None`` if this is not it."""


class Open:
    """No protection."""

    name = b"open"

    def close(self, key: bytes, data: bytes) -> bytes:
        """Return data as they are."""
        return data

    def open(self, key: bytes, kept: bytes) -> bytes | None:
        """Return data as they are."""
        return kept


class Signed:
    """Sign, so that nobody can forge.

    :param secret: shared by all nodes.
    """

    name = b"mac"

    def __init__(self, secret: bytes) -> None:
        self._key = _derive(secret, b"glance token cache, signing")

    def close(self, key: bytes, data: bytes) -> bytes:
        """Put a signature in front of data."""
        return self._sign(key, data) + data

    def open(self, key: bytes, kept: bytes) -> bytes | None:
        """Return what the signature fits."""
        signature, data = kept[: SHA256.digest_size], kept[SHA256.digest_size :]
        return data if hmac.compare_digest(signature, self._sign(key, data)) else None

    def _sign(self, key: bytes, data: bytes) -> bytes:
        return hmac.digest(self._key, hashlib.sha256(key).digest() + data, "sha256")


class Encrypted:
    """Encrypt and sign, so that nobody can read or forge.

    :param secret: shared by all nodes.
    """

    name = b"aes"

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(_derive(secret, b"glance token cache, encryption"))

    def close(self, key: bytes, data: bytes) -> bytes:
        """Encrypt data."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, data, key)

    def open(self, key: bytes, kept: bytes) -> bytes | None:
        """Decrypt data."""
        try:
            return self._cipher.decrypt(kept[:_NONCE], kept[_NONCE:], key)
        except (InvalidTag, ValueError):
            return None


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret)
