"""One process of the image API: the catalogue, the stores and the HTTP server, as a service."""

from __future__ import annotations

import socket
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import TimeoutError, ensureDeferred, inlineCallbacks
from twisted.internet.threads import deferToThread
from twisted.logger import Logger, LogLevel
from twisted.python.threadpool import ThreadPool

from glance.api.actions import ActionsResource
from glance.api.healthcheck import HealthcheckResource
from glance.api.image_data import ImageDataResource
from glance.api.images import ImagesResource
from glance.api.schemas import SchemasResource
from glance.api.settings import ApiSettings
from glance.api.site import make_site
from glance.api.streaming import StreamingRequest, StreamingSite
from glance.api.usage import UsageResource
from glance.config import Loaded
from glance.db.engine import make_configured_engine
from glance.db.txdbapi import Database, Retry
from glance.domain.documents import served_schemas
from glance.domain.quotas import Quotas
from glance.domain.schemas import ImageValidator
from glance.identity.context import Identity
from glance.identity.factory import make_authenticator
from glance.identity.limits import make_limits
from glance.identity.policy import AdministratorPolicy
from glance.stores.registry import Stores
from glance.transfers.hashing import Hashes, check_algorithm
from glance.transfers.heartbeat import Heartbeat
from glance.transfers.inspecting import make_inspector
from glance.transfers.recovery import Recovery
from glance.transfers.removal import Remover
from glance.transfers.upload import Uploader
from glance.transfers.worker import WorkerIdentity

#: Threads for hashing: more uploads than this make the lanes of a few take turns.
HASH_THREADS = 8

#: The file that takes the service out of a load balancer's rotation, where none is configured.
HEALTHCHECK_DISABLE = "/etc/glance/healthcheck_disable"

#: Seconds that a stop waits for uploads to be given up, which a store that hangs may hold up.
STOP_TIME = 5.0

#: Seconds that the stores may take to start before the port is opened without them.
STORE_START_TIME = 10.0

_log = Logger()
_access_log = Logger(namespace="glance.access")


