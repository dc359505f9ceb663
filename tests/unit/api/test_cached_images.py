"""The cache's routes of old."""

import json
import os

from glance.domain.caching import CachedImage
from tests.unit.api.caches import IMAGE, OTHER, THIRD, CacheTestCase, SharedMemoryIndex
from tests.unit.identity.doubles import caller

ROUTES = {
    "/cached_images": ("GET", "DELETE"),
    f"/cached_images/{IMAGE}": ("DELETE",),
    "/queued_images": ("GET", "DELETE"),
    f"/queued_images/{IMAGE}": ("PUT", "DELETE"),
}


class TestRoutesOfOld(CacheTestCase):
    def test_one_rule_for_all(self):
        self.copy(IMAGE)
        self.directory.thd_enqueue(THIRD)
        self.who = caller("member", "reader")
        for path, methods in ROUTES.items():
            for method in methods:
                assert self.ask(method, path).code == 403
        assert self.has(IMAGE)
        assert self.queued() == [THIRD]
        self.serve(self.cache, manage_image_cache="role:member")
        for path, methods in ROUTES.items():
            for method in methods:
                assert self.ask(method, path).code == 200

    def test_other_methods_are_not_found(self):
        for path, methods in ROUTES.items():
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
                if method not in methods:
                    assert self.ask(method, path).code == 404, (method, path)
        # Which is a peculiarity of these.
        assert self.ask("PATCH", "/cache").code == 405

    def test_copies(self):
        self.copy(IMAGE, 10, 5)
        self.index.known[IMAGE] = CachedImage(IMAGE, 10, 3, 7, 5)
        answer = self.ask("GET", "/cached_images")
        item = {
            "image_id": IMAGE,
            "hits": 3,
            "last_accessed": 7.0,
            "last_modified": 5.0,
            "size": 10,
        }
        assert json.loads(answer.body) == {"cached_images": [item]}
        self.copy(OTHER)
        assert self.ask("DELETE", f"/cached_images/{OTHER}").body == b"null"
        assert (self.has(IMAGE), self.has(OTHER)) == (True, False)
        assert self.ask("DELETE", f"/cached_images/{OTHER}").body == b"null"
        self.copy(OTHER)
        assert self.ask("DELETE", "/cached_images").body == b'{"num_deleted":2}'
        assert (self.has(IMAGE), self.has(OTHER)) == (False, False)

    def test_wishes(self):
        # Whether there is such an image is found out by who fetches it.
        for at, image_id in enumerate((IMAGE, THIRD)):
            answer = self.ask("PUT", f"/queued_images/{image_id}")
            assert (answer.code, answer.body) == (200, b"null")
            os.utime(self.directory.wish(image_id), (at, at))
        assert self.kicks[0] == [IMAGE]
        assert len(self.kicks) == 2
        listed = {"queued_images": [IMAGE, THIRD]}
        assert json.loads(self.ask("GET", "/queued_images").body) == listed
        for _ in range(2):
            assert self.ask("DELETE", f"/queued_images/{IMAGE}").body == b"null"
        assert self.queued() == [THIRD]
        assert self.ask("DELETE", "/queued_images").body == b'{"num_deleted":1}'
        assert self.queued() == []

    def test_what_no_image_can_be_called(self):
        for path in ("/queued_images/abc", "/queued_images/%2e%2e", "/cached_images/locks"):
            for method in ("PUT", "DELETE"):
                assert self.ask(method, path).code in (200, 404)
        assert self.queued() == []


class TestSharedIndex(CacheTestCase):
    make_index = SharedMemoryIndex

    def test_copies(self):
        self.copy(IMAGE)
        (item,) = json.loads(self.ask("GET", "/cached_images").body)["cached_images"]
        assert (item["id"], item["checksum"]) == (1, None)
