"""A verification from its beginning to its end, or from where it was broken off."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from glance.db import verification
from glance.verify.catalogue import CatalogueWalk, Suspects
from glance.verify.objects import ObjectWalk, Strays, holdings_of
from glance.verify.repairs import Repairer
from glance.verify.settings import Tools
from glance.verify.state import StateError, Step

#: The parts, in their order; a state says which one is under way.
CATALOGUE: Final = "catalogue"
IMAGES: Final = "images"
OBJECTS: Final = "objects"
STRAYS: Final = "strays"
FOUND: Final = "found"
_NEXT: Final = {CATALOGUE: IMAGES, IMAGES: OBJECTS, OBJECTS: STRAYS, STRAYS: FOUND}


class Verification:
    """Walks catalogue and stores, settles what looked wrong, and repairs what is to be repaired.

    :param subject: tells what is verified; a state of something else is refused.
    """

    def __init__(self, tools: Tools, subject: Mapping[str, Any]) -> None:
        self._tools = tools
        self._subject = dict(subject)
        #: Whether an earlier run had begun with it.
        self.resumed = False

    async def run(self) -> None:
        """Do all of it.

        :raises StateError: the state is one of something else.
        """
        tools = self._tools
        await self._begin()
        holdings = holdings_of(tools)
        suspects, strays = Suspects(tools), Strays(tools, holdings)
        walks = {
            CATALOGUE: self._walk_catalogue,
            IMAGES: suspects.run,
            OBJECTS: ObjectWalk(tools, holdings).run,
            STRAYS: strays.run,
        }
        while (phase := tools.state.meta["phase"]) != FOUND:
            await walks[phase]()
            step = Step(meta={"phase": _NEXT[phase]})
            if _NEXT[phase] == FOUND:
                step.meta["finished"] = _now()
            await tools.state.save(step)
        if tools.settings.repair:
            await Repairer(tools, suspects, strays, holdings).run()
            if tools.settings.really:
                await tools.state.save(Step(meta={"repaired": _now()}))

    async def _begin(self) -> None:
        tools = self._tools
        meta = tools.state.meta
        over = meta.get("phase") == FOUND
        if "phase" in meta and not (over and (not tools.settings.repair or "repaired" in meta)):
            if meta["subject"] != self._subject:
                raise StateError(
                    f"--state: {tools.state.path} is of a verification with other options, or of "
                    "another database. Repeat its options, name another file, or remove it."
                )
            self.resumed = True
            found = "Going on with what was found by" if over else "Going on with"
            tools.progress.say(f"{found} the verification begun at {meta['started']}.")
            return
        await tools.state.begin(
            {"subject": self._subject, "started": _now(), "phase": CATALOGUE, "counters": {}}
        )

    async def _walk_catalogue(self) -> None:
        tools = self._tools
        count, size = await tools.database.runReading(verification.thd_count, tools.settings.images)
        if tools.settings.hashes:
            tools.progress.expect_bytes(tools.state.counters["bytes"], size)
        reading = "Reading" if tools.settings.hashes else "Looking at"
        tools.progress.stage(f"{reading} the data of images", count, tools.state.counters["images"])
        await CatalogueWalk(tools).run()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
