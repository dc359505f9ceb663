"""Databases and file stores of the OpenStack Glance project's service are adopted as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture
def original(database_url: str, tmp_path: Path) -> Iterator[Original]:
    """The project's service, with an empty catalogue and running."""
    made = Original(tmp_path / "original", database_url)
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

    with Ours(original) as ours:
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
    with Ours(original) as ours:
        check_same(seen(ours), last)
