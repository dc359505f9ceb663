"""Who gets at what: classes of flaw that image services have had, tried from outside.

Grouped by class; docstrings name the advisories. What is about data and where it comes from stands
in ``test_security_data.py``; ``docs/security.rst`` has the whole table, with the tests elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from glance.identity.rules import RULES
from tests.functional.cloud import DATA, UNKNOWN, Cloud
from tests.functional.matrix import ANYWHERE, ROUTES
from tests.functional.server import OCTETS, Answer, eventually
from tests.functional.wire import Wire

ABOUT_IMAGES = [name for name in ROUTES if "<image_id>" in name]
CHANGES = [name for name in ROUTES if not name.startswith(("GET ", "HEAD "))]
OF_THE_NODE = [
    name
    for name in ABOUT_IMAGES
    if name.partition(" /")[2].startswith(("cache/nodes/", "cached_images/", "queued_images/"))
]
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """A cloud with somebody of a project that nothing is shared with."""
    with Cloud(cache=True) as cloud:
        cloud.tokens["stranger"] = cloud.identity.token("member", "reader", project="p9")
        yield cloud
        assert cloud.server.trouble() == []


def ask(cloud: Cloud, who: str, name: str, path: str | None = None, **headers: str) -> Answer:
    """Make a request by a route's name that could succeed, at its own path or another."""
    call = ROUTES[name].call(cloud)
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    method = name.partition(" ")[0]
    return cloud.call(who, method, path or call.path, call.body, {**call.headers, **named})


class TestIdentityHeaders:
    """OSSA-2026-001 (CVE-2026-22797): what a client says of itself is not who it is.

    Requests without a token: ``test_identity.py``, ``test_forged_identity``.
    """

    FORGED = (
        {"X-Roles": "admin", "X-Role": "admin", "X-Identity-Status": "Confirmed"},
        {"X-Service-Roles": "service,admin", "X-Service-Identity-Status": "Confirmed"},
        {"X-Project-Id": "p1", "X-Tenant-Id": "p1", "X-Tenant": "p1", "X-User-Id": "member"},
        {"OpenStack-System-Scope": "all", "X-Is-Admin-Project": "True", "X-Domain-Id": "default"},
        {
            "X-Forwarded-User": "admin",
            "Remote-User": "admin",
            "Authorization": "Basic YWRtaW46eA==",
        },
    )

    @pytest.mark.parametrize("forged", FORGED, ids=[next(iter(names)) for names in FORGED])
    def test_nothing_is_gained(self, cloud: Cloud, forged: dict[str, str]) -> None:
        image_id = cloud.image()
        path = f"/v2/images/{image_id}"
        for spelling in (str, str.lower, lambda name: name.replace("-", "_")):
            headers = {spelling(name): value for name, value in forged.items()}
            for method, tail in (("GET", ""), ("GET", "/file"), ("DELETE", ""), ("GET", "/tasks")):
                answer = cloud.call("stranger", method, path + tail, None, headers)
                assert answer.status == 404, (headers, method, tail)
            for method, what in (("GET", "/v2/info/stores/detail"), ("GET", f"{path}/locations")):
                assert cloud.call("member", method, what, None, headers).status == 403, headers
            new = cloud.call("member", "POST", "/v2/images", {"owner": "p2"}, headers)
            assert new.status == 403, headers
        assert cloud.show(image_id)["status"] == "active"


