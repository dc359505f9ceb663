"""``glance-manage store verify`` beside a service that goes on: what it finds, and what it does."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import fastjsonschema
import pytest

from glance.stores.partfile import host_mark
from tests.functional.server import OCTETS, PATIENCE, Server, eventually
from tests.unit.verify.schema import REPORT

DATA = b"some data"
MIB = 1024 * 1024
FOUND = 6

_check = fastjsonschema.compile(REPORT)


class Outcome(NamedTuple):
    code: int
    report: dict[str, Any]
    err: str

    @property
    def findings(self) -> set[tuple[str, str, str]]:
        """Kind, what it is about, and the outcome of the repair."""
        return {
            (each["kind"], each["object"] or each["image"], each["repair"]["outcome"])
            for each in self.report["findings"]
        }


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(settings={"delayed_delete": True, "show_multiple_locations": True}) as running:
        yield running
        assert running.trouble() == []


def start(server: Server, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "glance.cmd.manage", "--state-dir", str(server.state)]
    return subprocess.Popen(
        [*command, "store", "verify", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=server._env,
        cwd=server.home,
        text=True,
    )


def verify(server: Server, *words: str) -> Outcome:
    process = start(server, "--json", *words)
    out, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err, err
    report = json.loads(out) if out else {}
    if report:
        _check(report)
    return Outcome(process.returncode, report, err)


def flip(path: Path) -> None:
    """Change one byte of a file, and nothing else that can be seen of it."""
    state = path.stat()
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def age(path: Path) -> Path:
    two_days_ago = time.time() - 2 * 86400
    os.utime(path, (two_days_ago, two_days_ago))
    return path


def test_all_is_well(server: Server) -> None:
    server.image(DATA)
    server.create()
    server.request("POST", f"/v2/images/{server.image(DATA)}/actions/deactivate")
    outcome = verify(server, "--hashes")
    assert (outcome.code, outcome.report["findings"]) == (0, [])
    summary = outcome.report["summary"]
    assert (summary["images"], summary["objects"], summary["bytes_read"]) == (2, 2, 18)
    spelt = [sys.executable, "-m", "glance.cmd.manage", "--state-dir", str(server.state)]
    done = subprocess.run(
        [*spelt, "store_verify"], env=server._env, capture_output=True, text=True, check=True
    )
    assert "Found: nothing." in done.stdout


def test_whatever_is_wrong_while_the_service_goes_on(server: Server) -> None:
    images = server.images
    # More than half of the images are well, or nothing would be repaired.
    fine = [server.image(DATA) for _ in range(4)]
    gone, short, flipped = (server.image(DATA) for _ in range(3))
    (images / gone).unlink()
    (images / short).write_bytes(DATA[1:])
    flip(images / flipped)
    orphan = images / str(uuid4())
    orphan.write_bytes(DATA)
    age(orphan)
    young = images / str(uuid4())
    young.write_bytes(DATA)
    leftover = images / f".{uuid4()}.{host_mark()}-0123456789abcdef.part"
    leftover.write_bytes(DATA)
    (images / "lost+found").mkdir()
    # What must not be found: data that waits for the scrubber, and data that is arriving.
    waiting = server.image(DATA)
    assert server.request("DELETE", f"/v2/images/{waiting}").status == 204
    assert (images / waiting).exists()
    arriving = server.create()
    connection = server.connection()
    connection.putrequest("PUT", f"/v2/images/{arriving}/file")
    for name, value in {**OCTETS, "Content-Length": str(2 * MIB)}.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(bytes(MIB))
    eventually(lambda: server.status(arriving) == "saving", "the upload is under way")
    eventually(lambda: server.stored(arriving), "its file is there")

    damaged = {
        ("missing_data", gone, "not_asked"),
        ("size_mismatch", short, "not_asked"),
        ("hash_mismatch", flipped, "not_asked"),
    }
    strays = {
        ("orphan", str(orphan), "not_asked"),
        ("orphan", str(young), "none"),
        ("leftover", str(leftover), "not_asked"),
        ("unknown", str(images / "lost+found"), "none"),
    }
    quick = verify(server)
    assert (quick.code, quick.findings) == (
        FOUND,
        {each for each in damaged if each[0] != "hash_mismatch"} | strays,
    )
    everything = sorted(os.listdir(images))
    state = str(server.home / "verified")
    planned = verify(server, "--hashes", "--repair", "--state", state)
    assert planned.code == FOUND
    assert {(kind, about) for kind, about, _ in planned.findings} == {
        (kind, about) for kind, about, _ in damaged | strays
    }
    assert {outcome for *_, outcome in planned.findings} == {"planned", "none"}
    assert sorted(os.listdir(images)) == everything
    assert server.status(gone) == "active"

    repaired = verify(server, "--hashes", "--repair", "--yes", "--state", state)
    assert repaired.code == FOUND
    assert repaired.report["resumed"]
    assert "Going on with what was found" in repaired.err
    assert {outcome for *_, outcome in repaired.findings} == {"done", "none"}
    assert [server.status(each) for each in (gone, short, flipped)] == ["deactivated"] * 3
    assert [server.status(each) for each in fine] == ["active"] * 4
    assert not orphan.exists() and not leftover.exists() and young.exists()
    (kept,) = (images / ".glance-quarantine").iterdir()
    assert (kept.name.startswith(orphan.name), kept.read_bytes()) == (True, DATA)

    # Who was at work was not disturbed.
    connection.send(bytes(MIB))
    assert connection.getresponse().status == 204
    connection.close()
    assert (images / waiting).exists()
    assert len(server.download(arriving).body) == 2 * MIB
    # An operator brings the data from elsewhere, and all is well.
    (images / gone).write_bytes(DATA)
    (images / short).write_bytes(DATA)
    flip(images / flipped)
    for each in (gone, short, flipped):
        server.request("POST", f"/v2/images/{each}/actions/reactivate")
        assert server.download(each).body == DATA
    young.unlink()
    assert verify(server, "--hashes").code == 0


def test_images_without_hashes_get_them(server: Server) -> None:
    image_id = server.image(DATA)
    with sqlite3.connect(server.state / "glance.sqlite") as connection:
        connection.execute("UPDATE images SET os_hash_algo = NULL, os_hash_value = NULL")
    connection.close()
    assert verify(server).code == 0
    assert verify(server, "--hashes").findings == {("no_hash", image_id, "not_asked")}
    assert verify(server, "--hashes", "--repair", "--yes").code == 0
    assert server.show(image_id)["os_hash_value"] == hashlib.sha512(DATA).hexdigest()


def test_a_kill_and_going_on(server: Server) -> None:
    size = MIB // 2
    ids = [server.image(os.urandom(size)) for _ in range(8)]
    flip(server.images / sorted(ids)[1])
    state = server.home / "verified"
    words = ("--hashes", "--state", str(state), "--parallel", "1", "--rate", "1")
    process = start(server, *words)
    try:
        eventually(lambda: "cursor" in said_by(state), "some images are done")
    finally:
        process.kill()
        process.communicate()
    done = said_by(state)
    assert done["phase"] == "catalogue"
    images = done["counters"]["images"]
    assert 0 < images < 8
    outcome = verify(server, *words[:3], "--parallel", "2")
    assert outcome.code == FOUND
    assert outcome.report["resumed"]
    assert "Going on with the verification" in outcome.err
    assert outcome.findings == {("hash_mismatch", sorted(ids)[1], "not_asked")}
    # Nothing was done twice, and nothing left out.
    summary = outcome.report["summary"]
    assert (summary["images"], summary["bytes_read"]) == (8, 8 * size)
    assert sorted(path.name for path in server.home.glob("verified*")) == ["verified"]


def said_by(state: Path) -> dict[str, Any]:
    """Return what a state file says just now."""
    if not state.exists():
        return {}
    try:
        connection = sqlite3.connect(f"file:{state}?mode=ro", uri=True)
        try:
            rows = connection.execute("SELECT name, value FROM verification").fetchall()
        finally:
            connection.close()
    except sqlite3.OperationalError:
        return {}
    return {name: json.loads(value) for name, value in rows}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal(server: Server, number: signal.Signals) -> None:
    for _ in range(3):
        server.image(bytes(MIB))
    state = server.home / "verified"
    process = start(server, "--hashes", "--state", str(state), "--rate", "0.1")
    try:
        eventually(lambda: said_by(state).get("phase") == "catalogue", "it is at work")
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (130, "")
    assert "Interrupted" in err and "Traceback" not in err
    assert verify(server, "--hashes", "--state", str(state)).code == 0


def test_what_cannot_be_done(server: Server) -> None:
    image_id = server.image(DATA)
    for words, code, message in (
        (("--store", "gold"), 1, "there is no store 'gold'; there are: file, http."),
        (("--image", image_id, "--image", "typo"), 1, "--image: there is no image 'typo'."),
        (("--yes",), 2, "--yes goes with --repair"),
        (("--parallel", "0"), 2, "'0' is not a number from 1 to 256"),
        (("--rate", "nan"), 2, "'nan' is not a number of 0 or more"),
        (("--state", "/nowhere/at/all"), 1, "--state: /nowhere/at/all cannot be used"),
    ):
        outcome = verify(server, *words)
        assert (outcome.code, outcome.report) == (code, {})
        assert message in outcome.err
    server.images.rename(server.home / "elsewhere")
    outcome = verify(server, "--repair", "--yes")
    assert outcome.code == 1
    assert "Is it mounted?" in outcome.err
    (server.home / "elsewhere").rename(server.images)


def test_several_stores() -> None:
    stores = {
        store: {"filesystem_store_datadir": f"/proc/self/cwd/{store}"} for store in ("fast", "slow")
    }
    options = {"glance_store": {"default_backend": "fast"}, **stores}
    with Server(settings={"enabled_backends": "fast:file,slow:file"}, options=options) as server:
        fast, slow = server.home / "fast", server.home / "slow"
        image_id = server.create()
        headers = {**OCTETS, "x-image-meta-store": "slow"}
        assert server.request("PUT", f"/v2/images/{image_id}/file", DATA, headers).status == 204
        assert (slow / image_id).exists()
        assert verify(server).code == 0
        os.link(slow / image_id, fast / image_id)
        age(fast / image_id)
        outcome = verify(server)
        assert outcome.findings == {("orphan", str(fast / image_id), "not_asked")}
        assert verify(server, "--store", "slow").code == 0
        assert [store["id"] for store in outcome.report["stores"]] == ["fast", "slow"]
        assert server.trouble() == []
