"""The catalogue of endpoints that comes with a token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload
from weakref import WeakValueDictionary

import orjson


class Catalog(Sequence[Mapping[str, Any]]):
    """A catalogue, kept as the JSON that it came in.

    Few requests look into it, but every cached token has one; as text it takes a tenth of the
    memory, and tokens of one project share it (:class:`Catalogs`).

    :param raw: a JSON array in the form of the Identity API: services with ``type`` and
        ``endpoints``.
    """

    __slots__ = ("__weakref__", "raw")

    def __init__(self, raw: bytes = b"[]") -> None:
        self.raw = raw

    def __repr__(self) -> str:
        return f"<Catalog of {len(self.raw)} bytes>"

    def __len__(self) -> int:
        return len(self._services())

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self._services())

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._services()[index]

    def _services(self) -> list[Mapping[str, Any]]:
        services: list[Mapping[str, Any]] = orjson.loads(self.raw)
        return services


class Catalogs:
    """Keeps equal catalogues once."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[bytes, Catalog] = WeakValueDictionary()

    def get(self, services: Any) -> Catalog:
        """Return the catalogue of these services.

        :raises ValueError: that is no catalogue.
        """
        if not isinstance(services, list) or not all(isinstance(one, dict) for one in services):
            raise ValueError("the catalogue is not a list of services")
        raw = orjson.dumps(services)
        catalog = self._known.get(raw)
        if catalog is None:
            catalog = self._known[raw] = Catalog(raw)
        return catalog


def find_endpoint(
    catalog: Sequence[Mapping[str, Any]],
    service_type: str,
    interface: str,
    region: str | None = None,
) -> str | None:
    """Return the URL of a service's endpoint, or ``None`` where the catalogue has no such one.

    :param interface: ``internal``, ``public`` or ``admin``, with or without ``URL`` behind it.
    :param region: ``None`` for any.
    """
    interface = interface.removesuffix("URL")
    for service in catalog:
        endpoints = service.get("endpoints")
        if service.get("type") != service_type or not isinstance(endpoints, list):
            continue
        for endpoint in endpoints:
            if not isinstance(endpoint, dict) or endpoint.get("interface") != interface:
                continue
            if region is not None and region not in (
                endpoint.get("region_id"),
                endpoint.get("region"),
            ):
                continue
            url = endpoint.get("url")
            if isinstance(url, str) and url:
                return url
    return None
