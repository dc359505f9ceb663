"""glance-cache-manage against services that are away, refuse, or are something else."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cacheservice import ONE, PASSWORD, TWO, CacheService
from tests.certificates import Authority
from tests.functional.cachemanage import Listener, Manage, Rude
from tests.functional.server import eventually

LIST = "Failed to show cached images. Got error:"


@pytest.fixture
def service() -> CacheService:
    return CacheService()


@pytest.fixture
def manage(service: CacheService, tmp_path: Path) -> Iterator[Manage]:
    """The program, told where the service listens."""
    with Listener(service) as listener:
        yield Manage(tmp_path, options=("-H", "127.0.0.1", "-p", str(listener.port)))


def port_of(manage: Manage) -> str:
    return manage.options[-1]


def free_port() -> int:
    """Return a port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# What goes well.


def test_commands(service: CacheService, manage: Manage) -> None:
    assert manage.says("list-cached") == "No cached images.\n"
    assert manage.says("queue-image", ONE, said="y\n") == f"Queue image {ONE} for caching? [y/N] "
    assert manage.says("list-queued", "-v").startswith("Found 1 queued images...\n+---")
    service.have(ONE)
    assert f"| {ONE} |" in manage.says("list-cached")
    assert manage.says("-f", "delete-cached-image", ONE) == ""
    said = manage.says("-fv", "delete-all-cached-images")
    assert said.startswith("Deleted 0 cached images\nCompleted in ")


def test_declined(service: CacheService, manage: Manage) -> None:
    service.have(ONE)
    assert manage.says("delete-all-cached-images", said="n\n") == "Delete all cached images? [y/N] "
    assert service.seen == []


def test_nobody_to_answer(service: CacheService, manage: Manage) -> None:
    done = manage.run("delete-all-cached-images")
    assert done.returncode == 1
    assert "Use --force" in done.stderr
    assert service.seen == []


def test_release_without_the_older_routes(tmp_path: Path) -> None:
    service = CacheService(older=False)
    with Listener(service) as listener:
        manage = Manage(tmp_path, options=("-p", str(listener.port)))
        assert manage.says("-f", "queue-image", ONE, TWO) == ""
        assert service.queued == [ONE, TWO]
        assert manage.says("-fv", "delete-all-queued-images").startswith("Deleted 2 queued")


def test_url_with_prefix(service: CacheService, tmp_path: Path, manage: Manage) -> None:
    service.replies["/image/v2/cached_images"] = (200, {}, b'{"cached_images": []}')
    url = f"http://127.0.0.1:{port_of(manage)}/image/"
    assert Manage(tmp_path).says("-H", url, "list-cached") == "No cached images.\n"


# Tokens.


def test_token(service: CacheService, manage: Manage) -> None:
    service.secured = True
    service.tokens = {"canary-given"}
    assert manage.says("-A", "canary-given", "list-cached")
    manage.environ["OS_TOKEN"] = "canary-given"
    assert manage.says("list-cached")
    where = f"127.0.0.1:{port_of(manage)}"
    told = f"You are not authenticated: {where} does not take the token (401)."
    assert manage.fails("-A", "canary-other", "list-cached") == [LIST, told]
    told = f"You are not authenticated: {where} wants a token (401)."
    assert manage.fails("-S", "noauth", "list-cached") == [LIST, told]


def test_login(service: CacheService, manage: Manage) -> None:
    service.secured = True
    url = f"http://127.0.0.1:{port_of(manage)}"
    manage.environ |= {
        "OS_AUTH_URL": url,
        "OS_USERNAME": "uma",
        "OS_PASSWORD": PASSWORD,
        "OS_PROJECT_NAME": "p",
    }
    assert manage.says("list-cached")
    assert service.logins[0]["scope"] == {"project": {"name": "p", "domain": {"id": "default"}}}
    told = f"{url}/v3/auth/tokens refused the credentials of the user 'uma' (401)."
    for options in ([], ["-d"]):
        done = manage.run("-K", "canary-wrong", "list-cached", *options)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"\nYou are not authenticated: {told}" in f"\n{done.stderr}"
    del manage.environ["OS_USERNAME"]
    assert manage.fails("list-cached") == [LIST, "Missing required credential: username"]


