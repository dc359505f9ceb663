"""Dumps: from a service into a directory, and from a directory into a service."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.functional import replication
from tests.functional.flapping import BUSY, RESET, Fault, Proxy, each, flapping, several
from tests.functional.replication import active, patch, populate, replace, share
from tests.functional.replicator import PROGRAM, Case, finish
from tests.functional.wire import MIB, data_of

LIST = "/v2/images"
FILE = r"/v2/images/[^/]+/file"
SIZES = (3 * MIB, 1, MIB, 0, 2 * MIB + 1, 300_000)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty directory."""
    (tmp_path / "dump").mkdir()
    return tmp_path / "dump"


def dump(case: Case, place: Path, *words: object, code: int | None = 0) -> Any:
    return case.run("dump", case.places[0], place, *words, code=code)


def load(case: Case, place: Path, *words: object, code: int | None = 0) -> Any:
    return case.run("load", case.places[1], place, *words, code=code)


def names(place: Path) -> set[str]:
    """Return the names of all files, but for the one by which two runs keep apart."""
    return {path.name for path in place.iterdir()} - {".glance-replicator.lock"}


def three(*image_ids: str) -> set[str]:
    """Return the names of the files of images."""
    return {f"{one}{suffix}" for one in image_ids for suffix in ("", ".img", ".sha512")}


class TestDumpAndLoad:
    def test_everything_an_image_is(self, case: Case, place: Path) -> None:
        owner = f"p-{uuid4().hex}"
        made = populate(case.source, owner)
        words = ("--owner", owner, "--owner", f"{owner}-2")
        done = case.program.run("dump", case.places[0], place, *words)
        copied = active(made)
        assert all(one in done.said for one in made.values() if one not in copied)
        assert names(place) == three(*copied)
        # Whoever has it can see that it is whole, without us.
        subprocess.run("sha512sum -c --quiet *.sha512", shell=True, check=True, cwd=place)
        for image_id in copied:
            document = json.loads((place / image_id).read_text())
            assert document["id"] == image_id
            assert document["owner"].startswith(owner)
        case.program.run("load", case.places[1], place, *words)
        assert replication.differences(case.source, case.target, copied) == []
        # It may be loaded into where it came from, and there is nothing to do.
        case.program.run("load", case.places[0], place, *words)

        with Proxy(case.source.port) as proxy:
            case.program.run("dump", proxy.place, place, *words)
            assert proxy.data == 0

    def test_what_changes(self, case: Case, place: Path) -> None:
        changed, same = case.images(b"one", b"two", visibility="shared")
        dump(case, place)
        load(case, place)
        before = {name: (place / name).stat().st_mtime_ns for name in names(place)}
        replace(case.source, changed, "name", "changed")
        patch(case.source, changed, {"op": "add", "path": "/a~1b", "value": "~"})
        share(case.source, changed, bob="accepted")
        new = case.image(b"new")
        dump(case, place)
        assert names(place) == three(changed, same, new)
        after = {name: (place / name).stat().st_mtime_ns for name in before}
        assert {name for name in before if before[name] != after[name]} == {changed}
        load(case, place)
        assert case.differences() == []

    def test_metadata_only(self, case: Case, place: Path) -> None:
        image_id = case.image(name="before")
        dump(case, place, "--metaonly")
        assert names(place) == {image_id}
        done = load(case, place)
        assert image_id in done.said
        assert case.there(image_id) is None
        # With an image there, its metadata is all that is needed.
        case.livecopy()
        replace(case.source, image_id, "name", "after")
        dump(case, place, "--metaonly")
        load(case, place)
        assert case.differences() == []
        # The data can come later.
        dump(case, place)
        assert names(place) == three(image_id)

    def test_dry_runs(self, case: Case, place: Path) -> None:
        image_id = case.image()
        assert image_id in dump(case, place, "--dry-run", "--verbose").said
        assert names(place) == set()
        dump(case, place)
        assert image_id in load(case, place, "--dry-run", "--verbose").said
        assert case.there(image_id) is None

    def test_filters(self, case: Case, place: Path) -> None:
        one, two = case.images(b"one", b"two")
        dump(case, place, "--name", "image 0")
        assert names(place) == three(one)
        dump(case, place)
        load(case, place, "--name", "image 1")
        assert (case.there(one), bool(case.there(two))) == (None, True)

    def test_what_the_source_has_no_more(self, case: Case, place: Path) -> None:
        gone, kept = case.images(b"one", b"two")
        dump(case, place)
        replication.ask(case.source, 204, "DELETE", f"{LIST}/{gone}")
        dump(case, place)
        assert names(place) == three(gone, kept)
        dump(case, place, "--delete-extra", "--force")
        assert names(place) == three(kept)

    def test_a_directory_that_is_not_there(self, case: Case, place: Path) -> None:
        case.image()
        place.rmdir()
        case.run("load", case.places[1], place, code=2)
        done = dump(case, place, code=None)
        assert done.code in (0, 2)
        if done.code == 0:
            assert names(place) == three(*case.ids)

    def test_below_other_directories(self, case: Case, place: Path) -> None:
        one, two = case.images(b"one", b"two")
        dump(case, place)
        deep = place / "a" / "b"
        deep.mkdir(parents=True)
        for name in three(two):
            (place / name).rename(deep / name)
        (place / "notes").write_text("no image")
        load(case, place)
        assert case.differences() == []
        assert case.there(one) is not None


