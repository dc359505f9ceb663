from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert

from glance.checks.catalogue import thd_locations, thd_pending_deletes, thd_work, unserved
from glance.checks.database import thd_schema
from glance.checks.results import Level
from glance.checks.storage import thd_stores
from glance.db import schema
from glance.db.engine import make_engine
from glance.db.own_tables import transfer_leases
from glance.db.sealed_locations import Sealer
from glance.db.tables import image_locations, images, tasks
from tests.unit.checks.conftest import NOW, bad, levels

HOUR = timedelta(hours=1)
KEY = "0123456789abcdef"


@pytest.fixture(autouse=True)
def roomy(monkeypatch):
    monkeypatch.setattr("glance.checks.places.NEARLY_FULL", 0)


def ready(setting):
    """Look at what the checks here stand on."""
    assert list(thd_schema(setting))
    assert list(thd_stores(setting))
    return setting


def add_image(engine, status="active", age=HOUR, deleted=False):
    image_id = str(uuid4())
    then = NOW - age
    values = {
        "id": image_id, "status": status, "created_at": then, "updated_at": then,
        "deleted": deleted, "deleted_at": then if deleted else None, "visibility": "private",
        "min_disk": 0, "min_ram": 0, "protected": False, "os_hidden": False,
    }  # fmt: skip
    with engine.connect() as connection:
        connection.execute(insert(images), values)
    return image_id


def add_location(engine, url, image_id=None, metadata=None):
    image_id = image_id or add_image(engine)
    with engine.connect() as connection:
        connection.execute(
            insert(image_locations),
            {"image_id": image_id, "value": url, "meta_data": metadata or {}, "status": "active",
             "created_at": NOW, "deleted": False},
        )  # fmt: skip
    return image_id


def add_lease(engine, image_id, age):
    with engine.connect() as connection:
        connection.execute(
            insert(transfer_leases),
            {"id": str(uuid4()), "image_id": image_id, "kind": "upload", "node": "n",
             "worker": "1.1", "started_at": NOW - age, "heartbeat_at": NOW - age},
        )  # fmt: skip


def test_without_a_catalogue_there_is_nothing_to_look_at(make):
    setting = ready(make())
    for look in (thd_locations, thd_pending_deletes, thd_work):
        assert list(look(setting)) == []


class TestPendingDeletes:
    def test_none(self, make, engine):
        assert list(thd_pending_deletes(ready(make()))) == []
        setting = ready(make("[DEFAULT]\ndelayed_delete = true\n"))
        assert levels(thd_pending_deletes(setting)) == [Level.SUCCESS]

    @pytest.mark.parametrize(
        ("text", "hours", "told"),
        [
            ("", 23, False),
            ("", 25, True),
            ("scrub_time = 7200", 25, False),
            ("scrub_time = 7200", 27, True),
            ("wakeup_time = 50400", 27, False),
            ("wakeup_time = 50400", 29, True),
        ],
    )
    def test_some(self, make, engine, text, hours, told):
        add_image(engine, "pending_delete", hours * HOUR, deleted=True)
        add_image(engine, "pending_delete", timedelta(), deleted=True)
        add_image(engine, "deleted", 99 * HOUR, deleted=True)
        found = bad(thd_pending_deletes(ready(make(f"[DEFAULT]\n{text}\n"))))
        assert bool(found) is told
        if told:
            assert found[0].startswith("1 images wait to be scrubbed")
            assert f"{NOW - hours * HOUR:%Y-%m-%d %H:%M} UTC" in found[0]

    def test_the_oldest_is_told(self, make, engine):
        for hours in (30, 50, 40):
            add_image(engine, "pending_delete", hours * HOUR, deleted=True)
        (told,) = bad(thd_pending_deletes(ready(make())))
        assert told.startswith("3 images")
        assert f"{NOW - 50 * HOUR:%Y-%m-%d %H:%M} UTC" in told


