"""Work through the cache's queue once: for ``glance-cache-prefetcher``."""

from __future__ import annotations

import sys
from typing import Any

from glance.cache.prefetched import Prefetched, Standing
from glance.config import Loaded
from glance.services.cache_filling import FillWork
from glance.services.cache_once import run_once, thd_speak
from glance.services.telling import Voices
from glance.stores.registry import Stores
from glance.verify.progress import Progress


class Teller:
    """Tells whoever looks how far a pass is.

    :param progress: shows it.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._before = Standing(0, 0, 0, 0)

    def tell(self, now: Standing) -> None:
        """Show how far it is."""
        before, self._before = self._before, now
        if (now.total, now.size) != (before.total, before.size):
            self._progress.stage("Caching", now.total, now.done)
            self._progress.expect_bytes(now.written, now.size)
        else:
            self._progress.step(now.done - before.done)
            self._progress.read(now.written - before.written)


def prefetch_once(loaded: Loaded) -> int:
    """Fetch what is queued.

    :returns: the exit code.
    :raises ConfigError: it is not possible so.
    """
    from twisted.internet import reactor

    voices = thd_speak(loaded)
    stores = Stores(loaded.conf, reactor, make_directories=False)
    progress = Progress(reactor, sys.stderr if sys.stderr.isatty() else None)

    def complain(image_id: str, reason: str) -> None:
        progress.wipe()
        voices.complain(f"Image {image_id} stays queued: {reason.rstrip('.')}.")

    def make(reactor: Any) -> FillWork:
        report = Teller(progress).tell if sys.stderr.isatty() else None
        return FillWork(loaded.conf, reactor, stores, voices.say, report=report, complain=complain)

    async def fetch(work: FillWork) -> bool:
        progress.start()
        try:
            done = await work.prefetcher.run()
        finally:
            progress.stop()
        return _sum_up(done, voices)

    return run_once(make, fetch, voices.complain)


def _sum_up(done: Prefetched, voices: Voices) -> bool:
    if done.seen:
        (voices.complain if done.left else voices.say)(done.line())
    elif not done.elsewhere:
        voices.mention(done.line())
    if done.elsewhere:
        voices.mention("Another process of this node is at it: it caches what is queued.")
    return not done.left
