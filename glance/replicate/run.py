"""A run over all images: the commands of the replicator, without what people type and see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from glance.replicate.interfaces import Source, Target
from glance.replicate.listening import Listener
from glance.replicate.outcome import Comparison, Size, Summary
from glance.replicate.plan import Plan
from glance.replicate.record import ImageRecord

#: Asked whether images that only the target has are to be deleted.
Confirm = Callable[[Sequence[ImageRecord]], Awaitable[bool]]


async def replicate(
    source: Source,
    target: Target,
    plan: Plan,
    reactor: Any,
    listener: Listener,
    confirm: Confirm | None = None,
) -> Summary:
    """Make the target's images what the source's are.

    Cancelling it stops all transfers at once; the summary of what was done by then is its result.

    :param reactor: the reactor; only its clock is used here.
    :param confirm: asked before extra images are deleted; without it they are.
    :raises SideLost: a side cannot be listed.
    """
    raise NotImplementedError


async def compare(
    source: Source, target: Target, plan: Plan, reactor: Any, listener: Listener
) -> Comparison:
    """Tell in what the target's images differ from the source's; nothing is changed.

    :raises SideLost: a side cannot be listed.
    """
    raise NotImplementedError


async def measure(source: Source, plan: Plan, reactor: Any) -> Size:
    """Tell how much data the images have.

    :raises SideLost: the side cannot be listed.
    """
    raise NotImplementedError
