"""Restoring images, and locations that are kept encrypted, with real processes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from glance.db.sealed_locations import Sealer
from glance.transfers.worker import WorkerIdentity
from tests.functional.scrubbing import Catalogue, Scrubber
from tests.functional.server import Server, eventually

DATA = b"bytes of an image"
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def delaying() -> Iterator[Server]:
    with Server(settings={"delayed_delete": True}) as server:
        yield server
        assert server.trouble() == []


def deleted(server: Server, **fields: object) -> str:
    image_id = server.image(DATA, **fields)
    assert server.request("DELETE", f"/v2/images/{image_id}").status == 204
    return image_id


def test_restored_images_are_whole(delaying: Server) -> None:
    image_id = delaying.image(DATA, name="precious", tags=["kept"], os_distro="debian")
    path = f"/v2/images/{image_id}"
    answer = delaying.request("POST", f"{path}/members", {"member": "project-1"})
    assert answer.status == 200
    before = delaying.show(image_id)
    assert delaying.request("DELETE", path).status == 204
    assert delaying.request("GET", path).status == 404
    done = Scrubber(delaying).run("--restore", image_id)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    after = delaying.show(image_id)
    assert {**after, "updated_at": ""} == {**before, "updated_at": ""}
    assert delaying.download(image_id).body == DATA
    members = delaying.request("GET", f"{path}/members").json["members"]
    assert [member["member_id"] for member in members] == ["project-1"]
    # It is an image like any other: nothing scrubs it, and it can be deleted again.
    assert Scrubber(delaying).run().stdout == ""
    assert delaying.request("DELETE", path).status == 204
    assert Scrubber(delaying).run().returncode == 0
    assert delaying.stored(image_id) == []


def test_refusals(delaying: Server) -> None:
    scrubber = Scrubber(delaying)
    unknown = scrubber.run("--restore", "nosuch")
    assert (unknown.returncode, unknown.stderr) == (1, "ERROR: No image found with ID nosuch.\n")
    active = scrubber.run("--restore", delaying.image(DATA))
    assert active.returncode == 1
    assert "is active; only an image that is pending_delete" in active.stderr
    image_id = deleted(delaying)
    assert scrubber.run().returncode == 0
    late = scrubber.run("--restore", image_id)
    assert late.returncode == 1
    assert f"ERROR: Image {image_id} is deleted;" in late.stderr


def test_refused_while_a_scrubber_holds_the_image(delaying: Server) -> None:
    rows = Catalogue(delaying)
    image_id = deleted(delaying)
    us = WorkerIdentity.of_this_process()
    rows.query(
        "INSERT INTO transfer_leases (id, image_id, kind, node, worker, started_at, heartbeat_at) "
        "VALUES ('lease', ?, 'scrub', ?, ?, '2026-01-01 00:00:00.000000', "
        "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')",
        image_id,
        us.node,
        us.worker,
    )
    held = Scrubber(delaying).run("--restore", image_id)
    assert held.returncode == 1
    assert f"its data is being deleted by process {os.getpid()} on " in held.stderr
    assert rows.status(image_id) == "pending_delete"
    rows.query("DELETE FROM transfer_leases WHERE image_id = ?", image_id)
    assert Scrubber(delaying).run("--restore", image_id).returncode == 0
    assert delaying.download(image_id).body == DATA


def test_the_api_frees_what_a_dead_scrubber_holds(delaying: Server) -> None:
    rows = Catalogue(delaying)
    image_id = deleted(delaying)
    rows.query(
        "INSERT INTO transfer_leases (id, image_id, kind, node, worker, started_at, heartbeat_at) "
        "VALUES ('lease', ?, 'scrub', 'elsewhere', '1.1', '2099-01-01 00:00:00.000000', "
        "'2099-01-01 00:00:00.000000')",
        image_id,
    )
    eventually(lambda: rows.leases() == [], "the lease is ended")
    assert delaying.stored(image_id) == [image_id]
    assert rows.status(image_id) == "pending_delete"
    assert Scrubber(delaying).run("--restore", image_id).returncode == 0
    assert delaying.download(image_id).body == DATA


def test_racing_with_scrubbers(delaying: Server) -> None:
    """Whoever is first wins, and the image is either whole or gone."""
    rows = Catalogue(delaying)
    ids = [deleted(delaying) for _ in range(6)]
    scrubbers = [Scrubber(delaying).start() for _ in range(2)]
    restored = [Scrubber(delaying).start("--restore", image_id) for image_id in ids]
    for process in [*scrubbers, *restored]:
        _, err = process.communicate(timeout=60)
        assert "Traceback" not in err
    assert Scrubber(delaying).run().returncode == 0
    for image_id, process in zip(ids, restored, strict=True):
        if process.returncode == 0:
            assert delaying.download(image_id).body == DATA
        else:
            assert rows.status(image_id) == "deleted"
            assert delaying.stored(image_id) == []
    assert rows.leases() == []


def test_configured_daemon_does_not_keep_from_restoring(delaying: Server) -> None:
    image_id = deleted(delaying)
    scrubber = Scrubber(delaying, {"daemon": True})
    assert scrubber.run("--restore", image_id).returncode == 1
    assert scrubber.run("--restore", image_id, "--nodaemon").returncode == 0


def test_encrypted_locations() -> None:
    with Server(settings={"delayed_delete": True, "show_multiple_locations": True}) as server:
        rows = Catalogue(server)
        older = server.image(DATA)
        server.stop()
        server.configure({"DEFAULT": {"metadata_encryption_key": KEY}})
        server.start()
        image_id = server.image(DATA)
        values = dict(rows.query("SELECT image_id, value FROM image_locations"))
        assert values[older] == f"file://{server.images}/{older}"
        assert ":" not in values[image_id]
        for one in (older, image_id):
            assert server.download(one).body == DATA
            assert [place["url"] for place in server.show(one)["locations"]] == [
                f"file://{server.images}/{one}"
            ]
        # A second copy, taken off by its number.
        copy = server.images / "copy"
        copy.write_bytes(DATA)
        rows.query(
            "INSERT INTO image_locations (image_id, value, meta_data, status, created_at, deleted) "
            "VALUES (?, ?, '{\"store\": \"file\"}', 'active', '2026-01-01 00:00:00.000000', 0)",
            image_id,
            Sealer(KEY).seal(f"file://{copy}"),
        )
        assert len(server.show(image_id)["locations"]) == 2
        answer = server.request(
            "PATCH",
            f"/v2/images/{image_id}",
            json.dumps([{"op": "remove", "path": "/locations/1"}]).encode(),
            {"Content-Type": "application/openstack-images-v2.1-json-patch"},
        )
        assert answer.status == 200, answer
        assert not copy.exists()
        for one in (older, image_id):
            assert server.request("DELETE", f"/v2/images/{one}").status == 204
        without = Scrubber(server, {"metadata_encryption_key": ""}).run()
        assert without.returncode == 1
        assert "metadata_encryption_key" in without.stderr
        assert values[image_id] not in without.stderr
        assert rows.status(older) == "deleted"
        assert rows.status(image_id) == "pending_delete"
        wrong = Scrubber(server, {"metadata_encryption_key": "another key 1234"}).run()
        assert wrong.returncode == 1
        assert rows.status(image_id) == "pending_delete"
        assert Scrubber(server).run("--restore", image_id).returncode == 0
        assert server.download(image_id).body == DATA
        assert server.request("DELETE", f"/v2/images/{image_id}").status == 204
        assert Scrubber(server).run().returncode == 0
        assert rows.status(image_id) == "deleted"
        assert server.stored() == []
        assert server.trouble() == []


def test_list_with_a_location_that_cannot_be_decrypted() -> None:
    settings = {
        "metadata_encryption_key": KEY,
        "show_multiple_locations": True,
        "show_image_direct_url": True,
    }
    with Server(settings=settings) as server:
        broken, fine = server.image(DATA), server.image(DATA)
        server.stop()
        Catalogue(server).query(
            "UPDATE image_locations SET value = 'bm9uc2Vuc2U=' WHERE image_id = ?", broken
        )
        server.start()
        listed = {
            image["id"]: image for image in server.request("GET", "/v2/images").json["images"]
        }
        assert set(listed) == {broken, fine}
        assert "direct_url" not in listed[broken]
        assert listed[fine]["direct_url"] == f"file://{server.images}/{fine}"
        assert server.download(broken).status == 500
        assert server.request("DELETE", f"/v2/images/{broken}").status == 500
        assert server.status(broken) == "active"
        assert server.stored(broken) == [broken]
        assert f"Image {broken}: a location cannot be decrypted" in server.log_text()
        assert "bm9uc2Vuc2U=" not in server.log_text()
