"""``glance-control`` with servers that misbehave when told to.

Run as a program this is ``glance-control``, but its servers are toys below ``twistd``, and what it
keeps for the whole machine stands below a directory of the test's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.functional.server import PATIENCE, ROOT, eventually

PLUGIN = """\
from twisted.application.service import ServiceMaker
toy = ServiceMaker("Toy", "toy_tap", "A toy.", "glance-toy")
ball = ServiceMaker("Ball", "toy_tap", "A toy.", "glance-ball")
"""

TAP = """\
import os, signal, sys
from pathlib import Path
from twisted.application.service import Service
from twisted.python.usage import Options as Base

HERE = Path(__file__).parent

class Options(Base):
    optFlags = [["debug", "d"], ["daemon", "D"]]
    optParameters = [["config-file", None, None], ["config-dir", None, None]]

def note(line):
    with open(HERE / "notes", "a") as notes:
        notes.write(line + "\\n")

class Toy(Service):
    def startService(self):
        from twisted.internet import reactor
        mode = (HERE / "mode").read_text()
        note(f"started {sorted(k for k, v in self.options.items() if v)}")
        if mode == "die":
            reactor.callLater(0.05, os._exit, 7)
        if mode == "fail later":
            raise ValueError("no luck")
        if mode == "deaf":
            reactor.callWhenRunning(signal.signal, signal.SIGTERM, lambda *_: note("TERM"))
        if mode == "reload":
            signal.signal(signal.SIGHUP, lambda *_: note("HUP"))
        if mode == "die of reload":
            signal.signal(signal.SIGHUP, lambda *_: os._exit(9))
        os.write(2, b"words for nobody\\n")

def makeService(options):
    mode = (HERE / "mode").read_text()
    note("made")
    if mode == "fail":
        sys.exit("ERROR: the toy is broken")
    toy = Toy()
    toy.options = options
    return toy
"""


class Box:
    """A directory with toys, and ``glance-control`` to play with them.

    :param root: the directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run_directory = root / "run"
        self.pid_file = self.run_directory / "glance-toy.pid"
        plugins = root / "lib" / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "toy_plugin.py").write_text(PLUGIN)
        (root / "lib" / "toy_tap.py").write_text(TAP)
        #: What runs the program, if anything.
        self.prefix: list[str] = []
        self.mode("ok")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OS_", "XDG_"))}
        self.environment = kept | {
            "HOME": str(root),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{root / 'lib'}",
            "TOY_ROOT": str(root),
        }

    def mode(self, mode: str) -> None:
        """Say how toys behave that are started from now on."""
        (self.root / "lib" / "mode").write_text(mode)

    def notes(self) -> list[str]:
        """Return what toys did."""
        path = self.root / "lib" / "notes"
        return path.read_text().splitlines() if path.exists() else []

    def pid(self, name: str = "glance-toy") -> int:
        return int((self.run_directory / f"{name}.pid").read_text())

    def popen(self, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "tests.functional.toys", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.root,
            env=self.environment,
        )

    def __call__(self, *argv: str) -> tuple[int, str, str]:
        """Run ``glance-control``; return its exit code and what it said."""
        process = self.popen(*argv)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
            process.wait()
        return process.returncode, out, err

    @contextmanager
    def watching(self, *argv: str) -> Iterator[subprocess.Popen[str]]:
        """Run ``glance-control`` in the background until the test is over."""
        process = self.popen(*argv)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def clean(self) -> None:
        """End what still runs."""
        for path in self.run_directory.glob("*.pid"):
            if not (text := path.read_text()):
                continue
            with_name = Path(f"/proc/{text}/cmdline")
            # Only what was certainly started from here.
            if with_name.exists() and str(self.root) in with_name.read_text():
                os.kill(int(text), signal.SIGKILL)
                eventually(lambda path=with_name: not path.exists() or not path.read_bytes(), "end")


def main() -> None:
    from glance.cmd import control
    from glance.control import commands
    from glance.control.servers import Server

    root = Path(os.environ["TOY_ROOT"])
    control.SERVERS = (
        Server("glance-toy", "toy_tap", reloadable=True),
        Server("glance-ball", "toy_tap", ("--daemon",)),
        Server("glance-doll", "doll_tap", absence="no dolls here"),
    )
    control.RUN_DIRECTORY = root / "run"
    control.LOG_DIRECTORY = root / "log"
    commands.DRAIN_TIME = 0.3
    control.main()


if __name__ == "__main__":
    main()