class TestExistence:
    """OSSA-2012-017 (CVE-2012-4573, CVE-2012-5482) and probing: hidden is as good as missing."""

    @pytest.mark.parametrize("who", ["stranger", "no role"])
    @pytest.mark.parametrize("name", ABOUT_IMAGES)
    def test_hidden_and_missing_are_told_alike(self, cloud: Cloud, name: str, who: str) -> None:
        """Hidden from a stranger by the catalogue, from one without a role by the policy."""
        call = ROUTES[name].call(cloud)
        image_id = _UUID.findall(call.path)[-1]
        method = name.partition(" ")[0]
        answers = []
        for there in (image_id, UNKNOWN):
            path = call.path.replace(image_id, there)
            answer = cloud.call(who, method, path, call.body, call.headers)
            headers = {key.lower(): value for key, value in answer.headers.items()}
            for differing in ("date", "x-openstack-request-id"):
                headers.pop(differing, None)
            answers.append((answer.status, answer.body.replace(there.encode(), b"ID"), headers))
        # Who may not manage the cache is told so whatever the image is.
        assert answers[0][0] == (403 if name in OF_THE_NODE else 404)
        assert answers[0] == answers[1]

    @pytest.mark.parametrize("tail", ["&limit=5", "&sort=name:asc", "&sort_key=size"])
    def test_marker(self, cloud: Cloud, tail: str) -> None:
        hidden, missing = (
            cloud.call("stranger", "GET", f"/v2/images?marker={image_id}{tail}")
            for image_id in (cloud.image(), UNKNOWN)
        )
        assert hidden.status == missing.status == 400
        assert _UUID.sub("", hidden.body.decode()) == _UUID.sub("", missing.body.decode())

    @pytest.mark.parametrize(
        "query",
        ["owner=p1", "id={id}", "id=in:{id}", "name=findme", "tag=findme", "findme=yes",
         "member_status=all", "visibility=shared", "visibility=all&owner=p1", "size_min=1",
         "os_hidden=true&owner=p1", "checksum={checksum}", "protected=false&owner=p1"],
    )  # fmt: skip
    def test_filters(self, cloud: Cloud, query: str) -> None:
        made = {"name": "findme", "tags": ["findme"], "findme": "yes"}
        image_ids = {cloud.image(**made), cloud.image(os_hidden=True, **made)}
        checksum = cloud.show(min(image_ids))["checksum"]
        for image_id in image_ids:
            path = f"/v2/images?{query.format(id=image_id, checksum=checksum)}"
            found = cloud.call("stranger", "GET", path)
            assert found.status == 200
            assert not image_ids & {image["id"] for image in found.json["images"]}


class TestVisibility:
    """Who sees what, by the image's visibility and by what a member has answered."""

    @pytest.mark.parametrize(
        ("visibility", "shown", "listed"),
        [("public", True, True), ("community", True, False), ("shared", False, False),
         ("private", False, False)],
    )  # fmt: skip
    def test_others(self, cloud: Cloud, visibility: str, shown: bool, listed: bool) -> None:
        image_id = cloud.image("admin", owner="p1", visibility=visibility)
        self._check(cloud, image_id, shown, listed)
        found = cloud.call("other project", "GET", f"/v2/images?visibility=community&id={image_id}")
        assert len(found.json["images"]) == (visibility == "community")

    @pytest.mark.parametrize(("said", "listed"), [(None, 0), ("accepted", 1), ("rejected", 0)])
    def test_members(self, cloud: Cloud, said: str | None, listed: bool) -> None:
        image_id = cloud.image()
        cloud.share(image_id)
        path = f"/v2/images/{image_id}/members/p2"
        if said:
            assert cloud.call("other project", "PUT", path, {"status": said}).status == 200
        self._check(cloud, image_id, True, bool(listed))
        for method, tail in (("DELETE", ""), ("PUT", "/tags/x"), ("PUT", "/file")):
            refused = cloud.call(
                "other project", method, f"/v2/images/{image_id}{tail}", b"", OCTETS
            )
            assert refused.status in (400, 403), (method, tail)
        # What was shared can be taken back, and is no longer there then.
        assert cloud.call("member", "DELETE", path).status == 204
        self._check(cloud, image_id, False, False)

    def test_a_member_of_one_image_is_none_of_another(self, cloud: Cloud) -> None:
        one, other = cloud.image(), cloud.image()
        cloud.share(one)
        for method, body in (("GET", None), ("PUT", {"status": "accepted"}), ("DELETE", None)):
            path = f"/v2/images/{other}/members/p2"
            assert cloud.call("other project", method, path, body).status == 404
        # Nor may it answer for others, or ask them in.
        cloud.share(one, "p9")
        path = f"/v2/images/{one}/members"
        assert cloud.call("other project", "GET", f"{path}/p9").status == 404
        assert (
            cloud.call("other project", "PUT", f"{path}/p9", {"status": "accepted"}).status == 404
        )
        assert cloud.call("other project", "POST", path, {"member": "p7"}).status == 403
        listed = cloud.call("other project", "GET", path).json["members"]
        assert [member["member_id"] for member in listed] == ["p2"]

    def test_tasks_are_for_the_project_that_ordered_them(self, cloud: Cloud) -> None:
        image_id = cloud.create()
        path = f"/v2/images/{image_id}"
        added = cloud.call("member", "POST", f"{path}/locations", {"url": cloud.url("it")})
        assert added.status == 202
        cloud.share(image_id)
        assert len(cloud.call("member", "GET", f"{path}/tasks").json["tasks"]) == 1
        assert cloud.call("other project", "GET", f"{path}/tasks").json["tasks"] == []

    def test_nobody_gives_what_is_not_theirs(self, cloud: Cloud) -> None:
        image_id = cloud.create()
        for name, value in (("visibility", "public"), ("owner", "p2")):
            change = {"op": "replace", "path": f"/{name}", "value": value}
            assert cloud.patch("member", image_id, change).status == 403
        for fields in ({"visibility": "public"}, {"owner": "p2"}, {"owner": "admins"}):
            assert cloud.call("member", "POST", "/v2/images", fields).status == 403

    def _check(self, cloud: Cloud, image_id: str, shown: bool, listed: bool) -> None:
        path = f"/v2/images/{image_id}"
        assert cloud.call("other project", "GET", path).status == (200 if shown else 404)
        data = cloud.call("other project", "GET", f"{path}/file")
        assert (data.status, DATA in data.body) == ((200, True) if shown else (404, False))
        found = cloud.call("other project", "GET", f"/v2/images?id={image_id}").json["images"]
        assert len(found) == listed


