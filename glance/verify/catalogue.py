"""Walk the catalogue: is the data of every image where it should be, and as it should be.

What looks wrong on the way is only suspected. When the walk is over each suspect is looked at
again, with a look at the catalogue before and after: what a service did meanwhile, an upload or a
deletion, is thereby told from what is really wrong.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred, DeferredLock

from glance.db import verification
from glance.domain.image import Image, Location
from glance.domain.verification import SETTLED, Verdict, judge
from glance.stores.errors import BadLocation, UnknownStore
from glance.verify import state
from glance.verify.records import error_record, record
from glance.verify.settings import Tools
from glance.verify.state import Step
from glance.verify.together import together

#: Images read from the catalogue at a time.
PAGE: Final = 500

#: Seconds between two steps that are recorded.
EVERY: Final = 1.0

#: How often an image that changes under our eyes is looked at before it is let go.
TRIES: Final = 3


class Frontier:
    """Which images are done, when several are looked at side by side.

    :param done: those beyond the place up to which all are.
    """

    def __init__(self, done: set[str]) -> None:
        self._before = done
        self._open: dict[str, bool] = {}

    def begin(self, image_id: str) -> bool:
        """Note an image, in the order of the walk; return whether it is still to be done."""
        done = image_id in self._before
        self._open[image_id] = done
        return not done

    def finish(self, image_id: str) -> None:
        """Note that an image is done."""
        self._open[image_id] = True

    def passed(self) -> list[str]:
        """Return, and forget, the images up to which all are done."""
        passed = []
        for image_id, done in self._open.items():
            if not done:
                break
            passed.append(image_id)
        for image_id in passed:
            del self._open[image_id]
        return passed


class CatalogueWalk:
    """Looks at every image that should have data."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._frontier = Frontier(set())
        self._step = Step()
        self._saving = DeferredLock()
        self._fetching = DeferredLock()
        self._saved = 0.0
        self._page: list[Image] = []
        self._last = ""
        self._ended = False

    async def run(self) -> None:
        """Look at the images that have not been looked at yet."""
        tools = self._tools
        self._last = str(tools.state.meta.get("cursor", ""))
        self._frontier = Frontier(await tools.state.done())
        self._saved = tools.reactor.seconds()
        await together(self._work() for _ in range(tools.settings.parallel))
        await self._save()

    async def _work(self) -> None:
        tools = self._tools
        while (image := await self._next()) is not None:
            wanted = [place for place in image.locations if self.wants(place)]
            if wanted or not image.locations:
                self._note(image, [await tools.copies.look(image, place) for place in wanted])
            tools.state.counters["images"] += 1
            tools.progress.step()
            self._frontier.finish(image.id)
            self._step.done.append(image.id)
            if tools.reactor.seconds() - self._saved >= EVERY:
                await self._save()

    def wants(self, place: Location) -> bool:
        """Tell whether a location is in one of the stores that are asked for."""
        settings = self._tools.settings
        if settings.stores is None:
            return True
        try:
            store = self._tools.stores.for_url(place.url, place.store_id)
        except (UnknownStore, BadLocation):
            return settings.wants(place.store_id)
        return settings.wants(store.store_id)

    async def _next(self) -> Image | None:
        while True:
            while self._page:
                image = self._page.pop()
                if self._frontier.begin(image.id):
                    return image
            if self._ended:
                return None
            await self._fetching.run(lambda: Deferred.fromCoroutine(self._fetch()))

    async def _fetch(self) -> None:
        if self._page or self._ended:
            return
        tools = self._tools
        page = await tools.database.runReading(
            verification.thd_page, self._last, PAGE, tools.settings.images
        )
        if not page:
            self._ended = True
            return
        self._last = page[-1].id
        self._page = page[::-1]

    def _note(self, image: Image, verdicts: list[Verdict]) -> None:
        tools = self._tools
        tools.state.counters["copies"] += len(verdicts)
        for verdict in verdicts:
            tools.state.counters[f"copies/{verdict.store}"] += 1
            tools.state.counters["bytes"] += verdict.read
        if any(verdict.error for verdict in verdicts) or judge(image, verdicts):
            tools.progress.suspect()
            self._step.suspects.append((state.IMAGE, image.id, None))

    async def _save(self) -> None:
        await self._saving.run(lambda: Deferred.fromCoroutine(self._save_now()))

    async def _save_now(self) -> None:
        step, self._step = self._step, Step()
        step.passed = self._frontier.passed()
        if step.passed:
            step.meta["cursor"] = step.passed[-1]
            step.done = sorted(set(step.done) - set(step.passed))
        self._saved = self._tools.reactor.seconds()
        await self._tools.state.save(step)


class Suspects:
    """Looks at images again that looked wrong."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def run(self) -> None:
        """Settle every suspect: it is a finding, or it is none."""
        tools = self._tools
        total = await tools.state.count(state.IMAGE)
        if not total:
            return
        tools.progress.stage("Looking again at images", total)
        after = ""
        while page := await tools.state.suspects(state.IMAGE, after, tools.settings.parallel):
            after = page[-1][1]
            settled = Step(settled=[number for number, _, _ in page])
            for step in await together(self._settle(subject) for _, subject, _ in page):
                settled.findings += step.findings
                settled.errors += step.errors
            await tools.state.save(settled)
            tools.progress.step(len(page))

    async def _settle(self, image_id: str) -> Step:
        seen = await self.look(image_id)
        if seen is None:
            return Step()
        image, verdicts = seen
        # All its copies were looked at, since what is to be done depends on all of them.
        wants = self._tools.settings.wants
        errors = [
            error_record(verdict.error, verdict.store, image_id, verdict.location)
            for verdict in verdicts
            if verdict.error and wants(verdict.store)
        ]
        findings = [record(each) for each in judge(image, verdicts) if wants(each.store)]
        return Step(findings=findings, errors=errors)

    async def look(self, image_id: str) -> tuple[Image, list[Verdict]] | None:
        """Look at an image and its copies while nobody changes it.

        :returns: ``None`` where that is not to be had: it is gone, or somebody is at work on it.
        """
        tools = self._tools
        before = await self._image(image_id)
        for _ in range(TRIES):
            if before is None:
                return None
            verdicts = [await tools.copies.look(before, place) for place in before.locations]
            after = await self._image(image_id)
            if after is not None and verification.same(before, after):
                return before, verdicts
            before = after
        tools.state.counters["busy"] += 1
        return None

    async def _image(self, image_id: str) -> Image | None:
        tools = self._tools
        look = await tools.database.runReading(verification.thd_look, [image_id])
        image = look.images.get(image_id)
        if image is None or image.status not in SETTLED:
            return None
        if image_id in look.busy:
            tools.state.counters["busy"] += 1
            return None
        return image
