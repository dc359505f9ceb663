import errno
import os
import signal
from pathlib import Path

import pytest

from glance.control.errors import ControlError
from glance.control.pidfile import PidFile
from glance.control.processes import Process, State, look, serves, split

PID_FILE = Path("/run/glance/glance-api.pid")
OURS = "--pidfile=/run/glance/glance-api.pid"


@pytest.mark.parametrize(
    ("line", "program"),
    [
        ("", ""),
        ("/usr/bin/sleep 5", "sleep"),
        ("twistd glance-api", "twistd"),
        ("/usr/bin/python3 /usr/bin/twistd glance-api", "twistd"),
        ("python3.11 -P -m glance.control.twistd x", "glance.control.twistd"),
        ("python -W error -X dev -u /usr/bin/glance-api", "glance-api"),
        ("python -c pass glance-api", ""),
        ("python", ""),
        ("python -m", ""),
        ("pythonic glance-api", "pythonic"),
    ],
)
def test_program_of_a_command_line(line: str, program: str) -> None:
    assert split(line.split(" ") if line else [])[0] == program


@pytest.mark.parametrize(
    "line",
    [
        f"python -P -m glance.control.twistd {OURS} --logfile=x glance-api --debug",
        f"python /usr/bin/twistd {OURS} glance-api",
        "twistd --pidfile /run/glance/glance-api.pid glance-api",
        "twistd --pid /run/glance/glance-api.pid -n glance-api",
        "twistd --pidfile=../run/./glance/glance-api.pid glance-api",
        # The last one counts.
        f"twistd --pidfile=other {OURS} glance-api",
        # The program itself, whoever wrote the file.
        "python /usr/bin/glance-api --config-file x",
        "glance-api",
    ],
)
def test_server_that_is_ours(line: str) -> None:
    assert serves(line.split(), "glance-api", PID_FILE, "/home")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "sleep glance-api",
        "vim /etc/glance/glance-api.conf",
        f"less {OURS} glance-api",
        f"twistd {OURS} web --path glance-api.d",
        f"twistd {OURS} glance-scrubber",
        "twistd --pidfile=/run/glance/other.pid glance-api",
        "twistd --pidfile= glance-api",
        "twistd --pidfile",
        # That would be twistd.pid.
        "twistd glance-api",
        # An option of the server's own is none of twistd's.
        f"twistd glance-api {OURS}",
        "python -m glance.services.worker --debug",
    ],
)
def test_server_that_is_not(line: str) -> None:
    assert not serves(line.split(), "glance-api", PID_FILE, "/home")


@pytest.mark.parametrize(("name", "ours"), [("glance-api.pid", True), ("other.pid", False)])
def test_relative_path_of_a_process_whose_directory_is_hidden(name: str, ours: bool) -> None:
    line = ["twistd", f"--pidfile={name}", "glance-api"]
    assert serves(line, "glance-api", PID_FILE, None) is ours


def sight(tmp_path: Path, text: str, line: str | None) -> tuple[State, str]:
    """Look by a pid file; this very process has an invented command line."""
    proc = tmp_path / "proc" / str(os.getpid())
    proc.mkdir(parents=True)
    if line is not None:
        (proc / "cmdline").write_text("".join(f"{word}\0" for word in line.split()))
    pid_file = PidFile(tmp_path / "x.pid")
    pid_file.path.write_text(text)
    seen = look("glance-api", pid_file, tmp_path / "proc")
    if seen.process:
        seen.process.close()
    return seen.state, seen.why


def test_no_file(tmp_path: Path) -> None:
    assert look("glance-api", PidFile(tmp_path / "x")).state is State.STOPPED


def test_running(tmp_path: Path) -> None:
    line = f"twistd --pidfile={tmp_path}/x.pid glance-api"
    assert sight(tmp_path, str(os.getpid()), line) == (State.RUNNING, "")


def test_another_program(tmp_path: Path) -> None:
    """Its arguments may be nobody's business."""
    me = os.getpid()
    why = f"process {me} is another program now (mysql)"
    assert sight(tmp_path, str(me), "/usr/bin/mysql --password=x") == (State.STALE, why)


def test_thread_of_the_kernel(tmp_path: Path) -> None:
    me = os.getpid()
    why = f"process {me} is another program now (of the kernel)"
    assert sight(tmp_path, str(me), "") == (State.STALE, why)


def test_server_that_ended_and_is_not_buried(tmp_path: Path) -> None:
    if (pid := os.fork()) == 0:
        os._exit(0)
    pid_file = PidFile(tmp_path / "x.pid")
    pid_file.path.write_text(str(pid))
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    seen = look("glance-api", pid_file)
    os.waitpid(pid, 0)
    assert (seen.state, seen.why) == (State.STALE, f"process {pid} is not running")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("\n", "it is empty"),
        ("0", "it is empty"),
        ("4194305", "process 4194305 is not running"),
        ("9" * 40, f"process {'9' * 40} is not running"),
    ],
)
def test_numbers_of_nobody(tmp_path: Path, text: str, why: str) -> None:
    assert sight(tmp_path, text, None) == (State.STALE, why)


def test_process_that_is_hidden(tmp_path: Path) -> None:
    with pytest.raises(ControlError) as caught:
        sight(tmp_path, str(os.getpid()), None)
    assert "hides other users' processes" in caught.value.message


def test_old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int) -> int:
        raise OSError(errno.ENOSYS, "no")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(ControlError) as caught:
        Process.find(1)
    assert "Linux 5.3" in caught.value.message


def test_process_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    with pytest.raises(ControlError) as caught, Process(7, -1) as process:
        process.signal(signal.SIGTERM)
    assert caught.value.message == "Process 7 belongs to another user; you may not signal it."


def test_process_from_its_life_to_its_end() -> None:
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        os.read(reading, 1)
        os._exit(0)
    process = Process.find(pid)
    assert process is not None
    with process:
        assert not process.wait(0)
        assert process.signal(signal.SIGCONT)
        os.write(writing, b"x")
        assert process.wait(60)
        assert process.ended()
        os.waitpid(pid, 0)
        assert process.signal(signal.SIGTERM) is False
    os.close(reading)
    os.close(writing)
    assert Process.find(pid) is None
