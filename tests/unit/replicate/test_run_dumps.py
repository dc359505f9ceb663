"""Runs from a service into a directory, and from there into a service."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from glance.replicate.dump_source import DumpSource
from glance.replicate.dump_target import DumpTarget
from glance.replicate.outcome import Deed, SideLost, Summary
from glance.replicate.plan import Plan
from glance.replicate.run import compare, replicate
from glance.replicate.service_source import ServiceSource
from glance.stores.threads import InlinePool, Threads
from tests.unit.replicate.driving import Pair, drive, finish, ident
from tests.unit.replicate.services import CORRUPT, CUT, FakeStream, make_document

A, B = ident(1), ident(2)
DATA = b"the data of an image"


class DumpRunTests(SynchronousTestCase):
    def setUp(self) -> None:
        FakeStream.opened = 0
        self.pair = Pair()
        self.clock, self.ear = self.pair.clock, self.pair.ear
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.directory = place.name
        self.threads = Threads(self.clock, "test", 4, pool=InlinePool())
        self.threads.start()
        document = make_document(A, DATA, visibility="shared", x_1="v", protected=True)
        self.pair.source.add(document, DATA, m1="accepted")
        self.pair.source.add(make_document(B, b""), b"")

    def dump(self, plan: Plan | None = None) -> Summary:
        running, target = self.begin_dump(plan or Plan())
        try:
            return finish(self.clock, running)
        finally:
            drive(self.clock, target.close())

    def begin_dump(self, plan: Plan) -> tuple[Deferred[Summary], DumpTarget]:
        target = DumpTarget(
            self.directory,
            self.clock,
            self.threads,
            metaonly=plan.metaonly,
            dontreplicate=plan.dontreplicate,
        )
        source = ServiceSource(self.pair.source)  # type: ignore[arg-type]
        work = replicate(source, target, plan, self.clock, self.ear)
        return Deferred.fromCoroutine(work), target

    def load(self, plan: Plan | None = None) -> Summary:
        return drive(self.clock, self._load(plan or Plan(), replicate))

    async def _load(self, plan: Plan, what: Any) -> Any:
        source = DumpSource(self.directory, self.clock, self.threads)
        return await what(source, self.pair.target_side(plan), plan, self.clock, self.ear)

    def test_there_and_back(self) -> None:
        self.assertEqual(self.dump().counts, {Deed.COPIED: 2})
        self.assertEqual(self.dump().counts, {Deed.SAME: 2})
        self.assertEqual(self.load().counts, {Deed.COPIED: 2})
        self.assertEqual(self.load().counts, {Deed.SAME: 2})
        self.assertEqual(self.pair.target.images, self.pair.source.images)
        self.assertEqual(self.pair.target.data, self.pair.source.data)
        self.assertEqual(self.pair.target.members_, self.pair.source.members_)
        self.assertEqual(drive(self.clock, self._load(Plan(), compare)).exit_code, 0)

    def test_only_what_has_changed_is_written_again(self) -> None:
        self.dump()
        self.pair.source.images[A]["name"] = "new"
        self.pair.source.asked.clear()
        self.assertEqual(self.dump().counts, {Deed.SAME: 1, Deed.UPDATED: 1})
        self.assertEqual(self.pair.source.asked, [("list", None)])

    def test_metadata_alone_makes_no_images(self) -> None:
        summary = self.dump(Plan(metaonly=True))
        self.assertEqual(summary.counts, {Deed.COPIED: 2})
        self.assertEqual(summary.size, 0)
        self.assertEqual(self.load().counts, {Deed.SKIPPED: 2})
        self.assertEqual(self.pair.target.images, {})

    def test_goes_on_after_what_broke_off(self) -> None:
        left = [CUT, CUT]
        self.pair.source.trouble = lambda what, _: (
            left.pop() if left and what == "open_data" else None
        )
        self.assertEqual(self.dump().counts, {Deed.COPIED: 2})
        self.assertEqual(self.load().exit_code, 0)
        self.assertEqual(self.pair.target.data, self.pair.source.data)

    def test_wrong_data_is_not_kept(self) -> None:
        self.pair.source.trouble = lambda what, _: CORRUPT
        summary = self.dump()
        self.assertEqual(summary.exit_code, 1)
        self.assertEqual(summary.counts[Deed.FAILED], 1)
        self.assertFalse(os.path.exists(os.path.join(self.directory, A)))
        self.pair.source.trouble = lambda what, _: None
        self.assertEqual(self.dump().exit_code, 0)

    def test_stopped(self) -> None:
        running, target = self.begin_dump(Plan())
        while not FakeStream.opened:
            self.clock.advance(0.01)
        running.cancel()
        self.assertTrue(finish(self.clock, running).interrupted)
        drive(self.clock, target.close())
        self.assertEqual(FakeStream.opened, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.dump().exit_code, 0)

    def test_extra_images_go(self) -> None:
        self.dump()
        del self.pair.source.images[B]
        self.assertEqual(self.dump(Plan(delete_extra=True)).counts, {Deed.SAME: 1, Deed.DELETED: 1})
        self.assertEqual([one for one in os.listdir(self.directory) if B in one], [])

    def test_a_directory_that_is_not_there(self) -> None:
        self.directory = os.path.join(self.directory, "nowhere")
        self.assertRaises(SideLost, self.dump)
        self.assertRaises(SideLost, self.load)
