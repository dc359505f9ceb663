"""Where data may come from, what it may be, and that it stays what it is.

Grouped by class of flaw; docstrings name the advisories. Who gets at what is tried in
``test_security.py``; ``docs/security.rst`` has the whole table, with the tests elsewhere.
"""

from __future__ import annotations

import ast
import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import glance
from tests.functional.cloud import DATA as SMALL
from tests.functional.cloud import UNKNOWN, V21, Cloud
from tests.functional.server import OCTETS, ROOT, Answer, Server, eventually
from tests.functional.web import DATA, Pages, WebServer
from tests.functional.wire import MIB, Wire
from tests.unit.domain.test_inspection import qcow2

V20 = "application/openstack-images-v2.0-json-patch"


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    """The web server that the service may fetch from."""
    with WebServer() as web:
        yield web


@pytest.fixture(scope="module")
def inside() -> Iterator[WebServer]:
    """Another one, that it may not."""
    with WebServer() as inside:
        yield inside


@pytest.fixture(scope="module")
def cloud(web: WebServer) -> Iterator[Cloud]:
    rules = {"import_filtering_opts": {"allowed_ports": f"[{web.port}]"}}
    with Cloud({"image_size_cap": 4 * MIB}, rules) as cloud:
        yield cloud
        assert cloud.server.trouble() == []


@pytest.fixture(scope="module")
def strict(web: WebServer) -> Iterator[Cloud]:
    """One that allows no host in particular, but every port."""
    rules = {"allowed_hosts": "[]", "allowed_ports": "[]"}
    with Cloud({}, {"import_filtering_opts": rules}) as cloud:
        yield cloud
        assert cloud.server.trouble() == []


def place(cloud: Cloud, way: str, image_id: str, url: str, who: str = "member") -> Answer:
    """Name a place as an image's data, in one of the ways that there are."""
    path = f"/v2/images/{image_id}"
    value = {"url": url, "metadata": {}}
    if way == "post":
        return cloud.call(who, "POST", f"{path}/locations", {"url": url})
    if way == "add":
        return cloud.patch(who, image_id, {"op": "add", "path": "/locations/-", "value": value})
    if way == "replace":
        return cloud.patch(who, image_id, {"op": "replace", "path": "/locations", "value": [value]})
    change = [{"add": "/locations/0", "value": value}]
    return cloud.call(who, "PATCH", path, change, {"Content-Type": V20})


WAYS = ("post", "add", "replace", "old add")


def untouched(cloud: Cloud, image_id: str) -> bool:
    shown = cloud.show(image_id, "admin")
    return (shown["status"], shown["locations"], shown["size"]) == ("queued", [], None)