SPELLINGS = (
    "/v2/images/{id}/file",
    "//v2/images/{id}/file",
    "///v2//images/{id}/file",
    "/v2.0/images/{id}/file",
    "/v2.7/images/{id}/file",
    "/v2.99/images/{id}/file",
    "/%76%32/images/{id}/file",
    "/v2/images/{id}%2Ffile",
    "/v2/images/{id}%2ffile?x",
    "/v2/%69mages/{id}/file",
    "/v2/images/{id}/file/",
    "/v2/images/{id}//file",
    "/v2/images/{id}/./file",
    "/v2/images/%2e%2e/images/{id}/file",
    "/v2/images/../images/{id}/file",
    "/v2/schemas/..%2f..%2fv2/images/{id}/file",
    "/v2/images/{id};x/file",
    "/v2/images/{id}/file;x",
    "/v2/images/{ID}/file",
    "/healthcheck/../v2/images/{id}/file",
    "/versions/v2/images/{id}/file",
    "http://127.0.0.1/v2/images/{id}/file",
)


class TestSidePaths:
    """OSSA-2013-027 (CVE-2013-4428): one gate before the data, by whatever way one comes."""

    @pytest.mark.parametrize("accept", ["*/*", "application/vnd.openstack.images-v2.7"])
    @pytest.mark.parametrize("spelling", SPELLINGS)
    def test_paths(self, cloud: Cloud, spelling: str, accept: str) -> None:
        image_id = cloud.image()
        path = spelling.format(id=image_id, ID=image_id.upper())
        if "vnd" in accept:
            path = path.replace("/v2/", "/", 1)
        for who in ("stranger", "no role", "reader", "anonymous"):
            answer = cloud.call(who, "GET", path, None, {"Accept": accept})
            assert DATA not in answer.body, who
            # Or it is the list of versions.
            assert answer.status in (300, 400, 401, 403, 404) or "versions" in answer.json, who
        owner = cloud.call("member", "GET", path, None, {"Accept": accept})
        if owner.body == DATA:
            # Where it leads to the data for those who may, it is the data for the others, too.
            for who, status in (("stranger", 404), ("reader", 403), ("anonymous", 401)):
                assert cloud.call(who, "GET", path, None, {"Accept": accept}).status == status

    def test_the_spellings_that_count_do_lead_to_data(self, cloud: Cloud) -> None:
        image_id = cloud.image()
        reached = [
            spelling
            for spelling in SPELLINGS
            if cloud.call("member", "GET", spelling.format(id=image_id, ID="x")).body == DATA
        ]
        assert {*SPELLINGS[:2], SPELLINGS[4], SPELLINGS[7]} <= {*reached}

    @pytest.mark.parametrize("method", ["HEAD", "TRACE", "CONNECT", "PROPFIND", "get", "COPY"])
    def test_other_methods(self, cloud: Cloud, method: str) -> None:
        image_id = cloud.image()
        for path in (f"/v2/images/{image_id}", f"/v2/images/{image_id}/file"):
            for who in ("stranger", "anonymous"):
                answer = cloud.call(who, method, path)
                assert answer.status >= 400
                assert DATA not in answer.body

    @pytest.mark.parametrize(
        "header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Original-URL"]
    )
    def test_nothing_overrides_what_is_asked(self, cloud: Cloud, header: str) -> None:
        image_id = cloud.image()
        value = f"/v2/images/{image_id}/file" if "URL" in header else "DELETE"
        for path in (f"/v2/images/{image_id}?_method=DELETE", f"/v2/images/{image_id}"):
            answer = cloud.call("member", "GET", path, None, {header: value})
            assert answer.json["id"] == image_id
        assert cloud.show(image_id)["status"] == "active"

    @pytest.mark.parametrize("who", ["stranger", "reader", "other project", "anonymous"])
    def test_refused_before_a_byte_is_sent(self, cloud: Cloud, who: str) -> None:
        image_id = cloud.create()
        cloud.share(image_id)
        token = cloud.tokens[who]
        with Wire(cloud.server) as wire:
            sent = [] if token is None else [f"X-Auth-Token: {token}"]
            wire.put(image_id, "Content-Length: 500", "Expect: 100-continue", *sent)
            # The answer and not "100 Continue".
            assert wire.answered()[0] in (401, 403, 404)
        assert cloud.show(image_id)["status"] == "queued"


