"""The replicator with a real Keystone, and between ours and the OpenStack project's own service."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.functional import replication
from tests.functional.flapping import BUSY, MUTE, RESET, Fault, Proxy, each, flapping, several
from tests.functional.replication import active, differences, populate
from tests.functional.replicator import Replicator, finish
from tests.functional.server import Answer, Server
from tests.functional.wire import MIB, data_of
from tests.services.adoption import fill
from tests.services.identity import Login
from tests.services.keystone import Keystone
from tests.services.original import CALLERS, Original

pytestmark = pytest.mark.service

LIST = "/v2/images"
FILE = r"/v2/images/[^/]+/file"
#: Who the original is told asks, by what stands before it.
ADMIN = {
    "X-Identity-Status": "Confirmed",
    "X-Roles": ",".join(CALLERS["admin"]),
    "X-Project-Id": "admin",
    "X-User-Id": "admin",
}


class AsAdministrator:
    """The project's service, as its administrator sees it."""

    def __init__(self, original: Original) -> None:
        self._original = original

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        return self._original.request("admin", method, path, body, headers)


@pytest.fixture
def original(tmp_path: Path, postgresql_url: str) -> Iterator[Original]:
    """The project's service, with an empty catalogue and running.

    On SQLite it gets in its own way, and leaves images behind that are ``saving`` for ever.
    """
    made = Original(tmp_path / "original", postgresql_url)
    made.binaries()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def front(original: Original) -> Iterator[Proxy]:
    """What stands before it, where a Keystone would."""
    with Proxy(original.port, headers=ADMIN) as proxy:
        yield proxy


@pytest.fixture
def ours() -> Iterator[Server]:
    with Server() as server:
        yield server
        assert server.trouble() == []


@pytest.fixture
def program(tmp_path: Path) -> Replicator:
    (tmp_path / "home").mkdir()
    return Replicator(tmp_path / "home")


def place(server: Server) -> str:
    return f"127.0.0.1:{server.port}"


class TestFromTheOriginal:
    def test_a_dump_is_loaded(
        self, original: Original, front: Proxy, ours: Server, program: Replicator, tmp_path: Path
    ) -> None:
        made = fill(original)
        populated = populate(AsAdministrator(original))
        wanted = (active(made) - {made["deleted"]}) | active(populated)
        dump = tmp_path / "dump"
        dump.mkdir()
        done = program.run("dump", front.place, dump)
        for name in ("queued", "bare", "deactivated"):
            assert made[name] in done.said
        subprocess.run("sha512sum -c --quiet *.sha512", shell=True, check=True, cwd=dump)
        program.run("load", place(ours), dump)
        assert differences(AsAdministrator(original), ours, wanted) == []
        assert set(replication.listed(ours)) == wanted
        program.run("compare", front.place, place(ours))

        with Proxy(ours.port) as proxy:
            program.run("load", proxy.place, dump)
            program.run("livecopy", front.place, proxy.place)
            assert {asked.method for asked in proxy.asked} == {"GET"}

    def test_is_copied_while_it_flaps(
        self, original: Original, front: Proxy, ours: Server, program: Replicator
    ) -> None:
        made = populate(AsAdministrator(original))
        front.plan = several(
            each("GET", f"{LIST}/{made['3 MiB']}/file", Fault("corrupt", MIB)),
            flapping(3, 0.2, 2, (RESET, BUSY, Fault("cut", 100_000))),
        )
        with replication.NeverWrong(AsAdministrator(original), ours):
            program.run("livecopy", front.place, place(ours))
        assert front.done
        assert differences(AsAdministrator(original), ours, active(made)) == []


