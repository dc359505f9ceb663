"""The units for systemd: systemd understands them, and they leave the service enough time."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from glance.config.options.server import OPTIONS
from glance.services.generation import STOP_TIME

UNITS = Path(__file__).parents[3] / "conf" / "examples"
NAMES = sorted(p.name for p in UNITS.iterdir() if p.suffix in (".service", ".socket", ".timer"))


@pytest.mark.parametrize("name", NAMES)
def test_understood(name: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(UNITS / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    # The programs need not be installed here.
    said = [line for line in done.stderr.splitlines() if "is not executable" not in line]
    assert said == []


def test_there_is_time_to_finish_requests() -> None:
    text = (UNITS / "glance-api.service").read_text()
    match = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert match is not None
    (option,) = [opt for opt in OPTIONS["DEFAULT"] if opt.dest == "graceful_shutdown_timeout"]
    assert int(match[1]) >= option.default + STOP_TIME


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".service")])
def test_what_is_usually_written_can_be(name: str) -> None:
    """Everything else is read-only: logs below /var/log/glance would keep it from starting."""
    lines = (UNITS / name).read_text().splitlines()
    assert "ProtectSystem=strict" in lines
    assert {"StateDirectory=glance", "LogsDirectory=glance"} <= set(lines)
