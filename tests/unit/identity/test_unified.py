"""What is asked of Keystone about limits, and what is made of its answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from glance.identity.http import Answer, CallFailed
from glance.identity.unified import PLACE_TIME, Endpoint, Place, UnifiedLimits

SERVICE = "s1"
ENDPOINT = {"id": "e1", "service_id": SERVICE, "region_id": "one", "interface": "public"}


def entry(name: str, limit: Any, region: str | None = "one", **more: Any) -> dict[str, Any]:
    return {
        "service_id": SERVICE, "region_id": region, "resource_name": name,
        "default_limit": limit, "resource_limit": limit, **more,
    }  # fmt: skip


@dataclass
class FakeSession:
    """Keystone as a :class:`~glance.identity.session.ServiceSession` shows it.

    :ivar documents: by path, or a status instead.
    :ivar asked: paths with what was asked for.
    """

    documents: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    targets: set[str] = field(default_factory=set)
    stopped: bool = False
    waiting: Deferred[None] | None = None

    async def request(self, method: str, target: str, path: str, *, params: Any = None) -> Answer:
        assert method == "GET"
        self.asked.append((path, dict(params)))
        self.targets.add(target)
        if self.waiting is not None:
            await self.waiting
        document = self.documents.get(path, 404)
        if isinstance(document, Exception):
            raise document
        if isinstance(document, int):
            return Answer(document, Headers(), b"{}")
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        return Answer(200, Headers(), body)

    def stop(self) -> None:
        self.stopped = True

    @classmethod
    def with_limits(cls, registered: list[Any], limits: list[Any]) -> FakeSession:
        return cls(
            {
                "/endpoints/e1": {"endpoint": ENDPOINT},
                "/registered_limits": {"registered_limits": registered},
                "/limits": {"limits": limits},
            }
        )


class UnifiedCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.session = FakeSession()

    def unified(self, target=None, **endpoint):
        more = () if target is None else (target,)
        return UnifiedLimits(self.clock, self.session, Endpoint(**endpoint), *more)

    def result(self, coroutine):
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def failure(self, coroutine):
        return str(self.failureResultOf(Deferred.fromCoroutine(coroutine), CallFailed).value)


class TestPlace(UnifiedCase):
    def test_by_the_endpoint_s_id(self):
        self.session.documents["/endpoints/e1"] = {"endpoint": ENDPOINT}
        place = self.result(self.unified(endpoint_id="e1", region="ignored").place())
        self.assertEqual(place, Place(SERVICE, "one"))
        self.assertEqual(self.session.asked, [("/endpoints/e1", {})])
        self.assertEqual(self.session.targets, {"identity"})

    def test_by_what_describes_it(self):
        self.session.documents |= {
            "/services": {"services": [{"id": SERVICE}]},
            "/endpoints": {"endpoints": [ENDPOINT, {**ENDPOINT, "id": "e2"}]},
        }
        described = {"service_name": "glance", "region": "one", "interface": "admin"}
        unified = self.unified("http://k/v3", **described)
        self.assertEqual(self.result(unified.place()), Place(SERVICE, "one"))
        self.assertEqual(
            self.session.asked,
            [
                ("/services", {"type": "image", "name": "glance"}),
                ("/endpoints",
                 {"service_id": SERVICE, "interface": "admin", "region_id": "one"}),
            ],
        )  # fmt: skip
        self.assertEqual(self.session.targets, {"http://k/v3"})

    def test_without_region(self):
        self.session.documents |= {
            "/services": {"services": [{"id": SERVICE}]},
            "/endpoints": {"endpoints": [{**ENDPOINT, "region_id": None}]},
        }
        self.assertEqual(self.result(self.unified().place()), Place(SERVICE, None))
        self.assertEqual(self.session.asked[1][1], {"service_id": SERVICE, "interface": "public"})

    def test_what_is_not_unique(self):
        there = {
            "/services": {"services": [{"id": SERVICE}]},
            "/endpoints": {"endpoints": [ENDPOINT]},
        }
        for change, complaint in (
            ({"/services": {"services": []}}, "0 services of type image and name x"),
            ({"/services": {"services": [{"id": "a"}, {"id": "b"}]}}, "2 services"),
            ({"/endpoints": {"endpoints": []}}, "no such endpoint"),
            (
                {"/endpoints": {"endpoints": [ENDPOINT, {**ENDPOINT, "region_id": "two"}]}},
                "endpoint_region_name",
            ),
        ):
            with self.subTest(complaint=complaint):
                self.session.documents = there | change
                self.assertIn(complaint, self.failure(self.unified(service_name="x").place()))

    def test_answers_that_are_none(self):
        for answer, complaint in (
            (404, "404 to /endpoints/e1"),
            (403, "role reader on the system"),
            (401, "role reader on the system"),
            (b"<html>", "not in JSON"),
            ([], "is no object"),
            ({}, "describes no endpoint"),
            ({"endpoint": {"id": "e1"}}, "describes no endpoint"),
            (CallFailed("is away"), "is away"),
        ):
            with self.subTest(answer=answer):
                self.session.documents["/endpoints/e1"] = answer
                self.assertIn(complaint, self.failure(self.unified(endpoint_id="e1").place()))

    def test_found_once_for_a_while_and_after_a_failure(self):
        unified = self.unified(endpoint_id="e1")
        self.failure(unified.place())
        self.session.documents["/endpoints/e1"] = {"endpoint": ENDPOINT}
        for _ in range(3):
            self.result(unified.place())
        self.assertEqual(len(self.session.asked), 2)
        self.clock.advance(PLACE_TIME)
        self.session.documents["/endpoints/e1"] = {"endpoint": {**ENDPOINT, "service_id": "new"}}
        self.assertEqual(self.result(unified.place()).service_id, "new")

    def test_asked_once_by_many(self):
        self.session.documents["/endpoints/e1"] = {"endpoint": ENDPOINT}
        self.session.waiting = Deferred()
        unified = self.unified(endpoint_id="e1")
        asking = [Deferred.fromCoroutine(unified.place()) for _ in range(5)]
        self.session.waiting.callback(None)
        places = {self.successResultOf(one) for one in asking}
        self.assertEqual((places, len(self.session.asked)), ({Place(SERVICE, "one")}, 1))

    def test_stopping(self):
        self.session.waiting = Deferred()
        unified = self.unified(endpoint_id="e1")
        asking = Deferred.fromCoroutine(unified.place())
        unified.stop()
        self.failureResultOf(asking, CallFailed)
        self.assertTrue(self.session.stopped)


class TestLimits(UnifiedCase):
    def read(self, registered=(), limits=(), project="p"):
        self.session = FakeSession.with_limits(list(registered), list(limits))
        unified = self.unified(endpoint_id="e1")
        return self.result(unified.registered()), self.result(unified.of_project(project))

    def test_what_is_asked_for(self):
        self.read()
        self.assertEqual(
            self.session.asked[1:],
            [
                ("/registered_limits", {"service_id": SERVICE}),
                ("/limits", {"service_id": SERVICE, "project_id": "p"}),
            ],
        )

    def test_the_region_s_own_come_before_those_of_all_regions(self):
        entries = [
            entry("size", 1), entry("size", 2, None), entry("size", 3, "two"),
            entry("count", 4, None), entry("other", 5, "two"),
            entry("foreign", 6, service_id="s2"),
        ]  # fmt: skip
        limits = [{**one, "project_id": "p"} for one in entries]
        for ordered in (limits, limits[::-1]):
            registered, own = self.read(ordered, ordered)
            self.assertEqual((registered, own), ({"size": 1, "count": 4},) * 2)

    def test_limits_of_others_are_none_of_ours(self):
        """A Keystone that knows no such filter would tell them all."""
        _, own = self.read(
            limits=[
                entry("size", 1, project_id="q"),
                entry("size", 2, project_id="p"),
                entry("size", 3, project_id=None, domain_id="d"),
            ]
        )
        self.assertEqual(own, {"size": 2})

    def test_answers_that_are_none(self):
        unified = self.unified(endpoint_id="e1")
        for path, read in (
            ("registered_limits", unified.registered),
            ("limits", lambda: unified.of_project("p")),
        ):
            for answer in (
                500, 403, {}, {path: None}, {path: [1]},
                {path: [entry("size", None, project_id="p")]},
                {path: [entry("size", True, project_id="p")]},
                {path: [entry("size", "9", project_id="p")]},
            ):  # fmt: skip
                with self.subTest(path=path, answer=answer):
                    self.session = FakeSession.with_limits([], [])
                    unified._session = self.session
                    self.session.documents[f"/{path}"] = answer
                    self.failure(read())

    @given(st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["limits", "service_id", "resource_limit", "resource_name"]), inner
        ),
    ))  # fmt: skip
    def test_any_answer(self, answer):
        self.setUp()
        self.session = FakeSession.with_limits([], [])
        self.session.documents["/limits"] = answer if not isinstance(answer, int) else [answer]
        done = Deferred.fromCoroutine(self.unified(endpoint_id="e1").of_project("p"))
        outcome = []
        done.addBoth(outcome.append)
        if not isinstance(outcome[0], dict):
            outcome[0].trap(CallFailed)
