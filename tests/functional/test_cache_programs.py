"""glance-cache-cleaner, -pruner and -prefetcher as cron and operators run them."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from tests.functional.cacheprograms import CLEANER, PREFETCHER, PRUNER, SERVICE, Node, finish
from tests.functional.caching import Cache, Origin
from tests.functional.server import Server, eventually
from tests.functional.wire import MIB, data_of

DATA = data_of(100_000)
BIG = data_of(3 * MIB + 17)
PROGRAMS = {"cleaner": CLEANER, "pruner": PRUNER, "prefetcher": PREFETCHER, "service": SERVICE}
every_program = pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A service without a cache, whose catalogue and images the programs work on."""
    with Server() as server:
        yield server
        assert server.trouble() == []


@pytest.fixture
def node(server: Server, tmp_path: Path) -> Node:
    """A cache of its own for each test."""
    node = Node(server, tmp_path / "cache")
    node.make()
    return node


def deleted(server: Server) -> str:
    image_id = server.image(DATA)
    assert server.request("DELETE", f"/v2/images/{image_id}").status == 204
    return image_id


class TestCleaner:
    def test_what_goes_and_what_stays(self, server: Server, node: Node) -> None:
        kept, gone, young, old = server.image(DATA), deleted(server), str(uuid4()), str(uuid4())
        node.write(kept, DATA)
        node.write(gone, DATA)
        node.write(old, b"12345", "invalid")
        node.write(old, b"123", "incomplete", age=200)
        node.write(young, b"123", "incomplete", age=50)
        node.adopt({gone: (1.0, len(DATA), 0), str(uuid4()): (1.0, 1, 0)})
        done = node.run(CLEANER, image_cache_stall_time=100)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            "Removed 2 broken or abandoned files (8 bytes).\n"
            "Removed 1 copy of a deleted image (97.7 KiB).\n"
        )
        assert (node.listed(), node.listed("invalid")) == ([kept], [])
        assert node.listed("incomplete") == [young]
        assert node.indexed() == [kept]
        again = node.run(CLEANER)
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
        assert node.run(CLEANER, "-v").stdout == "Nothing to clean.\n"

    def test_no_unfinished_copy_is_too_young(self, node: Node) -> None:
        node.write(str(uuid4()), b"123", "incomplete")
        assert "Removed 1 " in node.run(CLEANER, image_cache_stall_time=0).stdout
        assert node.listed("incomplete") == []

    def test_another_process_cleans(self, node: Node) -> None:
        node.run(CLEANER)
        broken = node.write(str(uuid4()), b"1", "invalid")
        with (node.place / "locks" / "clean").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = node.run(CLEANER)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            done = node.run(CLEANER, "--verbose")
            assert done.returncode == 0
            assert done.stdout.startswith("Another process of this node is at it")
        assert broken.exists()
        assert node.run(CLEANER).stdout == "Removed 1 broken or abandoned file (1 byte).\n"

    def test_configuration_of_a_former_release(self, node: Node, tmp_path: Path) -> None:
        """It has a cache and neither catalogue nor flavor."""
        conf = tmp_path / "glance-cache.conf"
        conf.write_text(
            f"[DEFAULT]\nimage_cache_dir = {node.place}\nimage_cache_driver = sqlite\n"
            "registry_host = 127.0.0.1\nadmin_tenant_name = service\nimage_cache_max_size = 10\n"
        )
        unknown = str(uuid4())
        node.write(unknown, b"12345")
        node.write(str(uuid4()), b"12345", "invalid")
        done = node.run(CLEANER, "--config-file", str(conf))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "Removed 1 broken or abandoned file (5 bytes).\n"
        assert node.listed() == [unknown]
        node.write(str(uuid4()), b"123456")
        done = node.run(PRUNER, "--config-file", str(conf))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Removed 1 file (")

    def test_catalogue_that_cannot_be_that_of_the_copies(self, node: Node, tmp_path: Path) -> None:
        (tmp_path / "state").mkdir()
        node.write(str(uuid4()), b"12345")
        done = node.run(CLEANER, "--state-dir", str(tmp_path / "state"))
        assert (done.returncode, done.stdout) == (0, "")
        assert "The catalogue has never heard of any of the 1 images" in done.stderr
        assert len(node.listed()) == 1


class TestPruner:
    def test_least_recently_used_ones_go(self, server: Server, node: Node) -> None:
        ids = [str(uuid4()) for _ in range(4)]
        for image_id in ids:
            node.write(image_id, bytes(1000))
        broken = node.write(str(uuid4()), bytes(1000), "invalid")
        node.adopt({image_id: (100.0 - n, 1000, n) for n, image_id in enumerate(ids)})
        done = node.run(PRUNER, image_cache_max_size=2500)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "Removed 3 files (2.9 KiB) to keep within image_cache_max_size.\n"
        assert node.listed() == sorted(ids[:2])
        assert node.indexed() == sorted(ids[:2])
        assert not broken.exists()
        again = node.run(PRUNER, image_cache_max_size=2500)
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
        assert node.run(PRUNER, "-v").stdout == "Nothing to prune.\n"

    def test_what_is_being_sent_stays(self, node: Node) -> None:
        node.run(CLEANER)
        path = node.write(str(uuid4()), bytes(1000))
        with path.open() as reader:
            fcntl.flock(reader, fcntl.LOCK_SH)
            done = node.run(PRUNER, image_cache_max_size=0)
            assert (done.returncode, done.stdout) == (0, "")
        assert path.exists()
        assert "Removed 1 file" in node.run(PRUNER, image_cache_max_size=0).stdout

    def test_directory_that_is_busy(self, node: Node) -> None:
        node.run(CLEANER)
        with (node.place / "locks" / "admission").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = node.run(PRUNER)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "ERROR: The image cache is busy with admission.\n"


class TestPrefetcher:
    def test_whole_queue(self, server: Server, node: Node) -> None:
        ids = [server.image(DATA + str(number).encode()) for number in range(3)]
        gone = deleted(server)
        node.queue(*ids, gone)
        node.write(ids[0], DATA + b"0")
        done = node.run(PREFETCHER)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            "Cached 2 images (195.3 KiB); 1 cached already; 1 deleted since, no longer queued.\n"
        )
        for number, image_id in enumerate(ids):
            assert (node.place / image_id).read_bytes() == DATA + str(number).encode()
        assert (node.listed("queue"), node.listed("incomplete")) == ([], [])
        assert node.indexed() == sorted(ids)
        again = node.run(PREFETCHER)
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
        assert node.run(PREFETCHER, "-v").stdout == "No image waits to be cached.\n"

    def test_what_stays_queued(self, server: Server, node: Node) -> None:
        inactive, large, lost, good = (
            server.create(),
            server.image(DATA),
            server.image(DATA[:50]),
            server.image(DATA[:60]),
        )
        (server.images / lost).unlink()
        node.queue(inactive, large, lost, good)
        done = node.run(PREFETCHER, image_cache_max_size=1000)
        assert (done.returncode, done.stdout) == (1, "")
        lines = done.stderr.splitlines()
        assert f"Image {inactive} stays queued: its status is queued, not active." in lines
        assert any(line.startswith(f"Image {large} stays queued: its ") for line in lines)
        assert any(line.startswith(f"Image {lost} stays queued: ") for line in lines)
        assert lines[-1] == "Cached 1 image (60 bytes); 3 left in the queue."
        assert node.listed("queue") == sorted([inactive, large, lost])
        assert node.listed() == [good]

    def test_data_that_is_not_the_image(self, server: Server, node: Node) -> None:
        image_id = server.image(DATA)
        (server.images / image_id).write_bytes(DATA[:-1] + b"?")
        node.queue(image_id)
        done = node.run(PREFETCHER)
        assert done.returncode == 1
        assert f"Image {image_id} stays queued: " in done.stderr
        assert (node.listed(), node.listed("queue")) == ([], [image_id])
        assert node.listed("invalid") == [image_id]

    def test_another_process_is_at_it(self, server: Server, node: Node) -> None:
        node.run(CLEANER)
        node.queue(server.image(DATA))
        with (node.place / "locks" / "prefetch").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = node.run(PREFETCHER)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            done = node.run(PREFETCHER, "-v")
            assert done.returncode == 0
            assert done.stdout.startswith("Another process of this node is at it")
        assert node.listed() == []
        assert node.run(PREFETCHER).returncode == 0

    def test_on_a_terminal(self, server: Server, node: Node) -> None:
        node.queue(server.image(DATA))
        code, said = node.run_on_terminal(PREFETCHER)
        assert code == 0
        assert "Caching: " in said
        assert said.splitlines()[-1].endswith("Cached 1 image (97.7 KiB).")
        assert node.run_on_terminal(PREFETCHER) == (0, "No image waits to be cached.\r\n")


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin(BIG) as origin:
        yield origin


