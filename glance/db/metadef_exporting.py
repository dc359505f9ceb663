"""Write the catalogue's metadata definitions to files, one for each namespace.

A file gets its name when it is whole: whoever reads it meanwhile, or after this broke off, finds
the old one or the new one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection

from glance.db.metadef_definitions import thd_names, thd_read
from glance.db.oneshot import Transactions
from glance.domain.errors import Invalid
from glance.domain.metadefs.definition import Definition
from glance.domain.metadefs.exportnames import file_names
from glance.domain.metadefs.files import render


def thd_export(transactions: Transactions, path: str) -> Iterator[tuple[Path, str]]:
    """Write every namespace to a file.

    :param path: a directory; or a directory and what the files' names begin with.
    :returns: the files and whose they are, as they are written.
    :raises Invalid: a file cannot be written.
    """
    directory, prefix = (path, "") if os.path.isdir(path) else os.path.split(path)
    definitions = transactions.thd_run(_thd_read_all)
    names = file_names((one.name, one.own.get("display_name")) for one in definitions)
    for name, definition in zip(names, definitions, strict=True):
        target = Path(directory, prefix + name)
        try:
            _thd_write(target, render(definition))
        except OSError as error:
            raise Invalid(f"The file {target} cannot be written: {error.strerror}") from None
        yield target, definition.name


def _thd_read_all(connection: Connection) -> list[Definition]:
    found = (thd_read(connection, name) for name in thd_names(connection))
    return [one for one in found if one is not None]


def _thd_write(target: Path, content: bytes) -> None:
    temporary = target.with_name(f".{secrets.token_hex(8)}.new")
    # The umask decides who may read it, as of any other file.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink()
        raise
