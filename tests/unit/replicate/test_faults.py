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
    @given(images, faults, st.lists(st.integers(0, 120), min_size=1, max_size=4), st.booleans())
    def test_cancelled_at_any_moment(
        self, wanted: Any, faults: Any, moments: list[int], digests: bool
    ) -> None:
        pair = self.prepare(wanted, digests=digests)
        inject(pair, faults)
        for moment in moments:
            running = pair.begin(Plan(parallel=2))
            for _ in range(moment):
                calls = pair.clock.getDelayedCalls()
                if not calls:
                    break
                pair.clock.advance(max(min(c.getTime() for c in calls) - pair.clock.seconds(), 0))
            running.cancel()
            with contextlib.suppress(SideLost, CancelledError):
                finish(pair.clock, running)
            # Nothing goes on behind our back.
            self.assertEqual(pair.clock.getDelayedCalls(), [])
            self.assertEqual(FakeStream.opened, 0)
        self.check(pair)