@pytest.fixture
def far(server: Server, node: Node, origin: Origin) -> Iterator[str]:
    """An image on a web server that gives out as much as a test allows."""
    port = origin.port
    server.configure(
        {
            "import_filtering_opts": {
                "allowed_hosts": "[127.0.0.1]",
                "allowed_ports": f"[{port}]",
            }
        }
    )
    image_id = Cache(server, node.place).add(origin.url, data=BIG)
    node.queue(image_id)
    yield image_id
    origin.let()


def partial_size(node: Node, image_id: str) -> int:
    path = node.place / "incomplete" / image_id
    return path.stat().st_size if path.exists() else -1


def begin(node: Node, origin: Origin, image_id: str) -> subprocess.Popen[str]:
    """Start a prefetcher, and wait until it has some of an image."""
    process = node.start(PREFETCHER)
    origin.let(2 * MIB)
    eventually(lambda: partial_size(node, image_id) > MIB, "some of the copy")
    return process


class TestInterrupted:
    def test_killed_and_gone_on_with(self, node: Node, origin: Origin, far: str) -> None:
        process = begin(node, origin, far)
        process.kill()
        process.communicate()
        there = partial_size(node, far)
        assert (node.listed(), node.listed("queue")) == ([], [far])
        origin.let()
        done = node.run(PREFETCHER)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "Cached 1 image (3.0 MiB).\n"
        assert (node.place / far).read_bytes() == BIG
        # It did not begin anew.
        assert origin.asked[-1] >= there > MIB
        assert [node.listed(where) for where in ("queue", "incomplete", "invalid")] == [[], [], []]

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_told_to_end(
        self, node: Node, origin: Origin, far: str, number: signal.Signals
    ) -> None:
        process = begin(node, origin, far)
        process.send_signal(number)
        done = finish(process)
        assert done.returncode == 0
        assert partial_size(node, far) > MIB
        assert [name for name in os.listdir(node.place / "locks") if ".fill" in name] == []
        origin.let()
        assert node.run(PREFETCHER).returncode == 0
        assert (node.place / far).read_bytes() == BIG

    def test_two_at_once(self, server: Server, node: Node, origin: Origin, far: str) -> None:
        """The second one finds nothing to do, and what is queued meanwhile is seen by the first."""
        first = begin(node, origin, far)
        late = server.image(DATA)
        node.queue(late)
        second = node.run(PREFETCHER, "-v")
        assert (second.returncode, second.stdout[:15]) == (0, "Another process")
        eventually(lambda: late in node.listed(), "what was queued meanwhile")
        assert first.poll() is None
        origin.let()
        done = finish(first)
        assert (done.returncode, done.stdout) == (0, "Cached 2 images (3.1 MiB).\n")
        assert origin.asked == [0]

    def test_many_at_once_on_a_long_queue(self, server: Server, node: Node) -> None:
        ids = [server.image(DATA + str(number).encode()) for number in range(20)]
        node.queue(*ids)
        processes = [node.start(PREFETCHER) for _ in range(4)]
        results = [finish(process) for process in processes]
        assert [done.returncode for done in results] == [0] * 4
        assert node.listed() == sorted(ids)
        assert node.listed("queue") == []

    def test_disk_that_fails(self, server: Server, node: Node) -> None:
        """A file can be no larger than the process may write."""
        image_id = server.image(BIG)
        node.queue(image_id)
        limited = ("sh", "-c", 'ulimit -f 512; exec "$@"', "sh", *PREFETCHER)
        done = node.run(limited)
        assert done.returncode == 1
        assert f"Image {image_id} stays queued: " in done.stderr
        assert (node.listed(), node.listed("queue")) == ([], [image_id])


