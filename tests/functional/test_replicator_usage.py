"""glance-replicator before it does anything: help, usage, configuration; and as a service.

No image service is needed for any of this: those that are named are not there.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glance import __version__
from tests.functional.server import PATIENCE, ROOT, _compiled, eventually

PROGRAM = (sys.executable, "-m", "glance.cmd.replicator")
TWISTD = (
    shutil.which("twistd", path=os.path.dirname(sys.executable)) or "twistd",
    "--nodaemon",
    "--pidfile=",
    "glance-replicator",
)
BOTH = pytest.mark.parametrize("program", [PROGRAM, TWISTD], ids=["program", "twistd"])

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing is configured."""
    gone = ("OS_", "SOURCE_", "TARGET_", "XDG_", "GLANCE_", "PYTEST")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(gone)}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    own = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    return {**kept, **own, "PYTHONPYCACHEPREFIX": str(_compiled())}


@pytest.fixture
def run(tmp_path: Path, environ: dict[str, str]) -> Run:
    """Run it to its end; return exit code, output and errors."""

    def run(
        *argv: str, program: tuple[str, ...] = PROGRAM, **variables: str
    ) -> tuple[int, str, str]:
        done = subprocess.run(
            [*program, *argv],
            cwd=tmp_path,
            env=environ | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert "canary" not in done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def closed() -> Iterator[int]:
    """A port at which nobody listens, as long as a test needs it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


class TestHelp:
    @pytest.mark.parametrize("argv", [[], ["help"], ["help", "help"], ["-v"]])
    def test_no_command(self, run: Run, argv: list[str]) -> None:
        code, out, err = run(*argv)
        assert (code, err) == (0, "")
        assert out.startswith("usage: glance-replicator <command> [options] [args]\n\nCommands:\n")
        for name in ("help", "compare", "dump", "livecopy", "load", "size"):
            assert f"\n    {name} " in out

    @pytest.mark.parametrize("argv", [["--help"], ["-h"], ["livecopy", "--help"]])
    def test_all_options(self, run: Run, argv: list[str]) -> None:
        code, out, err = run(*argv)
        assert (code, err) == (0, "")
        for text in ("-c BYTES", "--mastertoken", "-S TOKEN", "-l LOGFILE", "--source-cloud"):
            assert text in out

    @pytest.mark.parametrize("name", ["compare", "dump", "livecopy", "load", "size"])
    def test_of_a_command(self, run: Run, name: str) -> None:
        code, out, err = run("help", name)
        assert (code, err) == (0, "")
        assert out.startswith(f"glance-replicator {name} [options] <")

    def test_version(self, run: Run) -> None:
        assert run("--version") == (0, f"{__version__}\n", "")


class TestUsage:
    @pytest.mark.parametrize(
        ("argv", "usage", "told"),
        [
            (["nope"], "<command> [options]", "Unknown command: nope"),
            (["help", "nope"], "<command> [options]", "Unknown command: nope"),
            (["size"], "size [options] <server:port>", "Too few arguments"),
            (["livecopy", "a:1"], "livecopy [options] <fromserver:port>", "Too few arguments"),
            (["compare", "a:1", "b:2", "c:3"], "compare [options]", "Too many arguments"),
            (["load", "a:x", "."], "load [options] <server:port>", "The target's server cannot"),
            (["size", "http://u:canary@h"], "size [options]", "The source's server cannot"),
            (["size", "a:1", "--since", "x"], "size [options]", "--since must be a date"),
            (["size", "a:1", "--watch", "5"], "size [options]", "--watch goes with dump"),
            (["livecopy", "a:1", "b:2", "--delete-extra"], "livecopy [options]", "--force"),
        ],
    )
    def test_misuse(self, run: Run, argv: list[str], usage: str, told: str) -> None:
        code, out, err = run(*argv)
        assert (code, out) == (2, "")
        first, second = err.splitlines()[:2]
        assert first.startswith(f"usage: glance-replicator {usage}")
        assert second.startswith("ERROR: ")
        assert told in second

    def test_bad_option(self, run: Run) -> None:
        code, out, err = run("size", "a:1", "--bogus")
        assert (code, out) == (2, "")
        assert err.startswith("usage: glance-replicator <command> [options] [args]\n")

    @pytest.mark.parametrize(
        ("argv", "told"),
        [
            (["--parallel=0"], "[DEFAULT]parallel (--parallel) is '0': it must be an integer"),
            (["--config-file=/absent"], "--config-file /absent: cannot be read"),
            (["--cacert=/absent"], "--cacert = /absent cannot be read"),
            (["--source-cloud=nowhere"], "No cloud 'nowhere' is in clouds.yaml"),
        ],
    )
    def test_bad_configuration(self, run: Run, argv: list[str], told: str) -> None:
        """That is not what a script that asks whether two sides differ may be told with 1."""
        code, out, err = run("compare", "a:1", "b:2", *argv)
        assert (code, out) == (2, "")
        assert err.startswith(f"ERROR: {told}")

    @pytest.mark.parametrize("command", ["dump", "load"])
    def test_no_directory(self, run: Run, command: str) -> None:
        code, out, err = run(command, "127.0.0.1:1", "absent")
        assert (code, out) == (2, "")
        assert "absent; make it first" in err


class TestSideLost:
    @pytest.mark.parametrize("command", ["compare", "livecopy"])
    def test_nobody_there(self, run: Run, closed: int, command: str) -> None:
        place = f"127.0.0.1:{closed}"
        other = f"http://{place}/other"
        code, out, err = run(command, place, other, "--retries=0", "-t", "canary-token")
        assert (code, out) == (3, "")
        assert err.startswith("ERROR: ")
        assert f"{place} cannot be reached: nothing listens there." in err

    def test_no_login(self, run: Run, closed: int) -> None:
        variables = {
            "SOURCE_OS_AUTH_URL": f"http://127.0.0.1:{closed}/v3",
            "SOURCE_OS_USERNAME": "u",
            "SOURCE_OS_PASSWORD": "canary",
            "SOURCE_OS_PROJECT_NAME": "p",
        }
        code, out, err = run("size", "--retries=0", **variables)
        assert (code, out) == (3, "")
        assert err.startswith("ERROR: ")


class TestTwistd:
    @pytest.mark.parametrize(
        ("argv", "code", "told"),
        [
            ([], 1, "ERROR: Where the source is, nothing says; set [source]server or cloud.\n"),
            (["size", "a:1"], 2, "usage: twistd glance-replicator size [options] <server:port>\n"),
            (["livecopy", "a:1"], 2, "usage: twistd glance-replicator livecopy [options]"),
            (["livecopy", "a:1", "b:1", "--watch=0"], 1, "ERROR: [DEFAULT]watch (--watch) is '0'"),
        ],
    )
    def test_it_cannot_be_started_so(self, run: Run, argv: list[str], code: int, told: str) -> None:
        found = run(*argv, program=TWISTD)
        assert found[0] == code
        assert found[2].startswith(told)

    def test_help(self, run: Run) -> None:
        code, out, _ = run("--help", program=TWISTD)
        assert code == 0
        assert "--source-cloud" in out


class TestService:
    @pytest.fixture
    def start(
        self, tmp_path: Path, environ: dict[str, str]
    ) -> Iterator[Callable[..., subprocess.Popen[str]]]:
        """Start it with the file ``x.conf``; what it says goes into the file ``said``."""
        started: list[subprocess.Popen[str]] = []

        def start(*command: str, **variables: str) -> subprocess.Popen[str]:
            with (tmp_path / "said").open("w") as said:
                process = subprocess.Popen(
                    [*command, "--config-file", str(tmp_path / "x.conf")],
                    cwd=tmp_path,
                    env=environ | variables,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            started.append(process)
            return process

        yield start
        for process in started:
            process.kill()
            process.wait()

    @BOTH
    def test_reload(
        self, tmp_path: Path, start: Callable[..., subprocess.Popen[str]], program: tuple[str, ...]
    ) -> None:
        def configure(port: int) -> None:
            (tmp_path / "x.conf").write_text(
                "[DEFAULT]\nwatch = 3600\nretries = 0\n"
                f"[source]\nserver = 127.0.0.1:{port}\n"
                f"[target]\nserver = http://127.0.0.1:{port}/other\n"
            )

        def said() -> str:
            return (tmp_path / "said").read_text()

        address = tmp_path / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            notices.bind(str(address))
            notices.settimeout(PATIENCE)
            configure(1)
            more = ("livecopy", "--watch=3600") if program is PROGRAM else ()
            process = start(*program, *more, NOTIFY_SOCKET=str(address))
            assert _told(notices, "READY=1").endswith("STATUS=livecopy, every 3600 s")
            eventually(lambda: "No run: " in said() and "127.0.0.1:1 " in said(), "a first run")
            configure(2)
            process.send_signal(signal.SIGHUP)
            eventually(lambda: "127.0.0.1:2 " in said(), "a run by the new configuration")
            _told(notices, "RELOADING=1")
            _told(notices, "READY=1")
            (tmp_path / "x.conf").write_text("[DEFAULT]\nparallel = many\n")
            process.send_signal(signal.SIGHUP)
            eventually(lambda: "Reload given up, everything stays as it was" in said(), "a line")
            assert "the last reload was given up" in _told(notices, "READY=1")
            process.terminate()
            _told(notices, "STOPPING=1")
            assert process.wait(PATIENCE) == 0
        assert "Traceback" not in said()


def _told(notices: socket.socket, what: str) -> str:
    """Return the next message to the service manager that says something."""
    while True:
        text = notices.recv(4096).decode()
        if what in text.splitlines():
            return text
