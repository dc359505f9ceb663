"""What each owner's images may take together: the same for all, or what Keystone says of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, succeed
from zope.interface import Interface, implementer

from glance.domain.errors import Conflict
from glance.domain.quotas import NO_LIMITS, OtherOwner, OwnerLimits

T = TypeVar("T")

#: How often an image may change hands while its owner's limits are looked up.
_ATTEMPTS = 5


class IOwnerLimits(Interface):
    """Knows the limits of owners."""

    def of(owner: str | None) -> Deferred[OwnerLimits]:
        """Return an owner's limits.

        :param owner: a project; ``None`` for images without owner.
        :raises Unavailable: nobody can tell them now.
        """


@implementer(IOwnerLimits)
class SameForAll:
    """Limits of the configuration.

    :param size_total: bytes of all images of one owner (``user_storage_quota``); 0 is no limit.
    """

    def __init__(self, size_total: int = 0) -> None:
        limits = OwnerLimits(of_all=True, size_total=size_total) if size_total else NO_LIMITS
        self._limits = limits

    def of(self, owner: str | None) -> Deferred[OwnerLimits]:
        """Return them."""
        return succeed(self._limits)


async def under_limits(
    limits: IOwnerLimits, owner: str | None, interact: Callable[[OwnerLimits], Deferred[T]]
) -> T:
    """Run an interaction that is bound by the limits of an image's owner.

    They are fetched before, since nothing is waited for in the middle of a transaction, and so for
    who the owner probably is; where it turns out to be another one, the interaction is run again.

    :param owner: most likely the image's owner: the caller's project.
    :param interact: starts the interaction, which raises :exc:`~glance.domain.quotas.OtherOwner`
        before it changes anything.
    """
    for _ in range(_ATTEMPTS):
        try:
            return await interact(await limits.of(owner))
        except OtherOwner as other:
            owner = other.owner
    raise Conflict("The image's owner changes all the time; try again.")