class TestIntoTheOriginal:
    def test_everything_an_image_is(
        self, original: Original, front: Proxy, ours: Server, program: Replicator
    ) -> None:
        made = populate(ours)
        copied = active(made)
        program.run("livecopy", place(ours), front.place)
        assert differences(ours, AsAdministrator(original), copied) == []
        assert set(replication.listed(AsAdministrator(original))) == copied
        program.run("compare", place(ours), front.place)

        before = len(front.asked)
        program.run("livecopy", place(ours), front.place)
        assert {asked.method for asked in front.asked[before:]} == {"GET"}

        name = made["public"]
        replication.replace(ours, name, "name", "after")
        replication.share(ours, made["unshared"], erin="accepted")
        replication.patch(
            ours,
            made["odd"],
            {"op": "remove", "path": "/~01"},
            {"op": "replace", "path": "/a~1b~0c", "value": "other"},
            {"op": "add", "path": "/new", "value": "1"},
            {"op": "replace", "path": "/tags", "value": ["new"]},
        )
        program.run("livecopy", place(ours), front.place)
        assert differences(ours, AsAdministrator(original), copied) == []

    @pytest.mark.parametrize("at", [0, MIB // 2, 3 * MIB - 1])
    def test_data_that_is_corrupted(
        self, original: Original, front: Proxy, ours: Server, program: Replicator, at: int
    ) -> None:
        """It compares no digests: wrong data must not even get there."""
        image_id = replication.image(ours, data_of(3 * MIB))
        with Proxy(ours.port) as source:
            source.plan = each("GET", FILE, *[Fault("corrupt", at)] * 2)
            with replication.NeverWrong(ours, AsAdministrator(original)):
                done = program.run("livecopy", source.place, front.place, "--retries", 0, code=1)
                assert image_id in done.said
                program.run("livecopy", source.place, front.place, "--retries", 1)
        assert differences(ours, AsAdministrator(original), [image_id]) == []

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_interrupted(
        self, original: Original, front: Proxy, ours: Server, program: Replicator, number: int
    ) -> None:
        chance = random.Random(number)
        made = [replication.image(ours, data_of(size * MIB)) for size in (1, 2, 3, 4)]
        words = ("livecopy", place(ours), front.place, "--parallel", 2)
        front.plan = flapping(number, 0.1, 1, (RESET, BUSY, MUTE, Fault("cut", 1000)))
        with replication.NeverWrong(ours, AsAdministrator(original)):
            for _ in range(3):
                process = program.start(*words)
                front.alarm(
                    chance.randrange(1, 4 * MIB),
                    lambda process=process: process.send_signal(number),  # type: ignore[misc]
                )
                finish(process, None)
            program.run(*words)
        assert differences(ours, AsAdministrator(original), made) == []


# Keystone.


@contextmanager
def with_keystone(keystone: Keystone, **more: object) -> Iterator[Server]:
    """Start a service that asks it."""
    options = {
        "paste_deploy": {"flavor": "keystone"},
        "keystone_authtoken": {
            **keystone.identity.service().authtoken(keystone.url),
            "http_request_max_retries": 1,
            **more,
        },
    }
    with Server(options=options) as server:
        yield server
        assert server.trouble() == []


def write_clouds(home: Path, keystone: Keystone, **logins: Login) -> None:
    """Write a file of clouds, as the field's clients have it."""
    lines = ["clouds:"]
    for name, login in logins.items():
        lines += [f"  {name}:", "    auth:"]
        lines += [
            f"      {key}: {value}"
            for key, value in {
                "auth_url": f"{keystone.url}/v3",
                "username": login.name,
                "password": login.password,
                "project_name": login.project,
                "user_domain_id": "default",
                "project_domain_id": "default",
            }.items()
        ]
    (home / "clouds.yaml").write_text("\n".join(lines) + "\n")


class TestKeystone:
    def test_everything_an_image_is(
        self, keystone: Keystone, ours: Server, program: Replicator
    ) -> None:
        identity = keystone.identity
        admin = identity.login("admin")
        with with_keystone(keystone) as target:
            target.token = identity.token(admin).id
            made = populate(ours)
            write_clouds(program.home, keystone, there=admin)
            words = (place(ours), place(target), "--target-cloud", "there")
            done = program.run("livecopy", *words)
            assert differences(ours, target, active(made)) == []
            program.run("compare", *words)
            # And back, into one that is empty, by a token.
            with Server() as third:
                token = identity.token(admin).id
                more = program.run("livecopy", place(target), place(third), "-M", token)
                assert differences(ours, third, active(made)) == []
            for said in (done.said, more.said):
                assert admin.password not in said
                assert "gAAAA" not in said

    def test_the_variables_of_clients(
        self, keystone: Keystone, ours: Server, program: Replicator
    ) -> None:
        """And the catalogue, in which the service is."""
        admin = keystone.identity.login("admin")
        image_id = replication.image(ours, b"data")
        with with_keystone(keystone) as target:
            target.token = keystone.identity.token(admin).id
            region = keystone.identity.region()
            keystone.identity.endpoint("image", target.url, region)
            environ = admin.environment(keystone.url, region)
            words = ("--target-cloud", "envvars")
            program.run("livecopy", place(ours), *words, place(target), **environ)
            assert differences(ours, target, [image_id]) == []

    def test_who_is_no_administrator(
        self, keystone: Keystone, ours: Server, program: Replicator
    ) -> None:
        project = keystone.identity.project()
        member = keystone.identity.login("member", project=project)
        image_id = replication.image(ours, b"data", owner="p1")
        with with_keystone(keystone) as target:
            target.token = keystone.identity.token(member).id
            write_clouds(program.home, keystone, there=member)
            words = (place(ours), place(target), "--target-cloud", "there")
            done = program.run("livecopy", *words)
            assert "owner" in done.said
            assert differences(ours, target, [image_id], ["owner"]) == []
            assert target.show(image_id)["owner"] == project.id

    def test_a_wrong_password(self, keystone: Keystone, ours: Server, program: Replicator) -> None:
        login = Login("nobody", "canary-password", project="admin")
        with with_keystone(keystone) as target:
            write_clouds(program.home, keystone, there=login)
            words = (place(ours), place(target), "--target-cloud", "there")
            done = program.run("livecopy", *words, code=3)
            assert "canary" not in done.said

    def test_tokens_that_are_revoked_in_the_midst(
        self, keystone: Keystone, ours: Server, program: Replicator
    ) -> None:
        identity = keystone.identity
        admin = identity.login("admin")
        made = [replication.image(ours, data_of(100_000 + n)) for n in range(16)]
        with with_keystone(keystone, token_cache_time=-1) as target, Proxy(target.port) as proxy:
            target.token = identity.token(admin).id
            write_clouds(program.home, keystone, there=admin)
            gone: list[str] = []

            def revoke() -> None:
                found = re.search(rb"(?i)x-auth-token: (\S+)", proxy.heads[-1])
                assert found is not None
                token = found[1].decode()
                if token not in gone:
                    gone.append(token)
                    identity.call("DELETE", "/auth/tokens", None, {"X-Subject-Token": token})
                if len(gone) < 3:
                    proxy.alarm(300_000, revoke)

            proxy.alarm(300_000, revoke)
            words = (place(ours), proxy.place, "--target-cloud", "there", "--parallel", 2)
            program.run("livecopy", *words)
            assert len(gone) >= 2
            assert differences(ours, target, made) == []

    def test_tokens_that_end_in_the_midst(
        self, keystone: Keystone, ours: Server, program: Replicator, tmp_path: Path
    ) -> None:
        keystone = keystone._twin(tmp_path / "short")
        (tmp_path / "short").mkdir()
        keystone.lifetime = 4
        keystone.binaries()
        keystone.start()
        try:
            admin = keystone.identity.login("admin")
            made = [replication.image(ours, data_of(100_000 + n)) for n in range(6)]
            with (
                with_keystone(keystone, token_cache_time=-1) as target,
                Proxy(ours.port) as proxy,
            ):
                write_clouds(program.home, keystone, there=admin)
                # The last bytes of one come when the token has ended that its upload began with.
                proxy.alarm(350_000, lambda: time.sleep(6))
                words = (proxy.place, place(target), "--target-cloud", "there", "--parallel", 1)
                program.run("livecopy", *words)
                target.token = keystone.identity.token(admin, lifetime=60).id
                assert differences(ours, target, made) == []
        finally:
            keystone.stop()
