"""``glance-control`` with real processes, signals and pid files."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.server import PATIENCE, ROOT, eventually
from tests.functional.toys import Box


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.clean()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A program that is none of ours."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def control(
    home: Path, *argv: str, module: str = "glance.cmd.control", **more: str
) -> tuple[int, str, str]:
    """Run the real program, with its own servers."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-m", module, *argv],
        capture_output=True,
        text=True,
        cwd=home,
        env=kept | {"HOME": str(home), "PYTHONPATH": str(ROOT), **more},
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


# The API itself.


def test_a_day_in_the_life_of_the_api(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path, log = tmp_path / "run" / "api.pid", tmp_path / "api.log"
    settings = tmp_path / "api.conf.d"
    settings.mkdir()
    (settings / "x.conf").write_text(
        f"[DEFAULT]\nbind_host = 127.0.0.1\nbind_port = {port}\nworkers = 0\n"
        f"[database]\nconnection = sqlite:///{tmp_path}/glance.sqlite\n"
        f"[glance_store]\nfilesystem_store_datadir = {tmp_path}/images\n"
    )
    options = ["--pid-file", str(path), "--config-dir", str(settings), f"--log-file={log}", "-v"]

    # Nothing listens yet, and the schema is not there: the server says so, and start does.
    code, out, err = control(tmp_path, *options, "api", "start")
    assert code == 1
    assert err.startswith("ERROR: The database")
    assert "ERROR: glance-api did not start: exit code 1." in err
    assert not path.exists()
    manage = ["--config-dir", str(settings), "db", "sync"]
    assert control(tmp_path, *manage, module="glance.cmd.manage")[0] == 0

    try:
        code, out, err = control(tmp_path, *options, "api", "start")
        assert (code, err) == (0, "")
        first = int(path.read_text())
        assert "Starting glance-api\n" in out
        assert f"glance-api (pid {first}) is up; pid file {path}\n" in out
        # Other users may ask as well.
        assert path.stat().st_mode & 0o777 == 0o644
        assert answers(port)
        line = f"glance-api (pid {first}) is running...\n"
        assert control(tmp_path, "--pid-file", str(path), "api", "status") == (0, line, "")
        line = f"glance-api appears to already be running: {path}\n"
        assert control(tmp_path, *options, "glance-api", "start") == (0, line, "")
        line = f"Reloading glance-api (pid {first}) with signal(1)\n"
        assert control(tmp_path, "--pid-file", str(path), "api", "force-reload") == (0, line, "")

        bad = tmp_path / "bad.conf"
        bad.write_text("[DEFAULT]\nbacklog = many\n")
        code, out, err = control(tmp_path, *options, "api", "restart", str(bad))
        # It is found out before anything is stopped.
        assert (code, out) == (1, "")
        assert err.startswith("ERROR: glance-api is left as it is: [DEFAULT]backlog")
        assert running(first)

        code, out, err = control(tmp_path, *options, "api", "restart")
        assert (code, err) == (0, "")
        assert out.startswith(
            f"Restarting glance-api\nStopping glance-api (pid {first}) with signal(15)\n"
        )
        second = int(path.read_text())
        assert second != first
        assert not running(first)
        assert answers(port)

        line = f"Stopping glance-api (pid {second}) with signal(15)\n"
        assert control(tmp_path, "--pid-file", str(path), "api", "stop") == (0, line, "")
        assert not running(second)
        assert not answers(port)
        assert list(path.parent.iterdir()) == []
        line = "glance-api is already stopped\n"
        assert control(tmp_path, "--pid-file", str(path), "api", "stop") == (0, line, "")
        assert "Accepting requests" in log.read_text()
    finally:
        if path.exists():
            os.kill(int(path.read_text()), signal.SIGKILL)


def test_bad_configuration_starts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text("[DEFAULT]\nworkers = many\n")
    options = ["--pid-file", str(tmp_path / "p"), "--log-dir", str(tmp_path)]
    code, out, err = control(tmp_path, *options, "api", "start", str(path))
    assert code == 1
    assert f"Starting glance-api with {path}\n" in out
    assert f"ERROR: [DEFAULT]workers ({path} line 2) is 'many': it must be an integer" in err
    assert "ERROR: glance-api did not start: exit code 1." in err
    assert not (tmp_path / "p").exists()


# What can be typed.


@pytest.mark.parametrize(
    "argv", [[], ["api"], ["nova", "start"], ["api", "nap"], ["api", "start", "a", "b"]]
)
def test_wrong_usage(tmp_path: Path, argv: list[str]) -> None:
    code, out, err = control(tmp_path, *argv)
    assert (code, out) == (2, "")
    assert err.startswith("usage: glance-control [options] SERVER COMMAND [CONFPATH]\n")


def test_status_loads_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "glance.cmd.control", "api", "status"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        timeout=PATIENCE,
        check=True,
    )
    assert "glance.control.commands" in done.stderr
    for heavy in ("twisted", "sqlalchemy", "asyncio"):
        assert f" {heavy}\n" not in done.stderr


