import os
import subprocess
import sys
from pathlib import Path

import pytest

from glance.cmd.common import run
from glance.domain.errors import ConfigError, NotFound

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ConfigError("[DEFAULT]x is wrong"), 1, "ERROR: [DEFAULT]x is wrong\n"),
        (NotFound("no such image"), 1, "ERROR: no such image\n"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(7), 7, ""),
    ],
)
def test_how_a_program_ends(
    error: BaseException, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise error

    with pytest.raises(SystemExit) as caught:
        run(fail)
    assert caught.value.code == code
    assert capsys.readouterr() == ("", told)


@pytest.mark.parametrize("code", [0, 3, None])
def test_exit_code_is_passed_on(code: int | None) -> None:
    with pytest.raises(SystemExit) as caught:
        run(lambda: code)
    assert caught.value.code == code


def test_faults_of_ours_are_shown_whole() -> None:
    def fail() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(fail)


def test_what_the_terminal_cannot_show_is_escaped() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            r"from glance.cmd.common import run; run(lambda: print('\xe9\ud800'))",
        ],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"\\xe9\\ud800\n", b"")


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_reader_that_went_away(size: int) -> None:
    code = f"from glance.cmd.common import run; run(lambda: print('x' * {size}))"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=writing,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
