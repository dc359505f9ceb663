"""The body of an answer: how much is taken in, how it is given out, and how it ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss

from glance.stores.errors import RemoteUnavailable, StoreError
from glance.stores.incoming import HIGH, Incoming

KIB = 1024


class Answer:
    """An answer whose body comes when a test says so."""

    def __init__(self):
        self.clock = Clock()
        self.transport = StringTransport()
        self.transport.pauseProducing()
        self.aborted = 0
        self.body = Incoming(self.clock, self, self.abort, 60)
        self.receiver = None

    def abort(self):
        self.aborted += 1

    def deliverBody(self, protocol):
        assert self.receiver is None
        self.receiver = protocol
        protocol.makeConnection(self.transport)
        self.transport.resumeProducing()

    def come(self, data):
        assert self.flowing
        self.receiver.dataReceived(data)

    def end(self, reason=None):
        self.receiver.connectionLost(Failure(reason or ResponseDone()))

    @property
    def flowing(self):
        return self.transport.producerState == "producing"


class IncomingTests(SynchronousTestCase):
    def setUp(self):
        self.answer = Answer()
        self.body = self.answer.body

    def test_nothing_is_taken_in_before_it_is_asked_for(self):
        self.assertIsNone(self.answer.receiver)
        self.assertFalse(self.answer.flowing)
        self.body.read(1)
        self.assertTrue(self.answer.flowing)

    def test_readings_get_what_they_ask_for(self):
        first = self.body.read(4)
        self.answer.come(b"ab")
        self.assertNoResult(first)
        self.answer.come(b"cdefg")
        self.assertEqual(self.successResultOf(first), b"abcd")
        self.assertEqual(self.successResultOf(self.body.read(2)), b"ef")
        last = self.body.read(9)
        self.answer.come(b"h")
        self.answer.end()
        self.assertEqual(self.successResultOf(last), b"gh")
        self.assertEqual(self.successResultOf(self.body.read(9)), b"")
        # An ended connection is not left to the other side.
        self.assertEqual(self.answer.aborted, 1)
        self.assertEqual(self.answer.clock.getDelayedCalls(), [])

    def test_what_nobody_reads_stays_with_the_sender(self):
        first = self.body.read(1)
        piece = bytes(64 * KIB)
        taken = 0
        while self.answer.flowing:
            self.answer.come(piece)
            taken += len(piece)
        self.successResultOf(first)
        self.assertLess(taken, HIGH + 2 * len(piece))
        self.assertFalse(self.answer.flowing)
        self.successResultOf(self.body.read(HIGH // 2 + len(piece)))
        self.assertTrue(self.answer.flowing)

    def test_a_reading_longer_than_what_is_kept(self):
        reading = self.body.read(4 * HIGH)
        for _ in range(4 * HIGH // (64 * KIB)):
            self.answer.come(bytes(64 * KIB))
        self.assertEqual(len(self.successResultOf(reading)), 4 * HIGH)
        self.assertTrue(self.answer.flowing)

    def test_a_paused_connection_flows_for_a_longer_reading(self):
        self.body.read(1)
        while self.answer.flowing:
            self.answer.come(bytes(64 * KIB))
        reading = self.body.read(2 * HIGH)
        while not reading.called:
            self.answer.come(bytes(64 * KIB))
        self.assertEqual(len(self.successResultOf(reading)), 2 * HIGH)

    def test_the_end_of_a_connection_ends_a_body_without_a_length(self):
        reading = self.body.read(9)
        self.answer.come(b"abc")
        self.answer.end(PotentialDataLoss())
        self.assertEqual(self.successResultOf(reading), b"abc")

    def test_breaking_off(self):
        reading = self.body.read(9)
        self.answer.come(b"abc")
        self.answer.end(ResponseFailed([Failure(ConnectionLost())]))
        self.failureResultOf(reading, RemoteUnavailable)
        self.failureResultOf(self.body.read(9), RemoteUnavailable)
        self.assertEqual(self.answer.clock.getDelayedCalls(), [])

    def test_breaking_off_while_nobody_reads(self):
        self.successResultOf(self.read_all(b"abc", 1))
        self.answer.end(ResponseFailed([Failure(ConnectionLost())]))
        self.failureResultOf(self.body.read(9), RemoteUnavailable)

    def read_all(self, data, length):
        reading = self.body.read(length)
        self.answer.come(data)
        return reading

    def test_a_server_that_sends_nothing_more_is_given_up(self):
        reading = self.body.read(9)
        for _ in range(5):
            self.answer.clock.advance(59)
            self.answer.come(b"a")
        self.answer.clock.advance(59)
        self.assertNoResult(reading)
        self.answer.clock.advance(1)
        self.failureResultOf(reading, RemoteUnavailable)
        self.assertEqual(self.answer.aborted, 1)

    def test_time_that_nobody_reads_does_not_count(self):
        self.successResultOf(self.read_all(b"ab", 1))
        self.answer.clock.advance(3600)
        self.assertEqual(self.successResultOf(self.body.read(1)), b"b")
        self.assertEqual(self.answer.aborted, 0)

    def test_closing(self):
        reading = self.body.read(9)
        self.answer.come(b"abc")
        self.body.close()
        self.body.close()
        error = self.failureResultOf(reading, StoreError).value
        self.assertNotIsInstance(error, RemoteUnavailable)
        self.assertGreater(self.answer.aborted, 0)
        self.failureResultOf(self.body.read(1), StoreError)
        self.answer.receiver.dataReceived(b"late")
        self.answer.end(ResponseFailed([Failure(ConnectionLost())]))
        self.failureResultOf(self.body.read(1), StoreError)

    def test_closing_forgets_what_is_kept(self):
        self.successResultOf(self.read_all(b"abc", 1))
        self.answer.end()
        self.body.close()
        self.failureResultOf(self.body.read(1), StoreError)

    def test_closing_unread(self):
        self.body.close()
        self.assertEqual(self.answer.aborted, 1)
        self.failureResultOf(self.body.read(1), StoreError)
        self.assertIsNone(self.answer.receiver)

    def test_cancelling_a_reading_cuts_the_connection(self):
        reading = self.body.read(9)
        reading.cancel()
        self.failureResultOf(reading, StoreError)
        self.assertEqual(self.answer.aborted, 1)
        self.assertEqual(self.answer.clock.getDelayedCalls(), [])


@given(st.lists(st.binary(max_size=9), max_size=9), st.lists(st.integers(1, 12), max_size=12))
def test_bytes_come_out_in_order_however_they_came_and_are_asked_for(pieces, lengths):
    answer = Answer()
    whole = b"".join(pieces)
    coming = iter(pieces)
    out = b""
    for length in lengths:
        reading = answer.body.read(length)
        while not reading.called:
            piece = next(coming, None)
            if piece is None:
                answer.end()
            else:
                answer.come(piece)
        result = []
        reading.addBoth(result.append)
        assert result == [whole[len(out) : len(out) + length]]
        out += result[0]


@pytest.mark.parametrize("length", [0, 1])
def test_a_body_that_ends_before_it_is_read(length):
    answer = Answer()

    def deliver(protocol):
        protocol.makeConnection(answer.transport)
        if length:
            protocol.dataReceived(b"x")
        protocol.connectionLost(Failure(ResponseDone()))

    answer.deliverBody = deliver
    results = []
    for _ in range(2):
        answer.body.read(9).addBoth(results.append)
    assert results == [b"x" * length, b""]
