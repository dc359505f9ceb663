"""Limits of owners: who is asked for them, how long they are remembered, and what if not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest import mock

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from glance.config import load
from glance.domain.errors import ConfigError, Conflict, Unavailable
from glance.domain.quotas import MIB, NO_LIMITS, OtherOwner, OwnerLimits
from glance.identity.http import CallFailed
from glance.identity.limits import (
    WHOLE_TIME,
    KeystoneLimits,
    SameForAll,
    make_limits,
    under_limits,
)
from glance.identity.unified import Endpoint, UnifiedLimits
from tests.unit.identity.test_unified import FakeSession, entry

CACHE_TIME = 5


class LimitsCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.session = FakeSession.with_limits(
            [entry("image_size_total", 10), entry("image_count_total", 20),
             entry("image_stage_total", -1)],
            [entry("image_size_total", 30, project_id="p")],
        )  # fmt: skip
        self.limits = self.make()

    def make(self, cache_time=CACHE_TIME):
        self.closed = 0

        def close():
            self.closed += 1
            return succeed(None)

        unified = UnifiedLimits(self.clock, self.session, Endpoint("e1"))
        return KeystoneLimits(self.clock, unified, cache_time=cache_time, close=close)

    def of(self, owner):
        return self.successResultOf(self.limits.of(owner))

    def asked(self):
        """Return what was asked since the last time."""
        asked, self.session.asked[:] = [path for path, _ in self.session.asked], []
        return asked


class TestSameForAll(SynchronousTestCase):
    def test_of_everybody(self):
        for owner in ("p", None):
            limits = self.successResultOf(SameForAll(7).of(owner))
            self.assertEqual(limits, OwnerLimits(of_all=True, size_total=7))
            self.assertEqual(self.successResultOf(SameForAll().of(owner)), NO_LIMITS)

    def test_it_has_nothing_to_do(self):
        limits = SameForAll()
        limits.start()
        self.successResultOf(limits.stop())


class TestKeystone(LimitsCase):
    def test_a_project_s_own_limit_counts_before_what_is_registered(self):
        self.assertEqual(self.of("p"), OwnerLimits("p", False, 30 * MIB, None, 20, 0))
        self.assertEqual(self.of("q"), OwnerLimits("q", False, 10 * MIB, None, 20, 0))

    def test_images_without_owner_are_not_limited(self):
        self.assertEqual(self.of(None), OwnerLimits(None))
        self.assertEqual(self.of(""), OwnerLimits(""))
        self.assertEqual(self.asked(), [])

    def test_remembered_for_a_while(self):
        self.of("p")
        self.assertEqual(self.asked(), ["/endpoints/e1", "/registered_limits", "/limits"])
        self.of("p")
        self.assertEqual(self.asked(), [])
        self.of("q")
        self.assertEqual(self.asked(), ["/limits"])
        self.session.documents["/limits"] = {"limits": []}
        self.clock.advance(CACHE_TIME - 0.1)
        self.assertEqual(self.of("p").size_total, 30 * MIB)
        self.clock.advance(0.2)
        self.assertEqual(self.of("p").size_total, 10 * MIB)
        self.assertEqual(self.asked(), ["/registered_limits", "/limits"])

    def test_not_remembered_at_all(self):
        self.limits = self.make(cache_time=0)
        for _ in range(2):
            self.of("p")
            self.assertEqual(self.asked()[-2:], ["/registered_limits", "/limits"])

    def test_asked_once_by_many_at_once(self):
        self.session.waiting = Deferred()
        asking = [self.limits.of("p") for _ in range(5)] + [self.limits.of("q")]
        self.session.waiting.callback(None)
        for answer in asking:
            self.successResultOf(answer)
        self.assertEqual(
            sorted(self.asked()), ["/endpoints/e1", "/limits", "/limits", "/registered_limits"]
        )

    def test_keystone_that_is_away(self):
        self.session.documents["/limits"] = CallFailed("canary: away")
        with capturedLogs() as logs:
            for _ in range(3):
                error = self.failureResultOf(self.limits.of("p"), Unavailable).value
                self.assertNotIn("canary", error.message)
        told = [event for event in logs if event["log_level"] == LogLevel.error]
        self.assertEqual([event["why"] for event in told], ["canary: away"])
        self.session.documents["/limits"] = {"limits": []}
        self.of("p")

    def test_what_was_remembered_is_good_while_it_is_away(self):
        self.of("p")
        self.session.documents["/limits"] = CallFailed("away")
        self.of("p")
        self.clock.advance(CACHE_TIME)
        self.failureResultOf(self.limits.of("p"), Unavailable)

    def test_keystone_that_does_not_answer(self):
        self.session.waiting = Deferred()
        asking = self.limits.of("p")
        self.clock.advance(WHOLE_TIME - 0.1)
        self.assertNoResult(asking)
        self.clock.advance(0.2)
        self.failureResultOf(asking, Unavailable)

    def test_a_caller_that_goes_away_leaves_the_others_waiting(self):
        self.session.waiting = Deferred()
        first, second = self.limits.of("p"), self.limits.of("p")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.session.waiting.callback(None)
        self.successResultOf(second)

    def test_stopping(self):
        self.session.waiting = Deferred()
        asking = self.limits.of("p")
        self.successResultOf(self.limits.stop())
        self.failureResultOf(asking, Unavailable)
        self.assertEqual((self.closed, self.session.stopped), (1, True))


class TestStart(LimitsCase):
    def test_what_is_not_registered_is_told(self):
        with capturedLogs() as logs:
            self.limits.start()
        (event,) = [event for event in logs if event["log_level"] == LogLevel.warn]
        self.assertEqual(event["names"], "image_count_uploading")
        self.assertEqual(self.asked(), ["/endpoints/e1", "/registered_limits"])

    def test_all_is_registered(self):
        entries = self.session.documents["/registered_limits"]["registered_limits"]
        entries.append(entry("image_count_uploading", 1))
        with capturedLogs() as logs:
            self.limits.start()
        self.assertEqual([e for e in logs if e["log_level"] >= LogLevel.warn], [])

    def test_keystone_that_is_away(self):
        self.session.documents["/endpoints/e1"] = 403
        with capturedLogs() as logs:
            self.limits.start()
        (event,) = [event for event in logs if event["log_level"] == LogLevel.error]
        self.assertIn("role reader on the system", event["why"])


class TestUnderLimits(LimitsCase):
    def test_run_again_for_who_the_owner_is(self):
        tried = []

        def interact(limits):
            tried.append(limits.owner)
            try:
                limits.check_owner("q")
            except OtherOwner:
                done = Deferred()
                done.errback()
                return done
            return succeed("done")

        done = Deferred.fromCoroutine(under_limits(self.limits, "p", interact))
        self.assertEqual(self.successResultOf(done), "done")
        self.assertEqual(tried, ["p", "q"])

    def test_not_run_for_ever(self):
        def interact(limits):
            raise OtherOwner("p" if limits.owner == "q" else "q")

        done = Deferred.fromCoroutine(under_limits(self.limits, "p", interact))
        self.failureResultOf(done, Conflict)


CREDENTIALS = """
auth_url = http://identity.example:5000
username = glance
password = canary-password
user_domain_name = Default
system_scope = all
"""


def configured(default="", section=""):
    text = f"[DEFAULT]\n{default}\n[database]\nconnection = sqlite://\n[oslo_limit]\n{section}\n"
    with tempfile.TemporaryDirectory() as directory, mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("OS_")]:
            del os.environ[name]
        path = Path(directory, "glance-api.conf")
        path.write_text(text)
        return load("glance-api", ["--config-file", str(path)]).conf


class TestConfiguration(SynchronousTestCase):
    def make(self, default="use_keystone_limits = true", section=CREDENTIALS):
        return make_limits(configured(default, section), MemoryReactorClock())

    def test_without_keystone(self):
        for text, size in (("0", None), ("", None), ("user_storage_quota = 3KB", 3072)):
            default = text if "=" in text or not text else f"user_storage_quota = {text}"
            limits = self.make(default, "")
            self.assertEqual(self.successResultOf(limits.of("p")).size_total, size)

    def endpoint_of(self, section, **more):
        limits = self.make(section=CREDENTIALS + section, **more)
        return limits._unified._endpoint

    def test_which_endpoint_is_ours(self):
        self.assertEqual(self.endpoint_of(""), Endpoint())
        self.assertEqual(
            self.endpoint_of("endpoint_id = e\nendpoint_interface = internalURL"),
            Endpoint("e", interface="internal"),
        )
        self.assertEqual(
            self.endpoint_of("endpoint_service_name = n\nendpoint_region_name = r"),
            Endpoint(None, None, "n", "r"),
        )
        self.assertEqual(
            self.endpoint_of("endpoint_service_name = n\nendpoint_service_type = t"),
            Endpoint(None, "t", "n"),
        )

    def test_where_keystone_is(self):
        for section, target in (
            ("", "identity"),
            ("endpoint_override = http://k/identity/", "http://k/identity/v3"),
            ("endpoint_override = http://k/v3/", "http://k/v3"),
        ):
            limits = self.make(section=CREDENTIALS + section)
            self.assertEqual(limits._unified._target, target)
        with self.assertRaisesRegex(ConfigError, r"\[oslo_limit\] endpoint_override"):
            self.make(section=CREDENTIALS + "endpoint_override = nowhere")

    def test_credentials_are_needed(self):
        for name in ("auth_url", "username", "password", "user_domain_name"):
            lines = [line for line in CREDENTIALS.splitlines() if not line.startswith(name)]
            with self.assertRaisesRegex(ConfigError, rf"\[oslo_limit\] .*{name}"):
                self.make(section="\n".join(lines))

    def test_certificates_that_are_not_there(self):
        with self.assertRaisesRegex(ConfigError, r"\[oslo_limit\] cafile = /nowhere"):
            self.make(section=CREDENTIALS + "cafile = /nowhere")
