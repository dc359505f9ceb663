"""The cache of a node, by both sets of routes."""

from __future__ import annotations

import json

from glance.domain.caching import CachedImage
from glance.remote.errors import Absent, NotAllowed, NotEnabled, Unintelligible
from tests.cacheservice import ONE, THREE, TWO, entry
from tests.unit.remote.doubles import RemoteTestCase

UNKNOWN = "99999999-2222-3333-4444-555555555555"


class Common:
    """What is alike, whichever routes there are."""

    def test_what_is_there(self):
        self.assertEqual(self.done(self.cache.cached()), [])
        self.assertEqual(self.done(self.cache.queued()), [])
        self.service.have(ONE)
        self.service.queued = [THREE, TWO]
        wanted = CachedImage(ONE, 1024, 3, 1767225600.5, 1767225600.0)
        self.assertEqual(self.done(self.cache.cached()), [wanted])
        self.assertEqual(self.done(self.cache.queued()), [THREE, TWO])
        state = self.done(self.cache.state())
        self.assertEqual((state.cached, state.queued), ([wanted], [THREE, TWO]))

    def test_queue(self):
        self.done(self.cache.queue(ONE))
        self.done(self.cache.queue(TWO))
        self.assertEqual(self.service.queued, [ONE, TWO])

    def test_delete_cached(self):
        self.service.have(ONE, TWO)
        self.service.queued = [THREE]
        self.done(self.cache.delete_cached(ONE))
        self.assertEqual([*self.service.cached], [TWO])
        # Only from where it was said.
        self.done(self.cache.delete_cached(THREE))
        self.assertEqual(self.service.queued, [THREE])

    def test_delete_queued(self):
        self.service.have(ONE)
        self.service.queued = [TWO, THREE]
        self.done(self.cache.delete_queued(TWO))
        self.assertEqual(self.service.queued, [THREE])
        self.done(self.cache.delete_queued(ONE))
        self.assertEqual([*self.service.cached], [ONE])

    def test_what_is_nowhere_may_be_deleted(self):
        self.done(self.cache.delete_cached(ONE))
        self.done(self.cache.delete_queued(ONE))

    def test_delete_all(self):
        self.service.have(ONE, TWO)
        self.service.queued = [THREE]
        self.assertEqual(self.done(self.cache.delete_all_cached()), 2)
        self.assertEqual((self.service.cached, self.service.queued), ({}, [THREE]))
        self.assertEqual(self.done(self.cache.delete_all_queued()), 1)
        self.assertEqual(self.service.queued, [])
        self.assertEqual(self.done(self.cache.delete_all_cached()), 0)


class TestOlderRoutes(Common, RemoteTestCase):
    def setUp(self):
        self.make(newer=False)

    def test_queue_comes_first_where_one_request_does_not_do(self):
        self.done(self.cache.state())
        self.assertEqual(self.paths(), ["GET /v2/queued_images", "GET /v2/cached_images"])

    def test_nothing_else_is_asked(self):
        self.done(self.cache.queue(UNKNOWN))
        self.done(self.cache.delete_all_queued())
        for path in self.paths():
            self.assertIn("/v2/queued_images", path)


class TestNewerRoutes(Common, RemoteTestCase):
    def setUp(self):
        self.make(older=False)

    def test_older_routes_are_tried_once(self):
        for _ in range(2):
            self.done(self.cache.state())
        self.assertEqual(self.paths(), ["GET /v2/queued_images", "GET /v2/cache", "GET /v2/cache"])

    def test_image_that_nobody_knows(self):
        for work in (self.cache.queue, self.cache.delete_cached, self.cache.delete_queued):
            error = self.failed(work(UNKNOWN), Absent)
            self.assertEqual(error.said, f"Image {UNKNOWN} not found.")

    def test_image_that_nobody_knows_and_a_cache_that_may_not_be_seen(self):
        self.service.replies["/v2/cache"] = (403, {}, b"")
        self.failed(self.cache.queue(UNKNOWN), Absent)


class TestWithoutCache(RemoteTestCase):
    def setUp(self):
        self.make(older=False, newer=False)

    def works(self):
        return [
            self.cache.cached(),
            self.cache.queued(),
            self.cache.state(),
            self.cache.queue(ONE),
            self.cache.delete_cached(ONE),
            self.cache.delete_queued(ONE),
            self.cache.delete_all_cached(),
            self.cache.delete_all_queued(),
        ]

    def test_image_service(self):
        for work in self.works():
            error = self.failed(work, NotEnabled)
            self.assertIn("images.example:9292", error.message)

    def test_something_else(self):
        for reply in ((404, {}, b""), (200, {}, b"<html>"), (200, {}, b'{"versions": 1}')):
            self.service.replies["/versions"] = reply
            for work in self.works():
                self.failed(work, Unintelligible)


class TestAnswers(RemoteTestCase):
    def test_refusal_does_not_lead_to_the_newer_routes(self):
        self.service.replies["/v2/cached_images"] = (403, {}, b"")
        self.failed(self.cache.cached(), NotAllowed)
        self.assertEqual(len(self.service.seen), 1)

    def test_what_no_image_service_says(self):
        for body in (
            b"",
            b"x",
            b"null",
            b"[]",
            b"{}",
            b'{"cached_images": {}}',
            b'{"cached_images": null}',
            b'{"cached_images": ["x"]}',
            *(
                json.dumps({"cached_images": [changed]}).encode()
                for changed in (
                    {},
                    entry("a\x1b[2Jb"),
                    entry(5),
                    entry(ONE, size="1"),
                    entry(ONE, size=True),
                    entry(ONE, hits=1.5),
                    entry(ONE, last_accessed="now"),
                    entry(ONE, last_accessed=1e300),
                    entry(ONE, last_modified=-1e30),
                )
            ),
        ):
            self.service.replies["/v2/cached_images"] = (200, {}, body)
            self.failed(self.cache.cached(), Unintelligible)

    def test_counts_that_are_none(self):
        for body in (b"null", b"{}", b'{"num_deleted": "1"}'):
            self.service.replies["/v2/queued_images"] = (200, {}, body)
            self.failed(self.cache.delete_all_queued(), Unintelligible)

    def test_queue_of_something_else(self):
        for body in (b'{"queued_images": [1]}', b'{"queued_images": ["\\u001b"]}'):
            self.service.replies["/v2/queued_images"] = (200, {}, body)
            self.failed(self.cache.queued(), Unintelligible)

    def test_what_was_never_noted(self):
        odd = entry(ONE, hits=None, size=None, last_accessed=None, last_modified=5)
        self.service.cached[ONE] = odd
        self.assertEqual(self.done(self.cache.cached()), [CachedImage(ONE, 0, 0, 0.0, 5.0)])
