"""glance-scrubber as a process: passes, races, stores that fail, the daemon, twistd."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.functional.configured import ConfiguredServer
from tests.functional.scrubbing import TWISTD, Catalogue, Scrubber
from tests.functional.server import PATIENCE, Server, eventually

DATA = b"bytes of an image"


@pytest.fixture(scope="module")
def delaying() -> Iterator[Server]:
    """A service that leaves the data of deleted images to the scrubber."""
    with Server(settings={"delayed_delete": True}) as server:
        yield server
        assert server.trouble() == []


@pytest.fixture
def idle() -> Iterator[Server]:
    """A service that has made its catalogue and is stopped."""
    server = Server()
    server.start()
    server.stop()
    yield server
    server.close()


def deleted(server: Server, data: bytes = DATA, **fields: object) -> str:
    image_id = server.image(data, **fields)
    assert server.request("DELETE", f"/v2/images/{image_id}").status == 204
    return image_id


def test_end_to_end(delaying: Server) -> None:
    rows = Catalogue(delaying)
    image_id = deleted(delaying)
    assert delaying.request("GET", f"/v2/images/{image_id}").status == 404
    assert delaying.stored(image_id) == [image_id]
    assert (rows.status(image_id), rows.locations(image_id)) == ("pending_delete",) * 1 + (
        ["pending_delete"],
    )
    done = Scrubber(delaying).run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Scrubbed 1 image ({len(DATA)} bytes).\n"
    assert delaying.stored(image_id) == []
    assert (rows.status(image_id), rows.locations(image_id)) == ("deleted", ["deleted"])
    assert rows.leases() == []
    assert delaying.request("POST", "/v2/images", {"id": image_id}).status == 409
    again = Scrubber(delaying).run()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_scrub_time_holds_back(delaying: Server) -> None:
    rows = Catalogue(delaying)
    (older,) = rows.make_pending(1, age=7200)
    image_id = deleted(delaying)
    done = Scrubber(delaying, {"scrub_time": 3600}).run()
    assert done.stdout == "Scrubbed 1 image (4 bytes).\n"
    assert (rows.status(older), rows.status(image_id)) == ("deleted", "pending_delete")
    assert delaying.stored(image_id) == [image_id]
    assert Scrubber(delaying).run().returncode == 0
    assert rows.status(image_id) == "deleted"


def test_directory_that_is_not_there_says_nothing_of_the_data(idle: Server) -> None:
    """Not mounted, perhaps: nothing may count as deleted, and nothing is made in its place."""
    (image_id,) = Catalogue(idle).make_pending(1)
    away = idle.images.with_name("away")
    idle.images.rename(away)
    refused = Scrubber(idle).run("--restore", image_id)
    assert refused.returncode == 1
    assert f"{idle.images} is not there. Is it mounted?" in refused.stderr
    assert "whether its data is still there cannot be told" in refused.stderr
    assert not idle.images.exists()
    away.rename(idle.images)
    assert Scrubber(idle).run("--restore", image_id).returncode == 0


def test_empty_directory_where_images_have_their_data(delaying: Server) -> None:
    """What stands where a file system is not mounted."""
    rows = Catalogue(delaying)
    used = delaying.image(DATA)
    (image_id,) = rows.make_pending(1)
    away = delaying.images.with_name("away")
    delaying.images.rename(away)
    delaying.images.mkdir()
    refused = Scrubber(delaying).run()
    assert refused.returncode == 1
    assert "is a file system not mounted?" in refused.stderr
    assert rows.status(image_id) == "pending_delete"
    delaying.images.rmdir()
    away.rename(delaying.images)
    assert Scrubber(delaying).run().stdout == "Scrubbed 1 image (4 bytes).\n"
    assert delaying.download(used).body == DATA


def test_data_that_is_gone_already_and_images_without_any(delaying: Server) -> None:
    rows = Catalogue(delaying)
    image_id, empty = rows.make_pending(2)
    (delaying.images / image_id).unlink()
    (delaying.images / empty).unlink()
    rows.query("DELETE FROM image_locations WHERE image_id = ?", empty)
    done = Scrubber(delaying).run()
    assert done.returncode == 0
    assert done.stdout.startswith("Scrubbed 2 images (0 bytes); the data of 1 location was gone")
    assert [rows.status(one) for one in (image_id, empty)] == ["deleted"] * 2


def test_configuration_of_the_api_alone() -> None:
    """It would work on a catalogue of its own, and find nothing to do for ever."""
    with ConfiguredServer() as server:
        for arguments in ((), ("--daemon",), ("--restore", str(uuid4()))):
            done = Scrubber(server).run(*arguments)
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr == (
                f"ERROR: There is no glance-scrubber.conf, but {server.file}. If that has what the "
                f"scrubber is to work by, say so: --config-file {server.file}\n"
            )
        done = Scrubber(server).run("--config-file", str(server.file))
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("program", [(), TWISTD])
def test_hangup_does_not_end_the_daemon(idle: Server, program: tuple[str, ...]) -> None:
    """Service managers take that end for a good one, and would not start another."""
    rows = Catalogue(idle)
    daemon = Scrubber(idle, {"wakeup_time": 1, "verbose": True}).start("--daemon", program=program)
    try:
        (first,) = rows.make_pending(1)
        eventually(lambda: rows.status(first) == "deleted", "it is at work")
        daemon.send_signal(signal.SIGHUP)
        (second,) = rows.make_pending(1)
        eventually(lambda: rows.status(second) == "deleted", "it goes on")
    finally:
        daemon.terminate()
        out, err = daemon.communicate(timeout=PATIENCE)
    assert "SIGHUP changes nothing; restart the scrubber" in out + err


def test_two_scrubbers_racing(idle: Server) -> None:
    rows = Catalogue(idle)
    ids = rows.make_pending(400)
    scrubber = Scrubber(idle, {"scrub_pool_size": 4})
    racers = [scrubber.start(), scrubber.start()]
    said = [racer.communicate(timeout=PATIENCE) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0], said
    assert idle.stored() == []
    assert rows.count("deleted") == len(ids)
    assert rows.leases() == []
    # Each image was deleted by exactly one: nobody found data gone, and the numbers add up.
    counts = [int(out.split()[1].replace(",", "")) if out else 0 for out, _ in said]
    assert sum(counts) == len(ids), said
    assert not any("gone already" in out or err for out, err in said), said


def test_what_a_killed_scrubber_had_in_hand_is_finished_by_the_next(idle: Server) -> None:
    rows = Catalogue(idle)
    ids = rows.make_pending(3000)
    scrubber = Scrubber(idle, {"scrub_pool_size": 2})
    victim = scrubber.start()
    try:
        eventually(lambda: rows.leases() and len(idle.stored()) < len(ids), "it is at work")
    finally:
        victim.kill()
        victim.communicate()
    assert rows.count("pending_delete") > 0
    done = scrubber.run()
    assert done.returncode == 0, done.stderr
    assert idle.stored() == []
    assert rows.count("deleted") == len(ids)
    assert rows.leases() == []


def test_one_is_killed_and_the_other_goes_on(idle: Server) -> None:
    rows = Catalogue(idle)
    ids = rows.make_pending(2000)
    scrubber = Scrubber(idle, {"scrub_pool_size": 2, "wakeup_time": 1})
    survivor, victim = scrubber.start("--daemon"), scrubber.start()
    try:
        eventually(lambda: len(idle.stored()) < len(ids) - 100, "they are at work")
        victim.kill()
        victim.communicate()
        eventually(lambda: rows.count("deleted") == len(ids), "everything is done")
    finally:
        survivor.terminate()
        out, err = survivor.communicate(timeout=PATIENCE)
    assert survivor.returncode == 0, err
    assert (idle.stored(), rows.leases()) == ([], [])


def test_store_that_fails(idle: Server, tmp_path: Path) -> None:
    rows = Catalogue(idle)
    (well,) = rows.make_pending(1)
    # A store's directory that is away fails until it is back.
    lost = tmp_path / "mount"
    (ill,) = rows.make_pending(1, lost)
    lost.rename(tmp_path / "elsewhere")
    scrubber = Scrubber(idle)
    environment = {
        "OS_DEFAULT__ENABLED_BACKENDS": "file:file,second:file",
        "OS_GLANCE_STORE__DEFAULT_BACKEND": "file",
        "OS_FILE__FILESYSTEM_STORE_DATADIR": str(idle.images),
        "OS_SECOND__FILESYSTEM_STORE_DATADIR": str(lost / "sub"),
    }
    idle._env |= environment
    rows.query(
        'UPDATE image_locations SET meta_data = \'{"store": "second"}\', value = ? '
        "WHERE image_id = ?",
        f"file://{lost}/sub/{ill}",
        ill,
    )
    lost.write_text("not a directory")
    failed = scrubber.run()
    assert failed.returncode == 1
    assert "Store second: 1 location not deleted: " in failed.stderr
    assert "Scrubbed 1 image (4 bytes); 1 image failed and will be tried again." in failed.stderr
    assert (rows.status(well), rows.status(ill)) == ("deleted", "pending_delete")
    assert rows.leases() == []
    lost.unlink()
    (lost / "sub").mkdir(parents=True)
    (tmp_path / "elsewhere" / ill).rename(lost / "sub" / ill)
    done = scrubber.run()
    assert (done.returncode, done.stdout) == (0, "Scrubbed 1 image (4 bytes).\n")
    assert rows.status(ill) == "deleted"


def test_store_that_is_not_configured_any_more(idle: Server) -> None:
    rows = Catalogue(idle)
    (image_id,) = rows.make_pending(1)
    rows.query("UPDATE image_locations SET value = 'rbd://fsid/pool/x/snap', meta_data = '{}'")
    failed = Scrubber(idle).run()
    assert failed.returncode == 1
    assert "Store unknown: 1 location not deleted: No configured store" in failed.stderr
    assert "fsid" not in failed.stderr
    assert (rows.status(image_id), rows.leases()) == ("pending_delete", [])


def test_daemon(idle: Server) -> None:
    rows = Catalogue(idle)
    (first,) = rows.make_pending(1)
    daemon = Scrubber(idle, {"wakeup_time": 1}).start("-D")
    try:
        eventually(lambda: rows.status(first) == "deleted", "the first pass is made")
        (second,) = rows.make_pending(1)
        eventually(lambda: rows.status(second) == "deleted", "another pass is made")
        # Whatever goes wrong in a pass, the next one tries again.
        rows.query("ALTER TABLE transfer_leases RENAME TO elsewhere")
        eventually(lambda: "broke off" in _errors(daemon), "it is told")
        rows.query("ALTER TABLE elsewhere RENAME TO transfer_leases")
        (third,) = rows.make_pending(1)
        eventually(lambda: rows.status(third) == "deleted", "it goes on")
    finally:
        daemon.terminate()
        daemon.communicate(timeout=PATIENCE)
    assert daemon.returncode == 0


_seen: dict[int, str] = {}


def _errors(process: subprocess.Popen[str]) -> str:
    """Return what a process has said on standard error so far."""
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    try:
        piece = os.read(process.stderr.fileno(), 65536).decode()
    except BlockingIOError:
        piece = ""
    os.set_blocking(process.stderr.fileno(), True)
    _seen[process.pid] = _seen.get(process.pid, "") + piece
    return _seen[process.pid]


def test_stopping_in_the_middle_leaves_no_loose_ends(idle: Server) -> None:
    rows = Catalogue(idle)
    ids = rows.make_pending(3000)
    scrubber = Scrubber(idle, {"scrub_pool_size": 2})
    process = scrubber.start("--daemon")
    eventually(lambda: len(idle.stored()) < len(ids), "it is at work")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert rows.leases() == []
    left = rows.count("pending_delete")
    # What was begun was finished and recorded; the rest was not touched.
    assert left == len(idle.stored())
    assert 0 < left < len(ids)


def test_twistd_makes_one_pass(idle: Server) -> None:
    rows = Catalogue(idle)
    (image_id,) = rows.make_pending(1)
    done = Scrubber(idle).run("--verbose", program=TWISTD)
    assert done.returncode == 0, done.stderr
    assert "Scrubbed 1 image (4 bytes)." in done.stderr
    assert (rows.status(image_id), rows.leases()) == ("deleted", [])
    rows.make_pending(1)
    rows.query(
        "UPDATE image_locations SET value = 'rbd://fsid/pool/x/snap', meta_data = '{}' "
        "WHERE status = 'pending_delete'"
    )
    failed = Scrubber(idle).run(program=TWISTD)
    assert failed.returncode == 1, failed.stderr
    assert "1 image failed" in failed.stderr


def test_twistd_goes_on(idle: Server) -> None:
    rows = Catalogue(idle)
    daemon = Scrubber(idle, {"wakeup_time": 1}).start("--daemon", program=TWISTD)
    try:
        for _ in range(2):
            (image_id,) = rows.make_pending(1)
            eventually(lambda one=image_id: rows.status(one) == "deleted", "a pass is made")
    finally:
        daemon.terminate()
        _, err = daemon.communicate(timeout=PATIENCE)
    assert daemon.returncode == 0, err
    assert "Traceback" not in err
    assert rows.leases() == []


@pytest.mark.parametrize("program", [(), TWISTD])
def test_daemon_and_restore_exclude_each_other(idle: Server, program: tuple[str, ...]) -> None:
    failed = Scrubber(idle).run("--daemon", "--restore", "x", program=program)
    assert failed.returncode == 1
    assert failed.stderr.startswith("ERROR: [DEFAULT]restore and [DEFAULT]daemon")


def test_wrong_configuration(idle: Server) -> None:
    rows = Catalogue(idle)
    rows.make_pending(1)
    for settings, text in (
        ({"scrub_pool_size": 0}, "[DEFAULT]scrub_pool_size"),
        ({"metadata_encryption_key": "short"}, "[DEFAULT]metadata_encryption_key"),
        ({"enabled_backends": "a:nosuch"}, "enabled_backends"),
    ):
        failed = Scrubber(idle, settings).run()
        assert failed.returncode == 1
        assert failed.stderr.startswith("ERROR: ")
        assert text in failed.stderr
        assert "short" not in failed.stderr
    assert rows.count("pending_delete") == 1
