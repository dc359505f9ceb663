import os
import stat
from pathlib import Path

import pytest
from twisted.scripts._twistd_unix import ServerOptions

from glance.control.twistd import Runner


@pytest.fixture
def runner() -> Runner:
    return Runner(ServerOptions(), None, None)


def test_everybody_may_read_the_pid_file(runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    former = os.umask(0o077)
    try:
        runner.setupEnvironment(None, ".", True, None, str(path))
    finally:
        os.umask(former)
    assert path.read_text() == str(os.getpid())
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("there", [True, False])
def test_pid_file_that_leads_elsewhere(runner: Runner, tmp_path: Path, there: bool) -> None:
    path, target = tmp_path / "x.pid", tmp_path / "target"
    if there:
        target.write_text("somebody's")
    path.symlink_to(target)
    with pytest.raises(FileExistsError):
        runner.setupEnvironment(None, ".", True, None, str(path))
    assert target.exists() is there
    assert not there or target.read_text() == "somebody's"


def test_no_pid_file(runner: Runner, tmp_path: Path) -> None:
    runner.setupEnvironment(None, ".", True, None, None)
    assert list(tmp_path.iterdir()) == []