@pytest.mark.parametrize("way", WAYS)
class TestPlaces:
    """What may be named as the place of an image's data."""

    @pytest.mark.parametrize(
        "url",
        [
            "file:///etc/passwd",
            "FILE:///etc/passwd",
            "file://localhost/etc/passwd",
            "file:/etc/passwd",
            "filesystem:///etc/passwd",
            "FileSystem:///etc/passwd",
            "swift+config://ref/container/object",
            "SWIFT+Config://ref/container/object",
            " file:///etc/passwd",
            "\tfile:///etc/passwd",
            "fi%6ce:///etc/passwd",
            "fi\nle:///etc/passwd",
            "ｆile:///etc/passwd",
            "url:file:///etc/passwd",
            "http:file:///etc/passwd",
            "file+http:///etc/passwd",
            "/etc/passwd",
            "sheepdog://x;touch%20y:1:2",
            "rbd://a/b/c/d",
            "cinder://x",
            "jar:http://x!/",
            "gopher://127.0.0.1:25/",
            "dict://127.0.0.1:11211/stat",
            "",
        ],
    )
    def test_schemes(self, cloud: Cloud, way: str, url: str) -> None:
        """OSSA-2014-041 (CVE-2014-9493), OSSA-2015-002 (CVE-2015-1195), OSSA-2014-012
        (CVE-2014-0162): files of this machine, and what a command line could be made of."""
        for who in ("member", "admin", "service"):
            image_id = cloud.create("admin", owner="services" if who == "service" else "p1")
            answer = place(cloud, way, image_id, url, who)
            assert answer.status in (400, 403, 404)
            assert b"passwd" not in answer.body
            assert untouched(cloud, image_id)

    def test_data_of_others(self, cloud: Cloud, way: str) -> None:
        """Where the service keeps an image of somebody else's, as if it were one's own."""
        theirs = cloud.image("other project")
        kept = cloud.server.state / "fast" / theirs
        assert kept.exists()
        for url in (f"file://{kept}", f"FILE://{kept}", f"file://{kept.parent}/x/../{theirs}"):
            for who in ("member", "admin"):
                image_id = cloud.create()
                assert place(cloud, way, image_id, url, who).status in (400, 403)
                assert untouched(cloud, image_id)

    @pytest.mark.parametrize(
        "host",
        ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "017700000001",
         "localhost", "LOCALHOST", "localhost.", "x.localhost", "127.0.0.1.", "[::1]",
         "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
         "0.0.0.0", "0", "[::]", "169.254.169.254", "[fe80::1]", "[fe80::1%25lo]",
         "good.example@127.0.0.1", "user:word@127.0.0.1", "127.0.0.1%00.example",
         "127.0.0.1\\.example", "①②⑦.0.0.1", "127.0.0.1#@good.example",
         "127.0.0.1?@good.example"],
    )  # fmt: skip
    def test_hosts(self, strict: Cloud, web: WebServer, way: str, host: str) -> None:
        """OSSA-2026-004 (CVE-2026-34881): this machine and its neighbours, however written.

        Names that lead there, and names that change where they lead (rebinding):
        ``tests/unit/stores/test_outbound.py``, ``AddressTests``."""
        web.asked.clear()
        image_id = strict.create()
        before = len(strict.server.log_text())
        answer = place(strict, way, image_id, f"http://{host}:{web.port}/plain")
        assert answer.status == 400
        assert untouched(strict, image_id)
        assert web.asked == []
        # Where nobody listens: it was not even tried.
        assert "There is no connection" not in strict.server.log_text()[before:]

    @pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "127.0.0.1", "2130706433", "[::1]"])
    def test_redirects(
        self, cloud: Cloud, web: WebServer, inside: WebServer, way: str, host: str
    ) -> None:
        """OSSA-2026-004 (CVE-2026-34881): while the length is asked for, too."""
        web.away = inside.url("/plain", host=host)
        image_id = cloud.create()
        answer = place(cloud, way, image_id, web.url("/moved-away"))
        assert answer.status == 400
        assert str(inside.port).encode() not in answer.body
        assert untouched(cloud, image_id)
        assert inside.asked == []

    def test_the_answer_tells_nothing_of_the_inside(
        self, cloud: Cloud, web: WebServer, way: str
    ) -> None:
        """Whether somebody listens there, and what it says, is not for who tries out addresses."""
        web.away = f"http://127.0.0.2:{web.port}/plain"
        told = set()
        for page in ("/missing", "/broken", "/private", "/moved-away"):
            told.add(place(cloud, way, cloud.create(), web.url(page)).body)
        assert len(told) == 1

    @pytest.mark.parametrize("who", ["other project", "reader", "no role", "anonymous"])
    def test_others_cannot_make_the_service_ask(
        self, cloud: Cloud, web: WebServer, way: str, who: str
    ) -> None:
        web.asked.clear()
        image_id = cloud.create()
        cloud.share(image_id)
        assert place(cloud, way, image_id, web.url("/plain"), who).status in (401, 403, 404)
        assert web.asked == []
        assert untouched(cloud, image_id)


