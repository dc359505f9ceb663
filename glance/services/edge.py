"""How the service meets its clients, as the configuration has it: ports, limits, what is shown.

Everything here is made once more in each worker process; a parent makes it to find its faults.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glance.api.healthcheck import HealthSettings
from glance.api.limits import Limits
from glance.api.settings import Exposure
from glance.api.versions import minor_versions
from glance.domain.cors import Cors, make_cors
from glance.domain.errors import ConfigError
from glance.domain.rotation import make_checks

if TYPE_CHECKING:
    from twisted.internet.ssl import CertificateOptions


@dataclass(frozen=True)
class Edge:
    """The configuration's edge.

    :param public: what callers at the usual port get to see.
    :param internal: the same of the internal port, ``None`` where there is none.
    :param tls: what TLS connections are made from, ``None`` for plain HTTP.
    """

    limits: Limits
    public: Exposure
    internal: Exposure | None
    cors: Cors | None
    trust_proxies: bool
    health: HealthSettings
    minors: tuple[int, ...]
    tls: CertificateOptions | None

    def wrapped(self, site: Any, reactor: Any) -> Any:
        """Return the factory of a port's connections."""
        if self.tls is None:
            return site
        from twisted.protocols.tls import TLSMemoryBIOFactory

        return TLSMemoryBIOFactory(self.tls, False, site, reactor)


def thd_make_edge(conf: Any, warn: Callable[[str], None] = lambda text: None) -> Edge:
    """Read the options.

    :param warn: tells the operator what has no effect or will not please clients.
    :raises ConfigError: one of them cannot be used.
    """
    public = Exposure(conf.show_image_direct_url, conf.show_multiple_locations)
    internal = None
    if conf.internal_bind_port is not None:
        if public != Exposure():
            warn(
                "With [DEFAULT]internal_bind_port set, bind_port hides where data is: "
                "show_image_direct_url and show_multiple_locations have no effect."
            )
        public = Exposure()
        internal = Exposure(
            conf.internal_show_image_direct_url, conf.internal_show_multiple_locations
        )
    cors = conf.cors
    tls = None
    if conf.cert_file:
        # What speaks TLS takes its time to load.
        from glance.services.tls import thd_make_tls

        tls = thd_make_tls(conf, warn)
    return Edge(
        limits=make_limits(conf),
        public=public,
        internal=internal,
        cors=make_cors(
            cors.allowed_origin,
            allow_credentials=cors.allow_credentials,
            allow_methods=cors.allow_methods,
            allow_headers=cors.allow_headers,
            expose_headers=cors.expose_headers,
            max_age=cors.max_age,
        ),
        trust_proxies=conf.oslo_middleware.enable_proxy_headers_parsing,
        health=make_health(conf.healthcheck, warn),
        minors=minor_versions(stores=bool(conf.enabled_backends), cache=bool(conf.image_cache_dir)),
        tls=tls,
    )


def make_limits(conf: Any) -> Limits:
    """Read the limits; no other time is longer than ``client_socket_timeout``."""
    stall = conf.client_socket_timeout or None

    def shorter(seconds: int) -> float | None:
        return min((time for time in (seconds, stall) if time), default=None)

    return Limits(
        line=conf.max_header_line or conf.max_header_size,
        head=conf.max_header_size,
        headers=conf.max_header_count,
        body=conf.json_body_limit,
        head_time=shorter(conf.http_head_timeout),
        body_time=shorter(conf.json_body_timeout),
        idle_time=shorter(conf.http_idle_timeout),
        stall_time=stall,
        keep_alive=conf.http_keepalive,
        connections=conf.max_connections,
    )


#: The option of files that each backend of the health check has.
_FILES = {
    "disable_by_file": "disable_by_file_path",
    "disable_by_files_ports": "disable_by_file_paths",
    "enable_by_files": "enable_by_file_paths",
}


def make_health(section: Any, warn: Callable[[str], None]) -> HealthSettings:
    """Read ``[healthcheck]``.

    :raises ConfigError: a backend, a pair or a network cannot be used.
    """
    checks = make_checks(
        section.backends,
        section.disable_by_file_path,
        section.disable_by_file_paths,
        section.enable_by_file_paths,
    )
    used = {check.backend for check in checks}
    for backend, option in _FILES.items():
        if section[option] and backend not in used:
            warn(
                f"[healthcheck]{option} has no effect: {backend} is not among "
                "[healthcheck]backends."
            )
    networks = []
    for text in section.allowed_source_ranges:
        try:
            networks.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            raise ConfigError(
                f"[healthcheck]allowed_source_ranges: {text!r} is not a network such as "
                "10.0.0.0/8 or 2001:db8::/32."
            ) from None
    return HealthSettings(checks, section.detailed, networks, section.ignore_proxied_requests)
