"""The images of another service."""

from __future__ import annotations

import json
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from glance.domain.errors import Invalid
from glance.identity import http
from glance.identity.http import HttpCaller
from glance.remote import images
from glance.remote.errors import Absent, Failed, TooLarge, Unintelligible
from glance.remote.images import PAGE, RemoteImages, members_of
from glance.remote.service import ImageService
from glance.remote.tokens import GivenToken
from tests.unit.remote.doubles import ENDPOINT


class Images(Resource):
    """Answers as a test says: by method and path, or a list of images page by page."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.replies: dict[str, Any] = {}
        self.seen: list[tuple[str, dict[bytes, list[bytes]], Any]] = []
        self.headers: list[dict[str, str]] = []
        self.shown: list[dict[str, Any]] = []
        self.applied: str | None = None
        #: Images after which no page can begin.
        self.gone: set[str] = set()
        self.most = PAGE

    def render(self, request):
        what = f"{request.method.decode()} {request.path.decode()}"
        body = request.content.read()
        self.seen.append((what, request.args, json.loads(body) if body else None))
        self.headers.append(
            {
                k.decode().lower(): v[0].decode()
                for k, v in request.requestHeaders.getAllRawHeaders()
            }
        )
        status, answer = self.replies.get(what) or self.list(request)
        request.setResponseCode(status)
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def list(self, request):
        args = {name.decode(): values[-1].decode() for name, values in request.args.items()}
        if self.applied:
            request.setHeader("Preference-Applied", self.applied)
        hidden = args.get("os_hidden", "false") == "true"
        found = [one for one in self.shown if one.get("os_hidden", False) is hidden]
        if marker := args.get("marker"):
            ids = [one["id"] for one in found]
            if marker in self.gone or marker not in ids:
                return 400, {"message": "marker"}
            found = found[ids.index(marker) + 1 :]
        limit = min(int(args["limit"]), self.most)
        document: dict[str, Any] = {"images": found[:limit]}
        if len(found) > limit:
            last = found[limit - 1]["id"]
            document["next"] = f"/v2/images?limit={limit}&marker={last}&tag=lost"
        return 200, document


class ImagesTestCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.site = Images()
        http = HttpCaller(self.clock, StubTreq(self.site), attempt_time=10, retries=0)
        service = ImageService(http, ENDPOINT, GivenToken(None), 10)
        self.images = RemoteImages(service, None)

    def done(self, work):
        return self.successResultOf(Deferred.fromCoroutine(work))

    def failed(self, work, kind):
        return self.failureResultOf(Deferred.fromCoroutine(work), kind).value


class TestList(ImagesTestCase):
    def listed(self, filters=None):
        async def collect():
            return [page async for page in self.images.pages(filters)]

        return collect()

    def ids(self, filters=None):
        return [one["id"] for page in self.done(self.listed(filters)) for one in page.images]

    def args(self, n):
        return {k.decode(): [v.decode() for v in vs] for k, vs in self.site.seen[n][1].items()}

    def test_nothing(self):
        self.assertEqual(self.ids(), [])

    def test_what_is_asked(self):
        self.ids({"tag": ["a", "b"], "name": "ä&"})
        everything = {
            "visibility": ["all"],
            "member_status": ["all"],
            "sort_key": ["created_at"],
            "sort_dir": ["asc"],
            "limit": ["1000"],
            "tag": ["a", "b"],
            "name": ["ä&"],
        }
        self.assertEqual(self.args(0), everything)
        self.assertEqual(self.args(1), {**everything, "os_hidden": ["true"]})
        self.assertEqual(len(self.site.seen), 2)
        self.assertEqual(self.site.headers[0]["prefer"], "include=members")

    def test_hidden_ones_alone(self):
        self.site.shown = [{"id": "a"}, {"id": "b", "os_hidden": True}]
        self.assertEqual(self.ids({"os_hidden": "true"}), ["b"])
        self.assertEqual(self.ids(), ["a", "b"])

    def test_pages(self):
        self.site.shown = [{"id": f"i{n}"} for n in range(7)]
        self.site.most = 3
        self.assertEqual(self.ids({"tag": ["a", "b"]}), [f"i{n}" for n in range(7)])
        # What the next page is asked for is ours; the service loses some of it.
        self.assertEqual(self.args(2)["tag"], ["a", "b"])
        self.assertEqual(self.args(2)["marker"], ["i5"])

    def test_image_that_moves_is_seen_once(self):
        self.site.shown = [{"id": "a"}, {"id": "a", "os_hidden": True}]
        self.assertEqual(self.ids(), ["a"])

    def test_image_to_begin_behind_that_has_gone(self):
        self.site.shown = [{"id": f"i{n}"} for n in range(7)]
        self.site.most = 3
        self.site.gone = {"i2", "i1"}
        self.assertEqual(self.ids(), [f"i{n}" for n in range(7)])

    def test_all_images_to_begin_behind_that_have_gone(self):
        self.site.shown = [{"id": f"i{n}"} for n in range(7)]
        self.site.most = 3
        self.site.gone = {"i0", "i1", "i2"}
        self.failed(self.listed(), Failed)

    def test_members(self):
        self.site.shown = [{"id": "a", "members": [{"member_id": "p", "status": "pending"}]}]
        for applied, there in (
            ("include=members", True),
            ("respond-async, Include = Members", True),
            ("respond-async", False),
            (None, False),
        ):
            self.site.applied = applied
            [page] = self.done(self.listed())
            self.assertIs(page.with_members, there)

    def test_pages_that_are_too_large(self):
        self.site.shown = [{"id": f"i{n:02}", "x": "y" * 100} for n in range(40)]
        read = http.read_body
        self.patch(http, "read_body", lambda response: read(response, 3000))
        self.assertEqual(self.ids(), [f"i{n:02}" for n in range(40)])

    def test_image_that_is_too_large(self):
        self.site.shown = [{"id": "a", "x": "y" * 5000}]
        read = http.read_body
        self.patch(http, "read_body", lambda response: read(response, 3000))
        self.failed(self.listed(), TooLarge)

    def test_what_is_no_list(self):
        for answer in (
            b"<html>",
            [],
            {},
            {"images": {"a": 1}},
            {"images": [1]},
            {"images": [{"id": 1}]},
            {"images": [], "next": 1},
            {"images": [], "next": "/v2/images?limit=1"},
        ):
            self.site.replies = {"GET /v2/images": (200, answer)}
            self.failed(self.listed(), Unintelligible)

    def test_list_that_goes_round(self):
        answer = {"images": [{"id": "a"}], "next": "/v2/images?marker=a"}
        self.site.replies = {"GET /v2/images": (200, answer)}
        self.failed(self.listed(), Unintelligible)

    def test_list_that_goes_round_by_way_of_many_pages(self):
        def page(request):
            if len(self.site.seen) > 100:
                return 500, {}
            last = int(request.args.get(b"marker", [b"-1"])[0])
            following = (last + 1) % 30
            return 200, {"images": [{"id": str(following)}], "next": f"?marker={following}"}

        self.site.list = page
        self.failed(self.listed(), Unintelligible)
        self.assertEqual(len(self.site.seen), 31)


class TestImages(ImagesTestCase):
    def test_show(self):
        self.site.replies = {"GET /v2/images/i": (200, {"id": "i"})}
        self.assertEqual(self.done(self.images.show("i")), {"id": "i"})
        self.site.replies = {"GET /v2/images/i": (404, {})}
        self.failed(self.images.show("i"), Absent)

    def test_create(self):
        self.site.replies = {"POST /v2/images": (201, {"id": "i"})}
        self.assertEqual(self.done(self.images.create({"id": "i", "x": "y"})), {"id": "i"})
        self.assertEqual(self.site.seen[0][2], {"id": "i", "x": "y"})

    def test_patch(self):
        self.site.replies = {"PATCH /v2/images/i": (200, {"id": "i"})}
        patch = [{"op": "remove", "path": "/x"}]
        self.assertEqual(self.done(self.images.patch("i", patch)), {"id": "i"})
        self.assertEqual(self.site.seen[0][2], patch)
        self.assertEqual(self.site.headers[0]["content-type"], images.PATCH_TYPE)

    def test_what_is_no_image(self):
        for answer in (b"<html>", [], {}, {"id": 1}):
            self.site.replies = {"GET /v2/images/i": (200, answer)}
            self.failed(self.images.show("i"), Unintelligible)

    def test_delete(self):
        self.site.replies = {"DELETE /v2/images/i": (204, b"")}
        self.done(self.images.delete("i"))

    def test_members(self):
        found = {"members": [{"member_id": "p", "status": "accepted", "x": 1}]}
        self.site.replies = {
            "GET /v2/images/i/members": (200, found),
            "POST /v2/images/i/members": (200, {}),
            "PUT /v2/images/i/members/p%2F%3F": (200, {}),
            "DELETE /v2/images/i/members/p": (204, b""),
        }
        self.assertEqual(self.done(self.images.members("i")), {"p": "accepted"})
        self.done(self.images.add_member("i", "p"))
        self.done(self.images.set_member_status("i", "p/?", "accepted"))
        self.done(self.images.remove_member("i", "p"))
        self.assertEqual(self.site.seen[1][2], {"member": "p"})
        self.assertEqual(self.site.seen[2][2], {"status": "accepted"})

    def test_what_are_no_members(self):
        for answer in (
            {},
            {"members": [1]},
            {"members": ""},
            {"members": {}},
            {"members": [{"member_id": 1, "status": "pending"}]},
            {"members": [{"member_id": [], "status": "pending"}]},
            {"members": [{"member_id": "p", "status": None}]},
        ):
            self.assertIsNone(members_of(answer))
            self.site.replies = {"GET /v2/images/i/members": (200, answer)}
            self.failed(self.images.members("i"), Unintelligible)
        self.assertEqual(members_of({"members": []}), {})

    def test_a_member_is_no_way_to_the_image(self):
        for member in ("", ".", ".."):
            self.failed(self.images.remove_member("i", member), Invalid)
            self.failed(self.images.set_member_status("i", member, "accepted"), Invalid)
        self.assertEqual(self.site.seen, [])


class TestDigests(ImagesTestCase):
    PATH = "GET /v2/openapi.json"

    def told(self, status, answer):
        self.setUp()
        self.site.replies = {self.PATH: (status, answer)}
        return self.done(self.images.takes_digests())

    def description(self, *parameters, **more):
        path = "/v2/images/{image_id}/file"
        return {"paths": {path: {"put": {"parameters": list(parameters)}}}, **more}

    def test_service_that_compares_them(self):
        header = {"in": "header", "name": "Content-Digest"}
        self.assertTrue(self.told(200, self.description({"name": "x", "in": "query"}, header)))
        self.done(self.images.takes_digests())
        self.assertEqual(len(self.site.seen), 1)
        by_name = {"$ref": "#/components/parameters/Content-Digest"}
        components = {"parameters": {"Content-Digest": header}}
        self.assertTrue(self.told(200, self.description(by_name, components=components)))

    def test_service_that_does_not(self):
        for answer in (
            {},
            [],
            {"paths": []},
            self.description(),
            self.description({"name": "Content-Digest", "in": "query"}),
            self.description({"$ref": "#/components/parameters/Content-Digest"}),
            self.description({"$ref": "#/elsewhere/Content-Digest"}),
            self.description(1),
            b"<html>",
        ):
            self.assertFalse(self.told(200, answer))
        for status in (400, 401, 403, 404, 300):
            self.assertFalse(self.told(status, {}))

    def test_service_that_is_busy(self):
        self.site.replies = {self.PATH: (503, {})}
        self.failed(self.images.takes_digests(), Failed)
        self.site.replies = {self.PATH: (404, {})}
        self.assertFalse(self.done(self.images.takes_digests()))