class TestDeactivated:
    """Data that was withheld is withheld on every path, and so is where it is."""

    @pytest.mark.parametrize(
        ("method", "query", "headers"),
        [
            ("GET", "", {}),
            ("HEAD", "", {}),
            ("GET", "", {"Range": "bytes=0-3"}),
            ("GET", "", {"Content-Range": "bytes 0-3/*"}),
            ("GET", "", {"Range": "bytes=5000-"}),
            ("GET", "?prefer=fast", {}),
            ("GET", "?prefer=web,slow", {}),
            ("GET", "", {"If-None-Match": "*"}),
            ("HEAD", "", {"If-None-Match": "*"}),
        ],
    )
    def test_data(self, cloud: Cloud, method: str, query: str, headers: dict[str, str]) -> None:
        image_id = self.deactivated(cloud)
        for who in ("member", "other project"):
            answer = cloud.call(who, method, f"/v2/images/{image_id}/file{query}", None, headers)
            assert answer.status == 403
            assert "ETag" not in answer.headers
            assert DATA not in answer.body

    def test_places(self, cloud: Cloud) -> None:
        image_id = self.deactivated(cloud)
        service = cloud.identity.token("service", "member", "reader", project="p1")
        for token in (cloud.tokens["member"], cloud.tokens["other project"], service):
            for path in (f"/v2/images/{image_id}", f"/v2/images?id={image_id}&visibility=shared"):
                answer = cloud.call("member", "GET", path, None, {"X-Auth-Token": str(token)})
                for shown in answer.json.get("images", [answer.json]):
                    assert shown["locations"] == []
                    assert "direct_url" not in shown
        answer = cloud.call(
            "member", "GET", f"/v2/images/{image_id}/locations", None, {"X-Auth-Token": service}
        )
        assert (answer.status, answer.json) == (200, [])
        assert len(cloud.show(image_id, "admin")["locations"]) == 2
        path = f"/v2/images/{image_id}/locations"
        assert len(cloud.call("admin", "GET", path).json) == 2

    def test_nothing_else_changes_that(self, cloud: Cloud) -> None:
        image_id = cloud.image()
        action = f"/v2/images/{image_id}/actions/deactivate"
        assert cloud.call("admin", "POST", action).status == 204
        cloud.share(image_id)
        assert cloud.upload(image_id).status == 409
        assert cloud.add_location(image_id, "another").status == 409
        path = f"/v2/images/{image_id}/locations"
        assert cloud.call("member", "POST", path, {"url": cloud.url("x")}).status == 409
        for who in ("stranger", "other project", "reader"):
            action = f"/v2/images/{image_id}/actions/reactivate"
            assert cloud.call(who, "POST", action).status in (403, 404)
        assert cloud.show(image_id)["status"] == "deactivated"

    def deactivated(self, cloud: Cloud) -> str:
        image_id = cloud.image()
        assert cloud.add_location(image_id).status == 200
        cloud.share(image_id)
        path = f"/v2/images/{image_id}/actions/deactivate"
        assert cloud.call("admin", "POST", path).status == 204
        return image_id


