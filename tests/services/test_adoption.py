"""Databases and file stores of the OpenStack Glance project's service are adopted as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from tests.services.adoption import (
    DATA,
    Ours,
    ask,
    check_same,
    create,
    fill,
    image,
    patch,
    seen,
    upload,
)
from tests.services.managing import Run, child
from tests.services.original import Original

pytestmark = pytest.mark.service

HEAD = "2024_1_contract01"


@pytest.fixture(params=["sqlite", "postgresql"])
def original(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Original]:
    """The project's service, with an empty catalogue and running."""
    made = Original(tmp_path / "original", request.getfixturevalue(f"{request.param}_url"))
    made.binaries()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def manage(tmp_path: Path, original: Original) -> Run:
    """Runs our ``glance-manage`` with the project's configuration file."""
    return child(tmp_path, original.configuration)


def test_adopted_and_handed_back(original: Original, manage: Run) -> None:
    made = fill(original)
    assert original.manage("db", "version")[-1] == HEAD
    original.stop()
    original.configure(delayed_delete=True)
    original.start()
    made["pending"] = image(original, name="pending", tags=["t"])
    ask(original, 204, "alice", "DELETE", f"/v2/images/{made['pending']}")
    before = seen(original)
    original.stop()

    # The first step says what the next one is.
    check = manage("db", "check")
    assert (check.code, check.out[-1]) == (3, "To do so, run: glance-manage db expand")
    assert manage("db", "sync").out == ["Database is synced successfully."]
    assert manage("db", "check").code == 0
    assert manage("db", "version").out == [HEAD]

    with Ours(original.configuration) as ours:
        check_same(seen(ours), before)
        for gone in ("deleted", "pending"):
            ask(ours, 404, "admin", "GET", f"/v2/images/{made[gone]}")
            # Their identifiers are never used again.
            ask(ours, 409, "alice", "POST", "/v2/images", {"id": made[gone]})

        # And it is worked with: nothing is there to be looked at only.
        upload(ours, made["queued"], DATA)
        ask(ours, 403, "alice", "GET", f"/v2/images/{made['deactivated']}/file")
        ask(ours, 204, "admin", "POST", f"/v2/images/{made['deactivated']}/actions/reactivate")
        assert ask(ours, 200, "alice", "GET", f"/v2/images/{made['deactivated']}/file").body
        ask(ours, 403, "alice", "DELETE", f"/v2/images/{made['protected']}")
        revived = {"op": "add", "path": "/dropped", "value": "again"}
        assert patch(ours, "alice", made["changed"], revived)["dropped"] == "again"
        ask(ours, 204, "alice", "PUT", f"/v2/images/{made['changed']}/tags/dropped")
        members = f"/v2/images/{made['shared']}/members"
        ask(ours, 200, "bob", "PUT", f"{members}/bob", {"status": "rejected"})
        ask(ours, 204, "alice", "DELETE", f"{members}/carol")
        ask(ours, 200, "alice", "POST", members, {"member": "carol"})
        for store in ("fast", "slow"):
            assert (original.store(store) / made["imported"]).exists()
        ask(ours, 204, "alice", "DELETE", f"/v2/images/{made['imported']}")
        ask(ours, 204, "alice", "DELETE", f"/v2/images/{made['plain']}")
        image(ours, name="ours", data=DATA, tags=["new"], p="v")
        create(ours, name="ours, queued")
        after = seen(ours)
    # With the file's delayed_delete, the data is the scrubber's; and a purge leaves it the way.
    held = [made[name] for name in ("imported", "plain", "pending")]
    assert all((original.store("fast") / name).exists() for name in held)
    for action in ("purge", "purge_images_table"):
        purged = manage("db", action, "--age_in_days", "0", "--max_rows", "-1")
        assert purged.out[-1] == "3 images kept until glance-scrubber has removed the data."

    # Back again.
    original.start()
    assert original.manage("db", "version")[-1] == HEAD
    if "postgresql" not in original.url:
        # There it refuses to say.
        original.manage("db", "check")
    check_same(seen(original), after)
    ask(original, 404, "admin", "GET", f"/v2/images/{made['plain']}")
    ask(original, 204, "alice", "DELETE", f"/v2/images/{made['queued']}")
    image(original, name="theirs, again", data=DATA)
    last = seen(original)
    original.stop()
    assert manage("db", "check").code == 0
    with Ours(original.configuration) as ours:
        check_same(seen(ours), last)


