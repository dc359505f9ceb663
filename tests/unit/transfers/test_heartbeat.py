"""Leases are renewed while work goes on, and their holders told when they lose them."""

from datetime import timedelta

from glance.db import leases
from glance.transfers.heartbeat import Heartbeat
from tests.unit.transfers.doubles import CatalogueCase

INTERVAL = 10.0


class Work:
    kind = leases.UPLOAD

    def __init__(self):
        self.bytes_done = 0
        self.lost = 0

    def lease_lost(self):
        self.lost += 1


class TestHeartbeat(CatalogueCase):
    def setUp(self):
        super().setUp()
        now = leases.utcnow
        self.patch(leases, "utcnow", lambda: now() + timedelta(seconds=self.reactor.seconds()))
        self.heartbeat = Heartbeat(self.database, self.reactor, INTERVAL)
        self.heartbeat.startService()
        self.addCleanup(self.heartbeat.stopService)
        self.work = Work()

    def hold(self):
        self.lease = self.take_lease()
        return self.heartbeat.hold(self.lease, self.work)

    def beat_at(self):
        (lease,) = self.run_in_database(leases.thd_all)
        return lease.heartbeat_at

    def progress(self):
        return self.run_in_database(
            lambda c: c.exec_driver_sql("SELECT bytes_done FROM transfer_leases").scalars().all()
        )

    def test_lease_stays_fresh_and_tells_progress(self):
        self.hold()
        for done in range(5):
            before = self.beat_at()
            self.work.bytes_done = done
            self.reactor.advance(INTERVAL)
            self.assertEqual(self.progress(), [done])
            self.assertGreater(self.beat_at(), before)
        self.assertEqual(self.work.lost, 0)

    def test_lease_that_nobody_holds_stands_still(self):
        release = self.hold()
        release()
        before = self.beat_at()
        self.reactor.advance(2 * INTERVAL)
        self.assertEqual(self.beat_at(), before)

    def test_letting_go_twice_is_fine(self):
        release = self.hold()
        release()
        release()

    def test_holder_is_told_once_that_its_lease_is_gone(self):
        self.hold()
        self.run_in_database(leases.thd_end, self.lease)
        self.reactor.advance(INTERVAL)
        self.assertEqual(self.work.lost, 1)
        self.reactor.advance(INTERVAL)
        self.assertEqual(self.work.lost, 1)

    def test_holder_of_another_lease_is_not(self):
        self.hold()
        other = Work()
        self.heartbeat.hold("no such lease", other)
        self.reactor.advance(INTERVAL)
        self.assertEqual((self.work.lost, other.lost), (0, 1))

    def test_holder_that_let_go_during_the_beat_is_not_told(self):
        release = self.hold()
        self.run_in_database(leases.thd_end, self.lease)
        beat = leases.thd_beat

        def lets_go(connection, progress):
            release()
            return beat(connection, progress)

        self.patch(leases, "thd_beat", lets_go)
        self.reactor.advance(INTERVAL)
        self.assertEqual(self.work.lost, 0)

    def test_database_that_is_away_loses_nothing(self):
        self.hold()
        beat = leases.thd_beat
        self.patch(leases, "thd_beat", lambda *args: 1 / 0)
        self.reactor.advance(INTERVAL)
        self.assertEqual(self.work.lost, 0)
        self.patch(leases, "thd_beat", beat)
        self.work.bytes_done = 7
        self.reactor.advance(INTERVAL)
        self.assertEqual(self.progress(), [7])

    def test_nothing_to_do_asks_nobody(self):
        self.patch(leases, "thd_beat", lambda *args: self.fail("asked"))
        self.reactor.advance(INTERVAL)

    def test_stops(self):
        self.hold()
        self.heartbeat.stopService()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
