"""The routes of the image cache."""

import json
import os
import time

from glance.domain.caching import CachedImage
from tests.unit.api.caches import (
    IMAGE,
    OTHER,
    THIRD,
    CacheTestCase,
    SharedMemoryIndex,
)
from tests.unit.identity.doubles import caller

ROUTES = [
    ("GET", "/cache"),
    ("DELETE", "/cache"),
    ("PUT", f"/cache/{IMAGE}"),
    ("DELETE", f"/cache/{IMAGE}"),
    ("GET", f"/cache/nodes/{IMAGE}"),
    ("POST", "/cache/clean"),
    ("POST", "/cache/prune"),
]


class TestGate(CacheTestCase):
    def test_members_may_nothing(self):
        self.copy(IMAGE)
        self.directory.thd_enqueue(THIRD)
        self.who = caller("member", "reader")
        for method, path in ROUTES:
            answer = self.ask(method, path)
            assert answer.code == 403, (method, path)
        assert self.has(IMAGE)
        assert self.queued() == [THIRD]
        assert self.kicks == []

    def test_policy_comes_before_whether_there_is_a_cache(self):
        self.serve(None)
        for who, status in ((caller("member", "reader"), 403), (self.who, 404)):
            self.who = who
            for method, path in ROUTES:
                assert self.ask(method, path).code == status, (method, path)

    def test_nobody_learns_of_images_that_are_not_theirs(self):
        self.who = caller("member", "reader")
        for method in ("PUT", "DELETE"):
            assert self.ask(method, f"/cache/{OTHER}").code == 404
            assert self.ask(method, f"/cache/{THIRD}").code == 404

    def test_nobody_removes_what_they_do_not_see(self):
        self.copy(OTHER)
        self.copy(THIRD)
        self.directory.thd_enqueue(IMAGE)
        self.who = caller("member", "reader")
        for name in (OTHER, THIRD):
            assert self.ask("DELETE", f"/cache/{name}").code == 404
            assert self.has(name)
        assert self.ask("DELETE", f"/cache/{IMAGE}").code == 403
        assert self.queued() == [IMAGE]

    def test_each_route_has_its_rule(self):
        rules = ["cache_list", "cache_delete", "cache_image", "cache_delete", "list_cached_nodes"]
        self.make_index = SharedMemoryIndex
        self.setUp()
        self.who = caller("member", "reader")
        for (method, path), rule in zip(
            ROUTES, [*rules, "cache_clean", "cache_prune"], strict=True
        ):
            self.serve(self.cache, **{rule: "role:member"})
            for other_method, other_path in ROUTES:
                answer = self.ask(other_method, other_path)
                allowed = (other_method, other_path) == (method, path) or (
                    rule == "cache_delete" and other_method == "DELETE"
                )
                assert (answer.code < 300) == allowed, (rule, other_method, other_path)


class TestList(CacheTestCase):
    def test_empty(self):
        answer = self.ask("GET", "/cache")
        assert (answer.code, json.loads(answer.body)) == (
            200,
            {"cached_images": [], "queued_images": []},
        )

    def test_copies_and_wishes(self):
        self.copy(IMAGE, 10, 5.5)
        self.copy(OTHER, 20, 6)
        self.index.known[IMAGE] = CachedImage(IMAGE, 10, 3, 7, 5.5, "f00")
        self.directory.thd_enqueue(THIRD)
        self.directory.thd_enqueue("0a" + THIRD[2:])
        os.utime(self.directory.wish(THIRD), (1, 1))
        answer = self.ask("GET", "/cache")
        assert answer.body == (
            b'{"cached_images":[{"image_id":"%s","hits":3,"last_accessed":7.0,"last_modified":5.5,'
            b'"size":10},{"image_id":"%s","hits":0,"last_accessed":6.0,"last_modified":6.0,'
            b'"size":20}],"queued_images":["%s","0a%s"]}'
        ) % tuple(name.encode() for name in (IMAGE, OTHER, THIRD, THIRD[2:]))

    def test_a_body_is_refused(self):
        answer = self.successResultOf(self.client.get("http://127.0.0.1/cache", data=b"{}"))
        assert answer.code == 400

    def test_index_that_is_away(self):
        self.index.away = True
        assert self.ask("GET", "/cache").code == 503


class TestQueue(CacheTestCase):
    def test_active(self):
        answer = self.ask("PUT", f"/cache/{IMAGE}")
        assert (answer.code, answer.body) == (202, b"")
        assert answer.headers.getRawHeaders("content-type") is None
        # Whoever is told to look finds it.
        assert self.kicks == [[IMAGE]]
        assert self.ask("PUT", f"/cache/{IMAGE}").code == 202
        assert (self.queued(), len(self.kicks)) == ([IMAGE], 2)

    def test_cached_already(self):
        self.copy(IMAGE)
        assert self.ask("PUT", f"/cache/{IMAGE}").code == 202
        assert self.queued() == []

    def test_not_active(self):
        for status in ("queued", "saving", "deactivated", "importing"):
            self.catalogue.images[IMAGE].status = status
            answer = self.ask("PUT", f"/cache/{IMAGE}")
            assert answer.code == 400
            assert b"active" in answer.body
        assert (self.queued(), self.kicks) == ([], [])

    def test_unknown(self):
        for name in (THIRD, "abc", "..", "%2e%2e%2fx"):
            assert self.ask("PUT", f"/cache/{name}").code in (404, 405)
        assert self.queued() == []