class TestSecondFetch:
    """OSSA-2026-004: what was good when it was named is judged anew whenever it is fetched."""

    def test_download(self, cloud: Cloud, web: WebServer, inside: WebServer) -> None:
        web.away = web.url("/plain")
        image_id = cloud.create()
        path = f"/v2/images/{image_id}"
        assert place(cloud, "add", image_id, web.url("/moved-away")).status == 200
        assert cloud.call("member", "GET", f"{path}/file").body == DATA
        for away in (inside.url("/plain"), "file:///etc/passwd", "http://169.254.169.254/"):
            web.away = away
            for headers in ({}, {"Range": "bytes=0-9"}, {"Range": f"bytes={2 * MIB}-"}):
                answer = cloud.call("member", "GET", f"{path}/file", None, headers)
                assert answer.status == 500
                assert b"root" not in answer.body
        assert inside.asked == []

    def test_hashing(
        self,
        cloud: Cloud,
        web: WebServer,
        inside: WebServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        original = Pages.page_moved_away

        def page(self: Pages) -> None:
            # Whoever asks for the length gets it; whoever comes for the data is sent elsewhere.
            at = web if self.command == "HEAD" else inside
            web.away = at.url("/plain")
            original(self)

        monkeypatch.setattr(Pages, "page_moved_away", page)
        image_id = cloud.create()
        assert place(cloud, "post", image_id, web.url("/moved-away")).status == 202
        eventually(lambda: self.over(cloud, image_id), "given up")
        assert inside.asked == []
        (task,) = cloud.call("member", "GET", f"/v2/images/{image_id}/tasks").json["tasks"]
        assert task["status"] == "failure"
        assert str(inside.port) not in task["message"]

    def over(self, cloud: Cloud, image_id: str) -> bool:
        tasks = cloud.call("member", "GET", f"/v2/images/{image_id}/tasks").json["tasks"]
        return all(task["status"] in ("success", "failure") for task in tasks)


class TestRights:
    """Rights are looked at when data is asked for; what began under them ends in peace."""

    def test_taken_back_during_a_download(self, cloud: Cloud, web: WebServer) -> None:
        web.go_on.clear()
        image_id = cloud.create(visibility="community")
        path = f"/v2/images/{image_id}"
        assert place(cloud, "add", image_id, web.url("/held")).status == 200
        token = cloud.tokens["other project"]
        with Wire(cloud.server) as wire:
            wire.head("GET", f"{path}/file", f"X-Auth-Token: {token}")
            assert wire.answered()[0] == 200
            begun = wire.read(MIB // 2)
            change = {"op": "replace", "path": "/visibility", "value": "private"}
            assert cloud.patch("member", image_id, change).status == 200
            web.asked.clear()
            for method in ("GET", "HEAD"):
                assert cloud.call("other project", method, f"{path}/file").status == 404
            assert web.asked == []
            web.go_on.set()
            assert begun + wire.read(len(DATA) - len(begun)) == DATA

    def test_refused_downloads_fetch_nothing(self, cloud: Cloud, web: WebServer) -> None:
        """OSSA-2013-027 (CVE-2013-4428)."""
        image_id = cloud.create()
        assert place(cloud, "add", image_id, web.url("/plain")).status == 200
        path = f"/v2/images/{image_id}/file"
        web.asked.clear()
        for who, status in (("other project", 404), ("reader", 403), ("anonymous", 401)):
            for tail in ("", "?prefer=web"):
                assert cloud.call(who, "GET", path + tail).status == status
        assert web.asked == []


class TestImmutability:
    """What an image's data is does not change once it has some."""

    def check(self, cloud: Cloud, image_id: str, before: Any) -> None:
        after = cloud.show(image_id)
        for name in ("status", "size", "checksum", "os_hash_algo", "os_hash_value", "locations"):
            assert after[name] == before[name]
        assert cloud.upload(image_id).status == 409
        assert cloud.call("member", "GET", f"/v2/images/{image_id}/file").body == SMALL

    @pytest.mark.parametrize(
        "change",
        [
            {"op": "remove", "path": "/locations/0"},
            {"op": "remove", "path": "/locations/-"},
            {"op": "replace", "path": "/locations", "value": []},
            {"op": "add", "path": "/locations", "value": []},
            {"op": "remove", "path": "/locations"},
        ],
    )
    def test_the_last_location_stays(self, cloud: Cloud, change: Any) -> None:
        """OSSA-2016-006 (CVE-2016-0757): an image without data could be given other data."""
        image_id = cloud.image()
        before = cloud.show(image_id)
        for who in ("member", "admin"):
            assert cloud.patch(who, image_id, change).status in (400, 403)
        assert cloud.call("admin", "DELETE", f"/v2/stores/fast/{image_id}").status == 403
        self.check(cloud, image_id, before)

    @pytest.mark.parametrize("who", ["member", "admin"])
    def test_other_places(self, cloud: Cloud, web: WebServer, who: str) -> None:
        """OSSN-0065, OSSN-0090: data of another length or hash, or in the place of the present."""
        image_id = cloud.image()
        before = cloud.show(image_id)
        url = web.url("/plain")
        for way in WAYS:
            assert place(cloud, way, image_id, url, who).status in (400, 409), way
        value = {
            "url": before["locations"][0]["url"].replace("file://", "http://"),
            "metadata": {},
            "validation_data": {"os_hash_algo": "sha512", "os_hash_value": "0" * 128},
        }
        change = {"op": "add", "path": "/locations/0", "value": value}
        assert cloud.patch(who, image_id, change).status in (400, 409)
        self.check(cloud, image_id, before)

    @pytest.mark.parametrize("who", ["member", "admin"])
    def test_fields_of_the_service(self, cloud: Cloud, who: str) -> None:
        """OSSA-2015-019 (CVE-2015-5251): neither by header nor by body nor by patch."""
        image_id = cloud.image()
        path = f"/v2/images/{image_id}"
        before = cloud.show(image_id)
        fields = {
            "status": "queued", "size": 1, "virtual_size": 1, "checksum": "0" * 32,
            "os_hash_algo": "md5", "os_hash_value": "0" * 32, "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z", "id": UNKNOWN, "direct_url": "http://x/",
            "file": "/x", "self": "/x", "schema": "/x", "deleted": True, "deleted_at": None,
            "os_glance_import_task": "x", "os_glance_importing_to_stores": "x", "stores": "web",
        }  # fmt: skip
        headers = {
            f"{prefix}{name.replace('_', '-')}": str(value)
            for name, value in fields.items()
            for prefix in ("X-Image-Meta-", "X-Image-")
        }
        rename = [{"op": "replace", "path": "/name", "value": "renamed"}]
        patch = {**headers, "Content-Type": V21}
        assert cloud.call(who, "PATCH", path, rename, patch).status == 200
        for method in ("GET", "HEAD", "PUT", "POST"):
            cloud.call(who, method, path, None, headers)
            cloud.call(who, method, f"{path}/file", None, {**OCTETS, **headers})
        for name, value in fields.items():
            for op in ("replace", "add", "remove"):
                change: dict[str, object] = {"op": op, "path": f"/{name}"}
                old: dict[str, object] = {op: f"/{name}"}
                if op != "remove":
                    change["value"] = old["value"] = value
                assert cloud.patch(who, image_id, change).status in (400, 403, 409), change
                again = cloud.call(who, "PATCH", path, [old], {"Content-Type": V20})
                assert again.status in (400, 403, 409), old
            if name != "id":
                made = cloud.call(who, "POST", "/v2/images", {name: value})
                assert made.status in (400, 403), name
        shown = {"locations": [{"url": "file:///etc/passwd", "metadata": {}}]}
        assert cloud.call(who, "POST", "/v2/images", shown).status in (400, 403)
        assert cloud.show(image_id).keys() == before.keys()
        self.check(cloud, image_id, before)

    def test_id_of_a_deleted_image(self, cloud: Cloud) -> None:
        """OSSN-0075. After the catalogue was purged: ``test_quotas.py``,
        ``test_an_identifier_is_not_used_again``."""
        image_id = cloud.image(visibility="community")
        assert cloud.call("member", "DELETE", f"/v2/images/{image_id}").status == 204
        for who in ("member", "other project", "admin"):
            assert cloud.call(who, "POST", "/v2/images", {"id": image_id}).status == 409

    def test_the_public_port_changes_no_places(self, web: WebServer) -> None:
        """OSSN-0090: of two ports of one service, the public one shows and changes nothing."""
        rules = {
            "import_filtering_opts": {
                "allowed_hosts": "[127.0.0.1]",
                "allowed_ports": f"[{web.port}]",
            }
        }
        settings = {"internal_bind_port": 0, "show_multiple_locations": True}
        with Server(settings=settings, options=rules) as server:
            image_id = server.create()
            value = {"url": web.url("/plain"), "metadata": {}}
            change = [{"op": "add", "path": "/locations/-", "value": value}]
            ports = {server.port: 403, server.internal_port: 200}
            for port, status in ports.items():
                path, form = f"/v2/images/{image_id}", {"Content-Type": V21}
                assert server.request("PATCH", path, change, form, port).status == status


def vmdk(extent: str) -> bytes:
    return (
        '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n'
        f'createType="monolithicFlat"\n\nRW 63 {extent}\n'
    ).encode().ljust(64 * 1024, b"\0")  # fmt: skip


def sparse_vmdk(descriptor: bytes) -> bytes:
    """Build a sparse VMDK whose embedded descriptor is of our own making."""
    head = struct.pack("<4sIIQQQQIQQQB", b"KDMV", 1, 3, 2048, 128, 1, 20, 512, 0, 0, 128, 0)
    return (head.ljust(512, b"\0") + descriptor.rstrip(b"\0").ljust(20 * 512, b"\0")).ljust(
        MIB, b"\0"
    )


def vmdk_with(kind: str, extent: str) -> bytes:
    return sparse_vmdk(vmdk(extent).replace(b"monolithicFlat", kind.encode()))


EVIL = {
    "qcow2 backing file": ("qcow2", qcow2(backing=0x200)),
    "qcow2 backing file, version 2": ("qcow2", qcow2(backing=0x200, version=2)),
    "qcow2 data file": ("qcow2", qcow2(incompatible=1 << 2)),
    "qcow2 unknown feature": ("qcow2", qcow2(incompatible=1 << 40)),
    "vmdk flat": ("vmdk", vmdk_with("monolithicFlat", 'FLAT "/etc/passwd" 0')),
    "vmdk sparse elsewhere": ("vmdk", vmdk_with("monolithicSparse", 'SPARSE "/etc/passwd"')),
    "vmdk device": ("vmdk", vmdk_with("fullDevice", 'FLAT "/dev/sda" 0')),
    "qed": ("raw", b"QED\0" + struct.pack("<III", 65536, 4, 1) + bytes(4096)),
}


@pytest.fixture(scope="module")
def lenient() -> Iterator[Server]:
    """A service that lets any data pass for any format."""
    with Server(options={"image_format": {"require_image_format_match": False}}) as server:
        yield server
        assert server.trouble() == []


class TestWhatDataRefersTo:
    """OSSA-2024-001 (CVE-2024-32498), OSSA-2023-002 (CVE-2022-47951), OSSA-2015-014
    (CVE-2015-5163), OSSA-2024-003 (CVE-2024-44082), OSSA-2026-002 (CVE-2026-24708): data that
    would make a reader open files of its host is not taken, whatever it is said to be."""

    @pytest.mark.parametrize("container", ["bare", "ovf", "docker"])
    @pytest.mark.parametrize("kind", EVIL)
    def test_refused(self, lenient: Server, server: Server, kind: str, container: str) -> None:
        own, data = EVIL[kind]
        for disk_format in {own, "raw", "qcow2", "vmdk", "iso"}:
            image_id = lenient.create(disk_format=disk_format, container_format=container)
            for body in (data, iter([data[:100], data[100:]])):
                path = f"/v2/images/{image_id}/file"
                assert lenient.request("PUT", path, body, OCTETS).status == 415, disk_format
                assert lenient.status(image_id) == "queued"
            assert lenient.stored(image_id) == []
        image_id = server.create(disk_format=own, container_format=container)
        assert server.upload(image_id, data).status == 415
        assert server.stored(image_id) == []

    @pytest.mark.parametrize("disk_format", ["raw", "qcow2", "vmdk"])
    def test_a_descriptor_alone(self, server: Server, disk_format: str) -> None:
        """A VMDK in plain text is that for no reader but one that guesses, or is told so."""
        data = vmdk('FLAT "/etc/passwd" 0')
        image_id = server.create(disk_format=disk_format)
        status = 204 if disk_format == "raw" else 415
        assert server.upload(image_id, data).status == status

    def test_containers_may_hold_anything_else(self, server: Server) -> None:
        for container in ("ovf", "ova", "docker", "compressed", "ami", "aki"):
            for disk_format in ("vmdk", "raw"):
                image_id = server.create(disk_format=disk_format, container_format=container)
                kernel = bytearray(b"\x90" * 4096)
                kernel[510:512] = b"\x55\xaa"
                assert server.upload(image_id, bytes(kernel)).status == 204
                assert server.show(image_id)["virtual_size"] is None

    def test_nothing_is_run(self) -> None:
        """OSSA-2016-012 (CVE-2015-5162), OSSA-2014-012 (CVE-2014-0162): no program is started on
        anything that a user sent. When that changes, limits and ``-f`` have to come with it."""
        starting = {"subprocess", "pty", "os.system", "os.popen", "multiprocessing", "shlex"}
        found = set()
        top = Path(glance.__file__).parent
        for path in top.rglob("*.py"):
            if path.is_relative_to(top / "control"):
                # It starts servers, and sees nothing of what users send.
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {name.name for name in node.names}
                elif isinstance(node, ast.ImportFrom):
                    found.add(node.module or "")
                elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    found.add(f"{node.value.id}.{node.attr}")
        assert not starting & found


class TestWhatIsLeft:
    """OSSA-2014-028 (CVE-2014-5356), OSSA-2015-003 (CVE-2014-9623), OSSA-2015-004
    (CVE-2014-9684, CVE-2015-1881), OSSA-2015-013 (CVE-2015-3289): nothing over the limit, and
    nothing left. Quotas under concurrency: ``quota_scenarios.py``, ``test_unified_limits.py``."""

    @pytest.mark.parametrize("chunk", [1, 100, 4096])
    def test_cap_on_chunks(self, strict: Cloud, chunk: int) -> None:
        for lie in ({}, {"X-OpenStack-Image-Size": "10"}):
            image_id = strict.create()
            body = (bytes(chunk) for _ in range(5000 // chunk + 1))
            path = f"/v2/images/{image_id}/file"
            answer = strict.call("member", "PUT", path, body, {**OCTETS, **lie})
            assert answer.status in (400, 413)
            assert untouched(strict, image_id)
            assert stored(strict, image_id) == []

    @pytest.mark.parametrize("phase", ["queued", "begun", "saving", "active", "deactivated"])
    def test_deleted(self, strict: Cloud, phase: str) -> None:
        image_id = strict.create()
        path = f"/v2/images/{image_id}"

        def delete() -> None:
            assert strict.call("member", "DELETE", path).status == 204

        def pieces() -> Iterator[bytes]:
            eventually(
                lambda: strict.show(image_id)["status"] == "saving", "the upload is taken up"
            )
            if phase == "begun":
                delete()
            yield SMALL
            if phase == "saving":
                eventually(lambda: stored(strict, image_id), "a partial file")
                delete()
            yield SMALL

        if phase in ("begun", "saving"):
            answer = strict.call("member", "PUT", f"{path}/file", pieces(), OCTETS)
            assert answer.status == 410
        else:
            if phase != "queued":
                assert strict.upload(image_id).status == 204
                assert stored(strict, image_id) == [image_id]
            if phase == "deactivated":
                action = f"{path}/actions/deactivate"
                assert strict.call("member", "POST", action).status == 204
            delete()
        assert strict.call("admin", "GET", path).status == 404
        eventually(lambda: stored(strict, image_id) == [], "nothing is left")

    def test_deleted_while_hashed(self, cloud: Cloud, web: WebServer) -> None:
        web.go_on.clear()
        image_id = cloud.create()
        path = f"/v2/images/{image_id}"
        stated = {"os_hash_algo": "md5", "os_hash_value": "0" * 32}
        body = {"url": web.url("/held"), "validation_data": stated}
        assert cloud.call("member", "POST", f"{path}/locations", body).status == 202
        assert cloud.show(image_id)["status"] == "importing"
        assert cloud.call("member", "DELETE", path).status == 204
        web.go_on.set()
        assert cloud.call("admin", "GET", path).status == 404

        def leases() -> int:
            with closing(sqlite3.connect(cloud.server.state / "glance.sqlite")) as catalogue:
                count = "SELECT COUNT(*) FROM transfer_leases WHERE image_id = ?"
                return int(catalogue.execute(count, (image_id,)).fetchone()[0])

        eventually(lambda: leases() == 0, "the work has ended")
        assert cloud.call("member", "POST", "/v2/images", {"id": image_id}).status == 409

    @pytest.mark.parametrize("deleted", [True, False])
    def test_token_that_ends_during_an_upload(self, strict: Cloud, deleted: bool) -> None:
        """OSSA-2015-020 (CVE-2015-5286): the upload needs it no more, the clean-up neither."""
        image_id = strict.create()
        path = f"/v2/images/{image_id}"
        token = strict.token("member")

        def pieces() -> Iterator[bytes]:
            yield SMALL
            eventually(lambda: stored(strict, image_id), "a partial file")
            strict.identity.revoke(token)
            if deleted:
                assert strict.call("member", "DELETE", path).status == 204
            yield SMALL

        sent = {**OCTETS, "X-Auth-Token": token}
        answer = strict.call("member", "PUT", f"{path}/file", pieces(), sent)
        assert answer.status == (410 if deleted else 204)
        if deleted:
            eventually(lambda: stored(strict, image_id) == [], "nothing is left")
        else:
            assert stored(strict, image_id) == [image_id]


def stored(cloud: Cloud, image_id: str) -> list[str]:
    """Return the names of what the stores' directories hold of an image."""
    names = []
    for store in ("fast", "slow"):
        names += os.listdir(cloud.server.state / store)
    return [name for name in names if image_id in name]


def test_twisted_has_its_known_flaws_mended() -> None:
    """CVE-2023-44487, bare CR and LF in headers, and others of Twisted's own list.

    Requests that mean two things: ``tests/unit/api/test_smuggling.py``."""
    required = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    version = required.partition("Twisted[tls]>=")[2].split()[0]
    assert tuple(int(part) for part in version.split(".")[:2]) >= (26, 10)