def test_refusal(service: CacheService, manage: Manage) -> None:
    service.replies["/v2/cached_images"] = (403, {}, b'{"message": "You may not."}')
    wanted = ["Not authorized to make this request.", "You may not."]
    assert manage.fails("list-cached") == wanted


def test_token_with_a_line_end(manage: Manage) -> None:
    told = "The token has characters in it that no token has."
    assert manage.fails("-A", "canary\r\nX: y", "list-cached") == [LIST, told]


# No cache.


def test_no_cache(tmp_path: Path) -> None:
    with Listener(CacheService(older=False, newer=False)) as listener:
        manage = Manage(tmp_path, options=("-p", str(listener.port), "-f"))
        for argv in (["list-cached"], ["queue-image", ONE], ["delete-all-queued-images"]):
            first, second = manage.fails(*argv)
            assert first == "Cache management middleware not enabled on host 0.0.0.0"
            assert second.startswith("Set image_cache_dir in the configuration of glance-api")


def test_something_else_that_speaks_http(service: CacheService, manage: Manage) -> None:
    page = (404, {}, b"<html>Not here</html>")
    for path in ("/v2/cached_images", "/v2/cache", "/versions"):
        service.replies[path] = page
    where = f"127.0.0.1:{port_of(manage)}"
    told = f"{where} answered, but not as an image service does. Is it one?"
    assert manage.fails("list-cached") == [LIST, told]
    service.replies["/v2/cached_images"] = (200, {}, b"<html>Welcome</html>")
    assert manage.fails("list-cached") == [LIST, told]
    service.replies["/v2/cached_images"] = (301, {"Location": "http://x.example/"}, b"")
    told = f"{where} sends us on (301) to http://x.example/; say so yourself."
    assert manage.fails("list-cached") == [LIST, told]


def test_service_that_fails(service: CacheService, manage: Manage) -> None:
    service.replies["/v2/cached_images"] = (500, {}, b'{"message": "It \\u001b[2J broke."}')
    told = f"127.0.0.1:{port_of(manage)} answered 500 (Internal Server Error): It [2J broke."
    assert manage.fails("list-cached") == [LIST, told]


# No answer.


def test_nothing_listens(tmp_path: Path) -> None:
    port = free_port()
    told = f"127.0.0.1:{port} cannot be reached: nothing listens there."
    manage = Manage(tmp_path, options=("-H", f"127.0.0.1:{port}"))
    assert manage.fails("list-cached") == [LIST, told]


def test_name_that_there_is_not(tmp_path: Path) -> None:
    first, second = Manage(tmp_path).fails("-H", "no-such-host.invalid", "list-cached")
    assert first == LIST
    assert second.startswith("no-such-host.invalid:9292 cannot be reached: DNS lookup failed")


def test_silence(tmp_path: Path) -> None:
    with Rude(None) as rude:
        manage = Manage(tmp_path, options=("-H", "127.0.0.1", "-p", str(rude.port)))
        told = f"127.0.0.1:{rude.port} did not answer within 0.3 s."
        assert manage.fails("--timeout", "0.3", "list-cached") == [LIST, told]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "What answers at {} does not speak HTTP. Does it want"),
        (b"", "{} broke off the connection: "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "{} broke off the connection: "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9", "{} broke off the connection: "),
    ],
)
def test_bad_habits(answer: bytes, told: str, tmp_path: Path) -> None:
    with Rude(answer) as rude:
        where = f"127.0.0.1:{rude.port}"
        first, second = Manage(tmp_path).fails("-H", where, "list-cached")
        assert first == LIST
        assert second.startswith(told.format(where))


