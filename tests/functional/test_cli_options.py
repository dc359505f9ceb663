"""What shells and service managers see of the programs: exit codes, output, error lines."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from glance import __version__
from tests.functional.server import PATIENCE, ROOT, eventually

TWISTD = "from twisted.scripts.twistd import run; run()"
#: Each program, and ``glance-api`` below twistd.
PROGRAMS = {
    "api": ["-m", "glance.cmd.api"],
    "manage": ["-m", "glance.cmd.manage"],
    "twistd": ["-c", TWISTD, "--nodaemon", "--pidfile=", "glance-api"],
}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing is configured."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "XDG_"))}
    return kept | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def run(tmp_path: Path, environment: dict[str, str]) -> Run:
    """Run a program to its end."""

    def run(program: str, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *PROGRAMS[program], *argv],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment | more,
            timeout=PATIENCE,
            check=False,
        )

    return run


@pytest.mark.parametrize("program", PROGRAMS)
def test_version(run: Run, program: str) -> None:
    done = run(program, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("program", PROGRAMS)
def test_help(run: Run, program: str) -> None:
    done = run(program, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--config-file PATH" in done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_bad_option(run: Run, program: str) -> None:
    done = run(program, "--bogus")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: glance-")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "--config-file {path}: cannot be read: no such file or directory."),
        ("nonsense\n", "{path} line 1: neither a section nor 'option = value'."),
        (
            "[database]\nconnection = x\nmax_pool_size = many\n",
            "[database]max_pool_size ({path} line 3) is 'many': it must be an integer.",
        ),
        (
            "[DEFAULT]\n",
            "[database]connection is not set. Put the URL of the database into a configuration "
            "file, or start without any configuration file to use a SQLite database of its own.",
        ),
    ],
)
def test_bad_configuration(
    run: Run, tmp_path: Path, program: str, text: str | None, told: str
) -> None:
    path = tmp_path / "x.conf"
    if text is not None:
        path.write_text(text)
    action = ["db", "version"] if program == "manage" else []
    done = run(program, "--config-file", str(path), *action)
    assert done.returncode == 1
    assert done.stderr == f"ERROR: {told.format(path=path)}\n"


def test_bad_value_in_the_environment(run: Run) -> None:
    done = run("api", OS_DATABASE__MAX_RETRIES="x")
    assert done.returncode == 1
    assert done.stderr == (
        "ERROR: [database]max_retries (environment variable OS_DATABASE__MAX_RETRIES) is 'x': "
        "it must be an integer.\n"
    )


@pytest.mark.parametrize("program", ["api", "twistd"])
@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(
    ("flavor", "told"),
    [
        (
            "keystone",
            "[keystone_authtoken] auth_url is not set; the service needs it to log in to the "
            "identity service.",
        ),
        (
            "trusted-auth",
            "[paste_deploy] flavor = trusted-auth would believe whatever a request's headers say "
            "of who makes it. It is not available; use keystone.",
        ),
    ],
)
def test_authentication_that_cannot_be_done(
    run: Run, tmp_path: Path, program: str, workers: str, flavor: str, told: str
) -> None:
    done = run(program, "--workers", workers, OS_PASTE_DEPLOY__FLAVOR=flavor)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"ERROR: {told}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("program", ["api", "twistd"])
def test_bad_logging(run: Run, tmp_path: Path, program: str) -> None:
    done = run(program, "--log-file", str(tmp_path / "absent/x"))
    assert done.returncode == 1
    assert done.stderr == (
        f"ERROR: [DEFAULT]log_file: the log file {tmp_path}/absent/x cannot be opened: "
        "no such file or directory.\n"
    )


@pytest.mark.parametrize(
    "module", ["glance.cmd.api", "glance.cmd.manage", "glance.cmd.control", "glance.cmd.replicator"]
)
@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["--bogus"]])
def test_nothing_heavy_is_loaded_for_a_short_answer(
    environment: dict[str, str], module: str, argv: list[str]
) -> None:
    """Reactor and database are what makes a start slow."""
    code = (
        f"import sys; sys.argv[1:] = {argv}\n"
        f"from {module} import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'twisted', 'sqlalchemy', 'klein', 'treq', 'alembic', 'orjson', 'asyncio'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout.endswith("heavy: []\n")


def test_log_options_of_twistd_count(tmp_path: Path, environment: dict[str, str]) -> None:
    log = tmp_path / "d.log"
    command = [sys.executable, "-c", TWISTD, "-n", "--pidfile=", f"--logfile={log}", "glance-api"]
    process = subprocess.Popen(
        [*command, "--bind-port=0", "--verbose", "--state-dir", str(tmp_path / "state")],
        cwd=tmp_path,
        env=environment,
    )
    try:
        eventually(lambda: log.exists() and "Accepting requests" in log.read_text(), "requests")
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
    lines = log.read_text().splitlines()
    assert all(f" {process.pid} INFO " in line for line in lines)
    assert len([line for line in lines if f"glance-api {__version__} serves" in line]) == 1
    assert lines[-1].endswith("Server Shut Down.")
