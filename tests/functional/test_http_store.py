"""Images on web servers, downloaded through the service."""

import contextlib
import hashlib
import json
import sqlite3

import pytest

from tests.functional.server import PATIENCE, Server, eventually
from tests.functional.web import CREDENTIALS, DATA, WebServer, make_certificates
from tests.functional.wire import MIB, Wire, data_of

MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()


def add_image(server, *urls, data=DATA, size=None, **metadata):
    """Have an image in the catalogue whose data is elsewhere; return its id."""
    image_id = server.create()
    row = (len(data) if size is None else size, image_id)
    with contextlib.closing(
        sqlite3.connect(server.state / "glance.sqlite", timeout=60)
    ) as database:
        database.execute("UPDATE images SET status = 'active', size = ? WHERE id = ?", row)
        for url in urls:
            database.execute(
                "INSERT INTO image_locations (image_id, value, meta_data, status, created_at,"
                " updated_at, deleted) VALUES (?, ?, ?, 'active', ?, ?, 0)",
                (image_id, url, json.dumps(metadata), *["2026-01-01 00:00:00.000000"] * 2),
            )
        database.commit()
    return image_id


@contextlib.contextmanager
def service(*, checked=True, **options):
    """Run a service with options, given as group__name."""
    server = Server()
    server._env |= {f"OS_{name.upper()}": value for name, value in options.items()}
    with server:
        yield server
        if checked:
            assert server.trouble() == []


@pytest.fixture(scope="module")
def web():
    with WebServer() as web:
        yield web


@pytest.fixture(scope="module")
def glance(web):
    """A service that may fetch from the web server."""
    with service(
        import_filtering_opts__allowed_hosts="[127.0.0.1]",
        import_filtering_opts__allowed_ports=f"[{web.port}]",
    ) as glance:
        yield glance


def settled(server):
    """Wait until no connection of a fetch is open any more."""
    eventually(lambda: len(server.descriptors()) <= server.idle, "connections are closed")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure(certificates):
    with WebServer(certificates[1]) as web:
        yield web


class TestDownloads:
    @pytest.mark.parametrize("page", ["plain", "ranged", "moved", "chunked", "until-closed"])
    def test_whole(self, glance, web, page):
        image_id = add_image(glance, web.url(f"/{page}"))
        answer = glance.download(image_id)
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(DATA)))
        assert answer.body == DATA
        settled(glance)

    @pytest.mark.parametrize("page", ["plain", "ranged", "moved", "chunked", "until-closed"])
    def test_parts(self, glance, web, page):
        image_id = add_image(glance, web.url(f"/{page}"))
        for asked, expected in (
            ("bytes=0-9", DATA[:10]),
            ("bytes=5-", DATA[5:]),
            (f"bytes={2 * MIB}-{2 * MIB + 400_000}", DATA[2 * MIB : 2 * MIB + 400_001]),
            ("bytes=-9", DATA[-9:]),
        ):
            answer = glance.download(image_id, Range=asked)
            assert (answer.status, answer.body) == (206, expected)
        settled(glance)

    def test_one_request_serves_a_download(self, glance, web):
        image_id = add_image(glance, web.url("/ranged"))
        web.asked.clear()
        assert glance.download(image_id).body == DATA
        assert [(method, path) for method, path, _ in web.asked] == [("GET", "/ranged")]

    def test_far_parts_are_asked_for(self, glance, web):
        image_id = add_image(glance, web.url("/ranged"))
        web.asked.clear()
        assert glance.download(image_id, Range=f"bytes={2 * MIB}-").body == DATA[2 * MIB :]
        assert web.asked[-1][2]["Range"] == f"bytes={2 * MIB}-"

    def test_several_at_once(self, glance, web):
        image_id = add_image(glance, web.url("/plain"))
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(Wire(glance)) for _ in range(5)]
            for wire in wires:
                wire.head("GET", f"/v2/images/{image_id}/file")
            assert all(wire.answer().body == DATA for wire in wires)

    def test_head_and_unchanged_data_fetch_nothing(self, glance, web):
        image_id = add_image(glance, web.url("/plain"))
        web.asked.clear()
        answer = glance.request("HEAD", f"/v2/images/{image_id}/file")
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(DATA)))
        assert web.asked == []

    def test_credentials_in_the_url(self, glance, web):
        name, password = CREDENTIALS
        user = f"{name}:{password.replace('/', '%2F').replace(':', '%3A')}@"
        image_id = add_image(glance, web.url("/private", user=user))
        assert glance.download(image_id).body == DATA
        image_id = add_image(glance, web.url("/private", user=f"{name}:wrong-canary@"))
        assert glance.download(image_id).status == 500

    def test_the_next_copy_is_tried(self, glance, web):
        image_id = add_image(glance, web.url("/missing"), web.url("/broken"), web.url("/plain"))
        assert glance.download(image_id).body == DATA

    def test_deleting_leaves_the_data_alone(self, glance, web):
        image_id = add_image(glance, web.url("/plain"))
        web.asked.clear()
        assert glance.request("DELETE", f"/v2/images/{image_id}").status == 204
        assert glance.request("GET", f"/v2/images/{image_id}").status == 404
        assert web.asked == []


