"""Do what findings call for, each by compare-and-swap, after a last look.

Services go on meanwhile. A change of the catalogue is made only if the image is as it was verified,
with nobody at work on it; an object is taken out of its store only under a lease that keeps
everybody from bringing data under its name, and if it still is the one that was found.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from glance.db import leases, verification
from glance.domain.errors import GlanceError
from glance.domain.image import DEACTIVATED, Image
from glance.domain.verification import (
    DAMAGE,
    DEACTIVATE,
    DROP,
    FILL_IN,
    LEFTOVER,
    MISSING_DATA,
    NO_HASH,
    ORPHAN,
    SET_ASIDE,
    STRIKE_OFF,
    Finding,
    Verdict,
    judge,
    too_many,
)
from glance.stores.interfaces import Held
from glance.verify.catalogue import Suspects
from glance.verify.objects import REFERENCES, Strays, keys_in
from glance.verify.records import DONE, FAILED, NONE, PLANNED, REFUSED
from glance.verify.settings import Tools

#: Findings dealt with at a time.
PAGE: Final = 100

#: Rows of locations before the last one seen that are looked at again: of transactions that were
#: under way then, some may have had smaller numbers.
SLACK: Final = 1000

_TOO_MANY: Final = (
    "so much of what is in the store is wrong that something else must be, such as a directory "
    "that is not mounted or another database; --force repairs all the same"
)
_BARREN: Final = (
    "there is nothing at all where the data should be; is a file system not mounted? --force "
    "repairs all the same"
)


class Repairer:
    """Repairs, or says what it would.

    :param suspects: looks at images.
    :param strays: looks at objects.
    """

    def __init__(
        self, tools: Tools, suspects: Suspects, strays: Strays, holdings: dict[str, Any]
    ) -> None:
        self._tools = tools
        self._suspects = suspects
        self._strays = strays
        self._holdings = holdings
        self._refused: dict[str, set[str | None]] = {}

    async def run(self) -> None:
        """Deal with every finding that has not been dealt with."""
        tools = self._tools
        self._refused = await self._too_many()
        tools.progress.stage("Repairing" if tools.settings.really else "Planning repairs")
        after = 0
        while page := await tools.state.findings(after, PAGE):
            after = page[-1][0]
            for number, data in page:
                if data["repair"]["outcome"] not in (NONE, DONE):
                    outcome, detail = await self._deal_with(data)
                    data["repair"] |= {"outcome": outcome, "detail": detail}
                    # One by one: what was done is known, whatever comes next.
                    await tools.state.change([(number, data)])
                tools.progress.step()

    async def _too_many(self) -> dict[str, set[str | None]]:
        """Return the stores, by kind of repair, in which too much is wrong to be believed."""
        if self._tools.settings.force:
            return {}
        counters = self._tools.state.counters
        damaged: Counter[str] = Counter()
        after = 0
        while page := await self._tools.state.findings(after, PAGE):
            after = page[-1][0]
            for _, data in page:
                side = _side(data["kind"])
                if side is not None:
                    damaged[f"{side}/{data['store']}"] += 1
        refused: dict[str, set[str | None]] = {"copies": set(), "objects": set()}
        for name, count in damaged.items():
            side, _, store_id = name.partition("/")
            if too_many(count, counters[name]):
                refused[side].add(store_id)
        return refused

    async def _deal_with(self, data: dict[str, Any]) -> tuple[str, str | None]:
        if data["store"] in self._refused.get(_side(data["kind"]) or "", ()):
            return REFUSED, _TOO_MANY
        try:
            if data["kind"] == MISSING_DATA and await self._is_barren(data):
                return REFUSED, _BARREN
            if not self._tools.settings.really:
                return PLANNED, None
            if data["kind"] in (ORPHAN, LEFTOVER):
                return await self._repair_object(data)
            return await self._repair_image(data)
        except GlanceError as error:
            return FAILED, error.message

    async def _is_barren(self, data: dict[str, Any]) -> bool:
        """Tell whether there is no sign that the place of missing data is what it should be."""
        tools = self._tools
        holdings = self._holdings.get(data["store"])
        if holdings is None or tools.settings.force:
            return False
        look = await tools.database.runReading(verification.thd_look, [data["image"]])
        image = look.images.get(data["image"])
        places = [] if image is None else image.locations
        urls = [place.url for place in places if place.id == data["location"]]
        return bool(urls and await holdings.is_barren(urls[0]))

    async def _repair_image(self, data: dict[str, Any]) -> tuple[str, str | None]:
        seen = await self._suspects.look(data["image"])
        if seen is None:
            return REFUSED, "the image is gone, or somebody is at work on it"
        image, verdicts = seen
        finding = _again(data, judge(image, verdicts))
        if finding is None:
            return REFUSED, "it is not so any more"
        action = finding.action
        if action == STRIKE_OFF:
            done = await self._tools.database.runInteraction(
                verification.thd_strike_off, image, [data["location"]]
            )
            detail = "its data stays where it is, if there is any; nothing refers to it now"
        elif action == DEACTIVATE:
            done = await self._tools.database.runInteraction(verification.thd_deactivate, image)
            detail = "to make it whole, give it data from elsewhere and activate it again"
        elif action == FILL_IN:
            done = await self._fill_in(image, verdicts)
            detail = None
        elif data["repair"]["action"] == DEACTIVATE and image.status == DEACTIVATED:
            # Of several findings of one image, the first has had it deactivated.
            return DONE, finding.reason
        else:
            return REFUSED, finding.reason
        data["repair"]["action"] = action
        return (DONE, detail) if done else (REFUSED, "the image was changed meanwhile")

    async def _fill_in(self, image: Image, verdicts: list[Verdict]) -> bool:
        digests = next(verdict.digests for verdict in verdicts if verdict.digests is not None)
        values = {
            "os_hash_algo": digests.algorithm,
            "os_hash_value": digests.value,
            "checksum": digests.checksum,
        }
        return await self._tools.database.runInteraction(verification.thd_fill_in, image, values)

    async def _repair_object(self, data: dict[str, Any]) -> tuple[str, str | None]:
        thing = data["held"]
        holdings = self._holdings.get(thing["store"])
        if holdings is None:
            return REFUSED, "the store is not configured any more"
        held = Held(**{name: thing[name] for name in Held.__slots__})
        if data["repair"]["action"] == DROP:
            if await holdings.drop_leftover(held):
                return DONE, None
            return REFUSED, "somebody is at work on it"
        who = self._tools.identity
        lease = await self._tools.database.runInteraction(
            verification.thd_hold, held.name, who.node, who.worker
        )
        if lease is None:
            return REFUSED, "somebody is at work on the image of that name"
        try:
            return await self._set_aside(holdings, held, thing)
        finally:
            await self._tools.database.runInteraction(leases.thd_end, lease)

    async def _set_aside(
        self, holdings: Any, held: Held, thing: dict[str, Any]
    ) -> tuple[str, str | None]:
        tools = self._tools
        look = await tools.database.runReading(verification.thd_look, [held.name])
        # The only lease is ours.
        look = verification.Look(frozenset(), look.images, look.statuses, look.urls)
        finding = await self._strays.judge(thing, look)
        if finding is None or await self._referred(holdings, held):
            return REFUSED, "it is not so any more"
        if finding.action != SET_ASIDE:
            return REFUSED, finding.reason
        place = await holdings.set_aside(held)
        if await self._referred(holdings, held):
            # An image was given it at the very last moment.
            await holdings.put_back(held, place)
            return REFUSED, "an image was given the data meanwhile"
        return DONE, f"it is {place} now"

    async def _referred(self, holdings: Any, held: Held) -> bool:
        """Tell whether a location that came since all were looked at refers to an object."""
        tools = self._tools
        after = max(0, int(tools.state.meta.get("referred", 0)) - SLACK)
        while page := await tools.database.runReading(
            verification.thd_references, after, REFERENCES
        ):
            after = page[-1][0]
            if held.key in keys_in(await holdings.keys_of([url for _, url in page])):
                return True
        return False


def _side(kind: str) -> str | None:
    """Return which of the counters a finding is to be held against."""
    return "copies" if kind in DAMAGE else "objects" if kind == ORPHAN else None


def _again(data: dict[str, Any], findings: list[Finding]) -> Finding | None:
    """Find a finding among those of a later look."""
    for finding in findings:
        same_place = finding.location == data["location"] or finding.kind == NO_HASH
        if finding.kind == data["kind"] and same_place:
            return finding
    return None