# Release 18.0.0, whose schema ends at rocky_contract02, cannot be installed any more: what it left
# is written here as it wrote it.

ROCKY = "rocky_contract02"
BEGAN = "2018-09-01 12:00:00"
CHANGED = "2018-09-02 12:00:00"


class Rocky:
    """A database and a file store of release 18.0.0.

    :param place: an empty directory.
    :param url: of an empty database.
    :param stores: the part of the configuration that tells of stores.
    """

    def __init__(self, place: Path, url: str, stores: str) -> None:
        self.place = place
        self.configuration = place / "glance-api.conf"
        self.configuration.write_text(
            f"[DEFAULT]\nshow_multiple_locations = true\n{stores}\n[database]\nconnection = {url}\n"
        )
        self.manage = child(place, self.configuration)
        assert self.manage("db", "upgrade", ROCKY).code == 0
        self._engine = create_engine(url)
        self._no = "false" if self._engine.dialect.name == "postgresql" else "0"

    def add(self, table: str, **values: object) -> None:
        """Add a row."""
        row = {"created_at": BEGAN, "updated_at": CHANGED, "deleted": self._bool(False), **values}
        if table == "task_info":
            for name in ("created_at", "updated_at", "deleted"):
                del row[name]
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        with self._engine.begin() as connection:
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), row)

    def add_image(
        self,
        directory: Path,
        *,
        data: bytes = b"rocky",
        metadata: str = "{}",
        url: str = "file://{}",
        **values: object,
    ) -> str:
        """Add an image and its data; return its id."""
        image_id = str(uuid4())
        directory.mkdir(exist_ok=True)
        (directory / image_id).write_bytes(data)
        row = {
            "id": image_id,
            "name": image_id[:8],
            "disk_format": "raw",
            "container_format": "bare",
            "size": len(data),
            "status": "active",
            "visibility": "shared",
            "checksum": hashlib.md5(data).hexdigest(),
            "os_hash_algo": "sha512",
            "os_hash_value": hashlib.sha512(data).hexdigest(),
            "min_disk": 0,
            "min_ram": 0,
            "owner": "alice",
            "protected": self._bool(False),
            "os_hidden": self._bool(False),
            **values,
        }
        self.add("images", **row)
        status = "pending_delete" if row["status"] == "pending_delete" else "active"
        gone = status != "active"
        self.add(
            "image_locations",
            image_id=image_id,
            value=url.format(directory / image_id),
            meta_data=metadata,
            status=status,
            deleted=self._bool(gone),
            deleted_at=CHANGED if gone else None,
        )
        return image_id

    def yes(self) -> object:
        """Return what stands for true."""
        return self._bool(True)

    def close(self) -> None:
        self._engine.dispose()

    def _bool(self, value: bool) -> object:
        return value if self._engine.dialect.name == "postgresql" else int(value)