def test_anonymous_access_changes_nothing() -> None:
    """Whoever sends no token may but look at what is public, even if the policy allows all."""
    settings = {"allow_anonymous_access": True, "policy_reload_interval": 0.05}
    with Cloud(settings, cache=True) as cloud:
        open_rules = "".join(f"{name}: '@'\n" for name in RULES if "admin" not in name)
        (cloud.server.home / "policy.yaml").write_text(open_rules)
        eventually(lambda: "Policy rules changed" in cloud.server.log_text(), "all is allowed")
        for name in CHANGES:
            answer = ask(cloud, "anonymous", name)
            assert answer.status == 403, name
            assert b"look" in answer.body
        for name in ABOUT_IMAGES:
            if name not in CHANGES:
                assert ask(cloud, "anonymous", name).status == 404, name
        public = cloud.image("admin", visibility="public")
        assert cloud.show(public, "anonymous")["status"] == "active"
        for query in ("", "?visibility=all", "?visibility=community", "?owner=p1"):
            found = cloud.call("anonymous", "GET", f"/v2/images{query}").json["images"]
            assert {image["visibility"] for image in found} <= {"public", "community"}
        assert cloud.server.trouble() == []


class TestHeadersOfAnswers:
    """CRLF and markup from paths, parameters, names and tags never become headers.

    What proxies say: ``test_proxy_headers.py``, ``test_lies``; ``Host``: ``test_api.py``,
    ``TestHeadersThatAreNoText``.
    """

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v2{}"),
            ("GET", "/v2?{}"),
            ("GET", "/{}/v2"),
            ("GET", "/v2/images{}"),
            ("GET", "/v2/images?{}=x&limit=1"),
            ("GET", "/v2/images?limit=1&name={}"),
            ("GET", "/v2/images/{}/file?prefer={}"),
            ("PUT", "/v2/images/{id}/tags/{}"),
            ("DELETE", "/v2/images/{id}/members/{}"),
            ("GET", "/v2/schemas/{}"),
            ("DELETE", "/v2/stores/{}/{id}"),
        ],
    )
    def test_paths(self, cloud: Cloud, method: str, path: str) -> None:
        evil = "%0d%0aSet-Cookie:%20evil=1%0d%0a%0d%0a"
        filled = path.replace("{id}", cloud.create()).replace("{}", evil)
        for who in ("admin", "anonymous"):
            self.check(cloud.call(who, method, filled))

    def test_fields(self, cloud: Cloud) -> None:
        evil = "x\r\nSet-Cookie: evil=1\r\n\r\n"
        for fields in (
            {"name": evil},
            {"evil": evil},
            {"tags": [evil]},
            {evil: "x"},
            {"id": evil},
            {"disk_format": evil},
            {"owner": evil},
        ):
            answer = cloud.call("admin", "POST", "/v2/images", fields)
            self.check(answer)
            if answer.status == 201:
                self.check(cloud.call("admin", "GET", f"/v2/images/{answer.json['id']}"))

    def check(self, answer: Answer) -> None:
        assert answer.status < 500
        assert "Set-Cookie" not in answer.headers
        assert "evil" not in str(answer.headers).replace("%0d%0aSet-Cookie:%20evil", "")