class TestRefusals:
    @every_program
    def test_no_cache(self, server: Server, node: Node, program: tuple[str, ...]) -> None:
        del server._env["OS_DEFAULT__IMAGE_CACHE_DIR"]
        done = node.run(program)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "ERROR: [DEFAULT]image_cache_dir is not set, so there is no image cache. No "
            "configuration file was found; name one with --config-file.\n"
        )

    @every_program
    def test_files_that_say_nothing_of_a_cache(
        self, server: Server, node: Node, tmp_path: Path, program: tuple[str, ...]
    ) -> None:
        del server._env["OS_DEFAULT__IMAGE_CACHE_DIR"]
        conf = tmp_path / "x.conf"
        conf.write_text("[database]\nconnection = sqlite:///x\n")
        done = node.run(program, "--config-file", str(conf))
        assert done.returncode == 1
        assert f"Configuration files that were read: {conf}." in done.stderr

    @every_program
    def test_directory_that_is_none(
        self, server: Server, node: Node, tmp_path: Path, program: tuple[str, ...]
    ) -> None:
        (tmp_path / "file").touch()
        done = node.run(program, image_cache_dir=tmp_path / "file")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"ERROR: [DEFAULT]image_cache_dir = {tmp_path}/file cannot")

    @every_program
    def test_driver_without_what_it_needs(self, node: Node, program: tuple[str, ...]) -> None:
        node.write(str(uuid4()), bytes(10))
        node.queue(str(uuid4()))
        settings = {"image_cache_driver": "centralized_db", "image_cache_max_size": 0}
        done = node.run(program, **settings)
        assert (done.returncode, done.stdout) == (1, "")
        assert "[DEFAULT]worker_self_reference_url" in done.stderr

    @every_program
    def test_database_away(
        self, server: Server, node: Node, tmp_path: Path, program: tuple[str, ...]
    ) -> None:
        conf = tmp_path / "x.conf"
        conf.write_text(
            "[DEFAULT]\nworker_self_reference_url = http://node1.example\n"
            "[database]\nconnection = mysql://u:hidden@127.0.0.1:9/x\nmax_retries = 0\n"
        )
        node.write(str(uuid4()), bytes(10))
        node.queue(str(uuid4()))
        done = node.run(program, "--config-file", str(conf), image_cache_max_size=0)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("ERROR: ")
        assert "hidden" not in done.stderr
        assert len(node.listed()) == 1

    @pytest.mark.parametrize("program", [PREFETCHER, SERVICE])
    def test_no_catalogue(self, node: Node, tmp_path: Path, program: tuple[str, ...]) -> None:
        conf = tmp_path / "x.conf"
        conf.write_text("[DEFAULT]\nverbose = false\n")
        node.queue(str(uuid4()))
        done = node.run(program, "--config-file", str(conf))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("ERROR: [database]connection is not set")

    @pytest.mark.parametrize("program", [PREFETCHER, SERVICE])
    def test_directory_of_a_store(
        self, server: Server, node: Node, program: tuple[str, ...]
    ) -> None:
        node.make()
        node.queue(str(uuid4()))
        os.makedirs(server.images / "queue", exist_ok=True)
        (server.images / "queue" / str(uuid4())).touch()
        done = node.run(program, image_cache_dir=server.images)
        assert done.returncode == 1
        assert "are in each other's way" in done.stderr

    @every_program
    @pytest.mark.parametrize(
        ("arguments", "code"),
        [(["--help"], 0), (["--version"], 0), (["--nonsense"], 2), (["x"], 2)],
    )
    def test_usage(
        self, node: Node, program: tuple[str, ...], arguments: list[str], code: int
    ) -> None:
        done = node.run(program, *arguments)
        assert done.returncode == code
        assert "usage: glance-cache" in done.stdout + done.stderr or code == 0


