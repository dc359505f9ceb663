"""What glance-cache-manage says when it asks a service."""

from __future__ import annotations

import io
import json
import sys

from twisted.internet.defer import CancelledError, Deferred

from glance.cmd.cache_manage_commands import COMMANDS
from glance.cmd.cache_manage_options import parse
from glance.cmd.cache_manage_output import moment
from glance.cmd.cache_manage_work import Work, explain
from glance.domain.errors import ConfigError
from glance.remote.errors import Absent, Answered, Failed, NotAllowed, NotEnabled, Untrusted
from glance.remote.waiting import PAUSE
from tests.cacheservice import ONE, THREE, TWO, entry
from tests.unit.remote.doubles import RemoteTestCase

UNKNOWN = "99999999-2222-3333-4444-555555555555"

TABLE = f"""\
Found 2 cached images...
+--------------------------------------+----------------------------+---------------------+------+------+
|                  ID                  |    Last Accessed (UTC)     | Last Modified (UTC) | Size | Hits |
+--------------------------------------+----------------------------+---------------------+------+------+
| {ONE} | 2026-01-01T00:00:00.500000 | 2026-01-01T00:00:00 | 1024 |    3 |
| {TWO} |            N/A             | 2026-01-01T00:00:00 |   77 |    0 |
+--------------------------------------+----------------------------+---------------------+------+------+
"""  # noqa: E501

QUEUE = f"""\
Found 1 queued images...
+--------------------------------------+
|                  ID                  |
+--------------------------------------+
| {THREE} |
+--------------------------------------+
"""


class Terminal(io.StringIO):
    """Somebody looks."""

    def isatty(self) -> bool:
        return True


class WorkTestCase(RemoteTestCase):
    def setUp(self):
        self.make()
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def begin(self, *argv: str) -> Deferred[int]:
        arguments = parse(argv)
        name, *images = arguments.words
        work = Work(COMMANDS[name], self.cache, self.clock, arguments)
        return Deferred.fromCoroutine(work.do(images))

    def run_it(self, *argv: str, code: int = 0) -> str:
        """Run a command; return what it printed."""
        self.assertEqual(self.successResultOf(self.begin(*argv)), code)
        said = self.out.getvalue()
        self.out.truncate(0)
        self.out.seek(0)
        return said


class TestLists(WorkTestCase):
    def test_cached(self):
        self.assertEqual(self.run_it("list-cached"), "No cached images.\n")
        self.service.have(ONE)
        self.service.cached[TWO] = entry(TWO, last_accessed=0, size=77, hits=0)
        self.assertEqual(self.run_it("list-cached"), TABLE)

    def test_queued(self):
        self.assertEqual(self.run_it("list-queued"), "No queued images.\n")
        self.service.queued = [THREE]
        self.assertEqual(self.run_it("list-queued"), QUEUE)

    def test_json(self):
        self.service.have(ONE)
        self.service.queued = [TWO, THREE]
        shown = json.loads(self.run_it("list-cached", "--json"))
        self.assertEqual(shown, {"cached_images": [entry(ONE)]})
        shown = json.loads(self.run_it("list-queued", "--json"))
        self.assertEqual(shown, {"queued_images": [TWO, THREE]})

    def test_times(self):
        self.assertEqual(moment(0), "N/A")
        self.assertEqual(moment(1767225600.043329), "2026-01-01T00:00:00.043329")


class TestChanges(WorkTestCase):
    def test_silent_unless_asked(self):
        self.service.have(ONE)
        for argv in (
            ["queue-image", TWO],
            ["delete-cached-image", ONE],
            ["delete-queued-image", TWO],
            ["delete-all-cached-images"],
            ["delete-all-queued-images"],
            ["queue-image", TWO, THREE],
        ):
            self.assertEqual(self.run_it(*argv), "")
        self.assertEqual(self.err.getvalue(), "")

    def test_verbose(self):
        self.service.have(ONE)
        for argv, said in (
            (["queue-image", TWO], f"Queued image {TWO} for caching\n"),
            (["delete-cached-image", ONE], f"Deleted cached image {ONE}\n"),
            (["delete-all-queued-images"], "Deleted 1 queued images\n"),
            (["delete-queued-image", TWO], f"Deleted queued image {TWO}\n"),
            (["delete-all-cached-images"], "Deleted 0 cached images\n"),
        ):
            self.assertEqual(self.run_it(*argv, "-v"), said)

    def test_several(self):
        said = self.run_it("queue-image", "-v", ONE, TWO)
        self.assertEqual(said, f"Queued image {ONE} for caching\nQueued image {TWO} for caching\n")
        self.run_it("delete-queued-image", ONE, TWO)
        self.assertEqual(self.service.queued, [])

    def test_several_of_which_one_fails(self):
        self.make(older=False)
        said = self.run_it("queue-image", "-v", ONE, UNKNOWN, TWO, code=1)
        self.assertEqual(self.service.queued, [ONE, TWO])
        self.assertNotIn(UNKNOWN, said)
        self.assertEqual(
            self.err.getvalue(),
            f"Image {UNKNOWN}: images.example:9292 answered 404 (Not Found): Image {UNKNOWN} not "
            "found.\n",
        )

    def test_one_that_fails(self):
        self.make(older=False)
        self.failureResultOf(self.begin("queue-image", UNKNOWN), Absent)

    def test_refusal_ends_it(self):
        for status in (401, 403):
            self.service.seen.clear()
            self.service.replies[f"/v2/queued_images/{ONE}"] = (status, {}, b"")
            self.failureResultOf(self.begin("queue-image", ONE, TWO), Answered)
            self.assertEqual(len(self.service.seen), 1)

    def test_service_that_fails_ends_it(self):
        self.service.replies[f"/v2/queued_images/{TWO}"] = (503, {}, b"")
        self.failureResultOf(self.begin("queue-image", ONE, TWO, THREE), Failed)
        self.assertEqual(
            self.err.getvalue(), f"Stopped at image {TWO}; it was done with 1 of 3 images.\n"
        )
        self.assertEqual(self.service.queued, [ONE])

    def test_terminal(self):
        self.patch(sys, "stderr", Terminal())
        self.run_it("queue-image", ONE, TWO)
        shown = sys.stderr.getvalue()
        self.assertIn("0% Queued: 0 of 2, 0 s", shown)
        # Nothing of it stays.
        self.assertTrue(shown.endswith("\r\x1b[K"))


