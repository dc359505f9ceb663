"""glance-cache-manage logs in to a real Keystone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cachemanage import Manage
from tests.functional.server import Server
from tests.services.identity import Login
from tests.services.keystone import REGION, Keystone

pytestmark = pytest.mark.service

NOT_THERE = "Cache management middleware not enabled on host 127.0.0.1"


def options(keystone: Keystone, flavor: str) -> dict[str, dict[str, object]]:
    return {
        "paste_deploy": {"flavor": flavor},
        "keystone_authtoken": {**keystone.identity.service().authtoken(keystone.url)},
    }


@pytest.fixture(scope="module")
def plain(keystone: Keystone) -> Iterator[Server]:
    """A service without a cache."""
    with Server(options=options(keystone, "keystone")) as server:
        yield server
        assert server.trouble() == []


@pytest.fixture(scope="module")
def server(keystone: Keystone, tmp_path_factory) -> Iterator[Server]:
    """A service with a cache."""
    settings = {"image_cache_dir": tmp_path_factory.mktemp("cache"), "image_cache_driver": "sqlite"}
    given = options(keystone, "keystone+cachemanagement")
    with Server(settings=settings, options=given) as server:
        yield server
        assert server.trouble() == []
        assert "gAAAAA" not in server.log_text()


@pytest.fixture(scope="module")
def admin(keystone: Keystone) -> Login:
    return keystone.identity.login("admin")


def manage(server: Server, tmp_path: Path, login: Login | None, keystone: Keystone) -> Manage:
    environ = login.environment(keystone.url, REGION) if login else {}
    return Manage(tmp_path, environ, ("-H", "127.0.0.1", "-p", str(server.port)))


def test_login(plain: Server, keystone: Keystone, admin: Login, tmp_path: Path) -> None:
    program = manage(plain, tmp_path, admin, keystone)
    assert program.fails("list-cached")[0] == NOT_THERE
    # With the version in the URL, and with names of domains.
    del program.environ["OS_USER_DOMAIN_ID"]
    assert program.fails("-N", f"{keystone.url}/v3/", "list-cached")[0] == NOT_THERE
    argv = ["--os-user-domain-name", "Default", "--os-project-domain-name", "Default"]
    assert program.fails(*argv, "list-cached")[0] == NOT_THERE


def test_token(server: Server, keystone: Keystone, admin: Login, tmp_path: Path) -> None:
    token = keystone.identity.token(admin)
    program = manage(server, tmp_path, None, keystone)
    assert program.says("-A", token.id, "list-queued") == "No queued images.\n"
    program.environ["OS_TOKEN"] = token.id
    assert program.says("list-queued") == "No queued images.\n"


def test_refused_login(plain: Server, keystone: Keystone, admin: Login, tmp_path: Path) -> None:
    program = manage(plain, tmp_path, admin, keystone)
    for option, value in (
        ("-K", "wrong"),
        ("-I", "nobody"),
        ("-T", "nowhere"),
        ("--os-user-domain-id", "nowhere"),
    ):
        first, told = program.fails(option, value, "list-cached")
        assert first == "Failed to show cached images. Got error:"
        assert told.startswith(
            f"You are not authenticated: {keystone.url}/v3/auth/tokens refused the credentials of "
        )


def test_no_token(server: Server, keystone: Keystone, admin: Login, tmp_path: Path) -> None:
    program = manage(server, tmp_path, admin, keystone)
    for argv in (["-S", "noauth"], ["-A", "gAAAAAnonsense"]):
        _, told = program.fails(*argv, "list-cached")
        assert told.startswith(f"You are not authenticated: 127.0.0.1:{server.port} ")


def test_administrator(server: Server, keystone: Keystone, admin: Login, tmp_path: Path) -> None:
    server.token = keystone.identity.token(admin).id
    image = server.image(b"data")
    program = manage(server, tmp_path, admin, keystone)
    done = program.run("-f", "queue-image", "--wait", image)
    assert (done.returncode, f"Image {image}: cached" in done.stderr) == (0, True)
    assert image in program.says("list-cached")
    assert program.says("-fv", "delete-cached-image", image).startswith(
        f"Deleted cached image {image}\n"
    )


def test_others_may_not(server: Server, keystone: Keystone, tmp_path: Path) -> None:
    member = keystone.identity.login("member")
    program = manage(server, tmp_path, member, keystone)
    for argv in (["list-cached"], ["-f", "delete-all-cached-images"]):
        assert program.fails(*argv)[0] == "Not authorized to make this request."
