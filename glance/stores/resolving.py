"""From a host's name to addresses, once: what is judged is what is connected to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredSemaphore, succeed
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from zope.interface import implementer

from glance.domain.urifilter import Target

#: Names resolved at a time. Each takes a thread of the reactor's own for as long as the name's
#: server likes, and whoever gives us URLs may be that server; others need threads too.
MOST = 4


class Names:
    """Finds the addresses of hosts."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._turns = DeferredSemaphore(MOST)

    def resolve(self, target: Target) -> Deferred[list[Any]]:
        """Find the addresses of a host; it has none if it cannot be found.

        May be cancelled; the resolution itself then goes on, and keeps its turn until it ends.
        """
        if target.address is not None:
            kind = IPv4Address if target.address.version == 4 else IPv6Address
            return succeed([kind("TCP", target.host, target.port)])
        answer: Deferred[list[Any]] = Deferred()

        def begin() -> Deferred[list[IAddress]]:
            receiver = _Receiver()
            if answer.called:
                receiver.resolutionComplete()
            else:
                resolver = self._reactor.nameResolver
                resolver.resolveHostName(receiver, target.host, target.port)
            return receiver.done

        self._turns.run(begin).chainDeferred(answer)
        return answer


@implementer(IResolutionReceiver)
class _Receiver:
    """Collects the addresses of a host."""

    def __init__(self) -> None:
        self.done: Deferred[list[IAddress]] = Deferred()
        self._found: list[IAddress] = []

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        """Do nothing: a resolution cannot be stopped anyway."""

    def addressResolved(self, address: IAddress) -> None:
        """Note an address."""
        self._found.append(address)

    def resolutionComplete(self) -> None:
        """Give what was found."""
        self.done.callback(self._found)


@implementer(IReactorPluggableNameResolver, IHostnameResolver, IHostResolution)
class PinnedReactor:
    """A reactor to which every host has the addresses that were judged.

    :class:`HostnameEndpoint` tries them side by side, and gets them in no other way than this.
    """

    def __init__(self, reactor: Any, addresses: Sequence[IAddress]) -> None:
        self._reactor = reactor
        self._addresses = addresses
        self.nameResolver = self
        self.name = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Refuse: nothing else shall be asked."""
        raise NotImplementedError

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Give the addresses."""
        resolutionReceiver.resolutionBegan(self)
        for address in self._addresses:
            resolutionReceiver.addressResolved(address)
        resolutionReceiver.resolutionComplete()
        return self

    def cancel(self) -> None:
        """Do nothing: it is done."""
