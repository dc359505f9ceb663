"""Reading limits out of Keystone: what every project gets, and what single ones get instead.

Unified limits of the Identity API, version 3, under both of its enforcement models: a project's own
limit counts, and where it has none the one that is registered for all. Limits of domains are those
of what a domain itself owns and say nothing of its projects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from glance.identity.http import CallFailed
from glance.identity.session import IDENTITY, ServiceSession
from glance.identity.singleflight import SingleFlight

Entries = list[Mapping[str, Any]]

#: Seconds after which it is looked up again which service and region are ours.
PLACE_TIME = 600.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Which endpoint in Keystone is ours.

    :param endpoint_id: its id; where it is known the rest does not matter.
    :param service_type: type of its service.
    :param service_name: name of its service.
    :param region: its region.
    :param interface: ``public``, ``internal`` or ``admin``.
    """

    endpoint_id: str | None = None
    service_type: str | None = "image"
    service_name: str | None = None
    region: str | None = None
    interface: str = "public"


@dataclass(frozen=True, slots=True)
class Place:
    """What limits are registered for.

    :param region: ``None`` where endpoints have none.
    """

    service_id: str
    region: str | None


class UnifiedLimits:
    """Reads limits.

    :param reactor: the reactor; only its clock is used.
    :param session: logs in as one who may read everybody's limits.
    :param endpoint: ours.
    :param target: what the session is to ask: Keystone by its catalogue, or a URL.
    """

    def __init__(
        self, reactor: Any, session: ServiceSession, endpoint: Endpoint, target: str = IDENTITY
    ) -> None:
        self._reactor = reactor
        self._session = session
        self._endpoint = endpoint
        self._target = target
        self._place: Place | None = None
        self._place_until = 0.0
        self._places: SingleFlight[None, Place] = SingleFlight()

    async def place(self) -> Place:
        """Find out what our limits are registered for.

        :raises CallFailed: Keystone does not answer, or knows of no such endpoint.
        """
        if self._place is None or self._reactor.seconds() >= self._place_until:
            self._place = await self._places.run(None, self._find_place)
            self._place_until = self._reactor.seconds() + PLACE_TIME
        return self._place

    async def registered(self) -> dict[str, int]:
        """Return the limits of projects that have none of their own, by resource.

        :raises CallFailed: Keystone does not answer, or not as it should.
        """
        place = await self.place()
        params = {"service_id": place.service_id}
        entries = await self._list("registered_limits", params)
        return _chosen(entries, place, "default_limit")

    async def of_project(self, project_id: str) -> dict[str, int]:
        """Return the limits of its own that a project has, by resource.

        :raises CallFailed: Keystone does not answer, or not as it should.
        """
        place = await self.place()
        params = {"service_id": place.service_id, "project_id": project_id}
        entries = await self._list("limits", params)
        own = [entry for entry in entries if entry.get("project_id") == project_id]
        return _chosen(own, place, "resource_limit")

    def stop(self) -> None:
        """Break off what is under way."""
        self._places.fail_all(CallFailed("the service is stopping"))
        self._session.stop()

    async def _find_place(self) -> Place:
        ours = self._endpoint
        if ours.endpoint_id:
            document = await self._get(f"/endpoints/{ours.endpoint_id}", {})
            return _place_of([document.get("endpoint")])
        params = {"type": ours.service_type, "name": ours.service_name}
        services = await self._list("services", _set(params))
        if len(services) != 1:
            raise CallFailed(f"it has {len(services)} services of {_words(params)}")
        service_id = services[0].get("id")
        params = {
            "service_id": service_id, "interface": ours.interface, "region_id": ours.region,
        }  # fmt: skip
        return _place_of(await self._list("endpoints", _set(params)))

    async def _list(self, what: str, params: Mapping[str, str]) -> Entries:
        document = await self._get(f"/{what}", params)
        entries = document.get(what)
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise CallFailed(f"its answer has no {what}")
        return entries

    async def _get(self, path: str, params: Mapping[str, str]) -> Mapping[str, Any]:
        answer = await self._session.request("GET", self._target, path, params=params)
        if answer.status in (401, 403):
            raise CallFailed(
                f"the user of [oslo_limit] may not read {path} ({answer.status}); it needs the "
                "role reader on the system, and system_scope = all"
            )
        if answer.status != 200:
            raise CallFailed(f"it answers {answer.status} to {path}")
        document = answer.json()
        if not isinstance(document, dict):
            raise CallFailed(f"its answer to {path} is no object")
        return document


def _set(params: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in params.items() if value}


def _words(params: Mapping[str, str | None]) -> str:
    return " and ".join(f"{name} {value}" for name, value in _set(params).items())


def _place_of(endpoints: Iterable[Any]) -> Place:
    try:
        places = {Place(str(one["service_id"]), one.get("region_id")) for one in endpoints}
    except (KeyError, TypeError, AttributeError):
        raise CallFailed("its answer describes no endpoint") from None
    if not places:
        raise CallFailed("it has no such endpoint as [oslo_limit] describes")
    if len(places) > 1:
        raise CallFailed(
            "it has such endpoints in several regions; set [oslo_limit] endpoint_region_name"
        )
    return places.pop()


def _chosen(entries: Entries, place: Place, member: str) -> dict[str, int]:
    """Return the limits for a place: those for its region before those for all regions."""
    found: dict[str, int] = {}
    for region in (None, place.region):
        for entry in entries:
            if entry.get("service_id") == place.service_id and entry.get("region_id") == region:
                name, limit = entry.get("resource_name"), entry.get(member)
                if not isinstance(name, str) or type(limit) is not int:
                    raise CallFailed("its answer has a limit that is none")
                found[name] = limit
    return found