def test_a_database_of_18_with_several_stores(database_url: str, tmp_path: Path) -> None:
    """The preview of several stores kept their names under another key."""
    fast, slow = tmp_path / "fast", tmp_path / "slow"
    rocky = Rocky(
        tmp_path,
        database_url,
        "enabled_backends = fast:file,slow:file\n[glance_store]\ndefault_backend = fast\n"
        f"[fast]\nfilesystem_store_datadir = {fast}\n[slow]\nfilesystem_store_datadir = {slow}",
    )
    one = rocky.add_image(fast, metadata='{"backend": "fast"}')
    other = rocky.add_image(slow, data=DATA, metadata='{"backend": "slow", "zone": "b"}')
    for table, values in (
        ("image_properties", {"name": "hw_disk_bus", "value": "scsi"}),
        ("image_tags", {"value": "old"}),
        ("image_members", {"member": "bob", "status": "accepted", "can_share": rocky._bool(False)}),
    ):
        rocky.add(table, image_id=one, **values)
    pending = rocky.add_image(
        slow,
        metadata='{"backend": "slow"}',
        status="pending_delete",
        deleted=rocky.yes(),
        deleted_at=CHANGED,
    )
    task = {"type": "import", "status": "success", "owner": "alice"}
    rocky.add("tasks", id=str(uuid4()), expires_at="2018-09-03 12:00:00", **task)
    rocky.add("tasks", id="old", **{**task, "deleted": rocky.yes(), "deleted_at": CHANGED})
    rocky.add("task_info", task_id="old", input="{}", message="")
    rocky.close()

    assert rocky.manage("db", "version").out == [ROCKY]
    assert rocky.manage("db", "check").code == 3
    with pytest.raises(AssertionError, match="run: glance-manage db sync"):
        Ours(rocky.configuration).__enter__()
    synced = rocky.manage("db", "sync")
    assert (synced.code, synced.out) == (0, ["Database is synced successfully."])
    assert "train_migrate01: 3 rows migrated." in synced.err
    assert rocky.manage("db", "version").out == [HEAD]
    assert rocky.manage("db", "check").code == 0

    with Ours(rocky.configuration) as ours:
        listed = ask(ours, 200, "alice", "GET", "/v2/images").json["images"]
        assert {found["id"]: found["stores"] for found in listed} == {one: "fast", other: "slow"}
        shown = ask(ours, 200, "bob", "GET", f"/v2/images/{one}").json
        assert (shown["hw_disk_bus"], shown["tags"]) == ("scsi", ["old"])
        assert (shown["created_at"], shown["updated_at"]) == (
            "2018-09-01T12:00:00Z",
            "2018-09-02T12:00:00Z",
        )
        shown = ask(ours, 200, "alice", "GET", f"/v2/images/{other}").json
        assert shown["locations"] == [
            {"url": f"file://{slow}/{other}", "metadata": {"store": "slow", "zone": "b"}}
        ]
        got = ask(ours, 200, "alice", "GET", f"/v2/images/{other}/file")
        assert got.body == DATA
        assert got.headers["Content-MD5"] == hashlib.md5(DATA).hexdigest()
        assert shown["os_hash_value"] == hashlib.sha512(DATA).hexdigest()
        assert ask(ours, 200, "alice", "GET", f"/v2/images/{one}/tasks").json == {"tasks": []}
        ask(ours, 404, "admin", "GET", f"/v2/images/{pending}")
        ask(ours, 204, "alice", "DELETE", f"/v2/images/{other}")
        assert not (slow / other).exists()
        new = image(ours, name="new")
        assert (fast / new).read_bytes() == b"data"
    purged = rocky.manage("db", "purge", "--max_rows", "-1")
    assert "\ttask_info: 1" in purged.out and "\ttasks: 1" in purged.out
    assert purged.out[-1] == "1 image kept until glance-scrubber has removed the data."
    assert (slow / pending).exists()


def test_a_database_of_18_with_one_store_in_several_directories(
    sqlite_url: str, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    new.mkdir()
    rocky = Rocky(
        tmp_path,
        sqlite_url,
        "[glance_store]\nstores = file,http\ndefault_store = file\n"
        f"filesystem_store_datadirs = {old}:100\nfilesystem_store_datadirs = {new}:200",
    )
    one = rocky.add_image(old)
    # From before there were these hashes; and written with an empty host, and without.
    older = rocky.add_image(
        new, data=DATA, os_hash_algo=None, os_hash_value=None, virtual_size=None
    )
    nothing = rocky.add_image(old, data=b"", metadata="")
    rocky.close()
    assert rocky.manage("db", "sync").code == 0

    with Ours(rocky.configuration) as ours:
        for image_id, data in ((one, b"rocky"), (older, DATA), (nothing, b"")):
            shown = ask(ours, 200, "alice", "GET", f"/v2/images/{image_id}").json
            assert "stores" not in shown
            assert shown["checksum"] == hashlib.md5(data).hexdigest()
            got = ask(ours, 200, "alice", "GET", f"/v2/images/{image_id}/file")
            assert got.body == data
        assert ask(ours, 200, "alice", "GET", f"/v2/images/{older}").json["os_hash_value"] is None
        ask(ours, 204, "alice", "DELETE", f"/v2/images/{one}")
        assert not (old / one).exists()
        # What comes goes where there is the higher priority, under the same name as ever.
        assert (new / image(ours, name="new")).read_bytes() == b"data"
