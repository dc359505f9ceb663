"""Files that take a service out of rotation, and those that keep it in."""

import pytest

from glance.domain.errors import ConfigError
from glance.domain.rotation import DEFAULT_PATH, DISABLED, MISSING, OK, make_checks


def test_default():
    [check] = make_checks([])
    assert (check.backend, check.paths) == ("disable_by_file", [DEFAULT_PATH])
    assert check.judge([], 9292) == OK
    assert check.judge([DEFAULT_PATH], 9292) == DISABLED


def test_disable_by_file():
    [check] = make_checks(["disable_by_file"], "/x")
    assert check.judge([DEFAULT_PATH], 1) == OK
    assert check.judge(["/x"], 1) == DISABLED


def test_disable_by_files_ports():
    pairs = ["9292:/a", " 9393:/b:c "]
    [check] = make_checks(["disable_by_files_ports"], disable_by_file_paths=pairs)
    assert check.paths == ["/a", "/b:c"]
    assert check.judge(["/a"], 9292) == DISABLED
    assert check.judge(["/a"], 9393) == OK
    assert check.judge(["/b:c"], 9393) == DISABLED
    assert check.judge(["/a", "/b:c"], 80) == OK


def test_enable_by_files():
    [check] = make_checks(["enable_by_files"], enable_by_file_paths=["/a", "/b"])
    assert check.judge(["/a", "/b"], 1) == OK
    assert check.judge(["/a"], 1) == MISSING
    assert check.judge([], 1) == MISSING


def test_several_in_order():
    names = ["enable_by_files", "disable_by_file"]
    checks = make_checks(names, "/x", enable_by_file_paths=["/y"])
    assert [check.judge(["/x"], 1) for check in checks] == [MISSING, DISABLED]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"backends": ["nonsense"]}, "backends.*nonsense"),
        ({"backends": ["enable_by_files"]}, "enable_by_file_paths must be set"),
        ({"backends": ["disable_by_files_ports"]}, "disable_by_file_paths must be set"),
        *(
            ({"backends": ["disable_by_files_ports"], "disable_by_file_paths": [text]}, "port:path")
            for text in ("/a", "x:/a", "0:/a", "70000:/a", "80:", "-1:/a", "\u0663:/a")
        ),
    ],
)
def test_faults(given, told):
    with pytest.raises(ConfigError, match=told):
        make_checks(**given)
