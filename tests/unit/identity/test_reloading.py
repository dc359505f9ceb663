"""Changed policy files come in force; broken ones do not, and half-written ones are waited for."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from glance.identity.policy import Policy
from glance.identity.policysource import PolicyOptions, PolicySource
from glance.identity.reloading import PolicyReloader
from tests.unit.identity.doubles import caller

INTERVAL = 5.0


class TestReloading(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.directory / "policy.yaml"
        self.clock = Clock()
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.source = PolicySource(PolicyOptions(), self.find)
        self.jobs = 0
        self.begin()

    def begin(self) -> None:
        self.policy = Policy(self.source.thd_load())
        self.reloader = PolicyReloader(self.policy, self.source, self.clock, INTERVAL, self.run_job)
        self.reloader.startService()
        self.addCleanup(self.reloader.stopService)

    def find(self, name: str) -> str | None:
        path = str(self.directory / name)
        return path if os.path.exists(path) else None

    def run_job(self, job: Any, *args: Any) -> Any:
        assert job.__name__.startswith("thd_")
        self.jobs += 1
        return maybeDeferred(job, *args)

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(INTERVAL)

    def allowed(self) -> set[str]:
        """Return which roles may list images."""
        roles = ("reader", "a", "bb")
        return {
            r for r in roles if self.policy.allows(caller(r), "get_images", {"project_id": "p"})
        }

    def logged(self, level: Any) -> list[str]:
        return [event["log_format"].format(**event) for event in self.events
                if event["log_level"] is level]  # fmt: skip

    def test_a_new_file_comes_in_force_when_it_was_seen_twice(self) -> None:
        self.assertEqual(self.allowed(), {"reader"})
        self.write("get_images: role:a\n")
        self.look()
        self.assertEqual(self.allowed(), {"reader"})
        self.look()
        self.assertEqual(self.allowed(), {"a"})
        self.assertEqual(self.logged(LogLevel.info), [f"Policy rules changed: {self.path}"])

    def test_nothing_is_read_while_nothing_changes(self) -> None:
        self.write("get_images: role:a\n")
        self.look(2)
        rules, self.jobs = self.policy.rules, 0
        self.look(5)
        self.assertIs(self.policy.rules, rules)
        self.assertEqual(self.jobs, 5)

    def test_a_file_that_goes_on_changing_is_waited_for(self) -> None:
        for length in range(1, 5):
            self.write("get_images: role:a" + " " * length)
            self.look()
            self.assertEqual(self.allowed(), {"reader"})
        self.look()
        self.assertEqual(self.allowed(), {"a"})

    def test_a_broken_file_is_told_of_once_and_changes_nothing(self) -> None:
        self.write("get_images: role:a\n")
        self.look(2)
        self.write("get_images: role\n")
        self.look(6)
        self.assertEqual(self.allowed(), {"a"})
        (said,) = self.logged(LogLevel.error)
        self.assertIn(f"stay as they were: Policy file {self.path} line 1: ", said)
        self.write("get_images: nonsense\n")
        self.look(6)
        self.assertEqual(len(self.logged(LogLevel.error)), 2)
        self.write("get_images: role:bb\n")
        self.look(2)
        self.assertEqual(self.allowed(), {"bb"})

    def test_the_same_fault_is_told_again_after_it_was_put_right(self) -> None:
        for _ in range(2):
            self.write("get_images: role\n")
            self.look(3)
            self.write("get_images: role:bb\n")
            self.look(3)
        self.assertEqual(len(self.logged(LogLevel.error)), 2)

    def test_a_file_that_goes_leaves_the_defaults(self) -> None:
        self.write("get_images: role:a\n")
        self.look(2)
        self.path.unlink()
        self.look(2)
        self.assertEqual(self.allowed(), {"reader"})
        self.assertEqual(self.logged(LogLevel.info)[-1], "Policy rules changed: defaults")

    def test_a_named_file_that_goes_is_missed(self) -> None:
        self.reloader.stopService()
        self.write("get_images: role:a\n")
        self.source = PolicySource(PolicyOptions(file_is_named=True), self.find)
        self.begin()
        self.path.unlink()
        self.look(4)
        self.assertEqual(self.allowed(), {"a"})
        self.assertEqual(len(self.logged(LogLevel.error)), 1)

    def test_doubts_are_told(self) -> None:
        self.write('delete_image: ""\n')
        self.look(2)
        (said,) = self.logged(LogLevel.warn)
        self.assertIn("lets everybody", said)

    def test_what_nobody_foresaw_does_not_end_it(self) -> None:
        find, self.find = self.find, lambda name: 1 / 0  # type: ignore[assignment,return-value]
        self.source = PolicySource(PolicyOptions(), lambda name: self.find(name))
        self.reloader._source = self.source
        self.look(3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.find = find  # type: ignore[method-assign]
        self.write("get_images: role:a\n")
        self.look(2)
        self.assertEqual(self.allowed(), {"a"})

    def test_it_stops(self) -> None:
        self.reloader.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
