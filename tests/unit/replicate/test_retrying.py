"""Which failures may pass, and when a side is lost."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from glance.domain.errors import GlanceError
from glance.remote.errors import (
    Absent,
    Failed,
    LoginFailed,
    NotAuthenticated,
    TokenExpired,
    Unreachable,
    Untrusted,
)
from glance.replicate.retrying import (
    LONGEST_PAUSE,
    Losses,
    Passing,
    is_away,
    is_closed,
    may_pass,
    pause,
)


class FailureTests(SynchronousTestCase):
    def test_what_they_tell(self) -> None:
        table: list[tuple[GlanceError, bool, bool, bool]] = [
            # May pass, side is away, side is closed.
            (Passing("saving"), True, False, False),
            (Unreachable("nobody there"), True, True, False),
            (Failed("500", 500), True, False, False),
            (Failed("503", 503), True, True, False),
            (Failed("429", 429), True, False, False),
            (Failed("507", 507), False, False, False),
            (Failed("409", 409), False, False, False),
            (Absent("404", 404), False, False, False),
            (GlanceError("whatever"), False, False, False),
            (NotAuthenticated("401", 401), False, False, True),
            (TokenExpired("401", 401), True, False, False),
            (LoginFailed("wrong password", True), False, True, True),
            (LoginFailed("the identity service is down"), True, True, False),
            (Untrusted("certificate"), False, False, True),
        ]
        for error, passing, away, closed in table:
            with self.subTest(error=repr(error)):
                found = (may_pass(error), is_away(error), is_closed(error))
                self.assertEqual(found, (passing, away, closed))

    def test_pauses_grow_to_a_limit(self) -> None:
        self.assertEqual([pause(n, random=lambda: 1.0) for n in range(4)], [0.5, 1, 2, 4])
        self.assertEqual(pause(2, random=lambda: 0.0), 1)
        self.assertEqual(pause(10_000, random=lambda: 1.0), LONGEST_PAUSE)

    def test_no_service_makes_us_wait_for_ever(self) -> None:
        error = Failed("later", 503, "", 1e9)
        self.assertLess(pause(0, error), 400)
        self.assertGreater(pause(0, Failed("now", 503, "", -5.0)), 0)


class LossesTests(SynchronousTestCase):
    def test_a_row_of_images_tells(self) -> None:
        losses = Losses(4)
        for _ in range(4):
            losses.note(Unreachable("gone"))
        self.assertEqual(losses.lost, "")
        losses.note(Unreachable("gone"))
        self.assertEqual(losses.lost, "gone")

    def test_anything_else_in_between_does_not(self) -> None:
        for between in (lambda one: one.none(), lambda one: one.note(Absent("404", 404))):
            losses = Losses(1)
            for _ in range(9):
                losses.note(Unreachable("gone"))
                losses.note(Unreachable("gone"))
                between(losses)
            self.assertEqual(losses.lost, "")

    def test_a_side_that_refuses_us_is_lost_at_once(self) -> None:
        losses = Losses(4)
        losses.note(Untrusted("certificate"))
        losses.note(Unreachable("gone"))
        self.assertEqual(losses.lost, "certificate")
