"""JSON for those who want it small."""

import gzip
from types import SimpleNamespace

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from glance.api.compression import AT_ONCE, Compressor
from glance.api.routing import NO_CONTENT, Reply

LEAST = 100
VARY = ("Vary", "Accept-Encoding")


class TestCompressor(SynchronousTestCase):
    def setUp(self):
        self.jobs = []
        self.compressor = Compressor(self.run_in_thread, LEAST)

    def run_in_thread(self, function, *args):
        done = Deferred()
        self.jobs.append(lambda: done.callback(function(*args)))
        return done

    def compress(self, reply, accept="gzip"):
        request = SimpleNamespace(getHeader=lambda name: accept)
        return ensureDeferred(self.compressor.compress(request, reply))

    def test_small_enough_to_be_done_at_once(self):
        body = b"x" * AT_ONCE
        reply = self.successResultOf(self.compress(Reply(201, body, headers=(("A", "b"),))))
        self.assertEqual(gzip.decompress(reply.body), body)
        self.assertLess(len(reply.body), 1000)
        self.assertEqual(reply.status, 201)
        self.assertEqual(reply.headers, (("A", "b"), VARY, ("Content-Encoding", "gzip")))

    def test_larger_ones_go_to_a_thread(self):
        body = b"x" * (AT_ONCE + 1)
        waiting = self.compress(Reply(200, body))
        self.assertNoResult(waiting)
        self.jobs[0]()
        self.assertEqual(gzip.decompress(self.successResultOf(waiting).body), body)

    def test_client_that_does_not_ask(self):
        for accept in (None, "", "deflate", "gzip;q=0"):
            reply = self.successResultOf(self.compress(Reply(200, b"x" * LEAST), accept))
            self.assertEqual((reply.body, reply.headers), (b"x" * LEAST, (VARY,)))

    def test_what_is_not_worth_it(self):
        for reply in (
            Reply(200, b"x" * (LEAST - 1)),
            Reply(200, b"x" * LEAST, "application/octet-stream"),
            NO_CONTENT,
        ):
            self.assertIs(self.successResultOf(self.compress(reply)), reply)