def test_files_and_their_order(server: Server, tmp_path: Path) -> None:
    """Those of the API first, so that a file of the cache's own can say something else."""
    node = Node(server, tmp_path / "cache")
    del server._env["OS_DEFAULT__IMAGE_CACHE_DIR"]
    database = server.state / "glance.sqlite"
    (server.home / "glance-api.conf").write_text(
        f"[DEFAULT]\nimage_cache_dir = {tmp_path}/wrong\n"
        f"[database]\nconnection = sqlite:///{database}\n"
        f"[glance_store]\nfilesystem_store_datadir = {server.images}\n"
    )
    (server.home / "glance-cache.conf").write_text(f"[DEFAULT]\nimage_cache_dir = {node.place}\n")
    try:
        node.make()
        image_id = server.image(DATA)
        node.queue(image_id)
        done = node.run(PREFETCHER)
        assert (done.returncode, done.stderr) == (0, "")
        assert node.listed() == [image_id]
        assert not (tmp_path / "wrong").exists()
    finally:
        (server.home / "glance-api.conf").unlink()
        (server.home / "glance-cache.conf").unlink()


def test_index_in_the_catalogue(server: Server, node: Node) -> None:
    """The other nodes then know of what is cached here."""
    image_id = server.image(DATA)
    node.queue(image_id)
    url = {"worker_self_reference_url": "http://node1.example:9292"}
    assert node.run(PREFETCHER, **url).returncode == 0

    def known() -> list[tuple[str, int]]:
        with closing(sqlite3.connect(server.state / "glance.sqlite", timeout=60)) as database:
            return database.execute("SELECT image_id, size FROM cached_images").fetchall()

    assert known() == [(image_id, len(DATA))]
    done = node.run(PRUNER, **url, image_cache_max_size=10)
    assert done.stdout == "Removed 1 file (97.7 KiB) to keep within image_cache_max_size.\n"
    assert known() == []
