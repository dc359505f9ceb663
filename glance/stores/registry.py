"""The stores of this process: made from the configuration, found by id or by URL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.config.options.store import backend_options
from glance.domain.image import Location, is_readable
from glance.stores import drivers, options
from glance.stores.errors import (
    BadLocation,
    BadStoreConfiguration,
    StoreError,
    UnknownStore,
)

RESERVED_PREFIX = "os_glance_"

#: Drivers that never write, whatever their configuration.
READ_ONLY = frozenset({"http"})

_STORE_KEYS = frozenset({"store", "backend"})

#: Seconds that the stores may take to start before their user goes on without them.
START_TIME = 10.0

_log = Logger()


def _driver(name: str) -> str:
    name = name.strip()
    return drivers.DRIVER_OF_SCHEME.get(name, name)


def is_read_only(store: Any) -> bool:
    """Tell whether a store can by its nature only be read."""
    return store.driver in READ_ONLY


class Stores:
    """The configured stores.

    With ``enabled_backends`` there is one store per entry, each with a section of its own; without
    it, one per driver in ``[glance_store] stores``, all reading ``[glance_store]``.

    :param conf: the loaded configuration.
    :param reactor: for the drivers.
    :param make_directories: make what is missing. Whoever only deletes must not: where a file
        system is not mounted, everything would seem to have been deleted already.
    :raises BadStoreConfiguration: the set of stores makes no sense, so nothing can start.
    """

    def __init__(self, conf: Any, reactor: Any, *, make_directories: bool = True) -> None:
        self.multiple = bool(conf.enabled_backends)
        self._stores: dict[str, Any] = {}
        if self.multiple:
            self._default_id = self._make_several(conf, reactor)
        else:
            self._default_id = self._make_single(conf, reactor)
        for store in self._stores.values():
            if hasattr(store, "makes_directories"):
                store.makes_directories = make_directories

    def _make_several(self, conf: Any, reactor: Any) -> str:
        defaults = options.DEFAULTS_GROUP
        for store_id, driver in conf.enabled_backends.items():
            if store_id.lower().startswith(RESERVED_PREFIX):
                raise BadStoreConfiguration(
                    f"[DEFAULT] enabled_backends: ids that begin with {RESERVED_PREFIX} are "
                    f"reserved; rename {store_id}."
                )
            factory = drivers.find(driver)
            if factory is None:
                raise BadStoreConfiguration(
                    f"[DEFAULT] enabled_backends: there is no driver {driver!r} for {store_id}."
                )
            for group in (defaults, store_id):
                options.register(conf, group, [*backend_options(), *factory.options()])
            section = options.Section(conf, store_id, defaults)
            own = [] if driver in READ_ONLY else [option.dest for option in factory.options()]
            if own and not section.has_any(own):
                _log.warn(
                    "Store {store}: no option of its driver is set in [{store}]; it uses the "
                    "defaults. Is the section there, and spelt right?",
                    store=store_id,
                )
            self._stores[store_id] = factory.make(store_id, section, reactor)
        default = conf.glance_store.default_backend
        if default not in self._stores:
            raise BadStoreConfiguration(
                "[glance_store] default_backend must name one of the stores in enabled_backends: "
                f"{', '.join(self._stores)}."
            )
        if is_read_only(self._stores[default]):
            _log.warn(
                "[glance_store] default_backend = {store} can only be read: uploads have to name "
                "another store.",
                store=default,
            )
        self._warn_of_shared_directories()
        return str(default)

    def _make_single(self, conf: Any, reactor: Any) -> str:
        missing = []
        for driver in dict.fromkeys(_driver(name) for name in conf.glance_store.stores):
            factory = drivers.find(driver)
            if factory is not None:
                options.register(conf, "glance_store", factory.options())
                section = options.Section(conf, "glance_store")
                self._stores[driver] = factory.make(driver, section, reactor)
            elif driver in drivers.KNOWN:
                missing.append(driver)
            else:
                raise BadStoreConfiguration(f"[glance_store] stores: no driver {driver!r}.")
        if missing:
            _log.info(
                "[glance_store] stores: no driver yet for {missing}; going on without.",
                missing=", ".join(missing),
            )
        scheme = conf.glance_store.default_store
        for store_id, store in self._stores.items():
            if scheme == store_id or scheme in store.schemes:
                return store_id
        raise BadStoreConfiguration(
            f"[glance_store] default_store is {scheme}, which none of the drivers in stores "
            f"provides; there are: {', '.join(self._stores) or 'none'}."
        )

    def _warn_of_shared_directories(self) -> None:
        seen: dict[str, str] = {}
        for store_id, store in self._stores.items():
            for path in getattr(store, "directories", ()):
                if path in seen:
                    _log.warn(
                        "Stores {one} and {other} share the directory {path}: an image can be in "
                        "only one of them.",
                        one=seen[path],
                        other=store_id,
                        path=path,
                    )
                seen[path] = store_id

    def start(self) -> Deferred[Any]:
        """Start every store; one that cannot be started stays, without writing."""

        def note(failure: Failure, store_id: str) -> None:
            failure.trap(BadStoreConfiguration, StoreError)
            _log.critical(
                "Store {store} takes no images for now: {error}",
                store=store_id,
                error=failure.getErrorMessage(),
            )

        return gatherResults(
            [s.start().addErrback(note, s.store_id) for s in self._stores.values()],
            consumeErrors=True,
        )

    def stop(self) -> Deferred[Any]:
        """Stop every store."""
        return gatherResults([s.stop() for s in self._stores.values()], consumeErrors=True)

    @property
    def default(self) -> Any:
        """The store for images whose uploader names none."""
        return self._stores[self._default_id]

    def all(self) -> list[Any]:
        """Return the stores in the order of the configuration."""
        return list(self._stores.values())

    def listed(self) -> list[Any]:
        """Return the stores that users are told of: all but those the service keeps for itself."""
        return [s for s in self.all() if not s.store_id.startswith(RESERVED_PREFIX)]

    def described(self, *, detail: bool = False) -> list[dict[str, Any]]:
        """Describe the stores for users, as the API reference does (``GET /v2/info/stores``).

        :param detail: with what only administrators are told.
        """
        return [self._description(store, detail) for store in self.listed()]

    def _description(self, store: Any, detail: bool) -> dict[str, Any]:
        description: dict[str, Any] = {"id": store.store_id}
        if store.description:
            description["description"] = store.description
        if store.store_id == self._default_id:
            description["default"] = "true"
        if is_read_only(store):
            description["read-only"] = "true"
        if detail:
            description["type"] = store.driver
            description["weight"] = store.weight
            description["properties"] = dict(store.properties())
        return description

    def get(self, store_id: str | None) -> Any:
        """Return a store by its id.

        :raises UnknownStore: there is none of that id.
        """
        if store_id is None or store_id not in self._stores:
            raise UnknownStore(f"There is no store {store_id!r}.")
        return self._stores[store_id]

    def for_url(self, url: str, store_id: str | None) -> Any:
        """Return the store that holds the data of a location.

        :param url: of the location.
        :param store_id: from the location's metadata, ``store`` or in older rows ``backend``. Where
            it is missing or not configured any more, the store that the URL lies inside is taken.
        :raises UnknownStore: none does. The message does not repeat the URL.
        :raises BadLocation: it is no URL: what the catalogue keeps could not be decrypted.
        """
        if not is_readable(url):
            raise BadLocation(
                "The catalogue's record of where the data is cannot be read; is [DEFAULT] "
                "metadata_encryption_key the one that it was written with?"
            )
        if store_id is not None and store_id in self._stores:
            return self._stores[store_id]
        for store in self._stores.values():
            if store.owns(url):
                return store
        if not self.multiple:
            scheme = url.partition(":")[0].lower()
            for store in self._stores.values():
                if scheme in store.schemes:
                    return store
        raise UnknownStore("No configured store holds the image's data.")

    def by_preference(
        self, locations: Iterable[Location], preferred: Sequence[str] = ()
    ) -> list[Location]:
        """Order the copies of an image's data: those in stores of greater weight first.

        Among equals the order stays as it is. A copy in no configured store comes last.

        :param preferred: ids of stores that come before all others, in this order.
        """
        found = list(locations)
        if len(found) > 1:
            found.sort(key=lambda location: self._rank(location, preferred))
        return found

    def _rank(self, location: Location, preferred: Sequence[str]) -> tuple[int, float]:
        try:
            store = self.for_url(location.url, location.store_id)
        except (UnknownStore, BadLocation):
            return len(preferred), inf
        before = preferred.index(store.store_id) if store.store_id in preferred else len(preferred)
        return before, -store.weight

    @property
    def schemes(self) -> frozenset[str]:
        """The URL schemes of the stores that users are told of."""
        return frozenset(scheme for store in self.listed() for scheme in store.schemes)

    def for_new(self, url: str) -> Any:
        """Return the store that a location given by a user belongs to.

        With several stores it is one that the URL lies inside, otherwise the one of its scheme. Of
        several the default comes first, then the one of greatest weight.

        :raises UnknownStore: there is none. The message does not repeat the URL.
        """
        scheme = url.partition(":")[0].lower()
        stores = [s for s in self.listed() if scheme in s.schemes]
        if self.multiple:
            stores = [s for s in stores if s.owns(url)]
        if not stores:
            raise UnknownStore("No configured store is one for that location.")
        return max(stores, key=lambda s: (s.store_id == self._default_id, s.weight))

    def placed(self, url: str, metadata: Mapping[str, Any]) -> Location:
        """Make a location of what a user gives, with the store that it belongs to.

        Whatever store the user names, under the present key or that of older releases, counts for
        nothing: the URL decides. Where there are not several stores, none is named.

        :raises UnknownStore: no store is one for the URL.
        """
        store = self.for_new(url)
        kept = {key: value for key, value in metadata.items() if key not in _STORE_KEYS}
        if self.multiple:
            kept["store"] = store.store_id
        return Location(url, kept)

    def sweep(self) -> Deferred[int]:
        """Remove what dead writers left in any store; return how many leftovers went."""

        def note(failure: Failure, store_id: str) -> int:
            _log.failure("Sweeping store {store}", failure, store=store_id)
            return 0

        swept = [s.sweep().addErrback(note, s.store_id) for s in self._stores.values()]
        counts: Deferred[list[int]] = gatherResults(swept)
        return counts.addCallback(sum)


def start_in_time(stores: Stores, reactor: Any) -> Deferred[Any]:
    """Start stores, and wait no longer than a while for one that hangs."""
    return stores.start().addTimeout(START_TIME, reactor, onTimeoutCancel=_go_on)


def _go_on(result: Any, seconds: float) -> None:
    _log.error("A store did not start within {seconds} s; going on without", seconds=seconds)
