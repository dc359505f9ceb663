"""Whatever goes wrong, and whenever it does: further runs finish what was begun."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from glance.replicate.outcome import Deed, SideLost
from glance.replicate.plan import Plan
from tests.unit.replicate.driving import Pair, finish, ident
from tests.unit.replicate.services import KINDS, FakeStream, make_document

ABSENT, QUEUED, OTHER_METADATA, ACTIVE = range(4)

images = st.lists(
    st.tuples(
        st.binary(max_size=20),
        st.sampled_from([ABSENT, ABSENT, QUEUED, OTHER_METADATA, ACTIVE]),
        st.sampled_from(["private", "shared", "public"]),
        st.dictionaries(
            st.sampled_from(["m1", "m2"]), st.sampled_from(["pending", "accepted", "rejected"])
        ),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
#: What goes wrong with request after request; most things go well.
faults = st.lists(st.sampled_from([*KINDS, None, None]), max_size=60)

#: Steps of the clock after which a run is cancelled, run after run.
moments = st.lists(st.integers(0, 120), min_size=1, max_size=4)

#: One of each kind.
WANTED = [
    (b"0123456789", ABSENT, "shared", {"m1": "accepted"}, True),
    (b"abcdefgh", QUEUED, "private", {}, False),
    (b"xyz", OTHER_METADATA, "shared", {"m2": "pending"}, False),
]


def fill(pair: Pair, wanted: Any) -> None:
    for number, (data, there, visibility, members, protected) in enumerate(wanted):
        image_id = ident(number)
        details: dict[str, Any] = {
            "visibility": visibility,
            "protected": protected,
            "tags": ["t"],
            "p_1": "v",
        }
        members = members if visibility == "shared" else {}
        pair.source.add(make_document(image_id, data, **details), data, **members)
        if there == QUEUED:
            pair.target.add(make_document(image_id, None, name="half"), m3="accepted")
        elif there == OTHER_METADATA:
            pair.target.add(make_document(image_id, data, p_2="w", visibility="shared"), data)
        elif there == ACTIVE:
            pair.target.add(make_document(image_id, data, **details), data, **members)


def inject(pair: Pair, faults: list[str | None]) -> None:
    left = list(faults)

    def trouble(what: str, image_id: str | None) -> str | None:
        return left.pop() if left else None

    pair.source.trouble = pair.target.trouble = trouble


def shown(service: Any) -> Any:
    timeless = {
        i: {k: v for k, v in one.items() if not k.endswith("_at")}
        for i, one in service.images.items()
    }
    members = {
        i: m for i, m in service.members_.items() if service.images[i]["visibility"] == "shared"
    }
    return timeless, members, service.data


class FaultTests(SynchronousTestCase):
    def check(self, pair: Pair) -> None:
        """Make runs until one is done with all, and see what has come of it."""
        for _ in range(40):
            try:
                if pair.run().exit_code == 0:
                    break
            except SideLost:
                pass
        else:
            self.fail("it never comes to an end")
        inject(pair, [])
        self.assertEqual(shown(pair.source), shown(pair.target))
        self.assertEqual(pair.run().counts, {Deed.SAME: len(pair.source.images)})
        self.assertEqual(pair.target.deleted, set())
        self.assertNotIn("delete", {what for what, _ in pair.target.asked})
        self.assertEqual(FakeStream.opened, 0)

    def prepare(self, wanted: Any, **target: Any) -> Pair:
        FakeStream.opened = 0
        pair = Pair(**target)
        fill(pair, wanted)

        def is_right(image_id: str, data: bytes) -> None:
            assert data == pair.source.data[image_id]

        pair.target.on_active = is_right
        return pair

    @settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
    @given(images, faults, st.booleans(), st.booleans())
    def test_any_requests_fail(
        self, wanted: Any, faults: Any, digests: bool, gives_members: bool
    ) -> None:
        pair = self.prepare(wanted, digests=digests, gives_members=gives_members)
        inject(pair, faults)
        self.check(pair)

    @settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
    @given(images, faults, moments, st.booleans(), st.booleans())
    def test_cancelled_at_any_moments(
        self, wanted: Any, faults: Any, moments: list[int], digests: bool, masks: bool
    ) -> None:
        pair = self.prepare(wanted, digests=digests, masks=masks)
        pair.source.masks = masks
        inject(pair, faults)
        for moment in moments:
            self.run_until(pair, moment)
        self.check(pair)

    def run_until(self, pair: Pair, moment: int) -> bool:
        """Cancel a run after so many steps of the clock; return whether it was done by then."""
        running = pair.begin(Plan(parallel=2))
        for _ in range(moment):
            calls = pair.clock.getDelayedCalls()
            if not calls:
                break
            pair.clock.advance(max(min(c.getTime() for c in calls) - pair.clock.seconds(), 0))
        was_done = bool(running.called)
        running.cancel()
        # It ends at once, and nothing goes on behind our back.
        with contextlib.suppress(SideLost, CancelledError):
            finish(pair.clock, running, steps=0)
        self.assertEqual(pair.clock.getDelayedCalls(), [])
        self.assertEqual(FakeStream.opened, 0)
        return was_done

    def test_cancelled_at_every_moment(self) -> None:
        for masks in (False, True):
            for digests in (False, True):
                moment = 0
                while not self.cancelled_at(moment, digests, masks):
                    moment += 1
                self.assertGreater(moment, 10)

    def cancelled_at(self, moment: int, digests: bool, masks: bool) -> bool:
        pair = self.prepare(WANTED, digests=digests, masks=masks, gives_members=False)
        pair.source.masks = masks
        was_done = self.run_until(pair, moment)
        self.check(pair)
        return was_done

    def test_every_single_request_fails(self) -> None:
        for kind in KINDS:
            for digests in (False, True):
                number = 0
                while not self.goes_well(number, kind, digests):
                    number += 1
                self.assertGreater(number, 15)

    def goes_well(self, number: int, kind: str, digests: bool) -> bool:
        pair = self.prepare(WANTED, digests=digests, gives_members=False)
        left = [kind, *[None] * number]
        pair.source.trouble = pair.target.trouble = lambda what, _: left.pop() if left else None
        with contextlib.suppress(SideLost):
            pair.run()
        went_well = bool(left)
        self.check(pair)
        return went_well
