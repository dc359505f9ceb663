"""Take changed policy files into use while the service runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.domain.errors import ConfigError
from glance.identity.policy import Policy
from glance.identity.policysource import PolicySource, Stamp
from glance.identity.ruleset import RuleSet


class PolicyReloader(Service):
    """Look at the policy files now and then, and put changed rules in force.

    A change counts when two looks in a row have seen it: of a file that is being written, half
    would be other rules. Files that cannot be used leave the rules as they are; the log is told
    once, and every look tries again.

    :param policy: gets the rules.
    :param reactor: keeps time.
    :param interval: seconds between looks.
    :param run: runs a blocking function in a thread.
    """

    _log = Logger()

    def __init__(
        self,
        policy: Policy,
        source: PolicySource,
        reactor: Any,
        interval: float,
        run: Callable[..., Deferred[Any]],
    ) -> None:
        self._policy = policy
        self._source = source
        self._interval = interval
        self._run = run
        self._seen: object = policy.rules.stamp
        self._complaint: tuple[object, str] | None = None
        self._loop = LoopingCall(self.look)
        self._loop.clock = reactor

    def startService(self) -> None:
        """Start looking."""
        super().startService()
        self._loop.start(self._interval, now=False)

    def stopService(self) -> None:
        """Stop looking."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def look(self) -> Deferred[None]:
        """Look once."""
        looked = self._run(self._source.thd_stamp)
        looked.addCallback(self._compare)
        looked.addErrback(self._failed)
        return looked

    def _compare(self, stamp: Stamp) -> Deferred[None]:
        standing, self._seen = stamp == self._seen, stamp
        if stamp == self._policy.rules.stamp or not standing:
            return succeed(None)
        return self._run(self._source.thd_load).addCallback(self._take)

    def _take(self, rules: RuleSet) -> None:
        self._policy.rules = rules
        self._complaint = None
        self._log.info("Policy rules changed: {files}", files=", ".join(rules.files) or "defaults")
        for warning in rules.warnings:
            self._log.warn("{warning}", warning=warning)

    def _failed(self, failure: Failure) -> None:
        complaint = self._seen, failure.getErrorMessage()
        if complaint == self._complaint:
            return
        self._complaint = complaint
        if failure.check(ConfigError):
            self._log.error("The policy rules stay as they were: {error}", error=complaint[1])
        else:
            self._log.failure("Could not look at the policy files", failure)