@pytest.mark.parametrize("name", ["registry", "glance-registry"])
@pytest.mark.parametrize("command", ["start", "status"])
def test_a_server_that_is_no_more(tmp_path: Path, name: str, command: str) -> None:
    told = (
        "ERROR: glance-registry: there is no such service any more, since glance-api works on the "
        "database itself.\n"
    )
    assert control(tmp_path, name, command) == (3, "", told)


def test_watching_briefly_and_for_ever(tmp_path: Path) -> None:
    code, out, err = control(tmp_path, "--await-child=1", "--respawn", "api", "start")
    assert (code, out) == (1, "")
    assert "await_child and respawn exclude each other" in err


def test_one_file_for_several_servers(tmp_path: Path) -> None:
    code, out, err = control(tmp_path, "--pid-file", str(tmp_path / "p"), "all", "status")
    assert (code, out) == (2, "")
    assert "cannot serve several servers" in err


@pytest.mark.parametrize(
    ("path", "told"), [("absent.conf", "there is no file"), (".", "is a directory")]
)
def test_configuration_file_that_is_none(box: Box, path: str, told: str) -> None:
    assert box("toy", "start") and box.notes().count("made") == 1
    pid = box.pid()
    code, out, err = box("toy", "restart", path)
    # It is found out before anything is stopped.
    assert (code, out) == (1, "")
    assert err.startswith("ERROR: CONFPATH: ")
    assert told in err
    assert running(pid)


def test_what_servers_are_given(box: Box) -> None:
    path = box.root / "toy.conf"
    path.touch()
    code, out, _ = box("toy", "start", "--config-dir=lib", "toy.conf", "--debug")
    assert code == 0
    assert f"Starting glance-toy with {path}\n" in out
    assert "started ['config-dir', 'config-file', 'debug']" in box.notes()
    command = Path(f"/proc/{box.pid()}/cmdline").read_text().split("\0")
    assert f"--config-file={path}" in command
    assert f"--config-dir={box.root}/lib" in command
    assert os.getsid(box.pid()) == box.pid()
    for number in (0, 1, 2):
        assert os.readlink(f"/proc/{box.pid()}/fd/{number}") == "/dev/null"


def test_all(box: Box) -> None:
    code, out, err = box("all", "start")
    assert (code, err) == (0, "")
    assert out.count("Skipping glance-doll: no dolls here.\n") == 1
    assert "started ['daemon']" in box.notes()
    pids = [box.pid(name) for name in ("glance-toy", "glance-ball")]
    code, out, _ = box("all", "reload")
    assert code == 1
    assert f"Reloading glance-toy (pid {pids[0]}) with signal(1)\n" in out
    code, out, err = box("all", "stop")
    assert (code, err) == (0, "")
    assert not any(running(pid) for pid in pids)
    assert box("doll", "stop") == (3, "", "ERROR: glance-doll: no dolls here.\n")
    # One that cannot be started leaves the other its turn.
    (box.run_directory / "glance-toy.pid").mkdir()
    code, out, err = box("all", "start")
    assert (code, err) == (1, f"ERROR: The pid file {box.pid_file} is not a regular file.\n")
    assert running(box.pid("glance-ball"))
    box.pid_file.rmdir()


# Pid files.


