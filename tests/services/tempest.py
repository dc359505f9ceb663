"""Run the field's own conformance tests, tempest, against an image service.

``python -m tests.services.tempest`` runs them against any service in a Keystone's catalogue.
"""

from __future__ import annotations

import argparse
import configparser
import functools
import http.server
import json
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.venvs import virtual_environment

READER = Path(__file__).with_name("tempest_results.py")
TESTS = r"^tempest\.api\.image"

_IDENTIFIER = re.compile(r"\[[^]]*\]$")
_CLASS = re.compile(r"^setUpClass \((.*)\)$")


@dataclass(frozen=True)
class Result:
    """What became of one test, or of all tests of a class.

    :ivar name: without the leading ``tempest.api.image.``.
    :ivar status: ``success``, ``skip``, ``fail``.
    :ivar said: the reason or the traceback.
    """

    name: str
    status: str
    said: str


class Known(NamedTuple):
    """Tests that do not pass.

    :ivar status: ``fail`` or ``skip``.
    :ivar tests: the name of a test, of a class or of a module.
    :ivar reason: for which all of them do not.
    """

    status: str
    tests: str
    reason: str

    def covers(self, result: Result) -> bool:
        return result.name == self.tests or result.name.startswith(f"{self.tests}.")


def _name(test: str) -> str:
    name = _IDENTIFIER.sub("", _CLASS.sub(r"\1", test))
    return name.removeprefix("tempest.api.image.")


def _qcow2() -> bytes:
    """Return an empty disk: a header that describes one, and nothing allocated."""
    fields = (b"QFI\xfb", 2, 0, 0, 16, 2**30, 0, 2, 3 << 16, 1 << 16, 1, 0, 0)
    return struct.pack(">4sIQIIQIIQQIIQ", *fields).ljust(4 << 16, b"\0")


