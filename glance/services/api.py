"""One process of the image API: the catalogue, the stores and the HTTP server, as a service."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred, inlineCallbacks
from twisted.internet.threads import deferToThread, deferToThreadPool
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from glance.api.actions import ActionsResource
from glance.api.cache import CacheResource
from glance.api.compression import Compressor
from glance.api.healthcheck import HealthcheckResource
from glance.api.image_data import ImageDataResource
from glance.api.images import ImagesResource
from glance.api.info import InfoResource
from glance.api.locations import LocationsResource
from glance.api.members import MembersResource
from glance.api.metadef_namespaces import MetadefNamespacesResource
from glance.api.metadef_objects import MetadefObjectsResource
from glance.api.metadef_properties import MetadefPropertiesResource
from glance.api.metadef_tags import MetadefTagsResource
from glance.api.metadef_types import MetadefTypesResource
from glance.api.openapi import OpenApiResource
from glance.api.readiness import Readiness
from glance.api.routing import marked
from glance.api.schemas import SchemasResource
from glance.api.settings import ApiSettings
from glance.api.site import make_site
from glance.api.stores import StoresResource
from glance.api.streaming import StreamingRequest, StreamingSite
from glance.api.tasks import ImageTasksResource
from glance.api.usage import UsageResource
from glance.config import Loaded
from glance.db import leases
from glance.db.probe import thd_probe
from glance.domain.documents import served_schemas
from glance.domain.errors import Unavailable
from glance.domain.protection import Protection
from glance.domain.quotas import Quotas
from glance.domain.schemas import ImageValidator
from glance.identity.factory import make_authenticator
from glance.identity.limits import make_limits
from glance.identity.policy import Policy
from glance.identity.reloading import PolicyReloader
from glance.services.cache_tended import TendedCache
from glance.services.cached import make_cache
from glance.services.catalogue import make_database
from glance.services.prepared import Prepared
from glance.stores.registry import Stores, is_read_only, start_in_time
from glance.transfers.hashing import Hashes
from glance.transfers.heartbeat import Heartbeat
from glance.transfers.inspecting import make_inspector
from glance.transfers.location_import import LocationImporter
from glance.transfers.locations import LocationKeeper
from glance.transfers.recovery import Recovery
from glance.transfers.removal import Remover
from glance.transfers.upload import Uploader
from glance.transfers.worker import WorkerIdentity

#: The import methods that this service has. It advertises no others, whatever is enabled: clients
#: wait long for an import that never happens.
IMPORT_METHODS: frozenset[str] = frozenset()

#: Threads for hashing: more uploads than this make the lanes of a few take turns.
HASH_THREADS = 8

#: Seconds that a stop waits for uploads to be given up, which a store that hangs may hold up.
STOP_TIME = 5.0

_log = Logger()
_access_log = Logger(namespace="glance.access")


class ApiService(MultiService):
    """Serve the API on a socket that is listening already.

    :param loaded: the configuration.
    :param prepared: the content of the files that it names.
    :param reactor: the reactor.
    :param listener: the socket.
    :param internal: that of the internal port, if there is one.
    :param stores: the configured stores, if they have been made.
    :param first: whether it is the first worker, which does what is to be done once on a node.
    :ivar accepting: fires when requests are accepted, and fails when they never will be.
    :ivar draining: whether it was told to drain.
    :ivar drained: see :meth:`drain`.
    """

    _log = Logger()

    def __init__(
        self,
        loaded: Loaded,
        prepared: Prepared,
        reactor: Any,
        listener: socket.socket,
        internal: socket.socket | None = None,
        *,
        stores: Stores | None = None,
        first: bool = True,
    ) -> None:
        super().__init__()
        conf = loaded.conf
        self._reactor = reactor
        self._edge = prepared.edge
        self.accepting: Deferred[None] = Deferred()
        self.drained: Deferred[Any] = Deferred()
        self.draining = False
        self._deadline: Any = None
        self._identity = WorkerIdentity.of_this_process()
        self._policy = Policy(prepared.rules)
        self._authenticator = make_authenticator(conf, reactor, self._policy.is_admin)
        self._limits = make_limits(conf, reactor)
        self._database = make_database(conf, reactor)
        self._stores = stores or Stores(conf, reactor)
        self._hashing = ThreadPool(minthreads=0, maxthreads=HASH_THREADS, name="hashing")
        self._cache = make_cache(conf, self._database, reactor, self._hashing)
        heartbeat = Heartbeat(self._database, reactor, conf.transfer_heartbeat_interval)
        remover = Remover(
            self._database, self._stores, heartbeat, self._identity, delayed=conf.delayed_delete
        )
        keeper = LocationKeeper(self._database, self._stores, heartbeat, self._identity)
        self._importer = LocationImporter(
            self._database,
            self._stores,
            keeper,
            heartbeat,
            self._identity,
            lambda algorithm: Hashes(reactor, self._hashing, algorithm),
            reactor,
            algorithm=conf.hashing_algorithm,
            secure=conf.do_secure_hash,
            attempts=conf.http_retries,
            keep=timedelta(hours=conf.task.task_time_to_live),
        )
        self._background: list[Service] = [
            heartbeat,
            self._importer,
            Recovery(
                self._database,
                self._stores,
                remover,
                self._identity,
                reactor,
                stale_time=conf.transfer_stale_time,
                interval=conf.transfer_heartbeat_interval,
                others={
                    leases.LOCATION: keeper.finish_interrupted,
                    leases.HASHING: self._importer.recover,
                    leases.SCRUB: self._end_lease,
                    leases.RESTORE: self._end_lease,
                },
            ),
        ]
        if conf.policy_reload_interval:
            self._background.append(
                PolicyReloader(
                    self._policy,
                    prepared.source,
                    reactor,
                    conf.policy_reload_interval,
                    deferToThread,
                )
            )
        self._tended = None
        if self._cache is not None:
            self._tended = TendedCache(
                conf, self._cache, self._database, self._stores, reactor, idle=not first
            )
            self._background.append(self._tended.upkeep)
        self._uploader = Uploader(
            self._database,
            heartbeat,
            self._identity,
            lambda: Hashes(reactor, self._hashing, conf.hashing_algorithm),
            lambda image: make_inspector(reactor, self._hashing, image, conf.image_format),
            conf.image_size_cap,
            self._limits,
        )
        self.site = self._make_site(conf, remover, keeper, prepared)
        self._served = [(listener, self.site)]
        if internal is not None and self._edge.internal is not None:
            self._served.append((internal, self.site.beside(self._edge.internal)))

    def _make_site(
        self, conf: Any, remover: Remover, keeper: LocationKeeper, prepared: Prepared
    ) -> StreamingSite:
        custom = prepared.custom
        settings = make_settings(conf, self._stores.multiple, custom, prepared.protection)
        policy = self._policy
        stall_time = conf.client_socket_timeout
        database, stores, limits = self._database, self._stores, self._limits
        cache = None if self._cache is None else self._cache.images
        served = served_schemas(settings.disk_formats, settings.container_formats, custom)
        resources: list[object] = [
            ImagesResource(database, policy, stores, remover, keeper, settings, limits, cache),
            ImageDataResource(
                database, policy, stores, self._uploader, self._reactor, stall_time, cache
            ),
            ActionsResource(database, policy),
            MembersResource(database, policy, settings),
            LocationsResource(database, policy, stores, self._importer, settings, limits),
            ImageTasksResource(database, policy),
            StoresResource(policy, stores, keeper),
            InfoResource(settings.import_methods),
            UsageResource(database, limits, unified=conf.use_keystone_limits),
            MetadefNamespacesResource(database, policy, settings),
            MetadefTypesResource(database, policy),
            MetadefPropertiesResource(database, policy),
            MetadefObjectsResource(database, policy),
            MetadefTagsResource(database, policy),
            SchemasResource(served),
        ]
        if self._tended is None:
            resources.append(CacheResource(database, policy, None))
        else:
            resources += self._tended.resources(database, policy)
        resources.append(OpenApiResource(marked(resources), served))
        edge = self._edge
        compress = None
        if conf.gzip_responses:
            compress = Compressor(self._in_hashing_thread, conf.gzip_min_length).compress
        return make_site(
            self._reactor,
            self._authenticator,
            resources,
            self._make_healthcheck(),
            public_endpoint=settings.public_endpoint,
            max_request_id_length=settings.max_request_id_length,
            limits=edge.limits,
            minors=edge.minors,
            exposure=edge.public,
            cors=edge.cors,
            trust_proxies=edge.trust_proxies,
            compress=compress,
            log=log_access if conf.verbose or conf.debug else None,
        )

    def _make_healthcheck(self) -> HealthcheckResource:
        readiness = Readiness(
            self._reactor,
            lambda: self._database.runReading(thd_probe),
            # A read-only store is other people's servers: there is nothing of ours to look at.
            {
                store.store_id: store.probe
                for store in self._stores.all()
                if not is_read_only(store)
            },
            self._stores.default.store_id,
        )
        return HealthcheckResource(
            self._edge.health,
            self._reactor,
            deferToThread,
            readiness,
            lambda: self.site.connections.leaving,
        )

    async def _end_lease(self, image_id: str, lease: str) -> None:
        """Free an image whose scrubber died: the next scrubber that comes does the rest."""
        await self._database.runInteraction(leases.thd_end, lease)

    def _in_hashing_thread(self, function: Any, *args: Any) -> Deferred[Any]:
        # Like hashing, what is done there needs a processor and not the interpreter.
        return deferToThreadPool(self._reactor, self._hashing, function, *args)

    def startService(self) -> None:
        """Start the parts, and accept requests when all of them are ready."""
        super().startService()
        self._hashing.start()
        self._database.start()
        self._authenticator.start()
        self._limits.start()
        ensureDeferred(self._start()).addErrback(self._failed)

    async def _start(self) -> None:
        # A store that hangs must not keep the others and the catalogue from being reached; it is
        # asked again when it is needed.
        await start_in_time(self._stores, self._reactor)
        if self._cache is not None:
            await self._cache.start_if_possible()
        if not self.running or self.draining:
            raise Unavailable("The service was told to end before it accepted requests.")
        for service in self._background:
            service.setServiceParent(self)
        for listener, site in self._served:
            site.serve(
                self._reactor.adoptStreamPort(
                    listener.fileno(), listener.family, self._edge.wrapped(site, self._reactor)
                )
            )
            listener.close()
        self._log.info("Accepting requests as worker {worker}", worker=self._identity.worker)
        self.accepting.callback(None)

    def _failed(self, failure: Failure) -> None:
        for listener, _ in self._served:
            listener.close()
        self.accepting.errback(failure)

    def drain(self, seconds: float, *, leaving: bool, take_waiting: bool) -> None:
        """Accept no more connections, and finish the requests of those that there are.

        ``drained`` fires when that is done. Told again, it goes by the sooner of the deadlines.

        :param seconds: until what is left is given up; 0 for as long as it takes.
        :param leaving: nobody serves after us.
        :param take_waiting: nobody else accepts the connections that wait in the kernel's queue.
        """
        connections = self.site.connections
        connections.leaving = connections.leaving or leaving
        if not self.draining:
            self.draining = True
            if self._tended is not None:
                self._tended.upkeep.rest()
            for _, site in self._served:
                site.stop_serving(take_waiting)
            connections.end().addCallback(self.drained.callback)
        if not seconds or self.drained.called:
            return
        until = self._reactor.seconds() + seconds
        if self._deadline is None:
            self._deadline = self._reactor.callLater(seconds, self._give_up)
            self.drained.addCallback(self._forget_deadline)
        elif until < self._deadline.getTime():
            self._deadline.reset(seconds)

    def hurry(self) -> None:
        """Drain no longer."""
        self.site.connections.stop()

    def _give_up(self) -> None:
        self._log.warn(
            "{count} connection(s) still in use at the deadline: breaking off what is under way",
            count=len(self.site.connections),
        )
        self.hurry()

    def _forget_deadline(self, result: None) -> None:
        if self._deadline.active():
            self._deadline.cancel()

    @inlineCallbacks
    def stopService(self) -> Any:
        """Accept no more requests, stop the parts, wait for their threads."""
        for _, site in self._served:
            yield site.stop_serving(False)
        broken_off = self._uploader.stop().addTimeout(STOP_TIME, self._reactor)
        yield broken_off.addErrback(lambda failure: failure.trap(TimeoutError) and None)
        self.site.connections.close()
        yield self._authenticator.stop()
        yield self._limits.stop()
        yield MultiService.stopService(self)
        if self._cache is not None:
            # What fills it reads from the stores.
            yield ensureDeferred(self._cache.stop())
        yield self._stores.stop()
        self._hashing.stop()
        yield self._database.stop()


def make_settings(
    conf: Any,
    stores_enabled: bool,
    custom: Mapping[str, Any] | None = None,
    protection: Protection | None = None,
) -> ApiSettings:
    """Read what the API's resources need out of the configuration.

    :param custom: the content of ``schema-image.json``.
    :param protection: which custom properties are protected from whom.
    """
    disk_formats = tuple(conf.image_format.disk_formats)
    container_formats = tuple(conf.image_format.container_formats)
    return ApiSettings(
        validator=ImageValidator(disk_formats, container_formats, custom),
        quotas=Quotas(
            image_property_quota=conf.image_property_quota,
            image_tag_quota=conf.image_tag_quota,
            image_member_quota=conf.image_member_quota,
            image_location_quota=conf.image_location_quota,
            image_size_cap=conf.image_size_cap,
        ),
        disk_formats=disk_formats,
        container_formats=container_formats,
        limit_param_default=conf.limit_param_default,
        api_limit_max=conf.api_limit_max,
        stores_enabled=stores_enabled,
        public_endpoint=conf.public_endpoint,
        max_request_id_length=conf.max_request_id_length,
        protection=protection,
        hashing_algorithm=conf.hashing_algorithm,
        import_methods=tuple(m for m in conf.enabled_import_methods if m in IMPORT_METHODS),
    )


def log_access(request: StreamingRequest) -> None:
    """Write one line about an answered request."""
    _access_log.emit(
        LogLevel.info,
        '{client} "{method} {uri} {version}" {status} {size}',
        client=request.client_host(),
        method=request.method.decode("ascii", "replace"),
        uri=request.uri.decode("ascii", "replace"),
        version=request.clientproto.decode("ascii", "replace"),
        status=request.code,
        size=request.sentLength,
    )
