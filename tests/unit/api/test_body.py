"""A body on its way: whole, in order, in bounded memory, whatever comes in between."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from glance.api.body import RequestBody
from glance.domain.errors import Invalid
from tests.unit.api.doubles import SMALL, CountingPool, FakeFlow, small_buffers

DEPTH = 3


class Moved(Exception):
    """Some reason to stop."""


class BodyCase(SynchronousTestCase):
    def setUp(self):
        patch = small_buffers()
        patch.start()
        self.addCleanup(patch.stop)
        self.begin()

    def begin(self, length=None):
        self.flow = FakeFlow()
        self.pool = CountingPool()
        self.body = RequestBody(self.flow, self.pool, length, DEPTH)

    def fill(self):
        """Bring as much as the body takes."""
        self.body.received(bytes(SMALL * DEPTH + 1))
        self.assertTrue(self.flow.paused)

    def read(self):
        return self.successResultOf(self.body.next())


class TestDelivery(BodyCase):
    def test_full_buffer_is_delivered_and_the_rest_kept(self):
        self.body.received(b"x" * (SMALL + 1))
        first = self.read()
        self.assertEqual(bytes(first.data), b"x" * SMALL)
        waiting = self.body.next()
        self.assertNoResult(waiting)
        self.body.finished()
        self.assertEqual(bytes(self.successResultOf(waiting).data), b"x")
        self.assertIsNone(self.read())
        self.assertIsNone(self.read())

    def test_empty_body_ends_at_once(self):
        self.body.finished()
        self.assertIsNone(self.read())
        self.assertEqual(self.pool.most, 0)

    def test_end_on_a_buffer_boundary_brings_no_empty_buffer(self):
        self.body.received(b"x" * SMALL)
        self.body.finished()
        self.assertEqual(self.read().filled, SMALL)
        self.assertIsNone(self.read())

    def test_reader_that_waits_at_the_end_is_told(self):
        waiting = self.body.next()
        self.body.finished()
        self.assertIsNone(self.successResultOf(waiting))

    def test_body_is_asked_for_once_and_only_when_somebody_reads(self):
        self.body.received(b"x" * (2 * SMALL))
        self.assertEqual(self.flow.wanted, 0)
        self.read()
        self.read()
        self.assertEqual(self.flow.wanted, 1)

    def test_memory_that_was_read_before_comes_back_clean(self):
        self.body.received(b"x" * SMALL)
        self.body.release(self.read())
        self.body.received(b"y")
        self.body.finished()
        self.assertEqual(bytes(self.read().data), b"y")


class TestBackPressure(BodyCase):
    def test_pauses_only_when_nothing_more_fits(self):
        self.body.received(bytes(SMALL))
        self.read()
        self.body.received(bytes(SMALL * (DEPTH - 1)))
        self.assertFalse(self.flow.paused)
        self.body.received(b"x")
        self.assertTrue(self.flow.paused)

    def test_one_buffer_is_all_until_somebody_reads(self):
        self.body.received(bytes(SMALL))
        self.assertFalse(self.flow.paused)
        self.body.received(b"x")
        self.assertTrue(self.flow.paused)
        self.assertEqual(len(self.pool.out), 1)
        self.read()
        self.assertFalse(self.flow.paused)
        self.assertEqual(len(self.pool.out), 2)

    def test_reader_that_gives_back_at_once_gets_everything_once(self):
        """Also what it gets while what was left over is being moved."""
        sent = bytes(range(20 * SMALL % 256)) * 10
        got = bytearray()

        def take(buffer):
            if buffer is not None:
                got.extend(buffer.data)
                self.body.release(buffer)
                self.body.next().addCallback(take)

        self.body.received(sent)
        self.body.finished()
        self.body.next().addCallback(take)
        self.assertEqual(bytes(got), sent)
        self.assertEqual(self.pool.out, [])
        self.assertFalse(self.flow.paused)

    def test_reader_that_gives_up_while_it_is_given_something(self):
        self.fill()
        held = [self.read(), self.read(), self.read()]
        self.body.received(bytes(10 * SMALL))
        self.body.next().addCallback(lambda _: self.body.fail(Moved()))
        self.body.release(held.pop())
        self.assertEqual(len(self.pool.out), 3)
        self.assertFalse(self.flow.paused)
        self.failureResultOf(self.body.next(), Moved)

    def test_reading_alone_makes_no_room(self):
        self.fill()
        buffer = self.read()
        self.assertTrue(self.flow.paused)
        self.body.release(buffer)
        self.assertFalse(self.flow.paused)

    def test_stays_paused_while_one_read_holds_more_than_one_buffer(self):
        self.body.received(bytes(SMALL * (DEPTH + 1) + 1))
        self.body.release(self.read())
        self.assertTrue(self.flow.paused)
        self.body.release(self.read())
        self.assertFalse(self.flow.paused)

    def test_end_that_came_with_the_overflow_is_not_the_end_yet(self):
        self.fill()
        self.body.finished()
        seen = 0
        while (buffer := self.read()) is not None:
            seen += buffer.filled
            self.body.release(buffer)
        self.assertEqual(seen, SMALL * DEPTH + 1)

    @given(st.data())
    def test_bytes_out_are_bytes_in(self, data):
        """Any pieces, read and released in any order, with the connection obeying pauses."""
        self.begin()
        pieces = data.draw(st.lists(st.binary(min_size=1, max_size=5 * SMALL), max_size=20))
        largest = max(map(len, pieces), default=0)
        coming = list(pieces)
        held, got, waiting = [], bytearray(), None
        delivered = released = 0
        ended = finished = False
        while not ended:
            moves = ["release"] * bool(held) + ["read"] * (waiting is None)
            if not finished and not self.flow.paused:
                moves.append("deliver")
            move = data.draw(st.sampled_from(moves))
            if move == "deliver" and coming:
                delivered += len(coming[0])
                self.body.received(coming.pop(0))
            elif move == "deliver":
                finished = True
                self.body.finished()
            elif move == "release":
                buffer = held.pop(data.draw(st.integers(0, len(held) - 1)))
                released += buffer.filled
                self.body.release(buffer)
            else:
                waiting = self.body.next()
            if waiting is not None and waiting.called:
                buffer, waiting = self.successResultOf(waiting), None
                ended = buffer is None
                if buffer is not None:
                    held.append(buffer)
                    got += buffer.data
            self.assertLessEqual(delivered - released, DEPTH * SMALL + largest)
        self.assertEqual(bytes(got), b"".join(pieces))
        self.assertLessEqual(self.pool.most, DEPTH)
        for buffer in held:
            self.body.release(buffer)
        self.assertEqual(self.pool.out, [])
        self.assertFalse(self.flow.paused)


class TestSharing(BodyCase):
    """Several bodies, and few buffers beyond the first of each."""

    def share(self, count, budget):
        self.pool = CountingPool(budget)
        bodies = []
        for _ in range(count):
            body = RequestBody(FakeFlow(), self.pool, None, DEPTH)
            body.received(bytes(10 * SMALL))
            bodies.append(body)
        return bodies

    def test_everybody_gets_one(self):
        bodies = self.share(5, 0)
        for body in bodies:
            for _ in range(10):
                body.release(self.successResultOf(body.next()))
        self.assertEqual(self.pool.most, 5)

    def test_extra_buffers_are_limited_in_all(self):
        bodies = self.share(5, 3)
        for body in bodies:
            self.successResultOf(body.next())
        self.assertEqual(len(self.pool.out), 5 + 3)

    def test_who_waited_longest_is_next(self):
        first, second, third = self.share(3, 1)
        kept = [self.successResultOf(first.next()), self.successResultOf(first.next())]
        waiting = [first.next()]
        for body in (second, third):
            self.successResultOf(body.next())
            waiting.append(body.next())
        first.release(kept.pop())
        kept.append(self.successResultOf(waiting[0]))
        self.assertNoResult(waiting[1])
        # Who has had a turn waits behind the others.
        waiting.append(first.next())
        first.release(kept.pop())
        kept.append(self.successResultOf(waiting[1]))
        self.assertNoResult(waiting[2])
        self.assertNoResult(waiting[3])
        second.release(kept.pop())
        self.successResultOf(waiting[2])
        self.assertNoResult(waiting[3])

    def test_who_gave_up_waits_no_more(self):
        first, second, third = self.share(3, 1)
        for body in (first, second, third):
            self.successResultOf(body.next())
        waiting = third.next()
        second.next().addErrback(lambda f: f.trap(Moved))
        second.fail(Moved())
        self.assertNoResult(waiting)
        first.fail(Moved())
        self.successResultOf(waiting)

    @given(st.integers(0, 5), st.data())
    def test_all_of_them_come_to_their_end(self, budget, data):
        bodies = self.share(4, budget)
        for body in bodies:
            body.finished()
        got, held, reading = 0, [], {}
        while bodies:
            moves = [(n, "read") for n, body in enumerate(bodies) if body not in reading]
            moves += [(n, "release") for n in range(len(held))]
            # Somebody can always do something.
            n, move = data.draw(st.sampled_from(moves))
            if move == "release":
                body, buffer = held.pop(n)
                body.release(buffer)
            else:
                reading[bodies[n]] = bodies[n].next()
            for body, waiting in list(reading.items()):
                if waiting.called:
                    del reading[body]
                    buffer = self.successResultOf(waiting)
                    if buffer is None:
                        bodies.remove(body)
                    else:
                        held.append((body, buffer))
                        got += buffer.filled
            self.assertLessEqual(len(self.pool.out), 4 + budget)
        self.assertEqual(got, 4 * 10 * SMALL)
        for body, buffer in held:
            body.release(buffer)
        self.assertEqual(self.pool.out, [])
        self.assertEqual(self.pool.spare, budget > 0)


class TestBreakingOff(BodyCase):
    def test_lost_connection_fails_the_reader_that_waits_and_all_later_ones(self):
        self.body.received(b"x")
        waiting = self.body.next()
        self.body.lost()
        self.failureResultOf(waiting, Invalid)
        self.failureResultOf(self.body.next(), Invalid)

    def test_lost_connection_gives_all_memory_back(self):
        self.fill()
        self.body.lost()
        self.assertEqual(self.pool.out, [])

    def test_connection_lost_after_the_end_takes_nothing_away(self):
        self.body.received(b"x")
        self.body.finished()
        self.body.lost()
        self.assertEqual(bytes(self.read().data), b"x")
        self.assertIsNone(self.read())

    def test_failing_lets_the_connection_go_on_and_drops_what_it_brings(self):
        self.fill()
        self.body.fail(Moved())
        self.assertFalse(self.flow.paused)
        self.fill_without_pause()
        self.failureResultOf(self.body.next(), Moved)

    def fill_without_pause(self):
        self.body.received(bytes(10 * SMALL * DEPTH))
        self.assertFalse(self.flow.paused)
        self.assertEqual(self.pool.out, [])

    def test_first_reason_stands(self):
        self.body.fail(Moved())
        self.body.close()
        self.body.lost()
        self.failureResultOf(self.body.next(), Moved)

    def test_failing_wakes_the_reader(self):
        waiting = self.body.next()
        self.body.fail(Moved())
        self.failureResultOf(waiting, Moved)

    def test_closing_after_everything_was_read_changes_nothing(self):
        self.body.received(b"x")
        self.body.finished()
        self.body.release(self.read())
        self.body.close()
        self.assertEqual(self.pool.out, [])

    @given(
        pieces=st.lists(st.integers(1, 4 * SMALL), max_size=10),
        reads=st.integers(0, DEPTH),
        how=st.sampled_from(["lost", "close", "fail"]),
    )
    def test_nothing_is_kept_whenever_it_breaks_off(self, pieces, reads, how):
        self.begin()
        for piece in pieces:
            if not self.flow.paused:
                self.body.received(bytes(piece))
        held = []
        for _ in range(reads):
            reading = self.body.next()
            if not reading.called:
                reading.addErrback(lambda f: f.trap(Invalid, Moved))
                break
            held.append(self.successResultOf(reading))
        getattr(self.body, how)(*[Moved()] * (how == "fail"))
        self.assertEqual(len(self.pool.out), len(held))
        for buffer in held:
            self.body.release(buffer)
        self.assertEqual(self.pool.out, [])
        self.assertFalse(self.flow.paused)
