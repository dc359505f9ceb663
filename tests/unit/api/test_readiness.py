"""What the states of the parts come to."""

import json

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from glance.api.readiness import FRESH, PATIENCE, Readiness
from glance.domain.errors import Unavailable
from glance.stores.errors import StoreError, StoreTimeout

SECRET = "mysql://u:secret@db/glance"


class TestReadiness(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.catalogue = succeed
        self.stores = {"fast": succeed, "archive": succeed, "remote": None}
        self.lines = []
        globalLogPublisher.addObserver(self.note)
        self.addCleanup(globalLogPublisher.removeObserver, self.note)

    def note(self, event):
        self.lines.append(formatEvent(event))

    def make(self):
        asks = {
            name: None if ask is None else (lambda name=name: self.stores[name](None))
            for name, ask in self.stores.items()
        }
        self.readiness = Readiness(self.clock, lambda: self.catalogue(None), asks, "fast")

    def look(self, **parts):
        """Let parts behave in another way; return the report."""
        self.catalogue = parts.pop("catalogue", self.catalogue)
        self.stores.update(parts)
        if not hasattr(self, "readiness"):
            self.make()
        self.clock.advance(FRESH)
        looking = self.readiness.look()
        if not looking.called:
            self.clock.advance(PATIENCE)
        return self.successResultOf(looking)

    @staticmethod
    def broken(_):
        return fail(StoreError(SECRET))

    @staticmethod
    def hanging(_):
        return Deferred()

    def test_all_well(self):
        self.assertEqual(
            self.look(),
            {
                "status": "ready",
                "catalogue": "ok",
                "stores": {"fast": "ok", "archive": "ok", "remote": "unknown"},
            },
        )

    def test_catalogue(self):
        report = self.look(catalogue=lambda _: fail(Unavailable(SECRET)))
        self.assertEqual((report["status"], report["catalogue"]), ("not ready", "failed"))
        report = self.look(catalogue=self.hanging)
        self.assertEqual((report["status"], report["catalogue"]), ("not ready", "no answer"))

    def test_default_store(self):
        report = self.look(fast=self.broken)
        self.assertEqual((report["status"], report["stores"]["fast"]), ("not ready", "failed"))
        report = self.look(fast=self.hanging)
        self.assertEqual((report["status"], report["stores"]["fast"]), ("not ready", "no answer"))

    def test_other_store(self):
        report = self.look(archive=self.broken)
        self.assertEqual((report["status"], report["stores"]["archive"]), ("degraded", "failed"))

    def test_store_that_gave_up_by_itself(self):
        report = self.look(archive=lambda _: fail(StoreTimeout("later")))
        self.assertEqual(report["stores"]["archive"], "no answer")

    def test_default_store_that_cannot_be_asked(self):
        self.stores = {"fast": None}
        self.assertEqual(self.look()["status"], "ready")

    def test_no_secret_is_told(self):
        report = self.look(fast=self.broken, catalogue=lambda _: fail(RuntimeError(SECRET)))
        self.assertNotIn("secret", json.dumps(report))

    def test_changes_are_logged_once(self):
        for _ in range(3):
            self.look()
        self.assertEqual(self.lines, [])
        for _ in range(3):
            self.look(archive=lambda _: fail(StoreError("no room")))
        self.assertEqual(self.lines, ["Health check of store archive: no room"])
        for _ in range(3):
            self.look(archive=succeed)
        self.assertEqual(self.lines[1:], ["Health check of store archive: it answers again"])
        for _ in range(3):
            self.look(archive=self.hanging)
        self.assertEqual(self.lines[2:], ["Health check of store archive: it does not answer"])
