from __future__ import annotations

import hashlib
import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from zope.interface.verify import verifyObject

from glance.remote.streams import IByteStream
from glance.replicate import proving
from glance.replicate.errors import WrongData
from glance.replicate.hashing import MOST_WAITING, Conveyor, ExpectedHash, expected_hash
from glance.replicate.proving import Prover
from tests.unit.replicate.doubles import Broken, DumpTestCase, Receiver, Stream, record_of

DATA = bytes(range(256)) * 5
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
EXPECTED = ExpectedHash("md5", MD5)


class ExpectedHashTests(DumpTestCase):
    def test_the_hash_of_the_service_is_taken_where_we_know_it(self):
        record = record_of(DATA)
        self.assertEqual(expected_hash(record), ("sha512", record.hash_value))
        for odd in (None, "unheard-of", "shake_128", ""):
            record = record_of(DATA, hash_algorithm=odd)
            self.assertEqual(expected_hash(record), EXPECTED)
        self.assertIsNone(expected_hash(record_of(DATA, checksum=None, hash_value=None)))


class ConveyorTests(DumpTestCase):
    def conveyor(self, *works, least=1, told=lambda: None):
        return Conveyor(self.slow, works, least, told)

    def test_what_comes_meanwhile_is_one_portion(self):
        one, other = [], []
        conveyor = self.conveyor(one.append, other.append)
        for piece in (b"a", b"b", b"c"):
            conveyor.put(piece)
        self.assertEqual(len(self.held.waiting), 2)
        self.held.release()
        self.assertEqual(len(self.held.waiting), 1)
        self.held.release_all()
        self.assertEqual((one, other), ([b"a", b"bc"], [b"a", b"bc"]))

    def test_portions_are_large_enough_but_for_the_last(self):
        found = []
        conveyor = self.conveyor(found.append, least=3)
        for piece in (b"ab", b"c", b"d"):
            conveyor.put(piece)
            self.held.release_all()
        done = conveyor.finish()
        self.assertNoResult(done)
        self.held.release_all()
        self.successResultOf(done)
        self.assertEqual(found, [b"abc", b"d"])

    def test_a_portion_is_waited_for_however_large(self):
        found = []
        conveyor = self.conveyor(found.append, least=MOST_WAITING + 1)
        conveyor.put(bytes(MOST_WAITING))
        self.assertFalse(conveyor.full)
        conveyor.put(b"a")
        self.held.release_all()
        self.assertEqual([len(data) for data in found], [MOST_WAITING + 1])

    def test_the_first_error_ends_it(self):
        def fail(data):
            raise Broken(data.decode())

        told = []
        conveyor = self.conveyor(fail, told=lambda: told.append(conveyor.error))
        conveyor.put(b"a")
        conveyor.put(b"b")
        self.held.release_all()
        conveyor.put(b"c")
        self.assertEqual(self.held.waiting, [])
        self.assertEqual([error.message for error in told], ["a"])
        self.failureResultOf(conveyor.finish(), Broken)

    def test_stopped_it_drops_what_waits(self):
        found = []
        conveyor = self.conveyor(found.append)
        conveyor.put(b"a")
        conveyor.put(b"b")
        finished, stopped = conveyor.finish(), conveyor.stop()
        conveyor.put(b"c")
        self.assertNoResult(stopped)
        self.held.release_all()
        self.successResultOf(stopped)
        self.successResultOf(finished)
        self.assertEqual(found, [b"a"])

    def test_it_tells_when_to_hold_back(self):
        conveyor = self.conveyor(lambda data: None)
        piece = bytes(MOST_WAITING // 2)
        for full in (False, False, True):
            conveyor.put(piece)
            self.assertEqual(conveyor.full, full)
        self.held.release()
        self.assertFalse(conveyor.full)


class ProverTests(DumpTestCase):
    def prover(self, stream, expected=EXPECTED, threads=None):
        return Prover(stream, threads or self.threads, expected, "image x from y")

    def test_the_right_data_goes_through(self):
        receiver = Receiver()
        prover = self.prover(Stream(DATA))
        verifyObject(IByteStream, prover)
        self.assertEqual(prover.size, len(DATA))
        self.successResultOf(prover.start(receiver))
        self.assertEqual(receiver.data, DATA)

    def test_the_end_of_wrong_data_does_not(self):
        wrong = DATA[:-1] + b"x"
        receiver = Receiver()
        error = self.failureResultOf(self.prover(Stream(wrong)).start(receiver), WrongData).value
        self.assertLess(len(receiver.data), len(DATA))
        self.assertIn("image x from y: the data is not the image's", error.message)
        self.assertIn(MD5, error.message)

    def test_no_data_is_judged_before_anybody_is_told(self):
        stream = Stream(b"")
        self.assertRaises(WrongData, self.prover, stream)
        self.assertTrue(stream.stopped)
        nothing = ExpectedHash("md5", hashlib.md5(b"", usedforsecurity=False).hexdigest())
        receiver = Receiver()
        self.successResultOf(self.prover(Stream(b""), nothing).start(receiver))
        self.assertEqual(receiver.pieces, [])
        # Of unknown length, too, it is known by the end.
        unknown = Stream(b"")
        unknown.size = None
        self.failureResultOf(self.prover(unknown).start(receiver), WrongData)

    def test_the_last_piece_waits_for_the_hash(self):
        receiver = Receiver()
        done = self.prover(Stream(DATA, piece=500), threads=self.slow).start(receiver)
        self.assertEqual(receiver.data, DATA[:1000])
        self.held.release_all()
        self.assertEqual(receiver.data, DATA)
        self.successResultOf(done)

    def test_a_source_that_breaks_off_passes_nothing_more_on(self):
        receiver = Receiver()
        done = self.prover(Stream(DATA, error=Broken("broken"))).start(receiver)
        self.failureResultOf(done, Broken)
        self.assertLess(len(receiver.data), len(DATA))

    def test_hashing_that_lags_holds_the_source_back(self):
        data = os.urandom(64 * 1024) * 100
        expected = ExpectedHash("sha512", hashlib.sha512(data).hexdigest())
        stream = Stream(data, piece=64 * 1024)
        receiver = Receiver()
        done = self.prover(stream, expected, self.slow).start(receiver)
        self.assertTrue(stream.paused)
        self.assertLess(len(receiver.data), 2 * MOST_WAITING)
        self.held.release()
        self.assertFalse(not stream.paused and stream.left)
        self.held.release_all()
        self.successResultOf(done)
        self.assertEqual(receiver.data, data)

    def test_either_side_holds_the_source_back(self):
        self.patch(proving, "_PORTION", 1)
        stream = Stream(bytes(3 * MOST_WAITING), piece=MOST_WAITING // 2, held=True)
        prover = self.prover(stream, threads=self.slow)
        prover.start(Receiver()).addErrback(lambda _: None)
        stream.go(count=3)
        self.assertTrue(stream.paused)  # by the hash
        prover.pause()
        self.held.release()
        self.assertTrue(stream.paused)  # by the receiver alone
        prover.resume()
        self.assertFalse(stream.paused)
        prover.pause()
        self.assertTrue(stream.paused)

    def test_cancelled_it_lets_go_of_the_source(self):
        stream = Stream(DATA, held=True)
        receiver = Receiver()
        done = self.prover(stream, threads=self.slow).start(receiver)
        stream.go(count=20)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertTrue(stream.stopped)
        count = len(receiver.pieces)
        self.held.release_all()
        self.assertEqual(len(receiver.pieces), count)

    def test_stopped_before_it_is_started_it_lets_go_of_the_source(self):
        stream = Stream(DATA)
        prover = self.prover(stream)
        prover.stop()
        self.assertTrue(stream.stopped)
        self.failureResultOf(prover.start(Receiver()), CancelledError)

    def test_an_error_of_hashing_ends_it(self):
        stream = Stream(DATA)
        prover = self.prover(stream, threads=self.slow)
        done = prover.start(Receiver())
        prover._conveyor.error = Broken("no memory")
        self.held.release_all()
        self.failureResultOf(done, Broken)

    @settings(deadline=None)
    @given(st.binary(max_size=300), st.integers(1, 60), st.booleans(), st.data())
    def test_all_or_too_little_comes(self, data, piece, good, draw):
        digest = hashlib.sha256(data if good else data + b"x").hexdigest()
        expected = ExpectedHash("sha256", digest)
        stream = Stream(data, piece=piece, held=True)
        receiver = Receiver()
        if not data and not good:
            self.assertRaises(WrongData, self.prover, stream, expected)
            return
        prover = self.prover(stream, expected, self.slow)
        done = prover.start(receiver)
        while stream.left:
            step = draw.draw(st.sampled_from(["go", "work", "pause", "resume"]))
            if step == "go":
                stream.go(count=1)
            elif step == "work" and self.held.waiting:
                self.held.release()
            elif step == "pause":
                prover.pause()
            else:
                prover.resume()
        stream.held = False
        stream.end()
        self.held.release_all()
        if good:
            self.successResultOf(done)
            self.assertEqual(receiver.data, data)
        else:
            self.failureResultOf(done, WrongData)
            self.assertTrue(data.startswith(receiver.data))
            self.assertLess(len(receiver.data), len(data))
