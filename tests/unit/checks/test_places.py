import os
import time

import pytest

from glance.checks import places
from glance.checks.places import thd_directories, thd_room, thd_trouble
from glance.checks.results import Level
from tests.unit.checks.conftest import bad, levels

UUID = "5f6c2d3e-0000-4000-8000-00000000000"


def closed(monkeypatch, path):
    """Have a directory seem one that we may not write, whoever runs the tests."""
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda at, *args, **kw: str(at) != str(path) and real(at, *args, **kw)
    )


class TestTrouble:
    def test_good(self, tmp_path):
        assert thd_trouble(str(tmp_path)) is None

    def test_missing_but_can_be_made(self, tmp_path):
        assert thd_trouble(f"{tmp_path}/a/b/c/") is None

    def test_missing_and_cannot_be_made(self, tmp_path, monkeypatch):
        closed(monkeypatch, tmp_path)
        assert f"cannot be made: {tmp_path} is not" in (thd_trouble(f"{tmp_path}/a/b") or "")

    def test_below_a_file(self, tmp_path):
        (tmp_path / "x").write_text("")
        assert "cannot be looked at: not a directory" in (thd_trouble(f"{tmp_path}/x/a") or "")
        assert thd_trouble(f"{tmp_path}/x") == "is not a directory"

    def test_below_a_dangling_link(self, tmp_path):
        (tmp_path / "link").symlink_to("/nonexistent/there")
        assert "cannot be made" in (thd_trouble(f"{tmp_path}/link/a") or "")

    def test_not_ours(self, tmp_path, monkeypatch):
        closed(monkeypatch, tmp_path)
        assert "give it to the user" in (thd_trouble(str(tmp_path)) or "")


class TestDirectories:
    def test_none_configured(self, make):
        assert list(thd_directories(make())) == []

    @pytest.mark.parametrize(
        "option",
        [
            "state_dir = {}",
            "log_dir = {}",
            "log_file = {}/glance.log",
            "node_staging_uri = file://{}/",
        ],
    )
    def test_each(self, make, tmp_path, option):
        place = tmp_path / "place"
        setting = make(f"[DEFAULT]\n{option.format(place)}\n")
        if option.startswith("log_"):
            # This one the service does not make.
            (finding,) = thd_directories(setting)
            assert finding.text.endswith(f"{place} is missing; make it.")
            place.mkdir()
            assert list(thd_directories(setting)) == []
            place.rmdir()
            place.write_text("")
            assert bad(thd_directories(setting))
            return
        assert list(thd_directories(setting)) == []
        place.write_text("")
        (finding,) = thd_directories(setting)
        assert finding.level is Level.FAILURE
        name = option.split(" ")[0]
        assert finding.text.startswith(f"[DEFAULT]{name}: {place}")

    def test_staging_with_several_stores(self, make, tmp_path):
        setting = make(
            "[DEFAULT]\nenabled_backends = a:file\nnode_staging_uri = file:///proc/none\n"
            f"[os_glance_staging_store]\nfilesystem_store_datadir = {tmp_path}/staging\n"
        )
        assert list(thd_directories(setting)) == []
        (tmp_path / "staging").write_text("")
        (finding,) = thd_directories(setting)
        assert finding.text.startswith("[os_glance_staging_store]filesystem_store_datadir")

    def test_leftovers(self, make, tmp_path):
        staging = tmp_path / "staging"
        staging.mkdir()
        setting = make(f"[DEFAULT]\nnode_staging_uri = file://{staging}\n")
        for name in (f"{UUID}1", f"{UUID}2.converted", f"{UUID}3", "notes"):
            (staging / name).write_text("12345")
        assert list(thd_directories(setting)) == []
        for name in (f"{UUID}1", f"{UUID}2.converted", "notes"):
            os.utime(staging / name, (time.time() - 2 * 86400,) * 2)
        (told,) = bad(thd_directories(setting))
        assert "2 staged files (10 bytes)" in told


@pytest.mark.parametrize(("free", "level"), [(places.NEARLY_FULL - 1, 1), (places.NEARLY_FULL, 0)])
def test_room(tmp_path, monkeypatch, free, level):
    real = os.statvfs(tmp_path)

    class Stats:
        f_bavail, f_frsize, f_flag = free, 1, real.f_flag

    monkeypatch.setattr(os, "statvfs", lambda path: Stats)
    assert levels(thd_room(str(tmp_path))) == [Level(level)]
