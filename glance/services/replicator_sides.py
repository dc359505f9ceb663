"""The two sides of a run, as the configuration has them."""

from __future__ import annotations

from typing import Any

from glance.domain.errors import ConfigError, GlanceError
from glance.remote.images import RemoteImages
from glance.remote.side import Pace, Side, connect_images
from glance.replicate.dump_source import DumpSource
from glance.replicate.dump_target import DumpTarget
from glance.replicate.interfaces import Source, Target
from glance.replicate.outcome import SideLost
from glance.replicate.service_source import ServiceSource
from glance.replicate.service_target import ServiceTarget
from glance.services.replicator_job import Job


class Sides:
    """Makes them for one run after the other.

    What talks to a service is made once, when it is first needed: a catalogue may have to say where
    that is.

    :param job: which they are.
    :param reactor: the reactor.
    """

    def __init__(self, job: Job, reactor: Any) -> None:
        self._job = job
        self._reactor = reactor
        self._pace = Pace(job.seconds, job.seconds, job.chunk)
        self._images: dict[str, RemoteImages] = {}
        self._open: list[DumpSource | DumpTarget | ServiceTarget] = []

    async def source(self) -> Source:
        """Return the source for a run.

        :raises GlanceError: nobody tells where it is.
        """
        job = self._job
        if isinstance(job.source, Side):
            return ServiceSource(await self._connected(job.source))
        made = DumpSource(str(job.source), self._reactor, chunksize=job.chunk)
        self._open.append(made)
        return made

    async def target(self) -> Target:
        """Return the target for a run.

        :raises ConfigError: it is the source as well.
        :raises GlanceError: nobody tells where it is.
        """
        job, plan = self._job, self._job.plan
        if isinstance(job.target, Side):
            images = await self._connected(job.target)
            self._refuse_itself(images)
            service = ServiceTarget(images, plan, self._reactor)
            self._open.append(service)
            return service
        made = DumpTarget(
            str(job.target),
            self._reactor,
            chunksize=job.chunk,
            metaonly=plan.metaonly,
            dontreplicate=plan.dontreplicate,
        )
        self._open.append(made)
        return made

    async def close(self) -> None:
        """End a run: let go of directories and threads."""
        while self._open:
            await self._open.pop().close()

    def _refuse_itself(self, target: RemoteImages) -> None:
        """Have no service copied into itself.

        There would be nothing to do but to delete what the source's account does not see.
        """
        source = self._job.source
        if not self._job.command.changes or not isinstance(source, Side):
            return
        if (known := self._images.get(source.name)) and known.endpoint == target.endpoint:
            raise ConfigError(f"The source and the target are the same service, {target.place}.")

    async def _connected(self, side: Side) -> RemoteImages:
        if side.name not in self._images:
            try:
                self._images[side.name] = await connect_images(self._reactor, side, self._pace)
            except ConfigError:
                raise
            except GlanceError as error:
                raise SideLost(
                    f"{side.name.capitalize()} cannot be asked: {error.message}"
                ) from error
        return self._images[side.name]
