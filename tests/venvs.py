"""Virtual environments of their own for software that the tests run but the service never imports.

What is in one stands in ``tests/requirements/<name>.txt``. ``GLANCE_<NAME>_VENV`` names one that is
there already; otherwise one is made once per machine. Where that is impossible the tests are
skipped, or fail where ``CI`` or ``GLANCE_REQUIRE_SERVICES`` asks for them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parent / "requirements"


def _make(name: str) -> Path:
    """Make the virtual environment, or take the one that an earlier run or a neighbour made."""
    wanted = REQUIREMENTS / f"{name}.txt"
    kind = f"{sys.implementation.cache_tag}-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:8]}"
    place = Path(tempfile.gettempdir()) / f"glance-test-{name}-{os.getuid()}-{kind}"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.stat().st_uid != os.getuid():
        raise OSError(f"{place} is somebody else's")
    venv, done = place / "venv", place / "done"
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(venv, ignore_errors=True)
            pip = [f"{venv}/bin/python", "-m", "pip", "install", "--quiet", "-r", str(wanted)]
            for command in ([sys.executable, "-m", "venv", str(venv)], pip):
                subprocess.run(command, capture_output=True, text=True, timeout=900, check=True)
            done.touch()
    return venv


def virtual_environment(name: str) -> Path:
    """Return the directory of a virtual environment, made if need be.

    :param name: of the file with its requirements, without the suffix.
    """
    given = os.environ.get(f"GLANCE_{name.upper()}_VENV")
    if given:
        return Path(given)
    try:
        return _make(name)
    except (OSError, subprocess.SubprocessError) as error:
        why = f"{name} cannot be installed: {error} {getattr(error, 'stderr', '')}"
    if os.environ.get("CI") or os.environ.get("GLANCE_REQUIRE_SERVICES"):
        pytest.fail(why)
    pytest.skip(why)