class TestDelete(CacheTestCase):
    def test_cached(self):
        self.copy(IMAGE)
        self.copy(OTHER)
        answer = self.ask("DELETE", f"/cache/{IMAGE}")
        assert (answer.code, answer.body) == (204, b"")
        assert (self.has(IMAGE), self.has(OTHER)) == (False, True)
        assert set(self.index.known) == {OTHER}

    def test_queued(self):
        self.directory.thd_enqueue(IMAGE)
        assert self.ask("DELETE", f"/cache/{IMAGE}").code == 204
        assert self.queued() == []

    def test_neither(self):
        assert self.ask("DELETE", f"/cache/{IMAGE}").code == 204

    def test_copy_of_an_image_that_is_gone(self):
        self.copy(THIRD)
        assert self.ask("DELETE", f"/cache/{THIRD}").code == 204
        assert not self.has(THIRD)
        self.directory.thd_enqueue(THIRD)
        assert self.ask("DELETE", f"/cache/{THIRD}").code == 204
        assert self.ask("DELETE", f"/cache/{THIRD}").code == 404

    def test_what_no_image_can_be_called(self):
        for name in ("abc", "queue", "locks"):
            assert self.ask("DELETE", f"/cache/{name}").code == 404


class TestClear(CacheTestCase):
    def fill(self):
        self.copy(IMAGE)
        self.copy(OTHER)
        self.directory.thd_enqueue(THIRD)

    def test_targets(self):
        for target, copies, wishes in (
            ({"X_Image_Cache_Clear_Target": "cache"}, False, [THIRD]),
            ({"X_Image_Cache_Clear_Target": "queue"}, True, []),
            ({"X_Image_Cache_Clear_Target": ""}, False, []),
            ({}, False, []),
        ):
            self.fill()
            answer = self.ask("DELETE", "/cache", **target)
            assert (answer.code, answer.body) == (204, b"")
            assert (self.has(IMAGE), self.has(OTHER), self.queued()) == (copies, copies, wishes)

    def test_anything_else(self):
        self.fill()
        for target in ("all", "Cache", "cache,queue"):
            answer = self.ask("DELETE", "/cache", X_Image_Cache_Clear_Target=target)
            assert answer.code == 400
            assert b"X-Image-Cache-Clear-Target" in answer.body
        assert self.has(IMAGE)
        assert self.queued() == [THIRD]


class TestUpkeep(CacheTestCase):
    def leave(self, place, image_id, age):
        path = getattr(self.directory, place)(image_id)
        with open(path, "wb") as file:
            file.write(bytes(10))
        then = time.time() - age
        os.utime(path, (then, then))
        return path

    def test_clean(self):
        broken = self.leave("invalid", IMAGE, 0)
        stale = self.leave("partial", OTHER, 200)
        fresh = self.leave("partial", THIRD, 0)
        self.copy(IMAGE)
        answer = self.ask("POST", "/cache/clean")
        assert (answer.code, answer.body) == (200, b"")
        assert [os.path.exists(path) for path in (broken, stale, fresh)] == [False, False, True]
        assert self.has(IMAGE)

    def test_prune(self):
        answer = self.ask("POST", "/cache/prune")
        assert answer.body == b'{"total_files_pruned":0,"total_bytes_pruned":0}'
        self.copy(IMAGE, 600, 1)
        self.copy(OTHER, 600, 2)
        answer = self.ask("POST", "/cache/prune")
        assert answer.code == 200
        assert answer.body == b'{"total_files_pruned":1,"total_bytes_pruned":600}'
        assert (self.has(IMAGE), self.has(OTHER)) == (False, True)


class TestOneNodesIndex(CacheTestCase):
    def test_other_nodes_are_unknown(self):
        for name in (IMAGE, THIRD):
            answer = self.ask("GET", f"/cache/nodes/{name}")
            assert answer.code == 409
            assert b"centralized_db" in answer.body


class TestSharedIndex(CacheTestCase):
    make_index = SharedMemoryIndex

    def test_list(self):
        self.copy(IMAGE, 10, 5)
        (item,) = json.loads(self.ask("GET", "/cache").body)["cached_images"]
        assert item == {
            "id": 1,
            "image_id": IMAGE,
            "last_accessed": 5.0,
            "last_modified": 5.0,
            "size": 10,
            "hits": 0,
            "checksum": None,
        }

    def test_nodes(self):
        self.copy(IMAGE)
        answer = self.ask("GET", f"/cache/nodes/{IMAGE}")
        assert (answer.code, answer.body) == (200, b'["http://a","http://b"]')
        assert self.ask("GET", f"/cache/nodes/{OTHER}").body == b"[]"
        assert self.ask("GET", f"/cache/nodes/{THIRD}").code == 404
