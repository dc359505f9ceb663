"""A node's cache in a temporary directory, with an index in memory, and an API that manages it."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from typing import Any

import treq.testing
from twisted.internet.defer import fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from glance.api.cache import CacheResource, NodeCache
from glance.api.cached_images import CachedImagesResource
from glance.api.routing import Dispatcher, make_app
from glance.cache.interfaces import ICacheIndex, ISharedIndex
from glance.cache.keeper import CacheKeeper
from glance.cache.layout import CacheDirectory
from glance.cache.room import Room
from glance.domain.errors import Unavailable
from glance.domain.image import no_such_image
from glance.stores.threads import InlinePool, Threads
from tests.unit.identity.doubles import IMAGE, caller, image, make_policy

OTHER = "0b0b0b0b-0000-4000-8000-000000000001"
THIRD = "0b0b0b0b-0000-4000-8000-000000000002"


@implementer(ICacheIndex)
class MemoryIndex:
    """An index as a dictionary."""

    name = "memory"

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.away = False

    def start(self) -> Any:
        return succeed(None)

    stop = start

    def entries(self) -> Any:
        if self.away:
            return fail(Unavailable("The index is away."))
        return succeed([*self.known.values()])

    def add(self, entries: Any) -> Any:
        for entry in entries:
            self.known[entry.image_id] = replace(entry, number=len(self.known) + 1)
        return succeed(None)

    def remove(self, image_ids: Any) -> Any:
        for image_id in image_ids:
            self.known.pop(image_id, None)
        return succeed(None)

    def touch(self, hits: Any) -> Any:
        raise NotImplementedError


@implementer(ISharedIndex)
class SharedMemoryIndex(MemoryIndex):
    """One that knows of other nodes, all of which have the same images."""

    def nodes_with(self, image_id: str) -> Any:
        return succeed(["http://a", "http://b"] if image_id in self.known else [])


class Catalogue:
    """Images, some of which one project sees."""

    def __init__(self) -> None:
        self.images = {
            IMAGE: image("public", owner="p", status="active"),
            OTHER: replace(image("private", owner="q", status="active"), id=OTHER),
        }

    def runReading(self, function: Any, image_id: str, viewer: Any) -> Any:
        found = self.images.get(image_id)
        seen = found is not None and (
            viewer.is_admin or found.visibility == "public" or found.owner == viewer.project_id
        )
        return succeed(found) if seen else fail(no_such_image(image_id))


class CacheTestCase(SynchronousTestCase):
    """A cache and its routes.

    :cvar make_index: what knows of the copies.
    """

    make_index: Any = MemoryIndex

    def setUp(self) -> None:
        root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, root)
        self.directory = CacheDirectory(root)
        self.index = self.make_index()
        self.catalogue = Catalogue()
        threads = Threads(Clock(), "cache", 1, 0, 75, InlinePool())
        self.keeper = CacheKeeper(self.directory, Room(self.directory, 1000), self.index, threads)
        self.successResultOf(self.deferred(self.keeper.start()))
        self.kicks: list[list[str]] = []
        self.cache = NodeCache(self.keeper, self.kick, 100.0)
        self.who = caller("admin", "member", "reader")
        self.serve(self.cache)

    @staticmethod
    def deferred(coroutine: Any) -> Any:
        from twisted.internet.defer import ensureDeferred

        return ensureDeferred(coroutine)

    def kick(self) -> None:
        self.kicks.append(self.directory.thd_queued())

    def serve(self, cache: NodeCache | None, **rules: str) -> None:
        """Bring the routes into service, for a node with a cache or without."""
        policy = make_policy(rules)
        resources: list[object] = [CacheResource(self.catalogue, policy, cache)]  # type: ignore[arg-type]
        if cache is not None:
            resources.append(CachedImagesResource(policy, cache))
        self.app = make_app(Dispatcher(self, 64), resources)  # type: ignore[arg-type]
        self.client = treq.testing.StubTreq(self.app.resource())

    def authenticate(self, *_: object) -> Any:
        return self.who

    def ask(self, method: str, path: str, **headers: str) -> Any:
        """Make a request; return the answer with its body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://127.0.0.1{path}"
        answer = self.successResultOf(self.client.request(method, url, headers=named))
        answer.body = self.successResultOf(answer.content())
        return answer

    def copy(self, image_id: str, size: int = 10, at: float = 1.0) -> None:
        """Have a copy, as one that was made at some time."""
        path = self.directory.copy(image_id)
        with open(path, "wb") as file:
            file.write(bytes(size))
        os.utime(path, (at, at))
        self.successResultOf(self.deferred(self.keeper.reconcile()))

    def has(self, image_id: str) -> bool:
        return os.path.exists(self.directory.copy(image_id))

    def queued(self) -> list[str]:
        return self.directory.thd_queued()
