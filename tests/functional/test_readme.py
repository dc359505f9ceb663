"""The README's first image, done word for word as it stands there."""

import hashlib
import random
import re
import shutil
import struct
import subprocess
from pathlib import Path

from tests.functional.server import ROOT, Server
from tests.services.servers import missing

README = (ROOT / "README.rst").read_text()
ADDRESS = "127.0.0.1:9292"


def shell_lines() -> str:
    """Return the block of the README that calls curl."""
    blocks = re.findall(r"::\n\n((?:    .*\n|\n(?=    ))+)", README)
    (block,) = [block for block in blocks if "curl" in block]
    return "".join(line.removeprefix("    ") for line in block.splitlines(keepends=True))


def make_disk(path: Path) -> bytes:
    """Write a file that begins as a qcow2 image does, of a few MiB; return its content."""
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, 2**30, 0, 2, 3 << 16, 1 << 16, 1, 0, 0
    )
    data = header + random.Random(1).randbytes(5_000_000)
    path.write_bytes(data)
    return data


def test_curl_lines(server: Server, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        missing("curl", "curl")
    script = shell_lines()
    assert script.count(ADDRESS) == 1
    script = script.replace(ADDRESS, f"127.0.0.1:{server.port}")
    data = make_disk(tmp_path / "disk.qcow2")
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{script}\necho $ID\n"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    verdict, image_id = ran.stdout.splitlines()
    assert verdict == "copy.qcow2: OK"
    assert (tmp_path / "copy.qcow2").read_bytes() == data
    shown = server.show(image_id)
    assert (shown["name"], shown["status"], shown["size"]) == ("first", "active", len(data))
    assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"`[^`<]*<([^>:]+)>`_", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).is_file()] == []
