"""What an image service says of its cache, by the facts, and a Keystone beside it.

It has no socket: unit tests put it behind a StubTreq, functional ones behind a real port.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ONE = "11111111-2222-3333-4444-555555555551"
TWO = "11111111-2222-3333-4444-555555555552"
THREE = "11111111-2222-3333-4444-555555555553"

PASSWORD = "canary-password"

Reply = tuple[int, Mapping[str, str], bytes]


def entry(image_id: str, **changes: Any) -> dict[str, Any]:
    """Return a cached image as the API shows it."""
    return {
        "image_id": image_id,
        "hits": 3,
        "last_accessed": 1767225600.5,
        "last_modified": 1767225600.0,
        "size": 1024,
        **changes,
    }


class CacheService:
    """An image service with a cache.

    :param older: whether the routes of the flavor ``cachemanagement`` are there.
    :param newer: whether the routes of ``image_cache_dir`` are there.
    :param secured: whether a token is wanted.
    """

    def __init__(self, *, older: bool = True, newer: bool = True, secured: bool = False) -> None:
        self.older = older
        self.newer = newer
        self.secured = secured
        self.cached: dict[str, dict[str, Any]] = {}
        self.queued: list[str] = []
        #: Those that the newer routes know.
        self.images = {ONE, TWO, THREE}
        self.tokens: set[str] = set()
        #: Names are in the domain ``default``.
        self.users = {"uma": PASSWORD}
        self.logins: list[dict[str, Any]] = []
        #: What was asked: method, path, token.
        self.seen: list[tuple[str, str, str | None]] = []
        #: Replies in place of what it would say, by path.
        self.replies: dict[str, Reply] = {}

    def have(self, *image_ids: str) -> None:
        """Have images cached."""
        self.queued = [image_id for image_id in self.queued if image_id not in image_ids]
        self.cached |= {image_id: entry(image_id) for image_id in image_ids}

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer a request.

        :param headers: by their names in lower case.
        """
        token = headers.get("x-auth-token")
        self.seen.append((method, path, token))
        if path in self.replies:
            return self.replies[path]
        if path == "/versions":
            return _json(200, {"versions": [{"id": "v2.18"}]})
        if path.startswith("/v3"):
            return self._identity(method, path, body)
        if self.secured and token not in self.tokens:
            return _error(401, "This server could not verify that you are authorized.")
        parts = path.split("/")[1:]
        if self.older and parts[1:2] in (["cached_images"], ["queued_images"]):
            return self._older(method, *parts[1:])
        if self.newer and parts[1:2] == ["cache"]:
            target = headers.get("x-image-cache-clear-target", "")
            return self._newer(method, target, *parts[2:])
        return _error(404, "The resource could not be found.")

    def _older(self, method: str, half: str, image_id: str | None = None) -> Reply:
        ours: Any = self.cached if half == "cached_images" else self.queued
        match method, image_id:
            case "GET", None:
                found = list(self.cached.values()) if ours is self.cached else self.queued
                return _json(200, {half: found})
            case "DELETE", None:
                count = len(ours)
                ours.clear()
                return _json(200, {"num_deleted": count})
            case "DELETE", str():
                self._drop(ours, image_id)
                return _json(200, None)
            case "PUT", str() if half == "queued_images":
                self._queue(image_id)
                return _json(200, None)
        return _error(404, "The resource could not be found.")

    def _newer(self, method: str, target: str, image_id: str | None = None) -> Reply:
        match method, image_id:
            case "GET", None:
                found = {"cached_images": list(self.cached.values()), "queued_images": self.queued}
                return _json(200, found)
            case "DELETE", None:
                if target not in ("", "cache", "queue"):
                    return _error(400, "No such target.")
                for name, ours in (("cache", self.cached), ("queue", self.queued)):
                    if target in ("", name):
                        ours.clear()  # type: ignore[attr-defined]
                return 204, {}, b""
        assert image_id is not None
        if image_id not in self.images | {*self.cached, *self.queued}:
            return _error(404, f"Image {image_id} not found.")
        if method == "PUT":
            self._queue(image_id)
            return 202, {}, b""
        self._drop(self.cached, image_id)
        self._drop(self.queued, image_id)
        return 204, {}, b""

    def _queue(self, image_id: str) -> None:
        if image_id not in self.cached and image_id not in self.queued:
            self.queued.append(image_id)

    def _drop(self, ours: Any, image_id: str) -> None:
        if ours is self.cached:
            ours.pop(image_id, None)
        elif image_id in ours:
            ours.remove(image_id)

    def _identity(self, method: str, path: str, body: bytes) -> Reply:
        if (method, path) != ("POST", "/v3/auth/tokens"):
            return _error(404, "No such thing.")
        auth = json.loads(body)["auth"]
        self.logins.append(auth)
        user = auth["identity"]["password"]["user"]
        good = user["domain"] == {"id": "default"}
        if not good or self.users.get(user["name"]) != user["password"]:
            return _error(401, f"The password {user['password']} is wrong.")
        token = f"canary-token-{len(self.logins)}"
        self.tokens.add(token)
        times = {
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": "2026-01-01T01:00:00.000000Z",
        }
        status, headers, described = _json(201, {"token": times})
        return status, {**headers, "X-Subject-Token": token}, described


def _json(status: int, document: Any) -> Reply:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


def _error(status: int, message: str) -> Reply:
    """Return an error as the original words it."""
    return _json(status, {"message": f"{message}<br /><br />\n\n\n", "code": status, "title": "T"})