class TestWork:
    @pytest.mark.parametrize("status", ["saving", "importing", "uploading"])
    def test_images_that_nobody_is_at_work_on(self, make, engine, status):
        image_id = add_image(engine, status, 2 * HOUR)
        add_image(engine, status, timedelta(minutes=5))
        add_image(engine, status, 2 * HOUR, deleted=True)
        add_lease(engine, add_image(engine, status, 2 * HOUR), timedelta(seconds=1))
        (told,) = bad(thd_work(ready(make())))
        said = f"1 images are {status}, and no service of this release is at work on them: "
        assert told.startswith(f"{said}{image_id}.")

    def test_leases(self, make, engine):
        late = add_image(engine, "saving")
        add_lease(engine, late, timedelta(seconds=200))
        add_lease(engine, add_image(engine, "saving"), timedelta(seconds=100))
        (told,) = bad(thd_work(ready(make())))
        assert "1 leases have not been renewed for 180 seconds" in told
        assert late in told
        patient = make("[DEFAULT]\ntransfer_stale_time = 100\ntransfer_heartbeat_interval = 50\n")
        assert not bad(thd_work(ready(patient)))

    def test_tasks(self, make, engine):
        for status, hours in (("processing", 25), ("processing", 23), ("success", 99)):
            values = {
                "id": f"{status}-{hours}", "type": "import", "status": status, "owner": "o",
                "created_at": NOW - hours * HOUR, "updated_at": NOW - hours * HOUR,
                "deleted": False,
            }  # fmt: skip
            with engine.connect() as connection:
                connection.execute(insert(tasks), values)
        (told,) = bad(thd_work(ready(make())))
        assert told.startswith("1 tasks") and "processing-25" in told

    def test_a_database_without_leases(self, make, database):
        engine = make_engine(database)
        schema.thd_upgrade(engine, "zed_contract01")
        image_id = add_image(engine, "saving", 2 * HOUR)
        engine.dispose()
        (told,) = bad(thd_work(ready(make())))
        assert image_id in told


class TestLocations:
    def test_there(self, make, engine, tmp_path):
        (tmp_path / "images" / "x").write_text("data")
        add_location(engine, f"file://{tmp_path}/images/x")
        findings = list(thd_locations(ready(make())))
        assert levels(findings) == [Level.SUCCESS]
        assert findings[0].text.startswith("1 copies")

    def test_gone(self, make, engine, tmp_path):
        image_id = add_location(engine, f"file://{tmp_path}/images/geheim")
        (told,) = bad(thd_locations(ready(make())))
        assert image_id in told and "geheim" not in told
        assert "not where the catalogue says" in told

    def test_outside_of_the_stores(self, make, engine, tmp_path):
        image_id = add_location(engine, "file:///elsewhere/geheim")
        text = (
            "[DEFAULT]\nenabled_backends = a:file\n[glance_store]\ndefault_backend = a\n"
            f"[a]\nfilesystem_store_datadir = {tmp_path}/images\n"
        )
        (told,) = bad(thd_locations(ready(make(text, default_store=False))))
        assert image_id in told and "geheim" not in told
        assert "in no store that is configured" in told

    def test_a_kind_of_store_that_is_not_there(self, make, engine):
        add_location(engine, "rbd://fsid/images/x/snap")
        add_location(engine, "rbd://fsid/images/y/snap")
        told = bad(thd_locations(ready(make())))
        assert told[0].startswith("2 copies of images are in rbd stores")

    def test_deleted_ones_do_not_count(self, make, engine, tmp_path):
        image_id = add_image(engine, "deleted", deleted=True)
        add_location(engine, f"file://{tmp_path}/images/none", image_id)
        assert list(thd_locations(ready(make()))) == []

    @pytest.mark.parametrize(
        ("status", "missed"), [("active", True), ("deactivated", True), ("queued", False)]
    )
    def test_images_that_should_have_data(self, make, engine, tmp_path, status, missed):
        add_location(engine, f"file://{tmp_path}/images/none", add_image(engine, status))
        assert bool(bad(thd_locations(ready(make())))) is missed

    def test_encrypted(self, make, engine, tmp_path):
        (tmp_path / "images" / "x").write_text("data")
        image_id = add_location(engine, Sealer(KEY).seal(f"file://{tmp_path}/images/x"))
        opened = f"[DEFAULT]\nmetadata_encryption_key = {KEY}\n"
        assert levels(thd_locations(ready(make(opened)))) == [Level.SUCCESS]
        for text in ("", opened.replace("0123", "4567")):
            (told,) = bad(thd_locations(ready(make(text))))
            assert image_id in told
            assert "metadata_encryption_key" in told

    def test_both_ends_are_looked_at(self, make, engine, tmp_path, monkeypatch):
        monkeypatch.setattr("glance.checks.catalogue.SAMPLE", 2)
        for number in range(6):
            add_location(engine, f"file://{tmp_path}/images/{number}")
        (told,) = bad(thd_locations(ready(make())))
        assert told.startswith("4 of 4 copies")

    def test_without_stores(self, make, engine):
        setting = ready(make())
        setting.stores = None
        assert levels(thd_locations(setting)) == [Level.WARNING]

    def test_unserved(self):
        class Stores:
            @staticmethod
            def all():
                return []

        (finding,) = unserved({"swift+https": 3, "": 2}, Stores)
        assert finding.level is Level.FAILURE
