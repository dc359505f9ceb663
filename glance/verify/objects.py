"""Walk the stores: does an image refer to everything that they hold.

An object is named after its image, so most are explained by the rows of the image of that name.
What is left is compared with all the locations there are, since an image may be given data of any
name; and what is then left, with what the catalogue says in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from glance.db import verification
from glance.db.verification import Look
from glance.domain.image import is_readable
from glance.domain.verification import ARRIVING, Finding, judge_object
from glance.stores.errors import StoreError
from glance.stores.interfaces import LEFTOVER, OBJECT, Held, IListable
from glance.verify import state
from glance.verify.records import error_record, record
from glance.verify.settings import Tools
from glance.verify.state import Step

#: Objects compared with the catalogue at a time, and locations with the objects that are left.
PAGE: Final = 1000
REFERENCES: Final = 2000


def holdings_of(tools: Tools) -> dict[str, Any]:
    """Return, by store, what tells of what the stores that are asked for hold; some cannot."""
    found: dict[str, Any] = {}
    for store in tools.stores.all():
        store_id = store.store_id
        if tools.settings.wants(store_id) and IListable.providedBy(store):
            found[store_id] = store.holdings()
    return found


class ObjectWalk:
    """Looks at everything that stores hold."""

    def __init__(self, tools: Tools, holdings: dict[str, Any]) -> None:
        self._tools = tools
        self._holdings = holdings

    async def run(self) -> None:
        """Look at what has not been looked at yet."""
        tools = self._tools
        walked: dict[str, str | None] = dict(tools.state.meta.get("walked") or {})
        for store_id, holdings in self._holdings.items():
            after = walked.get(store_id, "")
            if after is None:
                continue
            tools.progress.stage(
                f"Looking at what store {store_id} holds",
                done=tools.state.counters[f"objects/{store_id}"],
            )
            try:
                while page := await holdings.page(after, PAGE):
                    after = walked[store_id] = page[-1].key
                    step = await self._compare(store_id, holdings, page)
                    step.meta["walked"] = walked
                    await tools.state.save(step)
            except StoreError as error:
                failed = error_record(error.message, store_id, None, None)
                await tools.state.save(Step(errors=[failed]))
            walked[store_id] = None
            await tools.state.save(Step(meta={"walked": walked}))

    async def _compare(self, store_id: str, holdings: Any, page: Sequence[Held]) -> Step:
        tools = self._tools
        wanted = tools.settings.images
        if wanted is not None:
            page = [held for held in page if held.kind == OBJECT and held.name in wanted]
        explained = await self._explained(holdings, page)
        left = [held for held in page if held.key not in explained]
        counters = tools.state.counters
        for name in ("objects", f"objects/{store_id}"):
            counters[name] += len(page)
        tools.progress.step(len(page))
        tools.progress.suspect(len(left))
        return Step(
            suspects=[
                (state.OBJECT, held.key, {"store": store_id, **asdict(held)}) for held in left
            ]
        )

    async def _explained(self, holdings: Any, page: Sequence[Held]) -> set[str]:
        names = [held.name for held in page if held.kind == OBJECT]
        if not names:
            return set()
        look = await self._tools.database.runReading(verification.thd_urls, names)
        return keys_in(await holdings.keys_of(look))


def keys_in(keys: Sequence[Sequence[str]]) -> set[str]:
    """Return all keys of several URLs."""
    return {key for several in keys for key in several}


class Strays:
    """Looks again at what no image seemed to refer to."""

    def __init__(self, tools: Tools, holdings: dict[str, Any]) -> None:
        self._tools = tools
        self._holdings = holdings

    async def run(self) -> None:
        """Settle every suspect: it is a finding, or it is none."""
        tools = self._tools
        total = await tools.state.count(state.OBJECT)
        if not total:
            return
        await self._refer()
        total = await tools.state.count(state.OBJECT)
        tools.progress.stage("Looking again at data without an image", total)
        after = ""
        while page := await tools.state.suspects(state.OBJECT, after, PAGE):
            after = page[-1][1]
            step = await self._settle([data for _, _, data in page])
            step.settled = [number for number, _, _ in page]
            await tools.state.save(step)
            tools.progress.step(len(page))

    async def _refer(self) -> None:
        """Let go of what any location refers to, whatever its name, image and store."""
        tools = self._tools
        tools.progress.stage("Looking at all locations")
        after = unreadable = 0
        while page := await tools.database.runReading(
            verification.thd_references, after, REFERENCES
        ):
            after = page[-1][0]
            urls = [url for _, url in page]
            # One that is encrypted with a key that we do not have may refer to anything.
            unreadable += sum(not is_readable(url) for url in urls)
            for holdings in self._holdings.values():
                keys = keys_in(await holdings.keys_of(urls))
                await tools.state.clear(state.OBJECT, sorted(keys))
            tools.progress.step(len(page))
        await tools.state.save(Step(meta={"referred": after, "unreadable": unreadable}))

    async def _settle(self, suspects: Sequence[dict[str, Any]]) -> Step:
        tools = self._tools
        look = await tools.database.runReading(
            verification.thd_look, sorted({data["name"] for data in suspects})
        )
        step = Step()
        for data in suspects:
            try:
                finding = await self.judge(data, look)
            except StoreError as error:
                failed = error_record(error.message, data["store"], None, None)
                step.errors.append(failed)
                continue
            if finding is not None:
                step.findings.append({**record(finding), "held": data})
        return step

    async def judge(self, data: dict[str, Any], look: Look) -> Finding | None:
        """Say what something is; ``None`` if it is as it should be, or somebody is at work on it.

        :param data: what was recorded of it.
        :param look: what the catalogue says now.
        """
        tools = self._tools
        store_id, name = data["store"], data["name"]
        holdings = self._holdings.get(store_id)
        if holdings is None:
            return None
        status = look.statuses.get(name)
        if data["kind"] == OBJECT:
            arriving = name in look.images and status in ARRIVING
            if name in look.busy or arriving:
                tools.state.counters["busy"] += 1
                return None
            if data["key"] in keys_in(await holdings.keys_of(look.urls.get(name, []))):
                return None
        # After the catalogue: what a service has stored and taken back since is gone by now.
        held = await holdings.look(data["key"])
        if held is None or (held.mark, held.kind) != (data["mark"], data["kind"]):
            return None
        return judge_object(
            store_id,
            data,
            leftover=held.kind == LEFTOVER,
            foreign=held.kind not in (OBJECT, LEFTOVER),
            status=status,
            writable=bool(tools.stores.get(store_id).writable),
            unreadable=int(tools.state.meta.get("unreadable", 0)),
            age=tools.time() - held.modified,
            grace=tools.settings.grace,
        )
