"""What each owner's images may take together: the same for all, or what Keystone says of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, TimeoutError, gatherResults, succeed
from twisted.logger import Logger
from zope.interface import Interface, implementer

from glance.config.options.limits import GROUP
from glance.domain.errors import Conflict, Unavailable
from glance.domain.quotas import NO_LIMITS, UNIFIED, OtherOwner, OwnerLimits, parse_bytes
from glance.identity.credentials import check_url, read_credentials
from glance.identity.discovery import is_versioned
from glance.identity.http import ATTEMPT_TIME, CallFailed, HttpCaller, make_treq
from glance.identity.memory import Memory
from glance.identity.outage import Outage
from glance.identity.session import IDENTITY, ServiceSession
from glance.identity.singleflight import SingleFlight
from glance.identity.timing import limited
from glance.identity.tls import ClientTLS, Files
from glance.identity.unified import Endpoint, UnifiedLimits

T = TypeVar("T")

#: How often an image may change hands while its owner's limits are looked up.
_ATTEMPTS = 5

#: Projects whose limits a process remembers.
MOST_PROJECTS = 10_000

#: Seconds after which a request is answered whose limits Keystone does not tell.
WHOLE_TIME = 30.0

#: The key of what is registered for all projects; no project's id is empty.
_ALL = b""


class IOwnerLimits(Interface):
    """Knows the limits of owners."""

    def of(owner: str | None) -> Deferred[OwnerLimits]:
        """Return an owner's limits.

        :param owner: a project; ``None`` for images without owner.
        :raises Unavailable: nobody can tell them now.
        """

    def start() -> None:
        """Get ready; faults of the configuration that show only now are logged."""

    def stop() -> Deferred[None]:
        """Break off what is under way."""


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

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> Deferred[None]:
        """Do nothing."""
        return succeed(None)


@implementer(IOwnerLimits)
class KeystoneLimits:
    """Limits that Keystone has for each project; remembered for a short while.

    Images without owner are nobody's, and so not limited.

    :param reactor: the reactor; only its clock is used.
    :param unified: reads them.
    :param cache_time: seconds for which they are remembered; 0 for not at all.
    :param close: closes connections.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        unified: UnifiedLimits,
        *,
        cache_time: float,
        close: Callable[[], Deferred[None]],
    ) -> None:
        self._reactor = reactor
        self._unified = unified
        self._cache_time = cache_time
        self._close = close
        self._known: Memory[dict[str, int]] = Memory(MOST_PROJECTS, reactor.seconds)
        self._flights: SingleFlight[bytes, dict[str, int]] = SingleFlight()
        self._outage = Outage("Keystone's limits", reactor)

    def start(self) -> None:
        """Find out now what would otherwise be found out by the first upload."""
        self._get(_ALL, self._unified.registered).addCallbacks(
            self._look, lambda failure: failure.trap(Unavailable) and None
        )

    def _look(self, registered: dict[str, int]) -> None:
        missing = [name for name in UNIFIED if name not in registered]
        if missing:
            self._log.warn(
                "Keystone has no registered limit {names} for this service: where a project has "
                "none of its own, nothing is allowed",
                names=", ".join(missing),
            )

    def stop(self) -> Deferred[None]:
        """Break off what is under way, and close the connections."""
        self._flights.fail_all(Unavailable("The service is stopping."))
        self._unified.stop()
        return self._close()

    def of(self, owner: str | None) -> Deferred[OwnerLimits]:
        """Return a project's limits."""
        if not owner:
            return succeed(OwnerLimits(owner))
        both = gatherResults(
            [
                self._get(_ALL, self._unified.registered),
                self._get(owner.encode(), lambda: self._unified.of_project(owner)),
            ],
            consumeErrors=True,
        )
        return both.addCallbacks(
            lambda found: OwnerLimits.of_project(owner, {**found[0], **found[1]}),
            lambda failure: failure.value.subFailure,
        )

    def _get(self, key: bytes, ask: Callable[[], Any]) -> Deferred[dict[str, int]]:
        known = self._known.get(key)
        if known is not None:
            return succeed(known)
        return self._flights.run(key, lambda: self._read(key, ask))

    async def _read(self, key: bytes, ask: Callable[[], Any]) -> dict[str, int]:
        try:
            asked: Deferred[dict[str, int]] = Deferred.fromCoroutine(ask())
            found = await limited(asked, WHOLE_TIME, self._reactor)
        except (CallFailed, TimeoutError) as error:
            self._outage.failed(str(error))
            raise Unavailable(
                "The project's quota is kept by the identity service, which does not tell it now; "
                "try again."
            ) from None
        self._outage.answered()
        self._known.put(key, found, self._cache_time)
        return found


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


def make_limits(conf: Any, reactor: Any) -> IOwnerLimits:
    """Make what knows the limits, as ``use_keystone_limits`` and ``user_storage_quota`` say.

    Nothing here reaches for the network.

    :param conf: the options.
    :raises ConfigError: the options cannot be followed.
    """
    if not conf.use_keystone_limits:
        return SameForAll(parse_bytes(conf.user_storage_quota))
    options = conf[GROUP]
    credentials = read_credentials(conf, GROUP)
    attempt_time = options.timeout or ATTEMPT_TIME
    files = Files(
        GROUP,
        ("cafile", options.cafile),
        ("certfile", options.certfile),
        ("keyfile", options.keyfile),
    )
    treq, pool = make_treq(reactor, ClientTLS(files, insecure=options.insecure), attempt_time)
    session = ServiceSession(
        reactor,
        HttpCaller(reactor, treq, attempt_time=attempt_time),
        credentials,
        interface=next(iter(options.valid_interfaces or ()), "public"),
        region=options.region_name or None,
    )
    target = IDENTITY
    if options.endpoint_override:
        target = check_url(options.endpoint_override, f"[{GROUP}] endpoint_override")
        target = target if is_versioned(target) else f"{target}/v3"
    name = options.endpoint_service_name or None
    endpoint = Endpoint(
        options.endpoint_id or None,
        options.endpoint_service_type or (None if name else "image"),
        name,
        options.endpoint_region_name or None,
        options.endpoint_interface.removesuffix("URL"),
    )
    return KeystoneLimits(
        reactor,
        UnifiedLimits(reactor, session, endpoint, target),
        cache_time=conf.keystone_limits_cache_time,
        close=pool.closeCachedConnections,
    )