class TestInterrupted:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    @pytest.mark.parametrize("seed", range(2))
    def test_a_dump(self, case: Case, place: Path, number: int, seed: int) -> None:
        chance = random.Random(f"{number} {seed}")
        case.images(*map(data_of, SIZES))
        words = ("--parallel", chance.choice([1, 4]), "--tag", case.tag)
        with Proxy(case.source.port) as proxy:
            for _ in range(3):
                process = case.program.start("dump", proxy.place, place, *words)
                proxy.alarm(
                    chance.randrange(1, sum(SIZES) // 3),
                    lambda process=process: process.send_signal(number),  # type: ignore[misc]
                )
                finish(process, None)
                # What is said to be whole is whole.
                for image_id in case.ids:
                    if (place / image_id).exists():
                        self.check(case, place, image_id)
            case.program.run("dump", proxy.place, place, *words)
        assert names(place) == three(*case.ids)
        for image_id in case.ids:
            self.check(case, place, image_id)

    def check(self, case: Case, place: Path, image_id: str) -> None:
        """Check that an image's data is there and right."""
        data = (place / f"{image_id}.img").read_bytes()
        digest = hashlib.sha512(data).hexdigest()
        assert digest == case.source.show(image_id)["os_hash_value"]
        assert (place / f"{image_id}.sha512").read_text() == f"{digest}  {image_id}.img\n"

    def test_goes_on_where_it_was(self, case: Case, place: Path) -> None:
        size = 32 * MIB
        image_id = case.image(data_of(size))
        with Proxy(case.source.port) as proxy:
            process = case.program.start("dump", proxy.place, place, "--tag", case.tag)
            proxy.alarm(24 * MIB, process.kill)
            finish(process, None)
            before = proxy.data
            dump_again = ("dump", proxy.place, place, "--tag", case.tag)
            assert "went on from byte" in case.program.run(*dump_again).said
            assert proxy.data - before < size
        self.check(case, place, image_id)

    def test_a_part_that_is_not_what_it_was(self, case: Case, place: Path) -> None:
        image_id = case.image(data_of(32 * MIB))
        with Proxy(case.source.port) as proxy:
            process = case.program.start("dump", proxy.place, place, "--tag", case.tag)
            # Some of that is still on its way.
            proxy.alarm(24 * MIB, process.kill)
            finish(process, None)
        (part,) = [path for path in place.iterdir() if path.stat().st_size > MIB]
        with part.open("r+b") as file:
            file.write(b"otherwise")
        dump(case, place)
        assert names(place) == three(image_id)
        self.check(case, place, image_id)

    @pytest.mark.parametrize("seed", range(2))
    def test_a_source_that_flaps(self, case: Case, place: Path, seed: int) -> None:
        case.images(*map(data_of, SIZES))
        faults = (RESET, BUSY, Fault("cut", 200_000))
        with Proxy(case.source.port) as proxy:
            proxy.plan = several(
                each("GET", f"{LIST}/{case.ids[0]}/file", Fault("corrupt", 100_000)),
                flapping(seed, 0.4, 2, faults),
            )
            case.run("dump", proxy.place, place, "--parallel", 8)
            assert proxy.done
        assert names(place) == three(*case.ids)
        for image_id in case.ids:
            self.check(case, place, image_id)

    def test_a_source_whose_data_is_wrong(self, case: Case, place: Path) -> None:
        bad, good = case.images(data_of(MIB), b"small")
        with Proxy(case.source.port) as proxy:
            proxy.plan = each("GET", f"{LIST}/{bad}/file", *[Fault("corrupt", 5)] * 9)
            done = case.run("dump", proxy.place, place, "--retries", 1, code=1)
        assert bad in done.said
        assert not (place / bad).exists()
        assert three(good) <= {path.name for path in place.iterdir()}

    def test_a_load(self, case: Case, place: Path) -> None:
        case.images(*map(data_of, SIZES))
        dump(case, place)
        words = ("--tag", case.tag, "--parallel", 3)
        chance = random.Random(1)
        with Proxy(case.target.port) as proxy, case.never_wrong():
            for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
                process = case.program.start("load", proxy.place, place, *words)
                proxy.alarm(
                    chance.randrange(1, sum(SIZES) // 3),
                    lambda p=process, n=number: p.send_signal(n),  # type: ignore[misc]
                )
                finish(process, None)
            case.program.run("load", proxy.place, place, *words)
        assert case.differences() == []


class TestFiles:
    def test_no_room(self, case: Case, place: Path, tmp_path: Path) -> None:
        """The directory is on a file system that has room for all but the largest image."""
        big = case.image(data_of(8 * MIB), name="big one")
        small = case.image(data_of(MIB), name="small one")
        copy = tmp_path / "copy"
        copy.mkdir()
        script = (
            f"mount -t tmpfs -o size=6m none {place} && "
            f'{{ "$@"; code=$?; cp -a {place}/. {copy}; exit $code; }}'
        )
        launcher = ("unshare", "-m", "sh", "-c", script, "sh", *PROGRAM)
        words = ("dump", case.places[0], place, "--tag", case.tag, "--parallel", 1)
        done = finish(case.program.start(*words, program=launcher), 1)
        assert big in done.said
        assert not (copy / big).exists()
        assert three(small) <= {path.name for path in copy.iterdir()}
        # Elsewhere there is more.
        dump(case, copy)
        assert names(copy) == three(big, small)

    def test_a_directory_that_may_not_be_written(self, case: Case, place: Path) -> None:
        case.image()
        (place / case.ids[0]).mkdir()
        done = dump(case, place, code=1)
        assert case.ids[0] in done.said

    @pytest.mark.parametrize("harm", ["changed", "shorter", "longer", "gone"])
    def test_data_that_is_not_what_it_was(self, case: Case, place: Path, harm: str) -> None:
        bad, good = case.images(data_of(MIB), b"small")
        dump(case, place)
        file = place / f"{bad}.img"
        data = file.read_bytes()
        if harm == "gone":
            file.unlink()
        else:
            harmed = {"changed": data[:-1] + b"?", "shorter": data[:-1], "longer": data + b"?"}
            file.write_bytes(harmed[harm])
        with case.never_wrong():
            done = load(case, place, "--retries", 1, code=0 if harm == "gone" else 1)
        assert bad in done.said
        assert case.there(bad) is None or case.target.status(bad) == "queued"
        assert replication.differences(case.source, case.target, [good]) == []
        # The next dump mends it, or at least the one into an empty directory.
        shutil.rmtree(place)
        place.mkdir()
        dump(case, place)
        load(case, place)
        assert case.differences() == []

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"id": 1}', "\xff"])
    def test_a_document_that_is_none(self, case: Case, place: Path, content: str) -> None:
        bad, good = case.images(b"one", b"two")
        dump(case, place)
        (place / bad).write_text(content, encoding="latin-1")
        done = load(case, place, code=1)
        assert bad in done.said
        assert case.there(bad) is None
        assert replication.differences(case.source, case.target, [good]) == []


class TestLayoutOfTheManual:
    """What the OpenStack Glance project's program wrote: metadata of version 1 of the API."""

    def write(self, place: Path, data: bytes | None, **fields: Any) -> str:
        image_id = str(uuid4())
        document = {
            "id": image_id,
            "name": "old",
            "status": "active",
            "disk_format": "raw",
            "container_format": "bare",
            "size": len(data or b""),
            "checksum": hashlib.md5(data or b"").hexdigest(),
            "min_disk": 3,
            "min_ram": 64,
            "owner": "p1",
            "protected": False,
            "is_public": False,
            "deleted": False,
            "created_at": "2012-01-01T00:00:00",
            "updated_at": "2012-01-02T00:00:00",
            "deleted_at": None,
            "properties": {"arch": "x86_64", "né e": "1", "none": None},
            **fields,
        }
        (place / image_id).write_text(json.dumps(document))
        if data is not None:
            (place / f"{image_id}.img").write_bytes(data)
        return image_id

    def test_is_loaded(self, case: Case, place: Path) -> None:
        data = data_of(MIB)
        private = self.write(place, data)
        public = self.write(place, b"two", is_public=True, protected=True)
        bare = self.write(place, None, name="without data")
        deep = place / "deep"
        deep.mkdir()
        zero = self.write(deep, b"", name=None)
        (place / "README").write_text("no image")
        done = case.program.run("load", case.places[1], place)
        assert bare in done.said
        assert case.there(bare) is None
        there = case.there(private)
        assert there is not None
        wanted = {
            "name": "old", "status": "active", "disk_format": "raw", "container_format": "bare",
            "size": MIB, "min_disk": 3, "min_ram": 64, "owner": "p1", "protected": False,
            "arch": "x86_64", "né e": "1", "os_hash_value": hashlib.sha512(data).hexdigest(),
        }  # fmt: skip
        assert {name: there.get(name) for name in wanted} == wanted
        assert there["visibility"] in ("private", "shared")
        there = case.there(public)
        assert there is not None
        assert (there["visibility"], there["protected"]) == ("public", True)
        assert (case.there(zero) or {}).get("size") == 0
        # Again, and nothing is done.
        before = case.there(public)
        case.program.run("load", case.places[1], place)
        assert case.there(public) == before

    def test_data_that_does_not_fit(self, case: Case, place: Path) -> None:
        image_id = self.write(place, b"data", checksum=hashlib.md5(b"atad").hexdigest())
        done = case.program.run("load", case.places[1], place, "--retries", 1, code=1)
        assert image_id in done.said
        assert case.there(image_id) is None or case.target.status(image_id) == "queued"
