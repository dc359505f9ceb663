"""What looks after a node's cache by the clock: glance-cache, below twistd too, and glance-api."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.functional.cacheprograms import CLEANER, SERVICE, TWISTD, Node, finish
from tests.functional.caching import Cache, Origin, caching
from tests.functional.configured import ConfiguredServer
from tests.functional.server import PATIENCE, Server, eventually
from tests.functional.wire import MIB, begun, data_of

DATA = data_of(100_000)
BIG = data_of(3 * MIB + 17)
#: Everything every second.
OFTEN = {
    "cache_prefetcher_interval": 1,
    "cache_cleaner_interval": 1,
    "cache_pruner_interval": 1,
    "cache_interval_jitter": 0,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A service without a cache, whose catalogue and images are worked on."""
    with Server() as server:
        yield server
        assert server.trouble() == []


@pytest.fixture
def node(server: Server, tmp_path: Path) -> Node:
    node = Node(server, tmp_path / "cache")
    node.make()
    return node


class Running:
    """A service that was started, and what it logs."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log

    def has_logged(self, text: str, times: int = 1) -> None:
        eventually(lambda: self.log.exists() and self.log.read_text().count(text) >= times, text)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return finish(self.process).returncode


@contextmanager
def running(
    node: Node, *arguments: str, program: tuple[str, ...] = SERVICE, **settings: object
) -> Iterator[Running]:
    log = node.server.home / f"log-{uuid4()}"
    values = {**OFTEN, **settings}
    process = node.start(program, "-v", f"--log-file={log}", *arguments, **values)
    try:
        yield Running(process, log)
    finally:
        process.kill()
        process.communicate()
    text = log.read_text() if log.exists() else ""
    assert "Traceback" not in text, text
    assert "Unhandled" not in text, text


def gone(path: Path) -> Callable[[], bool]:
    return lambda: not path.exists()


def await_copy(node: Node, image_id: str) -> None:
    eventually(lambda: image_id in node.listed(), "the copy")
    eventually(lambda: image_id not in node.listed("queue"), "the wish is over")


@pytest.mark.parametrize("program", [SERVICE, TWISTD], ids=["console", "twistd"])
def test_all_duties_again_and_again(server: Server, node: Node, program: tuple[str, ...]) -> None:
    with running(node, program=program, image_cache_max_size=250_000) as service:
        for _ in range(2):
            image_id = server.image(DATA)
            node.queue(image_id)
            await_copy(node, image_id)
            assert (node.place / image_id).read_bytes() == DATA
            broken = node.write(str(uuid4()), b"12345", "invalid")
            eventually(gone(broken), "the broken copy goes")
            deleted = node.write(str(uuid4()), b"12345")
            eventually(gone(deleted), "the copy of an image that there is not goes")
        other = server.image(DATA)
        # It comes by another way, and is too much.
        node.write(other, DATA, age=3600)
        eventually(lambda: len(node.listed()) == 2, "what is too much goes")
        assert service.stop() == 0


class TestReload:
    def write(self, server: Server, conf: Path, place: Path, **more: object) -> None:
        settings = {"image_cache_dir": place, **OFTEN, **more}
        lines = [f"{name} = {value}" for name, value in settings.items()]
        conf.write_text(
            "[DEFAULT]\n" + "\n".join(lines) + f"\n[database]\nconnection = "
            f"sqlite:///{server.state}/glance.sqlite\n"
            f"[glance_store]\nfilesystem_store_datadir = {server.images}\n"
        )

    @pytest.mark.parametrize("program", [SERVICE, TWISTD], ids=["console", "twistd"])
    def test_another_directory(
        self, server: Server, node: Node, tmp_path: Path, program: tuple[str, ...]
    ) -> None:
        del server._env["OS_DEFAULT__IMAGE_CACHE_DIR"]
        other = Node(server, tmp_path / "other")
        other.make()
        del server._env["OS_DEFAULT__IMAGE_CACHE_DIR"]
        image_id = server.image(DATA)
        conf = tmp_path / "x.conf"
        self.write(server, conf, node.place)
        with running(node, "--config-file", str(conf), program=program) as service:
            eventually(lambda: (node.place / "cache.db").exists(), "the beginning")
            conf.write_text("[DEFAULT]\ncache_pruner_interval = often\n")
            service.process.send_signal(signal.SIGHUP)
            service.has_logged("Reload given up, everything stays as it was")
            node.queue(image_id)
            eventually(lambda: node.listed() == [image_id], "it works as before")
            self.write(server, conf, other.place)
            service.process.send_signal(signal.SIGHUP)
            service.has_logged("Going on by the configuration as it is now")
            other.queue(image_id)
            eventually(lambda: other.listed() == [image_id], "it works elsewhere")
            late = node.write(str(uuid4()), b"1", "invalid")
            broken = other.write(str(uuid4()), b"1", "invalid")
            eventually(gone(broken), "it cleans elsewhere")
            assert late.exists()
            assert service.stop() == 0

    def test_of_what_is_under_way(self, server: Server, node: Node, tmp_path: Path) -> None:
        """It is broken off, and gone on with."""
        del server._env["OS_DEFAULT__IMAGE_CACHE_DIR"]
        conf = tmp_path / "x.conf"
        with Origin(BIG) as origin:
            image_id = Cache(server, node.place).add(origin.url, data=BIG)
            allow(server, origin)
            node.queue(image_id)
            self.write(server, conf, node.place)
            with running(node, "--config-file", str(conf)) as service:
                origin.let(2 * MIB)
                eventually(lambda: partial_size(node, image_id) > MIB, "some of the copy")
                service.process.send_signal(signal.SIGHUP)
                service.has_logged("Going on by the configuration as it is now")
                # A request for all comes first.
                eventually(lambda: origin.asked[-1] > MIB, "the store is asked for the rest")
                origin.let()
                eventually(lambda: node.listed() == [image_id], "the copy")
                assert (node.place / image_id).read_bytes() == BIG
                assert service.stop() == 0


def allow(server: Server, origin: Origin) -> None:
    port = origin.port
    options = {"allowed_hosts": "[127.0.0.1]", "allowed_ports": f"[{port}]"}
    server.configure({"import_filtering_opts": options})


def partial_size(node: Node, image_id: str) -> int:
    path = node.place / "incomplete" / image_id
    return path.stat().st_size if path.exists() else -1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_end_in_mid_fill(server: Server, node: Node, number: signal.Signals) -> None:
    with Origin(BIG) as origin:
        image_id = Cache(server, node.place).add(origin.url, data=BIG)
        allow(server, origin)
        node.queue(image_id)
        with running(node) as service:
            origin.let(2 * MIB)
            eventually(lambda: partial_size(node, image_id) > MIB, "some of the copy")
            assert service.stop(number) == 0
        assert partial_size(node, image_id) > MIB
        assert [name for name in os.listdir(node.place / "locks") if ".fill" in name] == []
        with running(node) as service:
            origin.let()
            eventually(lambda: node.listed() == [image_id], "the copy")
            assert origin.asked[-1] > MIB


def test_several_take_turns(server: Server, node: Node) -> None:
    ids = [server.image(DATA + str(number).encode()) for number in range(10)]
    with running(node), running(node), running(node, program=TWISTD) as one:
        node.queue(*ids)
        eventually(lambda: node.listed("queue") == [], "all wishes are over")
        assert node.listed() == sorted(ids)
        # Who has the turn may die.
        one.process.kill()
        broken = node.write(str(uuid4()), b"12345", "invalid")
        eventually(gone(broken), "the others go on")


def test_directory_that_goes_away(server: Server, node: Node) -> None:
    """It is told of once, and all is well as soon as it is back."""
    image_id = server.image(DATA)
    with running(node) as service:
        eventually(lambda: (node.place / "cache.db").exists(), "the beginning")
        away = node.place.with_name("away")
        node.place.rename(away)
        for duty in ("fill", "clean", "prune"):
            service.has_logged(f"The cache's upkeep ({duty}) failed")
        away.rename(node.place)
        for duty in ("fill", "clean", "prune"):
            service.has_logged(f"The cache's upkeep ({duty}) works again")
        assert service.log.read_text().count("The cache's upkeep (fill) failed") == 1
        node.queue(image_id)
        await_copy(node, image_id)
        assert service.stop() == 0


def test_what_the_service_manager_is_told(server: Server, node: Node, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        server._env["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        try:
            with running(node) as service:
                assert manager.recv(4096).startswith(b"READY=1\n")
                service.process.send_signal(signal.SIGHUP)
                assert manager.recv(4096).startswith(b"RELOADING=1\n")
                assert manager.recv(4096).startswith(b"READY=1\n")
                service.process.send_signal(signal.SIGTERM)
                assert manager.recv(4096).startswith(b"STOPPING=1")
                assert finish(service.process).returncode == 0
        finally:
            del server._env["NOTIFY_SOCKET"]


class TestControl:
    """``glance-control cache …``."""

    def control(self, server: Server, *argv: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "glance.cmd.control", *argv],
            capture_output=True,
            text=True,
            cwd=server.home,
            env=server._env,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def test_a_day_in_its_life(self, server: Server, node: Node, tmp_path: Path) -> None:
        path, log = tmp_path / "cache.pid", tmp_path / "cache.log"
        conf = tmp_path / "x.conf"
        TestReload().write(server, conf, node.place)
        options = ["--pid-file", str(path), f"--log-file={log}", "-v"]
        try:
            code, out, err = self.control(server, *options, "cache", "start", str(conf))
            assert (code, err) == (0, "")
            pid = int(path.read_text())
            assert f"glance-cache (pid {pid}) is up" in out
            image_id = server.image(DATA)
            node.queue(image_id)
            eventually(lambda: node.listed() == [image_id], "the copy")
            line = f"glance-cache (pid {pid}) is running...\n"
            assert self.control(server, *options[:2], "cache", "status") == (0, line, "")
            line = f"Reloading glance-cache (pid {pid}) with signal(1)\n"
            assert self.control(server, *options[:2], "cache", "reload") == (0, line, "")
            told = "Going on by the configuration as it is now"
            eventually(lambda: told in log.read_text(), "the reload")
            code, out, err = self.control(server, *options, "cache", "restart", str(conf))
            assert (code, err) == (0, "")
            second = int(path.read_text())
            assert second != pid
            line = f"Stopping glance-cache (pid {second}) with signal(15)\n"
            assert self.control(server, *options[:2], "cache", "stop") == (0, line, "")
            assert not path.exists()
        finally:
            if path.exists():
                os.kill(int(path.read_text()), signal.SIGKILL)

    def test_no_cache(self, server: Server, node: Node, tmp_path: Path) -> None:
        del server._env["OS_DEFAULT__IMAGE_CACHE_DIR"]
        options = ["--pid-file", str(tmp_path / "p"), "--log-dir", str(tmp_path)]
        code, out, err = self.control(server, *options, "cache", "start")
        assert code == 1
        assert "ERROR: [DEFAULT]image_cache_dir is not set, so there is no image cache." in err
        assert "ERROR: glance-cache did not start: exit code 1." in err


# The API does the same.


def test_worker_that_looks_after_the_cache(tmp_path: Path) -> None:
    """One of them does, and another one in its place."""
    settings = {"image_cache_stall_time": 0, **OFTEN}
    with caching(workers=2, settings=settings) as cache:
        node = Node(cache.server, cache.place)
        for _ in range(3):
            broken = node.write(str(uuid4()), b"12345", "invalid")
            eventually(gone(broken), "the broken copy goes")
            image_id = cache.server.image(DATA)
            node.queue(image_id)
            await_copy(node, image_id)
            for pid in cache.server.workers():
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_queued_over_http_is_fetched_at_once(workers: int) -> None:
    """In whatever worker that is; the next look at the queue is far away."""
    with caching(workers=workers) as cache:
        node = Node(cache.server, cache.place)
        for _ in range(6):
            image_id = cache.server.image(DATA)
            answer = cache.server.request("PUT", f"/v2/cache/{image_id}")
            assert answer.status in (200, 202), answer
            await_copy(node, image_id)


@pytest.mark.parametrize("workers", [0, 2])
def test_switched_off(workers: int) -> None:
    """Then other processes do it; what is queued over HTTP is fetched all the same."""
    settings = {"cache_upkeep": False, **OFTEN}
    with caching(workers=workers, settings=settings) as cache:
        node = Node(cache.server, cache.place)
        broken = node.write(str(uuid4()), b"12345", "invalid")
        image_id = cache.server.image(DATA)
        assert cache.server.request("PUT", f"/v2/cache/{image_id}").status in (200, 202)
        eventually(lambda: cache.has(image_id), "the copy")
        assert broken.exists()
        assert node.run(CLEANER).returncode == 0
        assert not broken.exists()


def test_what_drains_leaves_it_to_what_follows() -> None:
    """The generation before may have an upload in hand for hours, with other options."""
    server = ConfiguredServer({"workers": 0})
    before, after = server.state / "before", server.state / "after"
    server.write(image_cache_dir=before, **OFTEN)
    with server:
        with begun(server, server.create()):
            server.write(image_cache_dir=after)
            server.reload()
            left = before / "invalid" / str(uuid4())
            left.write_bytes(b"12345")
            # As often as the other one would have been there, too.
            for _ in range(3):
                broken = after / "invalid" / str(uuid4())
                broken.write_bytes(b"12345")
                eventually(gone(broken), "the broken copy goes")
            assert left.exists()
        assert server.trouble() == []


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_and_started_again_in_mid_fill(workers: int) -> None:
    with Origin(BIG) as origin, caching(origin, workers=workers, checked=False) as cache:
        server = cache.server
        image_id = cache.add(origin.url, data=BIG)
        origin.let(2 * MIB)
        assert server.request("PUT", f"/v2/cache/{image_id}").status in (200, 202)
        eventually(lambda: cache.size_of_partial(image_id) > MIB, "some of the copy")
        victims = [server.pid, *server.templates(), *server.workers()]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        server.kill()
        origin.let()
        server.start()
        cache.await_copy(image_id, BIG)
        assert origin.asked[-1] > MIB
        eventually(lambda: not cache.has(image_id, "queue"), "the wish is over")


@pytest.mark.parametrize("workers", [0, 2])
def test_stop_in_mid_fill(workers: int) -> None:
    with Origin(BIG) as origin, caching(origin, workers=workers) as cache:
        image_id = cache.add(origin.url, data=BIG)
        origin.let(2 * MIB)
        assert cache.server.request("PUT", f"/v2/cache/{image_id}").status in (200, 202)
        eventually(lambda: cache.size_of_partial(image_id) > MIB, "some of the copy")
        assert cache.server.stop() == 0
        assert cache.size_of_partial(image_id) > MIB
        assert cache.fills() == []
        origin.let()
        cache.server.start()
        cache.await_copy(image_id, BIG)