class ApiService(MultiService):
    """Serve the API on a socket that is listening already.

    :param loaded: the configuration.
    :param reactor: the reactor.
    :param listener: the socket.
    """

    _log = Logger()

    #: Whether the service gave up: the process then ends with an exit code of 1.
    failed = False

    def __init__(self, loaded: Loaded, reactor: Any, listener: socket.socket) -> None:
        super().__init__()
        conf = loaded.conf
        check_algorithm(conf.hashing_algorithm)
        self._reactor = reactor
        self._listener = listener
        self._port: Any = None
        self._identity = WorkerIdentity.of_this_process()
        self._authenticator = make_authenticator(conf, reactor, is_administrator)
        self._limits = make_limits(conf, reactor)
        self._database = make_database(conf, reactor)
        self._stores = Stores(conf, reactor)
        self._hashing = ThreadPool(minthreads=0, maxthreads=HASH_THREADS, name="hashing")
        heartbeat = Heartbeat(self._database, reactor, conf.transfer_heartbeat_interval)
        remover = Remover(
            self._database, self._stores, heartbeat, self._identity, delayed=conf.delayed_delete
        )
        self._background = [
            heartbeat,
            Recovery(
                self._database,
                self._stores,
                remover,
                self._identity,
                reactor,
                stale_time=conf.transfer_stale_time,
                interval=conf.transfer_heartbeat_interval,
            ),
        ]
        self._uploader = Uploader(
            self._database,
            heartbeat,
            self._identity,
            lambda: Hashes(reactor, self._hashing, conf.hashing_algorithm),
            lambda image: make_inspector(reactor, self._hashing, image, conf.image_format),
            conf.image_size_cap,
            self._limits,
        )
        self.site = self._make_site(conf, remover)

    def _make_site(self, conf: Any, remover: Remover) -> StreamingSite:
        settings = make_settings(conf, self._stores.multiple)
        policy = AdministratorPolicy()
        stall_time = conf.client_socket_timeout
        resources = [
            ImagesResource(self._database, policy, remover, settings, self._limits),
            ImageDataResource(
                self._database, policy, self._stores, self._uploader, self._reactor, stall_time
            ),
            ActionsResource(self._database, policy),
            UsageResource(self._database, self._limits, unified=conf.use_keystone_limits),
            SchemasResource(served_schemas(settings.disk_formats, settings.container_formats)),
        ]
        health = conf.healthcheck
        paths = [health.disable_by_file_path or HEALTHCHECK_DISABLE]
        healthcheck = HealthcheckResource(
            paths, health.detailed, lambda f, *args: deferToThread(f, *args)
        )
        return make_site(
            self._reactor,
            self._authenticator,
            resources,
            healthcheck,
            public_endpoint=settings.public_endpoint,
            max_request_id_length=settings.max_request_id_length,
            body_limit=conf.json_body_limit,
            client_timeout=conf.client_socket_timeout or None,
            max_header=conf.max_header_line or 2**31,
            keep_alive=conf.http_keepalive,
            log=log_access if conf.verbose or conf.debug else None,
        )

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
        await self._stores.start().addTimeout(
            STORE_START_TIME, self._reactor, onTimeoutCancel=_go_on
        )
        if not self.running:
            return
        for service in self._background:
            service.setServiceParent(self)
        self._port = self._reactor.adoptStreamPort(
            self._listener.fileno(), self._listener.family, self.site
        )
        self._listener.close()
        self._log.info("Accepting requests as worker {worker}", worker=self._identity.worker)

    def _failed(self, failure: Any) -> None:
        self._log.failure("The service could not start", failure)
        self.failed = True
        self._reactor.stop()

    @inlineCallbacks
    def stopService(self) -> Any:
        """Accept no more requests, stop the parts, wait for their threads."""
        if self._port is not None:
            yield self._port.stopListening()
        broken_off = self._uploader.stop().addTimeout(STOP_TIME, self._reactor)
        yield broken_off.addErrback(lambda failure: failure.trap(TimeoutError) and None)
        yield self._authenticator.stop()
        yield self._limits.stop()
        yield MultiService.stopService(self)
        yield self._stores.stop()
        self._hashing.stop()
        yield self._database.stop()


def _go_on(result: Any, seconds: float) -> None:
    _log.error("A store did not start within {seconds} s; going on without", seconds=seconds)


def is_administrator(identity: Identity) -> bool:
    """Tell whether somebody may see and do everything."""
    return "admin" in identity.roles


def make_database(conf: Any, reactor: Any) -> Database:
    """Make the catalogue's database of the group ``[database]``."""
    options = conf.database
    engine = make_configured_engine(options)
    return Database(engine, reactor, threads=options.max_pool_size or 5, retry=Retry())


def make_settings(conf: Any, stores_enabled: bool) -> ApiSettings:
    """Read what the API's resources need out of the configuration."""
    disk_formats = tuple(conf.image_format.disk_formats)
    container_formats = tuple(conf.image_format.container_formats)
    return ApiSettings(
        validator=ImageValidator(disk_formats, container_formats),
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
        show_image_direct_url=conf.show_image_direct_url,
        show_multiple_locations=conf.show_multiple_locations,
        stores_enabled=stores_enabled,
        public_endpoint=conf.public_endpoint,
        max_request_id_length=conf.max_request_id_length,
    )


def log_access(request: StreamingRequest) -> None:
    """Write one line about an answered request."""
    _access_log.emit(
        LogLevel.info,
        '{client} "{method} {uri} {version}" {status} {size}',
        client=request.getClientAddress().host,
        method=request.method.decode("ascii", "replace"),
        uri=request.uri.decode("ascii", "replace"),
        version=request.clientproto.decode("ascii", "replace"),
        status=request.code,
        size=request.sentLength,
    )
