"""A verification that is broken off anywhere goes on where it was, and says the same in the end."""

from __future__ import annotations

import os
import sqlite3
from uuid import UUID

from twisted.internet.defer import CancelledError, Deferred

from glance.verify.catalogue import Frontier
from glance.verify.state import State, StateError
from tests.unit.verify.support import VerifyCase

NAMES = [str(UUID(int=number, version=4)) for number in range(1, 9)]


class Broken(BaseException):
    """The end of a process, to those in it."""


class ResumingTests(VerifyCase):
    def setUp(self):
        super().setUp()
        for name in NAMES:
            self.whole(name, "one")
        self.path("one", NAMES[1]).unlink()
        self.put("one", NAMES[6], b"Some data")
        self.put("two", NAMES[0])
        self.put("two", NAMES[1])

    def break_off(self, count, **settings):
        """Verify, and stop before the look at a copy that has that number; return how many were."""
        verification, tools = self.begin(**settings)
        looks = []

        def stop(image):
            if len(looks) == count:
                raise Broken
            # Every image is recorded when it is done.
            self.reactor.advance(10)
            looks.append(image.id)

        self.before_looks[:] = [stop]
        outcome = []
        work = Deferred.fromCoroutine(verification.run())
        work.addCallbacks(lambda _: outcome.append(True), lambda f: f.trap(Broken))
        self.before_looks.clear()
        self.end(tools)
        return outcome == [], looks

    def test_broken_off_anywhere(self):
        whole = self.verify(hashes=True, kept=False)
        count = 0
        while self.break_off(count, hashes=True)[0]:
            looked = []
            self.before_looks[:] = [lambda image, looked=looked: looked.append(image.id)]
            report = self.verify(hashes=True)
            self.before_looks.clear()
            self.assertTrue(report["resumed"])
            for part in ("summary", "findings", "errors", "stores"):
                self.assertEqual(report[part], whole[part])
            # Eight to look at and two to be looked at again: none is repeated.
            self.assertEqual(len(looked), 10 - count)
            count += 1
        self.assertEqual(count, 10)

    def test_broken_off_again_and_again(self):
        whole = self.verify(hashes=True, kept=False)
        for _ in range(9):
            self.assertTrue(self.break_off(1, hashes=True)[0])
        report = self.verify(hashes=True)
        self.assertEqual(report["summary"], whole["summary"])
        self.assertEqual(report["findings"], whole["findings"])

    def test_side_by_side(self):
        whole = self.verify(hashes=True, kept=False)
        for _ in range(3):
            self.assertTrue(self.break_off(1, hashes=True, parallel=3)[0])
        report = self.verify(hashes=True, parallel=3)
        self.assertEqual(report["summary"]["images"], whole["summary"]["images"])
        self.assertEqual(report["findings"], whole["findings"])

    def test_out_of_order(self):
        whole = self.verify(kept=False)
        verification, tools = self.begin(parallel=2)
        look = tools.copies.look

        async def slow(image, location):
            if image.id == NAMES[0]:
                await Deferred()
            self.reactor.advance(10)
            return await look(image, location)

        tools.copies.look = slow
        work = Deferred.fromCoroutine(verification.run())
        work.cancel()
        self.failureResultOf(work, CancelledError)
        self.end(tools)
        looked = []
        self.before_looks[:] = [lambda image: looked.append(image.id)]
        report = self.verify(parallel=2)
        # All others were done, and one of them is looked at again in the end.
        self.assertEqual(looked, [NAMES[0], NAMES[1]])
        self.assertEqual(report["summary"], whole["summary"])

    def test_one_that_is_over_begins_anew(self):
        first = self.verify()
        self.put("one", NAMES[1])
        again = self.verify()
        self.assertFalse(again["resumed"])
        self.assertEqual(len(first["findings"]) - 1, len(again["findings"]))

    def test_other_options(self):
        self.break_off(3, hashes=True)
        verification, tools = self.begin(hashes=False)
        self.assertIn("other options", str(self.failure(verification.run(), StateError)))
        self.end(tools)


class FileTests(VerifyCase):
    def open(self, path=None):
        state = State(self.reactor, path or self.state_file)
        state.thd_open()
        return state

    def refused(self, path=None):
        with self.assertRaises(StateError) as caught:
            self.open(path)
        return str(caught.exception)

    def test_in_use(self):
        _, tools = self.begin()
        self.assertIn("another verification uses", self.refused())
        self.end(tools)
        self.result(self.open().close())

    def test_something_else(self):
        path = self.root / "text"
        path.write_text("some text")
        self.assertIn("left alone", self.refused(str(path)))
        self.assertEqual(path.read_text(), "some text")

    def test_another_database(self):
        path = self.root / "database"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE images (id)")
        connection.close()
        before = path.read_bytes()
        self.assertIn("left alone", self.refused(str(path)))
        self.assertEqual(path.read_bytes(), before)

    def test_another_release(self):
        verification, tools = self.begin()
        self.result(verification.run())
        self.end(tools)
        with sqlite3.connect(self.state_file) as connection:
            connection.execute("UPDATE verification SET value = '99' WHERE name = 'format'")
        connection.close()
        with self.assertRaises(AssertionError) as caught:
            self.begin()
        self.assertIn("another release", str(caught.exception))

    def test_nowhere(self):
        self.assertIn("No such file", self.refused(str(self.root / "none" / "state")))

    def test_a_question_mark(self):
        self.assertIn("question mark", self.refused("what?"))

    def test_one_that_is_not_kept_leaves_nothing(self):
        state = State(self.reactor, None)
        place = state._temporary.name
        state.thd_open()
        self.result(state.close())
        self.assertFalse(os.path.exists(place))


class FrontierTests(VerifyCase):
    def test_in_order(self):
        frontier = Frontier(set())
        self.assertTrue(frontier.begin("a"))
        frontier.finish("a")
        self.assertEqual(frontier.passed(), ["a"])
        self.assertEqual(frontier.passed(), [])

    def test_out_of_order(self):
        frontier = Frontier({"c"})
        begun = [frontier.begin(name) for name in "abcd"]
        self.assertEqual(begun, [True, True, False, True])
        frontier.finish("b")
        self.assertEqual(frontier.passed(), [])
        frontier.finish("a")
        self.assertEqual(frontier.passed(), ["a", "b", "c"])
