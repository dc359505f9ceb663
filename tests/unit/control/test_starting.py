import os
import resource
import sys
from pathlib import Path

import pytest

import glance
from glance.control.errors import ControlError
from glance.control.pidfile import PidFile, Places
from glance.control.servers import Server
from glance.control.starting import OPEN_FILES, Starter, import_environment, raise_limits

ANY = resource.RLIM_INFINITY
SERVER = Server("glance-toy", "toy", ("--daemon",))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1024, 4096), (OPEN_FILES, OPEN_FILES)),
        ((1024, 65536), (OPEN_FILES, 65536)),
        ((1024, ANY), (OPEN_FILES, ANY)),
        ((65536, 65536), (65536, 65536)),
        ((ANY, ANY), (ANY, ANY)),
    ],
)
def test_limit_is_raised(before: tuple[int, int], after: tuple[int, int]) -> None:
    limits = [before]
    assert raise_limits(lambda _: before, lambda _, pair: limits.append(pair))
    assert limits[-1] == after


@pytest.mark.parametrize("error", [PermissionError, ValueError])
def test_limit_that_cannot_be_raised_far_enough(error: type[Exception]) -> None:
    """Then all that is allowed is made use of."""
    limits = [(1024, 4096)]

    def put(which: int, pair: tuple[int, int]) -> None:
        if pair[1] > 4096:
            raise error
        limits.append(pair)

    assert not raise_limits(lambda _: limits[-1], put)
    assert limits[-1] == (4096, 4096)


def test_command(tmp_path: Path) -> None:
    starter = Starter(Places(tmp_path, tmp_path), ["--debug"])
    assert starter.command(SERVER, Path("/run/x.pid"), Path("/etc/x.conf")) == [
        sys.executable,
        "-P",
        "-m",
        "glance.control.twistd",
        "--pidfile=/run/x.pid",
        f"--logfile={tmp_path}/glance-toy.log",
        "glance-toy",
        "--daemon",
        "--config-file=/etc/x.conf",
        "--debug",
    ]
    assert "--logfile" not in " ".join(Starter(None).command(SERVER, Path("/x"), None))


def test_interpreter_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ControlError) as caught:
        Starter(None, capture=True).start(SERVER, PidFile(tmp_path / "x"), None)
    assert caught.value.message == "glance-toy cannot be started: No such file or directory."
    assert os.listdir("/proc/self/fd") == before


def test_no_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    Starter(None).check()
    with pytest.raises(ControlError):
        Starter(None, capture=True).check()


def test_servers_find_what_was_found_in_a_clone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = str(Path(glance.__file__).resolve().parents[1])
    monkeypatch.chdir(root)
    for first in (root, ""):
        monkeypatch.setattr(sys, "path", [first])
        assert import_environment({"PYTHONPATH": "/x"})["PYTHONPATH"] == f"{root}:/x"
        assert import_environment({})["PYTHONPATH"] == root
    monkeypatch.setattr(sys, "path", ["/usr/bin"])
    assert import_environment({}) == {"PYTHONSAFEPATH": "1"}