# TLS.


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_tls(service: CacheService, authority: Authority, tmp_path: Path) -> None:
    with Listener(service, authority.server()) as listener:
        url = f"https://127.0.0.1:{listener.port}"
        manage = Manage(tmp_path, options=("-H", url))
        assert manage.says("list-cached", "--os-cacert", str(authority.path))
        assert manage.says("list-cached", "-k")
        first, second, hint = manage.fails("list-cached")
        assert (first, second[: len(url) - 8]) == (LIST, url[8:])
        assert "cannot be trusted: TLS failed (certificate verify failed)" in second
        assert "--os-cacert" in hint
        assert "--insecure" in hint
        missing = str(tmp_path / "no.pem")
        told = f"--os-cacert = {missing} cannot be read: No such file or directory."
        assert manage.fails("list-cached", "--os-cacert", missing) == [LIST, told]


def test_certificate_of_somebody_else(
    service: CacheService, authority: Authority, tmp_path: Path
) -> None:
    with Listener(service, authority.server("127.0.0.9")) as listener:
        manage = Manage(tmp_path, {"OS_CACERT": str(authority.path)})
        _, told, _ = manage.fails("-H", f"https://127.0.0.1:{listener.port}", "list-cached")
        assert "the certificate is not for this host" in told


def test_schemes_that_are_mixed_up(
    service: CacheService, authority: Authority, tmp_path: Path
) -> None:
    manage = Manage(tmp_path)
    with Listener(service) as plain, Listener(service, authority.server()) as secure:
        where = f"127.0.0.1:{plain.port}"
        told = f"{where} does not speak TLS; is it http:// that is meant?"
        assert manage.fails("-H", f"https://{where}", "list-cached") == [LIST, told]
        _, told = manage.fails("-H", f"127.0.0.1:{secure.port}", "list-cached")
        assert told.endswith("Does it want https://?")


# How it ends.


def test_debugging(service: CacheService, manage: Manage) -> None:
    done = manage.run("-d", "list-cached")
    url = f"http://127.0.0.1:{port_of(manage)}/v2/cached_images"
    assert (done.stdout, f"GET {url}: 200" in done.stderr) == ("No cached images.\n", True)
    service.replies["/v2/cached_images"] = (500, {}, b"")
    done = manage.run("-d", "-A", "canary-token-of-length", "list-cached")
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.splitlines()[-2] == LIST


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt(service: CacheService, manage: Manage, number: signal.Signals) -> None:
    process = manage.start("-f", "queue-image", "--wait", ONE, stdin=subprocess.DEVNULL)
    eventually(lambda: ("GET", "/v2/cached_images", None) in service.seen, "it looks")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[1:] == ["Interrupted; what is queued stays queued."]
    assert service.queued == [ONE]


def test_interrupt_at_the_question(manage: Manage) -> None:
    process = manage.start("delete-all-cached-images", bufsize=0)
    assert process.stdout is not None
    question = os.read(process.stdout.fileno(), 100)
    assert question == b"Delete all cached images? [y/N] "
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "\n", "")


def test_waiting_at_a_terminal(service: CacheService, manage: Manage) -> None:
    ours, theirs = pty.openpty()
    process = manage.start("-f", "queue-image", "--wait", ONE, TWO, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"Cached: 0 of 2" not in shown:
        shown += os.read(ours, 4096)
    service.have(ONE, TWO)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    while f"Image {TWO}: cached".encode() not in shown:
        shown += os.read(ours, 4096)
    os.close(ours)
    assert "Cached: 1 of 2" not in shown.decode().splitlines()[-1]


def test_help_loads_no_reactor(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from glance.cmd import cache_manage\n"
        "for argv in (['help'], ['-h'], ['nope'], ['queue-image'], ['help', 'list-cached']):\n"
        "    sys.argv[1:] = argv\n"
        "    cache_manage.manage()\n"
        "print([name for name in ('twisted', 'treq', 'oslo_config', 'prettytable')"
        " if name in sys.modules], file=sys.stderr)"
    )
    program = Manage(tmp_path)
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=program.environ,
        cwd=tmp_path,
        check=True,
    )
    assert process.stderr.splitlines()[-1] == "[]"
