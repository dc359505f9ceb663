"""The URLs of stored data as the catalogue keeps them: in the clear, or sealed with a key.

``[DEFAULT] metadata_encryption_key`` seals ``image_locations.value`` in the way that the OpenStack
Glance project's service does, so that either reads what the other wrote: AES-CBC under a random
initialisation vector, which goes in front; the URL is followed by a zero byte and random bytes
other than zero up to a full block; all of it as URL-safe base64. It hides URLs from who reads the
database, and does not tell whether somebody changed them.

The key belongs to the engine (:func:`seal_with`), so that every function that reads or writes
locations finds it by its connection. A URL has a colon and base64 has none: so rows from before the
key was introduced are told apart and read as they are. What cannot be opened stays as it is; having
no scheme it is no URL, and whoever wants the data behind it is refused (``Stores.for_url``).
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine

from glance.domain.errors import ConfigError

#: Lengths of a key in bytes: AES-128, AES-192 and AES-256.
KEY_LENGTHS = (16, 24, 32)

#: Given an image's id and a location as it is kept, returns its URL.
Opener = Callable[[str, str], str]

_OPTION = "glance_sealer"
_BLOCK = 16
#: Opened locations that are remembered: opening one takes as long as reading a row.
_REMEMBERED = 8192
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.ASCII | re.IGNORECASE)


class Sealer:
    """Seals and opens locations.

    :param key: ``[DEFAULT] metadata_encryption_key``.
    :raises ConfigError: it is not of a length that AES takes.
    """

    def __init__(self, key: str) -> None:
        secret = key.encode()
        if len(secret) not in KEY_LENGTHS:
            raise ConfigError(
                "[DEFAULT]metadata_encryption_key must be 16, 24 or 32 bytes long; "
                f"it has {len(secret)}."
            )
        # Only who has a key pays for loading these.
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from twisted.logger import Logger

        algorithm = algorithms.AES(secret)
        self._cipher: Callable[[bytes], Any] = lambda vector: Cipher(algorithm, modes.CBC(vector))
        self._log = Logger(namespace=__name__)
        self._told: set[str] = set()
        self._opened = lru_cache(maxsize=_REMEMBERED)(self._open)

    def __repr__(self) -> str:
        return "<Sealer>"

    def seal(self, url: str) -> str:
        """Seal a URL; the same one looks different every time."""
        plain = url.encode() + b"\0"
        # Zero marks the end, so it must not come up in what follows.
        filler = bytes(byte % 255 + 1 for byte in secrets.token_bytes(-len(plain) % _BLOCK))
        vector = secrets.token_bytes(_BLOCK)
        encryptor = self._cipher(vector).encryptor()
        sealed = vector + encryptor.update(plain + filler) + encryptor.finalize()
        return base64.urlsafe_b64encode(sealed).decode()

    def open(self, image_id: str, value: str) -> str:
        """Return the URL of a location as it is kept; the value itself if it cannot be opened.

        :param image_id: for the log.
        """
        if ":" in value:
            return value
        url = self._opened(value)
        if url is not None:
            return url
        if value not in self._told:
            if len(self._told) >= _REMEMBERED:
                self._told.clear()
            self._told.add(value)
            self._log.error(
                "Image {id}: a location cannot be decrypted; it was written with another "
                "metadata_encryption_key, or is damaged",
                id=image_id,
            )
        return value

    def _open(self, value: str) -> str | None:
        try:
            sealed = base64.b64decode(value.encode("ascii"), b"-_", validate=True)
            vector, body = sealed[:_BLOCK], sealed[_BLOCK:]
            if not body or len(body) % _BLOCK:
                return None
            decryptor = self._cipher(vector).decryptor()
            plain = decryptor.update(body) + decryptor.finalize()
            text, mark, _ = plain.rpartition(b"\0")
            url = text.decode() if mark else ""
        except (binascii.Error, UnicodeError):
            return None
        # Another key's would now and then pass for text.
        return url if _SCHEME.match(url) else None


def seal_with(engine: Engine, key: str | None) -> Engine:
    """Have the locations in a database sealed and opened with a key; return the engine.

    :param key: ``[DEFAULT] metadata_encryption_key``; without one, locations are kept in the clear.
    :raises ConfigError: the key is not of a length that AES takes.
    """
    if key:
        engine.update_execution_options(**{_OPTION: Sealer(key)})
    return engine


def thd_opener(connection: Connection) -> Opener | None:
    """Return what opens this database's locations, ``None`` where they are kept in the clear."""
    sealer: Sealer | None = connection.get_execution_options().get(_OPTION)
    return None if sealer is None else sealer.open


def thd_seal(connection: Connection, url: str) -> str:
    """Return a URL as this database's rows are to keep it."""
    sealer: Sealer | None = connection.get_execution_options().get(_OPTION)
    return url if sealer is None else sealer.seal(url)