class TestSecrets:
    """OSSA-2013-002 (CVE-2013-0212), OSSA-2013-007 (CVE-2013-1840), OSSA-2014-004
    (CVE-2014-1948): credentials are in no answer, no task and no line of the log, at any level."""

    PLACES = ("it", "none", "odd%20one")

    def test_nowhere(self) -> None:
        with WatchedCloud() as cloud:
            cloud.tokens["stranger"] = cloud.identity.token("member", "reader", project="p9")
            for name in ROUTES:
                for who in ("admin", "member", "stranger", "anonymous"):
                    ask(cloud, who, name)
            name = "GET /images/<image_id>"
            for status, way in ANYWHERE.items():
                assert way(cloud, "GET", ROUTES[name].call(cloud)).status == status or status == 413
            for place in self.PLACES:
                self.use(cloud, place)
            cloud.identity.fault = "drop"
            cloud.call("admin", "GET", "/v2/images", None, {"X-Auth-Token": "canary-unknown"})
            cloud.identity.fault = None
            assert cloud.call("admin", "GET", "/v2/openapi.json").status == 200
            assert " DEBUG " in cloud.server.log_text()
            assert "memcache" in cloud.server.log_text()
            assert cloud.server.stop() == 0
            lines = cloud.server.log_text().splitlines()
            assert [line for line in lines if "canary" in line] == []

    def use(self, cloud: Cloud, place: str) -> None:
        """Have locations with credentials added, refused, hashed, read and deleted."""
        url = cloud.url(f"{place}?sig=canary").replace("//", "//canary-user:canary-word@")
        for wrong in (url.replace("127.0.0.1", "canary.invalid"), "canary:x"):
            value = {"url": wrong, "metadata": {}}
            for body in (value, {"canary": 1}, {"url": wrong, "metadata": {"os_glance": 1}}):
                change = {"op": "add", "path": "/locations/-", "value": body}
                assert cloud.patch("member", cloud.create(), change).status >= 400
        for stated in (None, {"os_hash_algo": "md5", "os_hash_value": "0" * 32}):
            image_id = cloud.create()
            path = f"/v2/images/{image_id}"
            body = {"url": url} | ({"validation_data": stated} if stated else {})
            added = cloud.call("member", "POST", f"{path}/locations", body)
            assert added.status == (400 if place == "none" else 202)
            if added.status == 202:
                tasks = f"{path}/tasks"
                eventually(
                    lambda where=tasks: all(
                        task["status"] in ("success", "failure")
                        for task in cloud.call("member", "GET", where).json["tasks"]
                    ),
                    "hashed",
                )
            cloud.call("member", "GET", f"{path}/file")
            cloud.call("member", "POST", f"{path}/locations", body)
            cloud.call("member", "GET", path)
            cloud.call("member", "DELETE", path)


class WatchedCloud(Cloud):
    """Logs all that it can log, has a key for memcached; no answer of it may show a secret."""

    def __init__(self) -> None:
        super().__init__(
            {"debug": True},
            {
                "DEFAULT": {"http_retries": 1},
                "keystone_authtoken": {
                    # Nobody is there.
                    "memcached_servers": "127.0.0.1:1",
                    "memcache_security_strategy": "ENCRYPT",
                    "memcache_secret_key": "canary-key",
                },
            },
            cache=True,
        )

    def call(self, *args: Any, **more: Any) -> Answer:
        answer = super().call(*args, **more)
        # Who may see locations is told of them: that is what they ask for.
        shown = re.sub(rb'"url":"[^"]*"', b"", answer.body) if answer.status < 400 else answer.body
        assert b"canary" not in shown, args
        assert "canary" not in str(answer.headers), args
        return answer