def test_two_starts_at_once(box: Box) -> None:
    starts = [box.popen("toy", "start") for _ in range(3)]
    said = [start.communicate(timeout=PATIENCE)[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0]
    assert box.notes().count("made") == 1
    assert sum("is up" in text for text in said) == 1
    assert sum("appears to already be running" in text for text in said) == 2
    assert [path.name for path in box.run_directory.iterdir()] == ["glance-toy.pid"]


def test_stale_file(box: Box) -> None:
    assert box("toy", "start")[0] == 0
    dead = box.pid()
    os.kill(dead, signal.SIGKILL)
    eventually(lambda: not running(dead), "the toy is dead")
    code, out, err = box("toy", "status")
    why = f"tale pid file {box.pid_file}: process {dead} is not running\n"
    assert (code, out, err) == (0, f"glance-toy is stopped\nS{why}", "")
    code, out, err = box("toy", "reload")
    assert (code, out, err) == (1, "", "ERROR: Server glance-toy is stopped\n")
    code, out, err = box("toy", "start")
    assert (code, err) == (0, "")
    assert f"Removing s{why}" in out
    assert running(box.pid())


@pytest.mark.parametrize("command", ["stop", "start", "reload"])
def test_number_of_another_program(
    box: Box, stranger: subprocess.Popen[bytes], command: str
) -> None:
    box.run_directory.mkdir()
    box.pid_file.write_text(f"{stranger.pid}\n")
    code, out, _ = box("toy", command)
    assert stranger.poll() is None
    if command == "reload":
        assert (code, out) == (1, "")
        return
    assert code == 0
    assert (
        f"Removing stale pid file {box.pid_file}: process {stranger.pid} is another program now "
        "(sleep)\n"
    ) in out
    assert ("glance-toy is already stopped\n" in out) == (command == "stop")
    assert box.pid_file.exists() == (command == "start")


def test_server_of_another_file(box: Box) -> None:
    """Two servers of one kind are two servers."""
    assert box("toy", "start")[0] == 0
    other = box.root / "other.pid"
    other.write_text(str(box.pid()))
    code, out, _ = box("--pid-file=other.pid", "toy", "stop")
    assert code == 0
    assert "is already stopped" in out
    assert running(box.pid())


@pytest.mark.parametrize("command", ["start", "stop"])
def test_file_that_holds_something_else(box: Box, command: str) -> None:
    path = box.root / "precious"
    path.write_text("my thesis\n")
    code, out, err = box("--pid-file", str(path), "toy", command)
    assert (code, out) == (1, "")
    assert err.startswith(f"ERROR: {path} does not hold a process number")
    assert path.read_text() == "my thesis\n"
    assert box.notes() == []


def test_directory_that_cannot_be_made(box: Box) -> None:
    (box.root / "file").touch()
    path = box.root / "file" / "x.pid"
    code, out, err = box("--pid-file", str(path), "toy", "start")
    assert (code, out) == (1, "")
    assert err == (
        f"ERROR: The directory of the pid file {path} cannot be made: something else has its name. "
        "Name another file with --pid-file.\n"
    )
    assert box.notes() == []


def test_system_directory_that_cannot_be_written(box: Box) -> None:
    box.run_directory.write_text("no directory")
    personal = box.root / ".local/state/glance/run/glance-toy.pid"
    try:
        code, out, err = box("toy", "start")
        assert (code, err) == (0, "")
        pid = int(personal.read_text())
        assert f"glance-toy (pid {pid}) is up; pid file {personal}\n" in out
        assert box("toy", "status")[1] == f"glance-toy (pid {pid}) is running...\n"
        assert box("toy", "stop")[0] == 0
        assert not running(pid)
    finally:
        if personal.exists():
            os.kill(int(personal.read_text()), signal.SIGKILL)


# Servers that misbehave.


@pytest.mark.parametrize(
    ("mode", "told"),
    [("fail", "ERROR: the toy is broken\n"), ("fail later", "ValueError: no luck")],
)
def test_start_that_fails(box: Box, mode: str, told: str) -> None:
    box.mode(mode)
    code, out, err = box("toy", "start")
    assert code == 1
    assert told in err
    assert "ERROR: glance-toy did not start: exit code 1." in err
    assert "is up" not in out
    assert list(box.run_directory.iterdir()) == []


def test_server_that_dies_at_once(box: Box) -> None:
    box.mode("die")
    code, out, err = box("--await-child", "30", "toy", "start")
    assert code == 7
    assert "is up; pid file" in out
    assert "is up no more: exit code 7\n" in err


def test_server_that_dies_after_a_start_that_nobody_watched(box: Box) -> None:
    box.mode("die")
    assert box("toy", "start")[0] == 0
    eventually(lambda: not running(box.pid()), "the toy is dead")
    assert "glance-toy is stopped\n" in box("toy", "status")[1]


def test_server_that_lives(box: Box) -> None:
    code, _, err = box("--await-child=1", "toy", "start")
    assert (code, err) == (0, "")


def test_work_that_has_to_be_broken_off(box: Box) -> None:
    box.mode("deaf")
    assert box("toy", "start")[0] == 0
    pid = box.pid()
    code, out, err = box("toy", "stop")
    assert (code, err) == (0, "")
    assert out.startswith(
        f"Stopping glance-toy (pid {pid}) with signal(15)\nglance-toy (pid {pid}) still has work"
    )
    assert out.endswith(f"Stopping glance-toy (pid {pid}) with signal(2)\n")
    assert "TERM" in box.notes()
    assert not running(pid)


def test_quick_end_of_what_was_started_in_the_background(box: Box) -> None:
    """A shell has programs in the background ignore SIGINT, and they hand that on."""
    box.mode("deaf")
    box.prefix = ["env", "--ignore-signal=INT"]
    assert box("toy", "start")[0] == 0
    assert box("toy", "stop")[0] == 0


def test_reload(box: Box) -> None:
    box.mode("reload")
    assert box("toy", "start")[0] == 0
    assert box("toy", "reload")[0] == 0
    eventually(lambda: "HUP" in box.notes(), "the toy was reloaded")
    assert box("ball", "reload") == (1, "", "ERROR: Reload of glance-ball not supported\n")


def test_reload_that_kills(box: Box) -> None:
    box.mode("die of reload")
    assert box("toy", "start")[0] == 0
    code, _, err = box("toy", "reload")
    assert (code, err) == (
        1,
        f"ERROR: glance-toy (pid {box.pid()}) ended instead of reloading\n",
    )


def test_output_goes_to_syslog(box: Box) -> None:
    """What has no log to go to, and outlives the program that started the server."""
    bin_directory = box.root / "bin"
    bin_directory.mkdir()
    logger = bin_directory / "logger"
    logger.write_text('#!/bin/sh\n{ echo "$@"; cat; } > "$TOY_ROOT/syslog"\n')
    logger.chmod(0o755)
    box.environment["PATH"] = f"{bin_directory}:{box.environment['PATH']}"
    assert box("--capture-output", "toy", "start")[0] == 0
    pid, syslog = box.pid(), box.root / "syslog"
    expected = f"-t glance-toy[{pid}]\nwords for nobody\n"
    eventually(lambda: syslog.exists() and syslog.read_text() == expected, "the words arrive")


# Watching.


def follow(process: subprocess.Popen[str]) -> list[str]:
    """Collect what a program says, while it runs."""
    lines: list[str] = []

    def read(stream: object) -> None:
        for line in stream:  # type: ignore[attr-defined]
            lines.append(line.rstrip("\n"))

    for stream in (process.stdout, process.stderr):
        threading.Thread(target=read, args=(stream,), daemon=True).start()
    return lines


def said(lines: list[str], text: str) -> None:
    eventually(lambda: any(text in line for line in lines), f"{text!r} among {lines}")


def test_respawn_until_stopped(box: Box) -> None:
    with box.watching("--respawn", "toy", "start") as watcher:
        lines = follow(watcher)
        said(lines, "is up; pid file")
        first = box.pid()
        os.kill(first, signal.SIGKILL)
        said(lines, "Suppressed respawn as glance-toy was bouncing. It ended again (killed by sig")
        # It is there, and empty, for a moment before there is a number in it.
        known = ("", str(first))
        eventually(
            lambda: box.pid_file.exists() and box.pid_file.read_text().strip() not in known,
            "another toy",
        )
        said(lines, f"glance-toy (pid {box.pid()}) is up")
        assert box("toy", "stop")[0] == 0
        assert watcher.wait(PATIENCE) == 0
        said(lines, "Suppressed respawn as glance-toy was deliberately stopped.")
    assert box.notes().count("made") == 2
    assert not box.pid_file.exists()


def test_watch_of_all_is_ended_by_a_signal(box: Box) -> None:
    box.mode("reload")
    with box.watching("--respawn", "all", "start") as watcher:
        lines = follow(watcher)
        said(lines, "glance-ball (pid")
        pids = [box.pid(name) for name in ("glance-toy", "glance-ball")]
        watcher.send_signal(signal.SIGHUP)
        eventually(lambda: box.notes().count("HUP") == 1, "the one that can is reloaded")
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(PATIENCE) == 0
    assert not any(running(pid) for pid in pids)
    assert list(box.run_directory.iterdir()) == []


def test_first_start_that_fails_is_not_watched(box: Box) -> None:
    box.mode("fail")
    code, _, err = box("--respawn", "toy", "start")
    assert code == 1
    assert "did not start" in err
    assert box.notes() == ["made"]


def test_crash_loop(box: Box) -> None:
    box.mode("die")
    with box.watching("--respawn", "toy", "start") as watcher:
        lines = follow(watcher)
        said(lines, "(exit code 7) and will be started in 1 s.")
        box.mode("fail")
        said(lines, "(exit code 1) and will be started in 2 s.")
        # Whoever removes the file in a pause has it stopped.
        code, out, _ = box("toy", "stop")
        assert (code, out.splitlines()[0]) == (0, "glance-toy is already stopped")
        assert watcher.wait(PATIENCE) == 0
        said(lines, "Suppressed respawn as glance-toy was deliberately stopped.")


def test_somebody_else_starts_it_in_a_pause(box: Box) -> None:
    with box.watching("--respawn", "toy", "start") as watcher:
        lines = follow(watcher)
        said(lines, "is up; pid file")
        first = box.pid()
        os.kill(first, signal.SIGKILL)
        said(lines, "bouncing")
        assert box("toy", "start")[0] == 0
        assert watcher.wait(PATIENCE) == 0
        assert any("is up; pid file" in line for line in lines)
    assert box.notes().count("made") == 2
    assert running(box.pid())
