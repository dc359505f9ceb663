import os
from pathlib import Path

import pytest

from glance.control.errors import PidFileError
from glance.control.pidfile import PidFile, Places


@pytest.fixture
def pid_file(tmp_path: Path) -> PidFile:
    return PidFile(tmp_path / "run" / "x.pid")


@pytest.mark.parametrize(
    ("text", "pid"), [("12", 12), ("12\n", 12), (" 12 \n", 12), ("", 0), ("\n", 0)]
)
def test_reading(pid_file: PidFile, text: str, pid: int) -> None:
    pid_file.prepare()
    pid_file.path.write_text(text)
    assert pid_file.read() == pid


def test_no_file(pid_file: PidFile) -> None:
    assert pid_file.read() is None
    pid_file.path.parent.write_text("no directory")
    assert pid_file.read() is None


@pytest.mark.parametrize("text", ["-1", "12 13", "0x12", "twelve", "1.5", "12\n\nand more", "٣"])
def test_something_else_in_it(pid_file: PidFile, text: str) -> None:
    pid_file.prepare()
    pid_file.path.write_text(text)
    with pytest.raises(PidFileError) as caught:
        pid_file.read()
    assert caught.value.message.startswith(f"{pid_file.path} does not hold a process number")
    assert pid_file.path.read_text() == text


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_no_regular_file(pid_file: PidFile, make: object) -> None:
    pid_file.prepare()
    make(pid_file.path)  # type: ignore[operator]
    with pytest.raises(PidFileError) as caught:
        pid_file.read()
    assert caught.value.message == f"The pid file {pid_file.path} is not a regular file."


@pytest.mark.parametrize("content", ["12", None])
def test_link_to_another_file(pid_file: PidFile, tmp_path: Path, content: str | None) -> None:
    """Who may write to the directory of the pid file must not have us write somewhere else."""
    pid_file.prepare()
    if content is not None:
        (tmp_path / "target").write_text(content)
    pid_file.path.symlink_to(tmp_path / "target")
    with pytest.raises(PidFileError) as caught:
        pid_file.read()
    assert caught.value.message == (
        f"The pid file {pid_file.path} is a symbolic link, and not followed. Remove it, or name "
        "another file with --pid-file."
    )


def test_file_that_may_not_be_read(pid_file: PidFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "whatever")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PidFileError) as caught:
        pid_file.read()
    assert caught.value.message == (
        f"The pid file {pid_file.path} cannot be read: permission denied."
    )


def test_lock_has_one_holder(pid_file: PidFile) -> None:
    pid_file.prepare()
    with pid_file.lock():
        assert pid_file.try_lock() is None
    again = pid_file.try_lock()
    assert again is not None
    again.release()
    assert list(pid_file.path.parent.iterdir()) == []


def test_lock_on_a_file_that_its_holder_removed(
    pid_file: PidFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opened the file before that must not think that it has the lock."""
    import fcntl

    pid_file.prepare()
    first = pid_file.try_lock()
    assert first is not None
    plain = fcntl.flock

    def flock(descriptor: int, how: int) -> None:
        # The file was opened; now its holder lets it go, and a third takes the name.
        monkeypatch.setattr(fcntl, "flock", plain)
        first.release()
        Path(f"{pid_file.path}.lock").touch()
        plain(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    second = pid_file.try_lock()
    assert second is not None
    assert second.stands()
    assert pid_file.try_lock() is None
    second.release()


def test_waiting_for_the_lock_is_told(pid_file: PidFile) -> None:
    pid_file.prepare()
    held = pid_file.try_lock()
    assert held is not None
    told = []

    def waiting() -> None:
        told.append("waiting")
        held.release()

    with pid_file.lock(waiting):
        assert told == ["waiting"]
    with pid_file.lock(waiting):
        assert told == ["waiting"]


def test_lock_where_nothing_can_be_written(pid_file: PidFile) -> None:
    with pytest.raises(PidFileError) as caught:
        pid_file.try_lock()
    assert caught.value.message == (
        f"The pid file {pid_file.path} cannot be locked by {pid_file.path}.lock: no such file or "
        "directory. Name another file with --pid-file."
    )


def test_lock_is_no_way_to_touch_other_files(pid_file: PidFile, tmp_path: Path) -> None:
    pid_file.prepare()
    os.symlink(tmp_path / "target", f"{pid_file.path}.lock")
    with pytest.raises(PidFileError):
        pid_file.try_lock()
    assert not (tmp_path / "target").exists()


def test_removing_what_is_meant(pid_file: PidFile) -> None:
    pid_file.prepare()
    assert pid_file.remove(5) is False
    pid_file.path.write_text("6")
    assert pid_file.remove(5) is False
    assert pid_file.read() == 6
    assert pid_file.remove(6) is True
    assert list(pid_file.path.parent.iterdir()) == []


def test_removing_what_was_replaced_meanwhile(pid_file: PidFile) -> None:
    """The holder of the lock writes a new number before it lets go."""
    pid_file.prepare()
    pid_file.path.write_text("5")

    class Slow(PidFile):
        def lock(self, *_: object) -> object:  # type: ignore[override]
            self.path.write_text("6")
            return super().lock()

    assert Slow(pid_file.path).remove(5) is False
    assert pid_file.read() == 6


class TestPlaces:
    @pytest.fixture
    def places(self, tmp_path: Path) -> Places:
        return Places(tmp_path / "var" / "glance", tmp_path / "home")

    def test_the_system_where_it_can_be_made(self, places: Places) -> None:
        assert places.directory() == places.system

    def test_the_system_where_it_can_be_written(self, places: Places) -> None:
        places.system.mkdir(parents=True)
        assert places.directory() == places.system

    @pytest.mark.parametrize("level", [0, 1])
    def test_our_own_where_something_is_in_the_way(self, places: Places, level: int) -> None:
        obstacle = [places.system, places.system.parent][level]
        obstacle.parent.mkdir(exist_ok=True)
        obstacle.touch()
        assert places.directory() == places.personal

    def test_our_own_where_we_may_not_write(
        self, places: Places, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        places.system.mkdir(parents=True)
        monkeypatch.setattr(os, "access", lambda path, mode: path != places.system)
        assert places.directory() == places.personal
        # Somebody else's server is found all the same, unless there is one of our own.
        assert places.find("x.pid") == places.personal / "x.pid"
        (places.system / "x.pid").touch()
        assert places.find("x.pid") == places.system / "x.pid"
        places.personal.mkdir()
        (places.personal / "x.pid").touch()
        assert places.find("x.pid") == places.personal / "x.pid"
