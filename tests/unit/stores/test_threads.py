"""Deadlines, queues and late answers of a store's threads, on a clock that only tests move."""

from contextvars import ContextVar
from threading import Event

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from glance.stores.errors import StoreError, StoreTimeout
from glance.stores.threads import HeldPool, InlinePool, Threads, Words

request_id = ContextVar("request_id", default="none")


class WarningsMixin:
    def warnings(self):
        seen = []

        def observe(event):
            if event["log_level"] >= LogLevel.warn:
                seen.append(event)

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return seen


class ThreadsTests(WarningsMixin, SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.pool = HeldPool()

    def threads(self, timeout=0, size=4, threshold=100, pool=None):
        threads = Threads(self.clock, "fast", size, timeout, threshold, pool or self.pool)
        threads.start()
        return threads

    def test_result_and_error(self):
        threads = self.threads(pool=InlinePool())
        self.assertEqual(self.successResultOf(threads.run(divmod, 7, 2)), (3, 1))
        self.failureResultOf(threads.run(divmod, 7, 0), ZeroDivisionError)

    def test_context_goes_along(self):
        threads = self.threads()
        request_id.set("req-1")
        answer = threads.run(request_id.get)
        request_id.set("req-2")
        self.pool.release()
        self.assertEqual(self.successResultOf(answer), "req-1")

    def test_refuses_calls_unless_running(self):
        settled = []
        threads = Threads(self.clock, "fast", 1, pool=self.pool)
        answer = threads.run(int, settled=lambda: settled.append(1))
        self.failureResultOf(answer, StoreError)
        self.assertEqual(settled, [1])
        threads.start()
        threads.start()
        self.successResultOf(threads.stop())
        self.failureResultOf(threads.run(int), StoreError)
        self.successResultOf(threads.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_deadline(self):
        threads = self.threads(timeout=30)
        answer = threads.run(int)
        self.clock.advance(29)
        self.assertNoResult(answer)
        self.clock.advance(1)
        self.failureResultOf(answer, StoreTimeout)

    def test_messages_speak_of_what_it_is(self):
        words = Words("The shed", "Shed {store}", "too few")
        seen = self.warnings()
        threads = Threads(self.clock, "fast", 1, 30, pool=self.pool, words=words)
        refused = self.failureResultOf(threads.run(int), StoreError)
        self.assertEqual(refused.getErrorMessage(), "The shed is not running.")
        threads.start()
        late = threads.run(int)
        self.clock.advance(30)
        told = self.failureResultOf(late, StoreTimeout).getErrorMessage()
        self.assertEqual(told, "The shed did not answer in time; try again later.")
        self.assertTrue(seen[0]["log_format"].startswith("Shed {store}: "))
        self.assertTrue(seen[0]["log_format"].endswith("threads too few."))

    def test_stop_waits_no_longer_than_it_is_told(self):
        threads = self.threads(timeout=30)
        threads.run(int).addErrback(lambda f: f.trap(StoreTimeout))
        self.patch(self.pool, "stop", lambda done: None)
        stopping = threads.stop(5)
        self.clock.advance(4)
        self.assertNoResult(stopping)
        self.clock.advance(1)
        self.successResultOf(stopping)

    def test_no_deadline(self):
        answer = self.threads().run(int)
        self.clock.advance(1e9)
        self.assertNoResult(answer)

    def test_own_deadline_of_a_call(self):
        threads = self.threads(timeout=30)
        short = threads.run(int, timeout=1)
        endless = threads.run(int, timeout=0)
        self.clock.advance(1)
        self.failureResultOf(short, StoreTimeout)
        self.clock.advance(1000)
        self.assertNoResult(endless)

    def test_timers_end_with_their_calls(self):
        threads = self.threads(timeout=30)
        done, cancelled = threads.run(int), threads.run(int)
        cancelled.addErrback(lambda f: f.trap(CancelledError))
        cancelled.cancel()
        self.pool.release()
        self.successResultOf(done)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_abandoned_calls_in_the_queue_are_skipped(self):
        ran, settled = [], []
        threads = self.threads(timeout=5)
        for must_run in (False, True):
            answer = threads.run(
                ran.append, must_run, must_run=must_run, settled=lambda: settled.append(1)
            )
            self.clock.advance(5)
            self.failureResultOf(answer, StoreTimeout)
        self.assertEqual(settled, [])
        self.pool.release_all()
        self.assertEqual(ran, [True])
        self.assertEqual(settled, [1, 1])

    def test_late_results_are_released_when_no_call_is_taken_any_more(self):
        released, done = [], Event()

        def release(result):
            released.append(result)
            done.set()

        threads = self.threads()
        answer = threads.run(lambda: "descriptor", must_run=True, late=release)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        threads.stop()
        self.pool.release()
        self.assertTrue(done.wait(60))
        self.assertEqual(released, ["descriptor"])

    def test_late_results_are_released(self):
        released = []
        threads = self.threads(timeout=5)
        answer = threads.run(lambda: "descriptor", must_run=True, late=released.append)
        self.clock.advance(5)
        self.failureResultOf(answer, StoreTimeout)
        self.pool.release_all()
        self.assertEqual(released, ["descriptor"])

    def test_results_in_time_are_not_released(self):
        released = []
        answer = self.threads().run(lambda: "descriptor", late=released.append)
        self.pool.release_all()
        self.assertEqual(self.successResultOf(answer), "descriptor")
        self.assertEqual(released, [])

    def test_cancelling_counts_as_giving_up(self):
        released = []
        answer = self.threads().run(lambda: 1, must_run=True, late=released.append)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.pool.release_all()
        self.assertEqual(released, [1])

    def test_settled_comes_before_the_answer(self):
        order = []
        answer = self.threads().run(int, settled=lambda: order.append("settled"))
        answer.addCallback(lambda _: order.append("answer"))
        self.pool.release()
        self.assertEqual(order, ["settled", "answer"])

    def test_hanging_threads_are_made_up_for_within_bounds(self):
        threads = self.threads(timeout=5, size=2)
        for _ in range(3):
            threads.run(int, must_run=True).addErrback(lambda f: f.trap(StoreTimeout))
        self.assertIsNone(self.pool.size)
        self.clock.advance(5)
        self.assertEqual(self.pool.size, 4)
        self.pool.release_all()
        self.assertEqual(self.pool.size, 2)

    def test_bounded_waiting(self):
        threads = self.threads(timeout=5)
        first, second = Deferred(), Deferred()
        in_time, too_late = threads.bounded(first), threads.bounded(second)
        first.callback(None)
        self.successResultOf(in_time)
        self.clock.advance(5)
        self.successResultOf(too_late)
        second.callback(None)
        endless = self.threads(timeout=0).bounded(Deferred())
        self.clock.advance(1e9)
        self.assertNoResult(endless)

    def test_warns_once_a_minute_from_the_threshold_on(self):
        seen = self.warnings()
        threads = self.threads(timeout=1000, size=4, threshold=75)
        threads.run(int)
        threads.run(int)
        self.assertEqual(len(seen), 0)
        threads.run(int)
        threads.run(int)
        self.assertEqual(len(seen), 1)
        self.assertEqual((seen[0]["store"], seen[0]["busy"], seen[0]["size"]), ("fast", 3, 4))
        self.clock.advance(60)
        threads.run(int)
        self.assertEqual(len(seen), 2)

    def test_busy_threads_are_no_news_without_a_deadline(self):
        seen = self.warnings()
        threads = self.threads(timeout=0, size=1, threshold=0)
        threads.run(int)
        self.assertEqual(seen, [])

    def test_stop_does_not_wait_for_hanging_threads_for_ever(self):
        seen = self.warnings()

        class Hanging(HeldPool):
            def stop(self, done):
                self.done = done

        pool = Hanging()
        stopping = self.threads(pool=pool).stop()
        self.assertNoResult(stopping)
        self.clock.advance(10)
        self.successResultOf(stopping)
        self.assertEqual(len(seen), 1)
        pool.done()
