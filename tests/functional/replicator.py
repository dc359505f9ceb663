"""The replicator as a child process, between two live services.

The source asks nobody who asks it; the target tells callers apart by the tokens of an
:class:`~tests.functional.identity.IdentityServer`. Most tests share the two, and look after images
of their own in them, which have a tag of the test's.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from tests.functional import replication
from tests.functional.identity import IdentityServer
from tests.functional.server import PATIENCE, ROOT, Server, _compiled

PROGRAM = (sys.executable, "-m", "glance.cmd.replicator")
#: The service below ``twistd`` of the tests' own environment, in the foreground.
TWISTD = (
    shutil.which("twistd", path=os.path.dirname(sys.executable)) or "twistd",
    "--nodaemon",
    "--pidfile=",
    "glance-replicator",
)

Alarm = Callable[[int, Callable[[], object]], object]


class Done:
    """What a run of the program said.

    :ivar code: its exit code.
    """

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err
        assert "Traceback" not in err, err

    @property
    def said(self) -> str:
        """Both outputs."""
        return self.out + self.err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n--\n{self.err}"


class Replicator:
    """Runs ``glance-replicator``, with a home of its own in which there is no configuration.

    :param home: an empty directory.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("OS_", "GLANCE_", "XDG_", "PYTEST"))
        }
        self.environ |= {
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "PYTHONPYCACHEPREFIX": str(_compiled()),
        }
        self.environ.pop("PYTHONDONTWRITEBYTECODE", None)

    def start(
        self, *arguments: object, program: tuple[str, ...] = PROGRAM, **environ: str
    ) -> subprocess.Popen[str]:
        """Start it."""
        return subprocess.Popen(
            [*program, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environ | environ,
            cwd=self.home,
            text=True,
        )

    def run(self, *arguments: object, code: int | None = 0, **environ: str) -> Done:
        """Run it to its end.

        :param code: which it has to end with; ``None`` for any.
        """
        return finish(self.start(*arguments, **environ), code)

    def run_on_terminal(self, *arguments: object, typed: str = "") -> tuple[int, str]:
        """Run it on a terminal; return its exit code and all that the terminal got.

        :param typed: what somebody types there.
        """
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=self.environ | {"TERM": "xterm"},
            cwd=self.home,
        )
        os.close(theirs)
        os.write(ours, typed.encode())
        said = b""
        # It ends with an error, as terminals do.
        with suppress(OSError):
            while piece := os.read(ours, 4096):
                said += piece
        os.close(ours)
        assert b"Traceback" not in said, said.decode()
        return process.wait(PATIENCE), said.decode()


def finish(process: subprocess.Popen[str], code: int | None = 0) -> Done:
    """Wait for the end of the program."""
    try:
        out, err = process.communicate(timeout=4 * PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"it did not end: {process.communicate()}") from None
    done = Done(process.returncode, out, err)
    assert code is None or done.code == code, done
    return done


class Sides:
    """The two services.

    :param target: options of the target's ``[DEFAULT]``.
    :param room: bytes of a small file system that the target has.
    """

    def __init__(
        self, target: Mapping[str, object] | None = None, *, room: int | None = None
    ) -> None:
        self.source = Server()
        self.identity = IdentityServer()
        self._target = target or {}
        self._room = room

    def __enter__(self) -> Sides:
        self.identity.up()
        # It asks about the token of each request, so that it knows at once which are taken back.
        options = self.identity.options(token_cache_time=-1)
        self.target = Server(settings=self._target, options=options, room=self._room)
        try:
            self.source.start()
            self.target.token = self.identity.token("admin", "member", "reader", project="admins")
            self.target.start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                assert self.source.trouble() == []
                assert self.target.trouble() == []
        finally:
            self._close()

    def _close(self) -> None:
        self.source.close()
        self.target.close()
        self.identity.__exit__()


class Case:
    """A test's images on the two services, and the program that is to copy them.

    :param home: an empty directory.
    """

    def __init__(self, sides: Sides, home: Path) -> None:
        self.source, self.target = sides.source, sides.target
        self.identity = sides.identity
        self.tag = f"tag-{uuid4().hex}"
        self.home = home
        self.program = Replicator(home)
        assert sides.target.token is not None
        self.program.environ["OS_DEFAULT__TARGETTOKEN"] = sides.target.token
        self.ids: list[str] = []

    def image(self, data: bytes = b"data", **fields: Any) -> str:
        """Make an image on the source; return its id."""
        fields = {"tags": [self.tag], **fields}
        self.ids.append(replication.image(self.source, data, **fields))
        return self.ids[-1]

    def images(self, *data: bytes, **fields: Any) -> list[str]:
        """Make several images on the source; return their ids."""
        return [self.image(one, name=f"image {n}", **fields) for n, one in enumerate(data)]

    @property
    def places(self) -> tuple[str, str]:
        """Both services, as arguments of the program."""
        return self.place(self.source), self.place(self.target)

    @staticmethod
    def place(server: Server) -> str:
        return f"127.0.0.1:{server.port}"

    def run(self, command: str, *words: object, code: int | None = 0, **environ: str) -> Done:
        """Run a command over the test's images."""
        return self.program.run(command, *words, "--tag", self.tag, code=code, **environ)

    def livecopy(self, *words: object, code: int | None = 0, **environ: str) -> Done:
        """Copy the test's images."""
        return self.run("livecopy", *self.places, *words, code=code, **environ)

    def differences(self, ignore: tuple[str, ...] = ()) -> list[str]:
        """Return what differs between the two services in the test's images."""
        return replication.differences(self.source, self.target, self.ids, ignore)

    def there(self, image_id: str) -> dict[str, Any] | None:
        """Return an image as the target has it."""
        answer = self.target.request("GET", f"/v2/images/{image_id}")
        return answer.json if answer.status == 200 else None

    @contextmanager
    def never_wrong(self) -> Iterator[None]:
        """See to it that no image is active on the target with other data than it has."""
        with replication.NeverWrong(self.source, self.target, self.tag):
            yield

    def interrupted(self, number: int, alarm: Alarm, count: int, *words: object) -> Done:
        """Copy the test's images, and send the program a signal in the midst.

        :param number: of the signal.
        :param alarm: of a proxy.
        :param count: of bytes of data after which.
        """
        process = self.program.start("livecopy", *words, "--tag", self.tag)
        alarm(count, lambda: process.send_signal(number))
        return finish(process, None)
