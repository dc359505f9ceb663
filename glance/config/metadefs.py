"""Find the files of metadata definitions that are loaded when nobody says which."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import glance
from glance.config.options.metadefs import DIRECTORY
from glance.domain.errors import NotFound

#: Below the prefix that the package was installed to; setup.py puts them there.
_INSTALLED = "etc/glance/metadefs"


def thd_find_metadefs(configured: str = DIRECTORY) -> Path:
    """Return the directory or the file to load.

    :param configured: ``[DEFAULT] metadata_source_path``.
    :raises NotFound: there is none.
    """
    path = Path(configured)
    # Unlike a Path's own methods these pass over what we may not look at.
    if os.path.exists(path) or path != Path(DIRECTORY):
        return path
    candidates = list(_shipped())
    found = next(filter(os.path.isdir, candidates), None)
    if found is None:
        places = ", ".join(map(str, dict.fromkeys([path, *candidates])))
        raise NotFound(f"No metadata definitions are found; looked for in: {places}.")
    return found


def _shipped() -> Iterator[Path]:
    """Yield where those may be that came with this very package, the surest place first."""
    beside = Path(glance.__file__).parents[1]
    yield beside / "conf/metadefs"  # run from its source, or installed for editing
    yield beside / _INSTALLED  # pip install --target
    yield Path(sys.prefix, _INSTALLED)
    yield Path(sysconfig.get_path("data"), _INSTALLED)
    yield Path(sysconfig.get_path("data", sysconfig.get_preferred_scheme("user")), _INSTALLED)
