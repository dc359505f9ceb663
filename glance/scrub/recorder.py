"""Record what has been done to images, many at a time.

What piles up while one batch is being recorded is the next: a fast database gets small batches
often, a slow one large ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from glance.db.pending import Outcome, thd_settle
from glance.db.txdbapi import Database
from glance.scrub.lanes import Job

#: Images recorded at a time, at most.
BATCH = 200


class Recorder:
    """Records outcomes and lets go of the leases.

    :param recorded: called after each batch with how many images are finished by it.
    :ivar fault: why the database takes nothing more in this pass, if it does not.
    """

    def __init__(self, database: Database, recorded: Callable[[int], None]) -> None:
        self.fault: BaseException | None = None
        self._database = database
        self._recorded = recorded
        self._waiting: list[tuple[Outcome, Job]] = []
        self._busy = False

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing is left to be recorded."""
        return not (self._busy or self._waiting)

    def add(self, job: Job, *, whole: bool) -> None:
        """Have a job recorded.

        :param whole: whether nothing is left of its image's data.
        """
        claim = job.claim
        outcome = Outcome(claim.image_id, claim.lease, tuple(job.gone), whole)
        self._waiting.append((outcome, job))

    def flush(self) -> None:
        """Begin to record what there is, unless that is under way."""
        if self.fault is not None:
            # Leases that are not renewed end by themselves, and the data is missed by nobody.
            waiting, self._waiting = self._waiting, []
            for _, job in waiting:
                job.release()
        if self._busy or not self._waiting:
            return
        batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        self._busy = True
        settled = self._database.runInteraction(thd_settle, [outcome for outcome, _ in batch])
        settled.addBoth(self._done, [job for _, job in batch])

    def _done(self, result: Any, jobs: list[Job]) -> None:
        self._busy = False
        for job in jobs:
            job.release()
        if isinstance(result, Failure):
            self.fault = result.value
        self._recorded(0 if isinstance(result, Failure) else len(result))
        self.flush()
