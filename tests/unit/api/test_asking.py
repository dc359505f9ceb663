"""Questions to parts that may never answer."""

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from glance.api.asking import NoAnswer, Question


class TestQuestion(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.asked = []
        self.question = Question(self.clock, self.ask, patience=2.0, fresh=1.0)

    def ask(self):
        self.asked.append(Deferred())
        return self.asked[-1]

    def test_answer(self):
        waiting = self.question.answer()
        self.assertNoResult(waiting)
        self.asked[0].callback("well")
        self.assertEqual(self.successResultOf(waiting), "well")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many_who_ask_are_one_question(self):
        waiting = [self.question.answer() for _ in range(3)]
        self.assertEqual(len(self.asked), 1)
        self.asked[0].callback("well")
        self.assertEqual([self.successResultOf(w) for w in waiting], ["well"] * 3)

    def test_an_answer_stands_for_a_while(self):
        waiting = self.question.answer()
        self.asked[0].callback("well")
        self.successResultOf(waiting)
        self.clock.advance(0.9)
        self.assertEqual(self.successResultOf(self.question.answer()), "well")
        self.clock.advance(0.2)
        self.assertNoResult(self.question.answer())
        self.assertEqual(len(self.asked), 2)

    def test_so_does_a_failure(self):
        waiting = self.question.answer()
        self.asked[0].errback(OSError("broken"))
        self.failureResultOf(waiting, OSError)
        self.failureResultOf(self.question.answer(), OSError)
        self.assertEqual(len(self.asked), 1)

    def test_no_answer(self):
        waiting = self.question.answer()
        self.clock.advance(1.5)
        later = self.question.answer()
        self.assertNoResult(waiting)
        self.clock.advance(0.5)
        self.failureResultOf(waiting, NoAnswer)
        self.failureResultOf(later, NoAnswer)
        # Nobody waits any more, and nothing more is asked, as long as the question is open.
        self.clock.advance(100)
        self.failureResultOf(self.question.answer(), NoAnswer)
        self.assertEqual(len(self.asked), 1)
        self.asked[0].callback("at last")
        self.assertEqual(self.successResultOf(self.question.answer()), "at last")

    def test_late_failure_that_nobody_waits_for(self):
        self.failureResultOf(self.timed_out(), NoAnswer)
        self.asked[0].errback(OSError("broken"))
        self.failureResultOf(self.question.answer(), OSError)

    def timed_out(self):
        waiting = self.question.answer()
        self.clock.advance(2)
        return waiting

    def test_answers_given_at_once(self):
        self.assertEqual(
            self.successResultOf(Question(self.clock, lambda: succeed(1), 2).answer()), 1
        )
        self.failureResultOf(Question(self.clock, lambda: fail(OSError()), 2).answer(), OSError)
        self.failureResultOf(Question(self.clock, lambda: 1 / 0, 2).answer(), ZeroDivisionError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_who_stops_waiting_disturbs_nobody(self):
        first, second = self.question.answer(), self.question.answer()
        first.addErrback(lambda f: None)
        first.cancel()
        self.asked[0].callback("well")
        self.assertEqual(self.successResultOf(second), "well")
