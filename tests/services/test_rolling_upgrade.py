"""An upgrade without downtime: old and new code at work on one database, step by step.

The old code is the OpenStack Glance project's service, the new code ours.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from glance.db.revisions import OWN_CHAIN
from tests.services.adoption import (
    DATA,
    Ours,
    Service,
    ask,
    check_same,
    create,
    image,
    patch,
    seen,
    upload,
)
from tests.services.managing import Run, child
from tests.services.original import Original

pytestmark = pytest.mark.service


@pytest.fixture(params=["mariadb", "postgresql"])
def original(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Original]:
    """The project's service, running."""
    made = Original(tmp_path / "original", request.getfixturevalue(f"{request.param}_url"))
    made.binaries()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def manage(tmp_path: Path, original: Original) -> Run:
    return child(tmp_path, original.configuration)


@contextmanager
def busy(service: Service) -> Iterator[list[str]]:
    """Make, change and delete images all the time; yields the names of those that stay."""
    stop = threading.Event()
    failed: list[BaseException] = []
    kept: list[str] = []

    def work() -> None:
        try:
            while not stop.is_set():
                name = f"busy {len(kept)}"
                made = image(service, name=name, tags=["t"], data=name.encode())
                patch(service, "alice", made, {"op": "add", "path": "/p", "value": name})
                ask(service, 204, "alice", "DELETE", f"/v2/images/{image(service, name='gone')}")
                kept.append(name)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield kept
    finally:
        stop.set()
        thread.join()
    assert not failed, failed
    assert kept


def check_each_sees_the_other(one: Service, other: Service) -> None:
    """Write on both sides and look at it from the other."""
    for writer, reader in ((one, other), (other, one)):
        made = image(writer, name="both", data=DATA, tags=["a"], p="1")
        assert ask(reader, 200, "alice", "GET", f"/v2/images/{made}/file").body == DATA
        # Each changes what the other wrote, in turn.
        patch(reader, "alice", made, {"op": "replace", "path": "/p", "value": "2"})
        patch(writer, "alice", made, {"op": "remove", "path": "/p"})
        patch(reader, "alice", made, {"op": "add", "path": "/p", "value": "3"})
        ask(writer, 204, "alice", "PUT", f"/v2/images/{made}/tags/b")
        ask(reader, 204, "alice", "DELETE", f"/v2/images/{made}/tags/a")
        shown = ask(writer, 200, "alice", "GET", f"/v2/images/{made}").json
        assert (shown["p"], shown["tags"]) == ("3", ["b"])
        members = f"/v2/images/{made}/members"
        ask(writer, 200, "alice", "POST", members, {"member": "bob"})
        ask(reader, 200, "bob", "PUT", f"{members}/bob", {"status": "accepted"})
        ask(writer, 200, "bob", "GET", f"/v2/images/{made}")
        # What one began the other ends.
        begun = create(writer, name="begun")
        upload(reader, begun)
        ask(writer, 204, "alice", "DELETE", f"/v2/images/{begun}")
        ask(reader, 404, "alice", "GET", f"/v2/images/{begun}")
    check_same(seen(one), seen(other))


def _moved_to(revision: str) -> str:
    return f"Upgraded database to: {revision}, current revision(s): {revision}"


def test_rolling_upgrade(original: Original, manage: Run) -> None:
    gone = image(original, name="deleted before")
    ask(original, 204, "alice", "DELETE", f"/v2/images/{gone}")
    assert manage("db", "check").out[-1] == "To do so, run: glance-manage db expand"
    with pytest.raises(AssertionError, match="run: glance-manage db sync"):
        Ours(original.configuration).__enter__()

    with busy(original) as kept:
        expanded = manage("db", "expand")
    assert expanded.out == [_moved_to(OWN_CHAIN.expand[-1])]
    # The old code can be started anew as well.
    original.stop()
    original.start()
    assert manage("db", "check").code in {4, 5}

    with Ours(original.configuration) as ours:
        check_each_sees_the_other(original, ours)
        with busy(original), busy(ours):
            migrated = manage("db", "migrate")
        assert migrated.code == 0 and migrated.out[-1].startswith("Migrated ")
        ask(ours, 409, "alice", "POST", "/v2/images", {"id": gone})

        # The old code deletes images without putting up tombstones, which is to be made up for.
        late = image(ours, name="deleted late")
        ask(original, 204, "alice", "DELETE", f"/v2/images/{late}")
        refused = manage("db", "contract")
        assert (refused.code, refused.out) == (1, [])
        assert refused.err[-1].endswith("first run: glance-manage db migrate")
        check_each_sees_the_other(original, ours)

        original.stop()
        assert manage("db", "migrate").code == 0
        before = seen(ours)
        with busy(ours):
            contracted = manage("db", "contract")
        assert contracted.out == [_moved_to(OWN_CHAIN.head)]
        assert manage("db", "check").code == 0
        listed = {found["name"] for found in before["alice"]["list"]}
        assert set(kept) <= listed
        ask(ours, 409, "alice", "POST", "/v2/images", {"id": late})


def test_a_later_release_expands(original: Original, manage: Run) -> None:
    """To that, this release is the old code: it goes on, and can be started anew."""
    original.stop()
    assert manage("db", "sync").code == 0
    engine = create_engine(original.url.replace("+psycopg2", "+psycopg"))
    with Ours(original.configuration) as ours:
        made = image(ours, name="before")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE txglance_later (id INTEGER PRIMARY KEY)"))
            connection.execute(text("ALTER TABLE transfer_leases ADD COLUMN later INTEGER"))
            connection.execute(text("INSERT INTO txglance_version VALUES ('2_0_expand01')"))
        image(ours, name="after")
    engine.dispose()
    assert manage("db", "check").code == 0
    with Ours(original.configuration) as ours:
        assert ask(ours, 200, "alice", "GET", f"/v2/images/{made}/file").body == b"data"
        ask(ours, 204, "alice", "DELETE", f"/v2/images/{made}")