class TestWaiting(WorkTestCase):
    def test_plain_lines(self):
        working = self.begin("queue-image", "--wait", ONE, TWO)
        self.service.have(ONE)
        self.clock.advance(PAUSE)
        self.clock.pump([PAUSE] * 9)
        self.service.have(TWO)
        self.clock.advance(PAUSE)
        self.assertEqual(self.successResultOf(working), 0)
        self.assertEqual(self.out.getvalue(), "")
        self.assertEqual(
            self.err.getvalue().splitlines(),
            [
                "Cached: 0 of 2, 0 s",
                f"Image {ONE}: cached",
                "Cached: 1 of 2, 10 s",
                f"Image {TWO}: cached",
            ],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_terminal(self):
        self.patch(sys, "stderr", Terminal())
        working = self.begin("queue-image", "--wait", ONE)
        self.clock.pump([PAUSE] * 3)
        self.assertIn("Cached: 0 of 1, 3 s", sys.stderr.getvalue())
        self.service.have(ONE)
        self.clock.advance(PAUSE)
        self.assertEqual(self.successResultOf(working), 0)
        self.assertTrue(sys.stderr.getvalue().endswith(f"\r\x1b[KImage {ONE}: cached\n"))

    def test_failure(self):
        working = self.begin("queue-image", "--wait", "--wait-time", "2", ONE, TWO)
        self.service.queued.remove(ONE)
        self.clock.pump([PAUSE] * 3)
        self.assertEqual(self.successResultOf(working), 1)
        self.assertEqual(
            self.err.getvalue().splitlines()[1:],
            [
                f"Image {ONE}: it is neither cached nor queued any more",
                f"Image {TWO}: it is not cached after 2 s; it stays in the queue",
            ],
        )

    def test_only_what_was_queued(self):
        self.make(older=False)
        working = self.begin("queue-image", "--wait", ONE, UNKNOWN)
        self.service.have(ONE)
        self.clock.advance(PAUSE)
        self.assertEqual(self.successResultOf(working), 1)

    def test_interrupt(self):
        working = self.begin("queue-image", "--wait", ONE)
        working.cancel()
        self.failureResultOf(working, CancelledError)
        self.assertIn("Interrupted; what is queued stays queued.", self.err.getvalue())
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TestErrors(WorkTestCase):
    def lines(self, error, name="list-cached"):
        return explain(COMMANDS[name], error, "0.0.0.0")

    def test_no_cache(self):
        first, second = self.lines(NotEnabled("x"))
        self.assertEqual(first, "Cache management middleware not enabled on host 0.0.0.0")
        self.assertIn("image_cache_dir", second)

    def test_not_allowed(self):
        self.assertEqual(
            self.lines(NotAllowed("x", 403, "You may not.")),
            ["Not authorized to make this request.", "You may not."],
        )
        self.assertEqual(self.lines(NotAllowed("x", 403)), ["Not authorized to make this request."])

    def test_others(self):
        error = ConfigError("Missing required credential: username")
        for name, action in (
            ("list-cached", "show cached images"),
            ("list-queued", "show queued images"),
            ("queue-image", "queue the specified image for caching"),
            ("delete-cached-image", "delete the specified cached image"),
            ("delete-all-cached-images", "Delete all cached images"),
            ("delete-queued-image", "delete the specified queued image"),
            ("delete-all-queued-images", "Delete all queued images"),
        ):
            self.assertEqual(
                self.lines(error, name),
                [f"Failed to {action}. Got error:", "Missing required credential: username"],
            )

    def test_certificates(self):
        lines = self.lines(Untrusted("h:1 cannot be trusted: self-signed certificate."))
        self.assertIn("--os-cacert", lines[-1])
        self.assertIn("--insecure", lines[-1])
        self.assertEqual(len(self.lines(Untrusted("h:1 does not speak TLS; is it http://?"))), 2)

    def test_nothing_moves_the_cursor(self):
        self.assertEqual(self.lines(Failed("a\x1b[2Jb", 500))[1], "a\\x1b[2Jb")
