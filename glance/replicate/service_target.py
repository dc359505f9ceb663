"""An image service that images go to.

An id that was deleted can never be used again, so nothing that is half done is ever deleted here:
an image without its data stays ``queued``, and whoever comes next goes on with it. Each step looks
at what there is and does what is missing, so it may be done again at any time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from glance.remote.digests import content_digest
from glance.remote.errors import Absent, Answered, NotAllowed, RemoteError
from glance.remote.images import RemoteImages
from glance.replicate.counting import Counted
from glance.replicate.difference import (
    Difference,
    compare_records,
    to_patch,
)
from glance.replicate.documents import creation_body, without
from glance.replicate.errors import WrongData
from glance.replicate.interfaces import Moved, Source
from glance.replicate.outcome import ACTIVE, Deed, Outcome, Vanished
from glance.replicate.plan import Plan, ignored
from glance.replicate.proving import Proving
from glance.replicate.record import ImageRecord
from glance.replicate.retrying import Passing
from glance.replicate.service_members import share
from glance.replicate.service_records import list_records, look

QUEUED = "queued"
DEACTIVATED = "deactivated"
#: Somebody gives the image its data right now, perhaps a run of ours that was cut off.
_BUSY = frozenset({"saving", "importing", "uploading"})

_CONFLICT = 409