class _Site(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def web_site(port: int = 0) -> Iterator[str]:
    """Serve files that images can be made of, ``image`` and ``disk.qcow2``; give the URL.

    :param port: default: a free one.
    """
    with tempfile.TemporaryDirectory(prefix="glance-site-") as directory:
        Path(directory, "image").write_bytes(random.Random(1).randbytes(1 << 20))
        Path(directory, "disk.qcow2").write_bytes(_qcow2())
        handler = functools.partial(_Site, directory=directory)
        with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
                thread.join()


@dataclass(frozen=True)
class Tempest:
    """Tempest, set up for an image service.

    :ivar venv: the virtual environment that has it.
    :ivar auth_url: of Keystone, without version; ``admin`` signs in there with that password.
    :ivar region: where the image service is.
    :ivar web_site: the URL of :func:`web_site`.
    :ivar features: options of ``[image-feature-enabled]``.
    :ivar image: more options of ``[image]``.
    """

    venv: Path
    auth_url: str
    region: str
    web_site: str
    features: Mapping[str, object]
    image: Mapping[str, object]

    def _configuration(self, directory: Path) -> configparser.ConfigParser:
        elsewhere = ("cinder", "horizon", "neutron", "nova", "swift")
        configuration = configparser.ConfigParser()
        configuration.read_dict(
            {
                "DEFAULT": {"log_file": "tempest.log"},
                "auth": {
                    "use_dynamic_credentials": True,
                    "admin_username": "admin",
                    "admin_password": "admin",
                    "admin_project_name": "admin",
                    "admin_domain_name": "Default",
                },
                "identity": {
                    "auth_version": "v3",
                    "uri_v3": f"{self.auth_url}/v3",
                    "region": "RegionOne",
                },
                "service_available": {"glance": True, **dict.fromkeys(elsewhere, False)},
                "image": {
                    "region": self.region,
                    "build_timeout": 60,
                    "http_image": f"{self.web_site}/image",
                    "http_qcow2_image": f"{self.web_site}/disk.qcow2",
                    **self.image,
                },
                "image-feature-enabled": self.features,
                # Tests sign in with the least role that will do.
                "enforce_scope": {"glance": True},
                "oslo_concurrency": {"lock_path": f"{directory}/locks"},
            }
        )
        return configuration

    def run(self, tests: str = TESTS, processes: int = 2) -> list[Result]:
        """Run tests; return what became of each.

        :param tests: a regular expression that finds their names.
        """
        with tempfile.TemporaryDirectory(prefix="glance-tempest-") as name:
            directory = Path(name)
            place = directory / "workspace"
            self._call(directory, "tempest", "init", str(place))
            with (place / "etc" / "tempest.conf").open("w") as file:
                self._configuration(directory).write(file)
            options = ["--config-file", "etc/tempest.conf", "--regex", tests]
            options += ["--concurrency", str(processes)]
            ran = self._call(place, "tempest", "run", *options, fine=True)
            if not list((place / ".stestr").glob("[0-9]*")):
                raise AssertionError(f"tempest did not run: {ran.decode()}")
            stream = self._call(place, "stestr", "last", "--subunit", fine=True)
            read = self._call(place, "python", "-P", str(READER), given=stream)
        found = [Result(_name(r["name"]), r["status"], r["said"]) for r in json.loads(read)]
        return sorted(found, key=lambda result: result.name)

    def _call(
        self, where: Path, program: str, *arguments: str, given: bytes = b"", fine: bool = False
    ) -> bytes:
        """Run a program of the environment; return what it wrote.

        :param fine: a status other than 0 is no reason to complain.
        """
        ran = subprocess.run(
            [self.venv / "bin" / program, *arguments],
            cwd=where,
            # It keeps a list of its workspaces in the home directory.
            env={"PATH": os.environ["PATH"], "HOME": str(where), "LC_ALL": "C.UTF-8"},
            input=given,
            capture_output=True,
            timeout=900,
            check=False,
        )
        if ran.returncode and not fine:
            raise AssertionError(f"{program} {arguments}: {ran.stderr.decode()}")
        return ran.stdout or ran.stderr


def summary(results: Iterable[Result]) -> str:
    """Return how many tests there were of each status, in one line."""
    counted = Counter(result.status for result in results)
    return ", ".join(f"{counted[status]} {status}" for status in sorted(counted))


def _shortened(said: str) -> str:
    """Return the end of a traceback."""
    return "\n    ".join(said.strip().splitlines()[-4:])


def judged(results: Sequence[Result], known: Sequence[Known]) -> list[str]:
    """Return what is not as the table says."""
    wrong = []
    for result in results:
        entries = [entry for entry in known if entry.covers(result)]
        if result.status == "success" and entries:
            wrong.append(f"{result.name} passes, though {entries[0].reason}")
        elif result.status != "success" and not entries:
            wrong.append(f"{result.name}: {result.status}: {_shortened(result.said)}")
        elif any(entry.status != result.status for entry in entries):
            what = f"{result.status}, not {entries[0].status}"
            wrong.append(f"{result.name}: {what}: {_shortened(result.said)}")
    for entry in known:
        if not any(entry.covers(result) for result in results):
            wrong.append(f"there is no test {entry.tests}")
    return wrong


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``python -m tests.services.tempest``."""
    parser = argparse.ArgumentParser(description="Run tempest's tests of the Images API.")
    parser.add_argument("--auth-url", required=True, metavar="URL", help="of Keystone")
    parser.add_argument("--region", default="RegionOne", help="of the service (%(default)s)")
    parser.add_argument("--tests", default=TESTS, metavar="REGEX", help="which (%(default)s)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="more of [image]"
    )
    parser.add_argument(
        "--feature", action="append", default=[], metavar="OPTION=VALUE", help="what it can do"
    )
    parser.add_argument("--web-port", type=int, default=0, help="where images can be had from")
    parser.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
    args = parser.parse_args(argv)
    features = dict(text.split("=", 1) for text in args.feature)
    image = dict(text.split("=", 1) for text in args.set)
    venv = virtual_environment("tempest")
    with web_site(args.web_port) as url:
        tempest = Tempest(venv, args.auth_url, args.region, url, features, image)
        results = tempest.run(args.tests)
    for result in results:
        said = result.said.strip()
        if not args.verbose:
            said = said.rpartition("\n")[2]
        print(f"{result.status:8} {result.name} {said}")
    print(summary(results))
    sys.exit(any(result.status == "fail" for result in results))


if __name__ == "__main__":
    main()
