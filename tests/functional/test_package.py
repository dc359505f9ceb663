"""The source distribution has all that it takes to install the package, and to work on it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.functional.server import ROOT

#: What a checkout has that is nobody else's business, or was made there.
_OURS = shutil.ignore_patterns(
    ".*", "__pycache__", "dropin.cache", "_build", "build", "dist", "*.egg-info", "_trial_temp*"
)
DIRECTORIES = ("bench", "conf", "docs", "glance", "tests", "twisted")
#: Somebody may have notes beside them.
TOP = {"CHANGELOG.rst", "LICENSE", "README.rst", "pyproject.toml", "requirements.txt", "setup.py"}


def setup(place: Path, *words: str) -> None:
    command = [sys.executable, "setup.py", "-q", *words]
    ran = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def files(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}


def test_source_distribution(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=_OURS)
    wanted = TOP | {name for name in files(source) if name.split("/")[0] in DIRECTORIES}
    setup(source, "sdist", "--dist-dir", str(tmp_path))
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert wanted <= files(unpacked)
    # As pip has it done, without a network.
    setup(unpacked, "install_data", "--install-dir", str(tmp_path / "prefix"))
    installed = tmp_path / "prefix/etc/glance/metadefs"
    assert files(installed) == files(ROOT / "conf/metadefs")
