"""The two sides of a run, as the configuration has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glance.remote.images import RemoteImages
from glance.remote.side import Pace, Side, connect_images
from glance.replicate.dump_source import DumpSource
from glance.replicate.dump_target import DumpTarget
from glance.replicate.interfaces import Source, Target
from glance.replicate.service_source import ServiceSource
from glance.replicate.service_target import ServiceTarget
from glance.services.replicator_job import Job


class Sides:
    """Makes them when they are first asked for: a catalogue may have to say where a service is.

    :param job: which they are.
    :param reactor: the reactor.
    """

    def __init__(self, job: Job, reactor: Any) -> None:
        self._job = job
        self._reactor = reactor
        self._pace = Pace(job.seconds, job.seconds, job.chunk)
        self._images: dict[Side, RemoteImages] = {}
        self._dumps: list[DumpSource | DumpTarget] = []

    async def source(self) -> Source:
        """Return the source, for one run.

        :raises GlanceError: nobody tells where it is.
        """
        place = self._job.source
        if isinstance(place, Path):
            return self._kept(DumpSource(str(place), self._reactor, chunksize=self._job.chunk))
        return ServiceSource(await self._images_of(place))

    async def target(self) -> Target:
        """Return the target, for one run.

        :raises GlanceError: nobody tells where it is.
        """
        place, plan = self._job.target, self._job.plan
        assert place is not None
        if isinstance(place, Path):
            return self._kept(DumpTarget(str(place), plan, self._reactor))
        return ServiceTarget(await self._images_of(place), plan)