class TestTrouble:
    @pytest.mark.parametrize(("page", "status"), [("missing", 204), ("broken", 503)])
    def test_answers(self, glance, web, page, status):
        answer = glance.download(add_image(glance, web.url(f"/{page}")))
        assert answer.status == status
        assert str(web.port).encode() not in answer.body
        settled(glance)

    def test_nobody_there(self, glance, web):
        with service(import_filtering_opts__allowed_hosts="127.0.0.1,nobody.invalid") as glance:
            for host in ("127.0.0.1", "nobody.invalid"):
                # Port 80, since it is not written: nobody serves it here.
                image_id = add_image(glance, f"http://{host}/x")
                assert glance.download(image_id).status == 503

    @pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
    def test_another_length_than_the_record_has(self, glance, web, size):
        image_id = add_image(glance, web.url("/plain"), size=size)
        assert glance.download(image_id).status == 500
        settled(glance)

    @pytest.mark.parametrize("page", ["short", "chunked", "until-closed"])
    def test_data_that_ends_early_never_looks_complete(self, glance, web, page):
        size = len(DATA) + (0 if page == "short" else 1)
        image_id = add_image(glance, web.url(f"/{page}"), size=size)
        with Wire(glance) as wire:
            wire.head("GET", f"/v2/images/{image_id}/file")
            status, headers = wire.answered()
            assert (status, headers["Content-Length"]) == (200, str(size))
            assert len(wire.read(size)) < size
            assert wire.ended()
        settled(glance)

    def test_data_that_changes(self, glance, web):
        image_id = add_image(glance, web.url("/changing"))
        with Wire(glance) as wire:
            wire.head("GET", f"/v2/images/{image_id}/file", f"Range: bytes={2 * MIB}-")
            assert wire.answered()[0] == 206
            assert wire.read(1) == b""

    def test_a_client_that_goes_away_ends_the_fetching(self, glance, web):
        web.go_on.clear()
        image_id = add_image(glance, web.url("/held"))
        with Wire(glance) as wire:
            wire.head("GET", f"/v2/images/{image_id}/file")
            wire.answered()
            assert wire.read(MIB - 256 * 1024)
        settled(glance)
        web.go_on.set()

    def test_a_server_that_waits_is_waited_for(self, glance, web):
        web.go_on.clear()
        image_id = add_image(glance, web.url("/held"))
        with Wire(glance) as wire:
            wire.head("GET", f"/v2/images/{image_id}/file")
            wire.answered()
            first = wire.read(MIB - 256 * 1024)
            web.go_on.set()
            assert first + wire.read(len(DATA) - len(first)) == DATA

    def test_no_more_is_fetched_than_the_client_takes(self, glance, web):
        web.big = data = data_of(64 * MIB)
        image_id = add_image(glance, web.url("/big"), data=data)
        glance.forget_peak()
        before = glance.resident()
        web.blocked.clear()
        web.sent = 0
        with Wire(glance, receive_buffer=64 * 1024) as wire:
            wire.head("GET", f"/v2/images/{image_id}/file")
            assert wire.answered()[0] == 200
            assert web.blocked.wait(PATIENCE)
            assert web.sent < len(data) // 2
            assert hashlib.sha256(wire.read(len(data))).digest() == hashlib.sha256(data).digest()
        assert glance.resident() - before < 16 * MIB


