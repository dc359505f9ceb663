"""Runs over all images, service to service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from glance.domain.errors import GlanceError
from glance.remote.errors import Failed, NotAllowed, NotAuthenticated, WrongLength
from glance.replicate.outcome import Deed, Outcome, SideLost
from glance.replicate.plan import Plan
from glance.replicate.record import ImageRecord
from glance.replicate.run import compare, measure
from glance.replicate.selection import Selection
from glance.replicate.service_source import ServiceSource
from tests.unit.replicate.driving import Pair, drive, ident
from tests.unit.replicate.services import (
    BUSY,
    CORRUPT,
    CUT,
    LOST,
    REFUSED,
    FakeStream,
    make_document,
)

A, B, C = ident(1), ident(2), ident(3)
DATA = b"data of an image"


class RunCase(SynchronousTestCase):
    def setUp(self) -> None:
        FakeStream.opened = 0
        self.pair = Pair()
        self.source, self.target = self.pair.source, self.pair.target

    def here(self, image_id: str, data: bytes | None = DATA, **more: Any) -> None:
        self.source.add(make_document(image_id, data, **more), data)

    def there(self, image_id: str, data: bytes | None = DATA, **more: Any) -> None:
        self.target.add(make_document(image_id, data, **more), data)

    def asked(self, *kinds: str) -> list[tuple[str, str | None]]:
        return [one for one in self.target.asked if not kinds or one[0] in kinds]

    def outcome(self, image_id: str = A) -> Outcome:
        (found,) = [one for one in self.pair.ear.outcomes if one.image_id == image_id]
        return found

    def fail_with(self, what: str, error: Exception, times: int = 1000) -> None:
        """Have the target fail with requests of a kind."""
        method = getattr(self.target, what)
        left = [error] * times

        async def failing(*args: Any, **kwargs: Any) -> Any:
            if left:
                self.target.asked.append((what, str(args[0])))
                raise left.pop()
            return await method(*args, **kwargs)

        setattr(self.target, what, failing)


class CopyTests(RunCase):
    def test_everything_that_an_image_is(self) -> None:
        more = {
            "name": None,
            "visibility": "shared",
            "protected": True,
            "os_hidden": True,
            "min_disk": 3,
            "min_ram": 4,
            "tags": ["a", "b"],
            "hw_disk_bus": "virtio",
        }
        self.source.add(make_document(A, DATA, **more), DATA, m1="accepted", m2="pending")
        summary = self.pair.run()
        self.assertEqual(summary.exit_code, 0)
        self.assertEqual(summary.counts, {Deed.COPIED: 1})
        self.assertEqual(summary.size, len(DATA))
        self.assertEqual(self.target.images[A] | {"name": None}, self.source.images[A])
        self.assertEqual(self.target.members_[A], {"m1": "accepted", "m2": "pending"})
        self.assertEqual(self.target.data[A], DATA)
        # Protected when the data is there.
        kinds = [what for what, _ in self.target.asked]
        self.assertLess(kinds.index("upload"), kinds.index("patch"))
        self.assertNotIn("members", kinds)
        self.assertEqual(self.pair.ear.total, (1, len(DATA)))
        self.assertEqual(self.pair.ear.started, {A: len(DATA)})
        self.assertEqual(self.pair.ear.bytes, {A: len(DATA)})
        self.assertEqual(self.outcome().size, len(DATA))

    def test_an_image_without_a_byte(self) -> None:
        self.here(A, b"")
        self.assertEqual(self.pair.run().counts, {Deed.COPIED: 1})
        self.assertEqual(self.target.data[A], b"")

    def test_one_that_is_half_there_is_completed(self) -> None:
        self.here(A, disk_format="qcow2", protected=True)
        self.there(A, None, disk_format="raw", tags=["old"])
        self.assertEqual(self.pair.run().counts, {Deed.COMPLETED: 1})
        self.assertEqual(self.target.images[A], self.source.images[A])
        self.assertEqual(self.asked("create", "delete"), [])

    def test_what_differs_is_patched_and_not_copied(self) -> None:
        self.source.add(make_document(A, DATA, visibility="shared", x_1="v"), DATA, m1="accepted")
        self.there(A, name="other", y_1="w", tags=["z"])
        summary = self.pair.run()
        self.assertEqual(summary.counts, {Deed.UPDATED: 1})
        self.assertEqual(self.target.images[A], self.source.images[A])
        self.assertEqual(self.target.members_[A], {"m1": "accepted"})
        self.assertEqual(self.asked("upload"), [])
        self.assertEqual(self.pair.ear.total, (1, 0))
        self.assertEqual(self.source.asked, [("list", None)])

    def test_members_that_differ(self) -> None:
        for service, members in (
            (self.source, {"m1": "accepted", "m2": "rejected", "m3": "pending"}),
            (self.target, {"m1": "pending", "m3": "pending", "m4": "accepted"}),
        ):
            service.add(make_document(A, DATA, visibility="shared"), DATA, **members)
        self.assertEqual(self.pair.run().counts, {Deed.UPDATED: 1})
        self.assertEqual(self.target.members_[A], self.source.members_[A])
        self.assertEqual(self.asked("patch"), [])

    def test_a_member_s_answer_may_be_its_own_affair(self) -> None:
        self.source.add(make_document(A, DATA, visibility="shared"), DATA, m1="accepted")
        self.fail_with("set_member_status", _not_allowed())
        summary = self.pair.run()
        self.assertEqual(summary.exit_code, 0)
        (note,) = self.outcome().notes
        self.assertIn("m1", note)
        self.assertEqual(summary.told, [self.outcome()])

    def test_nothing_is_asked_about_what_is_the_same(self) -> None:
        self.here(A)
        self.there(A)
        self.assertEqual(self.pair.run().counts, {Deed.SAME: 1})
        self.assertEqual(self.target.asked, [("list", None)])
        self.assertEqual(self.pair.ear.started, {})

    def test_other_data_is_a_conflict(self) -> None:
        self.here(A)
        self.there(A, b"other", name="other")
        summary = self.pair.run()
        self.assertEqual(summary.exit_code, 1)
        self.assertEqual(self.outcome().deed, Deed.CONFLICT)
        self.assertIn("size is 16 on the source and 5 on the target", self.outcome().reason)
        self.assertEqual(self.outcome().name, "image 0000")
        self.assertEqual(self.target.asked, [("list", None)])
        self.assertEqual(summary.of(Deed.CONFLICT), [self.outcome()])

    def test_another_format_is_a_conflict(self) -> None:
        self.here(A)
        self.there(A, disk_format="qcow2")
        self.pair.run()
        self.assertEqual(self.outcome().deed, Deed.CONFLICT)
        self.assertIn("disk_format", self.outcome().reason)

    def test_an_id_that_was_deleted_there_cannot_be_used(self) -> None:
        self.here(A)
        self.here(B)
        self.target.deleted.add(A)
        summary = self.pair.run()
        self.assertEqual(summary.exit_code, 1)
        self.assertEqual(self.outcome().deed, Deed.CONFLICT)
        self.assertIn("its id", self.outcome().reason)
        self.assertEqual(self.outcome(B).deed, Deed.COPIED)
        self.assertEqual(FakeStream.opened, 0)

    def test_only_active_images_are_copied(self) -> None:
        self.here(A, None)
        self.here(B, status="deactivated")
        self.here(C)
        summary = self.pair.run()
        self.assertEqual(summary.exit_code, 0)
        self.assertEqual(summary.counts, {Deed.SKIPPED: 2, Deed.COPIED: 1})
        self.assertEqual(self.outcome(A).reason, "it is queued on the source")
        self.assertEqual(self.outcome(B).reason, "it is deactivated on the source")

    def test_one_that_is_deactivated_there_is_said(self) -> None:
        self.here(A)
        self.there(A, status="deactivated")
        self.assertEqual(self.pair.run().counts, {Deed.SAME: 1})
        self.assertEqual(self.outcome().notes, ("it is deactivated on the target",))
        self.source.images[A]["name"] = "new"
        self.assertEqual(self.pair.run().counts, {Deed.UPDATED: 1})
        self.assertEqual(self.outcome().notes, ("it is deactivated on the target",))

    def test_an_image_that_is_deleted_meanwhile_is_skipped(self) -> None:
        self.here(A)
        self.here(B)

        def trouble(what: str, image_id: str | None) -> None:
            if what == "open_data":
                self.source.images.pop(A, None)

        self.source.trouble = trouble
        summary = self.pair.run()
        self.assertEqual(summary.exit_code, 0)
        self.assertEqual(self.outcome(A).deed, Deed.SKIPPED)
        self.assertEqual(self.outcome(A).reason, "it was deleted on the source meanwhile")
        self.assertNotIn(A, self.target.images)

    def test_one_that_is_deleted_under_way_is_left_as_it_is(self) -> None:
        self.here(A)
        self.source.trouble = lambda what, image_id: CUT if what == "open_data" else None

        def trouble(what: str, image_id: str | None) -> None:
            if what == "upload":
                self.source.trouble = lambda what, image_id: self.source.images.clear()

        self.target.trouble = trouble
        self.pair.run()
        self.assertEqual(self.outcome().deed, Deed.SKIPPED)
        self.assertIn("the target has it without its data", self.outcome().reason)
        self.assertEqual(self.target.images[A]["status"], "queued")

    def test_one_that_is_deactivated_meanwhile_is_skipped(self) -> None:
        self.here(A)

        async def refuse(image_id: str, offset: int = 0) -> Any:
            self.source.images[A]["status"] = "deactivated"
            raise _not_allowed()

        self.source.open_data = refuse  # type: ignore[method-assign]
        self.pair.run()
        self.assertEqual(self.outcome().reason, "it has become deactivated on the source")

    def test_data_that_we_may_not_have(self) -> None:
        self.here(A)

        async def refuse(image_id: str, offset: int = 0) -> Any:
            raise _not_allowed()

        self.source.open_data = refuse  # type: ignore[method-assign]
        self.assertEqual(self.pair.run().exit_code, 1)
        self.assertEqual(self.outcome().deed, Deed.FAILED)
        self.assertIn("403", self.outcome().reason)

    def test_the_oldest_is_first(self) -> None:
        self.here(A, created_at="2026-01-03T00:00:00Z")
        self.here(C, created_at="2026-01-01T00:00:00Z")
        self.here(B, created_at="2026-01-01T00:00:00Z")
        self.pair.run(Plan(parallel=1))
        self.assertEqual([one.image_id for one in self.pair.ear.outcomes], [B, C, A])

    def test_so_many_at_once_and_no_more(self) -> None:
        for number in range(9):
            self.here(ident(number))
        self.assertEqual(self.pair.run(Plan(parallel=3)).counts, {Deed.COPIED: 9})
        self.assertEqual(self.target.most_at_once, 3)

    def test_what_is_selected(self) -> None:
        self.here(A, name="cirros")
        self.here(B, name="debian")
        summary = self.pair.run(Plan(Selection(names=("deb*",))))
        self.assertEqual(summary.counts, {Deed.COPIED: 1})
        self.assertEqual(list(self.target.images), [B])

    def test_what_is_not_to_be_replicated(self) -> None:
        self.here(A, x_1="v")
        self.there(A, x_1="w", owner="p2")
        self.assertEqual(
            self.pair.run(Plan(dontreplicate=frozenset({"owner", "x_1"}))).counts, {Deed.SAME: 1}
        )

    def test_metadata_alone(self) -> None:
        self.here(A)
        self.here(B, name="new")
        self.here(C, name="new")
        self.there(B, b"whatever")
        self.there(C, None)
        summary = self.pair.run(Plan(metaonly=True))
        self.assertEqual(summary.counts, {Deed.SKIPPED: 1, Deed.UPDATED: 2})
        self.assertEqual(self.outcome(A).reason, "the target has not got it")
        self.assertEqual(self.target.images[B]["name"], "new")
        self.assertEqual(self.target.images[C]["name"], "new")
        self.assertEqual(self.asked("upload", "create"), [])
        self.assertEqual(self.pair.ear.total, (3, 0))
        self.assertEqual({what for what, _ in self.source.asked}, {"list"})

    def test_an_image_that_nobody_can_read(self) -> None:
        self.here(A, size="large")
        self.here(B)
        self.there(B, size="large")
        self.here(C)
        summary = self.pair.run()
        self.assertEqual(summary.counts, {Deed.FAILED: 2, Deed.COPIED: 1})
        self.assertEqual(summary.exit_code, 1)

    def test_a_mistake_of_ours(self) -> None:
        self.here(A)
        self.here(B)
        self.fail_with("create", ZeroDivisionError("oops"), times=1)
        summary = self.pair.run(Plan(parallel=1))
        self.assertEqual(summary.counts, {Deed.FAILED: 1, Deed.COPIED: 1})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class OwnerTests(RunCase):
    def setUp(self) -> None:
        super().setUp()
        self.target.owners = frozenset({"p1"})

    def test_an_owner_that_the_target_does_not_take(self) -> None:
        self.here(A, owner="p2")
        summary = self.pair.run()
        self.assertEqual(summary.exit_code, 0)
        self.assertEqual(summary.counts, {Deed.COPIED: 1})
        self.assertEqual(self.outcome().notes, ("the target does not take p2 for its owner",))
        self.assertEqual(self.target.images[A]["owner"], "p1")
        # Not even asked again in the end.
        self.assertEqual(self.asked("patch"), [])
        summary = self.pair.run()
        self.assertEqual(summary.counts, {Deed.SAME: 1})
        self.assertEqual(self.outcome().notes, ("the target does not take p2 for its owner",))

    def test_it_is_asked_once(self) -> None:
        for image_id in (A, B, C):
            self.here(image_id, owner="p2", name="new")
        self.there(B)
        self.there(C)
        summary = self.pair.run(Plan(parallel=1))
        self.assertEqual(summary.counts, {Deed.COPIED: 1, Deed.UPDATED: 2})
        self.assertEqual(len(self.asked("create")), 2)
        self.assertEqual(len(self.asked("patch")), 2)
        self.assertEqual(len(summary.told), 3)

    def test_the_rest_is_patched_without_it(self) -> None:
        self.here(A, owner="p2", name="new")
        self.there(A)
        self.assertEqual(self.pair.run().counts, {Deed.UPDATED: 1})
        self.assertEqual(self.target.images[A]["name"], "new")

    def test_nobody_is_an_owner_too(self) -> None:
        self.here(A, owner=None)
        self.assertEqual(self.pair.run().exit_code, 0)
        self.assertEqual(self.outcome().notes, ("the target does not take nobody for its owner",))

    def test_a_refusal_of_something_else_is_a_failure(self) -> None:
        self.here(A, owner="p2", visibility="public")
        self.fail_with("create", _not_allowed("publicize_image"))
        summary = self.pair.run()
        self.assertEqual(summary.exit_code, 1)
        self.assertIn("publicize_image", self.outcome().reason)
        self.assertEqual(self.outcome().notes, ())


class TroubleTests(RunCase):
    def test_retries_with_growing_pauses(self) -> None:
        self.here(A)
        self.target.trouble = lambda what, image_id: BUSY if what == "upload" else None
        summary = self.pair.run(Plan(retries=8))
        self.assertEqual(summary.exit_code, 1)
        self.assertEqual(len(self.asked("upload")), 9)
        self.assertEqual(len(self.asked("create")), 1)
        seconds = [one[2] for one in self.pair.ear.retries]
        for pause, most in zip(seconds, (0.5, 1, 2, 4, 8, 16, 30, 30), strict=True):
            self.assertTrue(most / 2 <= pause <= most, (pause, most))
        self.assertEqual(self.pair.ear.retries[0][:2], (A, "target:2 answered 503."))
        self.assertEqual(self.outcome().reason, "target:2 answered 503.")
        self.assertGreaterEqual(summary.seconds, sum(seconds))

    def test_a_pause_that_the_service_asks_for(self) -> None:
        self.here(A)
        self.fail_with("create", Failed("later", 429, "", 77.0), times=1)
        self.assertEqual(self.pair.run().exit_code, 0)
        ((_, _, seconds),) = self.pair.ear.retries
        self.assertGreaterEqual(seconds, 77)

    def test_what_does_not_pass_is_not_tried_again(self) -> None:
        for status in (400, 403, 404, 413, 507):
            with self.subTest(status=status):
                self.setUp()
                self.here(A)
                self.fail_with("create", Failed(f"no: {status}", status))
                self.assertEqual(self.pair.run().exit_code, 1)
                self.assertEqual(self.outcome().reason, f"no: {status}")
                self.assertEqual(self.pair.ear.retries, [])

    def test_an_answer_that_was_lost(self) -> None:
        for what in ("create", "upload", "patch", "show"):
            with self.subTest(what=what):
                self.setUp()
                self.here(A, protected=True)
                left = [LOST]
                self.target.trouble = lambda asked, _, what=what, left=left: (  # type: ignore[misc]
                    left.pop() if left and asked == what else None
                )
                summary = self.pair.run()
                self.assertEqual(summary.counts, {Deed.COPIED: 1})
                self.assertEqual(summary.size, len(DATA))
                self.assertEqual(self.target.images[A], self.source.images[A])

    def test_bytes_of_a_try_that_failed_do_not_count(self) -> None:
        self.here(A)
        left = [CUT]
        self.source.trouble = lambda what, _: left.pop() if left and what != "list" else None
        self.assertEqual(self.pair.run().counts, {Deed.COPIED: 1})
        self.assertEqual(self.pair.ear.bytes, {A: len(DATA)})

    def test_wrong_data_never_becomes_active(self) -> None:
        for side in ("source", "target"):
            with self.subTest(side=side):
                self.setUp()
                self.here(A)
                getattr(self.pair, side).trouble = lambda what, _: CORRUPT
                summary = self.pair.run()
                self.assertEqual(summary.exit_code, 1)
                self.assertEqual(self.outcome().deed, Deed.FAILED)
                self.assertEqual(self.target.images[A]["status"], "queued")
                getattr(self.pair, side).trouble = lambda what, _: None
                self.assertEqual(self.pair.run().counts, {Deed.COMPLETED: 1})

    def test_data_that_became_wrong_on_its_way_is_sent_once_more(self) -> None:
        for side, what, digests in (
            ("source", "open_data", True),
            ("source", "open_data", False),
            ("target", "upload", True),
        ):
            for times, done in ((1, Deed.COPIED), (2, Deed.FAILED)):
                with self.subTest(side=side, digests=digests, times=times):
                    self.setUp()
                    self.target.digests = digests
                    self.here(A)
                    left = [CORRUPT] * times
                    getattr(self.pair, side).trouble = lambda asked, _, what=what, left=left: (
                        left.pop() if left and asked == what else None
                    )
                    self.assertEqual(self.pair.run().counts, {done: 1})
                    self.assertEqual(len(self.pair.ear.retries), 1)

    def test_wrong_data_for_a_target_that_compares_nothing(self) -> None:
        self.target.digests = False
        self.here(A)
        self.source.trouble = lambda what, _: CORRUPT
        self.assertEqual(self.pair.run().exit_code, 1)
        self.assertIn("the data is not the image's", self.outcome().reason)
        self.assertEqual(self.target.images[A]["status"], "queued")
        self.assertEqual(self.pair.ear.bytes, {A: 0})
        self.source.trouble = lambda what, _: None
        self.assertEqual(self.pair.run().counts, {Deed.COMPLETED: 1})

    def test_what_is_stated_is_the_best_that_can_be(self) -> None:
        stated: list[Any] = []
        upload = self.target.upload

        async def noting(image_id: str, stream: Any, size: Any = None, digest: Any = None) -> None:
            stated.append(digest and digest[0])
            await upload(image_id, stream, size, digest)

        self.target.upload = noting  # type: ignore[method-assign]
        more: dict[str, Any] = {"os_hash_algo": "sha3_256", "os_hash_value": "00" * 32}
        self.here(A)
        self.here(B, **more)
        self.here(C, os_hash_algo=None, os_hash_value=None, checksum=None)
        self.assertEqual(self.pair.run(Plan(parallel=1)).exit_code, 0)
        self.assertEqual(stated, ["sha512", "md5", None])

    def test_a_source_that_gives_more_than_it_says(self) -> None:
        self.here(A, size=3)
        self.assertEqual(self.pair.run().exit_code, 1)
        self.assertIn("gives 16 bytes", self.outcome().reason)
        self.assertEqual(self.asked("upload"), [])

    def test_a_source_that_does_not_say_how_much_it_gives(self) -> None:
        self.here(A)
        self.here(B)
        self.fail_with("upload", WrongLength("There are 3 bytes of data, not 16."), times=1)
        summary = self.pair.run(Plan(parallel=1))
        self.assertEqual(summary.exit_code, 0)
        self.assertEqual([one[:2] for one in self.pair.ear.retries], [(A, mock.ANY)])

    def test_no_data_where_there_should_be_some(self) -> None:
        self.target.digests = False
        self.here(A, size=0)
        open_data = self.source.open_data

        async def silent(image_id: str, offset: int = 0) -> Any:
            stream = await open_data(image_id, offset)
            stream.size = None
            return stream

        self.source.open_data = silent  # type: ignore[method-assign]
        self.assertEqual(self.pair.run().exit_code, 1)
        # For no data the head of the request is all of an upload.
        self.assertEqual(self.asked("upload"), [])
        self.assertEqual(FakeStream.opened, 0)

    def test_a_target_that_does_not_keep_what_it_is_given(self) -> None:
        self.here(A)

        def spoil(image_id: str, data: bytes) -> None:
            self.target.images[A]["checksum"] = "0" * 32

        self.target.on_active = spoil
        self.assertEqual(self.pair.run().exit_code, 1)
        self.assertEqual(self.outcome().deed, Deed.CONFLICT)
        self.assertIn("checksum", self.outcome().reason)

    def test_somebody_else_is_at_it(self) -> None:
        self.here(A)
        self.there(A, None, status="saving")
        self.assertEqual(self.pair.run().exit_code, 1)
        self.assertEqual(len(self.pair.ear.retries), 5)
        self.assertIn("where it is saving", self.outcome().reason)
        self.assertEqual(self.asked("upload"), [])

        # And has finished by the next look.
        def trouble(what: str, image_id: str | None) -> None:
            if self.pair.ear.retries:
                self.target.images[A].update(make_document(A, DATA))

        self.target.trouble = trouble
        self.assertEqual(self.pair.run().counts, {Deed.SAME: 1})

    def test_an_upload_that_comes_second(self) -> None:
        self.here(A)

        def trouble(what: str, image_id: str | None) -> None:
            if what == "upload":
                self.target.images[A].update(make_document(A, DATA))

        self.target.trouble = trouble
        self.assertEqual(self.pair.run().exit_code, 0)
        self.assertEqual(len(self.pair.ear.retries), 1)

    def test_a_side_that_is_not_there(self) -> None:
        for side in ("source", "target"):
            with self.subTest(side=side):
                self.setUp()
                getattr(self.pair, side).trouble = lambda what, _: REFUSED
                error = self.assertRaises(SideLost, self.pair.run)
                self.assertIn(f"The {side} cannot be listed: {side}", error.message)
                self.assertEqual(error.exit_code, 3)
                # It is not waited for.
                self.assertLess(self.pair.clock.seconds(), 1)

    def test_a_list_that_breaks_off_is_begun_again(self) -> None:
        for number in range(5):
            self.here(ident(number))
        left = [None, LOST, BUSY, None, CUT]
        self.source.trouble = lambda what, _: left.pop(0) if left and what == "list" else None
        self.assertEqual(self.pair.run().counts, {Deed.COPIED: 5})
        self.assertGreater(self.pair.clock.seconds(), 1)

    def test_a_list_that_breaks_off_before_it_begins(self) -> None:
        """Somebody is there, so it is waited for, also while it is restarted."""
        for kind in (LOST, BUSY):
            with self.subTest(kind=kind):
                self.setUp()
                self.here(A)
                left = [kind, REFUSED]
                self.source.trouble = lambda what, _, left=left: (  # type: ignore[misc]
                    left.pop(0) if left and what == "list" else None
                )
                self.assertEqual(self.pair.run().counts, {Deed.COPIED: 1})

    def test_a_side_that_gets_lost(self) -> None:
        for number in range(20):
            self.here(ident(number))
        kinds = iter([None] * 12)
        self.target.trouble = lambda what, _: next(kinds, REFUSED)
        summary = self.pair.run(Plan(parallel=4, retries=2))
        self.assertEqual(summary.exit_code, 3)
        self.assertIn("target:2 cannot be reached", summary.lost)
        self.assertGreaterEqual(summary.counts[Deed.FAILED], 5)
        self.assertGreater(summary.untried, 5)
        self.assertEqual(sum(summary.counts.values()) + summary.untried, 20)
        self.target.trouble = lambda what, _: None
        self.assertEqual(self.pair.run().exit_code, 0)

    def test_single_images_that_cannot_be_reached(self) -> None:
        for number in range(20):
            self.here(ident(number))
        odd = {ident(number) for number in range(0, 20, 3)}
        self.target.trouble = lambda what, image_id: REFUSED if image_id in odd else None
        summary = self.pair.run(Plan(parallel=2, retries=0))
        self.assertEqual(summary.exit_code, 1)
        self.assertEqual(summary.counts, {Deed.FAILED: 7, Deed.COPIED: 13})

    def test_a_token_that_has_come_to_its_end(self) -> None:
        for number in range(20):
            self.here(ident(number))
        self.fail_with("upload", NotAuthenticated("The token is not taken (401).", 401))
        summary = self.pair.run()
        self.assertEqual(summary.exit_code, 3)
        self.assertEqual(summary.lost, "The token is not taken (401).")
        self.assertEqual(summary.untried, 16)

    def test_stopped(self) -> None:
        for number in range(10):
            self.here(ident(number))
        running = self.pair.begin(Plan(parallel=2))
        while len(self.pair.ear.outcomes) < 3:
            self.pair.clock.advance(0.01)
        running.cancel()
        self.assertEqual(self.pair.clock.getDelayedCalls(), [])
        summary = self.successResultOf(running)
        self.assertTrue(summary.interrupted)
        self.assertEqual(summary.exit_code, 1)
        self.assertEqual(summary.untried, 10 - len(self.pair.ear.outcomes))
        self.assertEqual(FakeStream.opened, 0)
        self.assertEqual(self.pair.run().exit_code, 0)


class DryTests(RunCase):
    def test_says_what_would_be_done(self) -> None:
        self.here(A)
        self.here(B, name="new")
        self.there(B)
        self.here(C)
        self.there(C, None)
        self.there(ident(4))
        before = repr((self.target.images, self.target.data))
        asked: list[Any] = []
        summary = self.pair.run(Plan(dry_run=True, delete_extra=True), asked.append)  # type: ignore[arg-type]
        self.assertEqual(
            summary.counts,
            {Deed.COPIED: 1, Deed.UPDATED: 1, Deed.COMPLETED: 1, Deed.DELETED: 1},
        )
        self.assertTrue(summary.dry_run)
        self.assertEqual(summary.size, 2 * len(DATA))
        self.assertEqual(repr((self.target.images, self.target.data)), before)
        self.assertEqual(self.target.asked, [("list", None), ("list", None)])
        self.assertEqual(asked, [])


class ExtraTests(RunCase):
    def setUp(self) -> None:
        super().setUp()
        self.here(A)
        self.there(A)
        self.there(B)
        self.questions: list[list[str]] = []

    def confirm(self, answer: bool) -> Any:
        def ask(records: Sequence[ImageRecord]) -> Deferred[bool]:
            self.questions.append([record.image_id for record in records])
            return succeed(answer)

        return ask

    def test_are_left_alone(self) -> None:
        self.assertEqual(self.pair.run().counts, {Deed.SAME: 1})
        self.assertIn(B, self.target.images)

    def test_are_deleted_if_somebody_says_so(self) -> None:
        self.there(C, protected=True)
        summary = self.pair.run(Plan(delete_extra=True), self.confirm(True))
        self.assertEqual(self.questions, [[B]])
        self.assertEqual(summary.counts, {Deed.SAME: 1, Deed.DELETED: 1, Deed.SKIPPED: 1})
        self.assertEqual(self.pair.ear.total, (3, 0))
        self.assertEqual(set(self.target.images), {A, C})
        self.assertIn("protected", self.outcome(C).reason)
        self.assertEqual(summary.exit_code, 0)

    def test_are_left_if_somebody_says_no(self) -> None:
        summary = self.pair.run(Plan(delete_extra=True), self.confirm(False))
        self.assertEqual(summary.counts, {Deed.SAME: 1})
        self.assertIn(B, self.target.images)
        self.assertEqual(len(summary.notes), 1)

    def test_without_anybody_to_ask(self) -> None:
        self.assertEqual(self.pair.run(Plan(delete_extra=True)).counts[Deed.DELETED], 1)

    def test_only_those_selected(self) -> None:
        self.there(C, name="other")
        plan = Plan(Selection(names=("other",)), delete_extra=True)
        self.assertEqual(self.pair.run(plan).counts, {Deed.DELETED: 1})
        self.assertEqual(set(self.target.images), {A, B})

    def test_what_nobody_can_read_stays(self) -> None:
        self.there(C, protected="so to say")
        self.there("../../x")
        plan = Plan(Selection(names=("none",)), delete_extra=True)
        self.assertEqual(self.pair.run(replace(plan, dry_run=True)).counts, {Deed.SKIPPED: 2})
        summary = self.pair.run(plan, self.confirm(True))
        self.assertEqual(self.questions, [])
        self.assertEqual(summary.counts, {Deed.SKIPPED: 2})
        self.assertIn("/protected must be", self.outcome(C).reason)
        self.assertEqual(self.asked("delete"), [])

    def test_an_id_that_is_written_in_another_way_is_the_same(self) -> None:
        image_id = "abcdef00-0000-4000-8000-000000000000"
        self.there(image_id)
        self.here(image_id.upper())
        self.pair.run(Plan(delete_extra=True))
        self.assertEqual(self.asked("delete"), [("delete", B)])

    def test_one_that_the_source_gets_meanwhile_stays(self) -> None:
        def late(records: Sequence[ImageRecord]) -> Deferred[bool]:
            self.here(B)
            return succeed(True)

        summary = self.pair.run(Plan(delete_extra=True), late)
        self.assertEqual(self.outcome(B).deed, Deed.SKIPPED)
        self.assertIn(B, self.target.images)
        self.assertEqual(summary.exit_code, 0)

    def test_a_source_without_images_is_not_believed(self) -> None:
        self.source.images.clear()
        summary = self.pair.run(Plan(delete_extra=True), self.confirm(True))
        self.assertEqual(set(self.target.images), {A, B})
        self.assertEqual(self.questions, [])
        self.assertIn("no image at all", summary.notes[0])

    def test_nothing_is_deleted_if_the_source_cannot_be_listed_again(self) -> None:
        def late(records: Sequence[ImageRecord]) -> Deferred[bool]:
            self.source.trouble = lambda what, _: REFUSED
            return succeed(True)

        summary = self.pair.run(Plan(delete_extra=True), late)
        self.assertEqual(summary.exit_code, 3)
        self.assertIn(B, self.target.images)

    def test_nothing_is_deleted_after_a_side_got_lost(self) -> None:
        self.here(C)
        self.fail_with("create", NotAuthenticated("no (401)", 401))
        self.assertEqual(self.pair.run(Plan(delete_extra=True)).exit_code, 3)
        self.assertIn(B, self.target.images)

    def test_that_cannot_be_deleted(self) -> None:
        self.fail_with("delete", Failed("it is in use", 409))
        summary = self.pair.run(Plan(delete_extra=True))
        self.assertEqual(summary.exit_code, 1)
        self.assertEqual(self.outcome(B).reason, "it is in use")

    def test_that_somebody_else_deletes(self) -> None:
        left = [LOST]
        self.target.trouble = lambda what, _: left.pop() if left and what == "delete" else None
        summary = self.pair.run(Plan(delete_extra=True))
        self.assertEqual(summary.counts[Deed.DELETED], 1)
        self.assertEqual(summary.exit_code, 0)


class CompareTests(RunCase):
    def compare(self, plan: Plan | None = None) -> Any:
        plan = plan or Plan()
        return drive(
            self.pair.clock,
            compare(
                ServiceSource(self.source),  # type: ignore[arg-type]
                self.pair.target_side(plan),
                plan,
                self.pair.clock,
                self.pair.ear,
            ),
        )

    def test_the_same(self) -> None:
        self.here(A)
        self.there(A)
        self.here(B, None)
        found = self.compare()
        self.assertEqual((found.same, found.skipped, found.exit_code), (1, 1, 0))

    def test_what_differs(self) -> None:
        self.source.add(make_document(A, DATA, visibility="shared", x_1="v"), DATA, m1="pending")
        self.there(A, b"other", tags=["t"])
        self.here(B)
        self.here(C)
        self.there(C, None)
        self.there(ident(4))
        found = self.compare()
        self.assertEqual(found.exit_code, 1)
        self.assertEqual([one.image_id for one in found.missing], [B])
        self.assertEqual([one.image_id for one in found.extra], [ident(4)])
        first, second = found.unlike
        self.assertEqual(first.image_id, A)
        differences = {name: (here, there) for name, here, there in first.differences}
        self.assertEqual(differences["size"], (16, 5))
        self.assertEqual(differences["x_1"], ("v", None))
        self.assertEqual(differences["visibility"], ("shared", "private"))
        self.assertEqual(second.differences, (("status", "active", "queued"),))
        self.assertEqual(self.target.asked, [("list", None), ("list", None)])

    def test_members_are_asked_for_where_the_list_has_none(self) -> None:
        self.source.gives_members = False
        for number in range(40):
            for service, status in ((self.source, "pending"), (self.target, "accepted")):
                document = make_document(ident(number), DATA, visibility="shared")
                service.add(document, DATA, m1=status)
        self.source.page = 100
        self.target.page = 100
        found = self.compare()
        self.assertEqual(len(found.unlike), 40)
        self.assertEqual(
            found.unlike[0].differences, (("members", {"m1": "pending"}, {"m1": "accepted"}),)
        )
        self.assertEqual(len(self.source.asked), 41)
        # Several at once.
        self.assertLess(self.pair.clock.seconds(), 0.1)

    def test_extra_images_make_a_difference_only_if_they_are_to_go(self) -> None:
        self.there(A)
        self.assertEqual(self.compare().exit_code, 0)
        self.assertEqual(self.compare(Plan(delete_extra=True)).exit_code, 1)

    def test_metadata_alone(self) -> None:
        self.here(A)
        self.there(A, None)
        self.assertEqual(self.compare(Plan(metaonly=True)).exit_code, 0)

    def test_what_nobody_can_read_is_not_the_same(self) -> None:
        self.here(A)
        self.there(A, size="large")
        found = self.compare()
        self.assertEqual(found.exit_code, 1)
        self.assertEqual(found.unlike[0].differences[0][0], "metadata")

    def test_both_are_listed_at_once(self) -> None:
        for number in range(20):
            self.here(ident(number))
            self.there(ident(number))
        self.compare()
        self.assertAlmostEqual(self.pair.clock.seconds(), 0.1)


class MeasureTests(RunCase):
    def test_active_images_count(self) -> None:
        self.here(A)
        self.here(B, b"12")
        self.here(C, None)
        plan = Plan(Selection(names=("image*",)))
        size = drive(
            self.pair.clock,
            measure(ServiceSource(self.source), plan, self.pair.clock),  # type: ignore[arg-type]
        )
        self.assertEqual((size.images, size.size, size.skipped), (2, 18, 1))
        self.assertEqual(size.place, "source:1")

    def test_a_side_that_is_not_there(self) -> None:
        self.source.trouble = lambda what, _: REFUSED
        self.assertRaises(
            SideLost,
            drive,
            self.pair.clock,
            measure(ServiceSource(self.source), Plan(), self.pair.clock),  # type: ignore[arg-type]
        )


def _not_allowed(why: str = "") -> GlanceError:
    return NotAllowed(f"it answered 403: {why}", 403, why)