class TestRules:
    def test_redirects_to_elsewhere(self, glance, web):
        with WebServer() as inside:
            image_id = add_image(glance, web.url("/moved-away"))
            for host in ("127.0.0.2", "localhost", "127.0.0.1", "2130706433", "0x7f000001"):
                web.away = inside.url("/plain", host=host)
                assert glance.download(image_id).status == 500
            web.away = "file:///etc/passwd"
            assert glance.download(image_id).status == 500
            assert inside.asked == []

    def test_this_machine_is_out_of_reach_unless_allowed(self, web):
        with service(import_filtering_opts__allowed_ports=str(web.port)) as glance:
            web.asked.clear()
            for host in ("127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"):
                image_id = add_image(glance, web.url("/plain", host=host))
                answer = glance.download(image_id)
                assert answer.status == 500
                assert b"127" not in answer.body
            assert web.asked == []
            # Who looks for the cause finds it.
            assert "[import_filtering_opts] allowed_hosts" in glance.log_text()

    def test_files_of_this_machine_are_no_locations(self, glance):
        image_id = add_image(glance, "file:///etc/passwd", "filesystem:///etc/passwd")
        answer = glance.download(image_id)
        assert answer.status == 500
        assert b"root" not in answer.body


class TestTls:
    def allowing(self, web, **options):
        return service(
            import_filtering_opts__allowed_hosts="127.0.0.1,localhost",
            import_filtering_opts__allowed_ports=str(web.port),
            **options,
        )

    def test_certificates_are_verified(self, secure):
        with self.allowing(secure) as glance:
            answer = glance.download(add_image(glance, secure.url("/plain")))
            assert answer.status == 503
            assert b"certificate" in answer.body
        assert secure.asked == []

    def test_an_authority_of_one_s_own(self, secure, certificates):
        authority = str(certificates[0])
        # What the operator names wins over carelessness.
        with self.allowing(
            secure,
            glance_store__https_ca_certificates_file=authority,
            glance_store__https_insecure="true",
        ) as glance:
            image_id = add_image(glance, secure.url("/ranged"))
            assert glance.download(image_id).body == DATA
            assert glance.download(image_id, Range=f"bytes={2 * MIB}-").body == DATA[2 * MIB :]
            other = add_image(glance, secure.url("/plain", host="localhost"))
            assert glance.download(other).status == 503
            settled(glance)

    def test_carelessness(self, secure):
        with self.allowing(secure, glance_store__https_insecure="true") as glance:
            image_id = add_image(glance, secure.url("/plain", host="localhost"))
            assert glance.download(image_id).body == DATA
            assert "https_insecure" in glance.log_text()

    def test_an_authority_that_cannot_be_read(self, secure):
        option = {"glance_store__https_ca_certificates_file": "/nowhere/ca.pem"}
        with self.allowing(secure, checked=False, **option) as glance:
            assert "https_ca_certificates_file: /nowhere/ca.pem" in glance.log_text()
            assert glance.download(add_image(glance, secure.url("/plain"))).status == 503
            # Everything else goes on.
            assert glance.download(glance.image(b"data")).body == b"data"

    def test_through_proxies(self, web, secure, certificates):
        proxy = f"127.0.0.1:{web.port}"
        with service(
            import_filtering_opts__allowed_hosts="127.0.0.1,mirror.invalid",
            import_filtering_opts__allowed_ports=str(secure.port),
            glance_store__https_ca_certificates_file=str(certificates[0]),
            glance_store__http_proxy_information=f"http:{proxy},https:{proxy}",
        ) as glance:
            web.proxied.clear()
            image_id = add_image(glance, "http://mirror.invalid/ranged?x")
            assert glance.download(image_id).body == DATA
            image_id = add_image(glance, secure.url("/plain"))
            assert glance.download(image_id).body == DATA
            assert web.proxied == [
                "http://mirror.invalid/ranged?x",
                f"127.0.0.1:{secure.port}",
            ]


def test_secrets_stay_where_they_are(glance, web):
    image_id = add_image(
        glance, web.url("/plain?signature=canary", user="canary-user:canary-word@")
    )
    shown = [glance.download(image_id).headers, glance.show(image_id)]
    refused = add_image(
        glance,
        "http://canary-user:canary-word@canary.example/canary?canary",
        web.url("/broken?canary"),
    )
    shown += [glance.download(refused).body, glance.show(refused)]
    image_id = add_image(glance, web.url("/short?canary"))
    with Wire(glance) as wire:
        wire.head("GET", f"/v2/images/{image_id}/file")
        wire.answered()
        wire.read(len(DATA))
    assert "canary" not in str(shown) + glance.log_text()


def test_it_takes_no_data(glance):
    image_id = glance.create()
    answer = glance.upload(image_id, b"data", **{"X-Image-Meta-Store": "http"})
    assert answer.status == 410
    assert glance.status(image_id) == "queued"
