"""From the configuration to the authenticator. Nothing here reaches for the network."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from glance.config.options.identity import GROUP
from glance.domain.errors import ConfigError
from glance.identity.authentication import IAuthenticator, NoAuthentication
from glance.identity.catalog import Catalogs
from glance.identity.context import Identity
from glance.identity.credentials import check_url, read_credentials
from glance.identity.flavors import authenticates
from glance.identity.http import ATTEMPT_TIME, HttpCaller, make_treq
from glance.identity.keystone import KeystoneAuthenticator, Rules
from glance.identity.lookup import WHOLE_TIME, TokenLookup
from glance.identity.memcached import Memcached, Server, make_endpoint
from glance.identity.sealing import Encrypted, Open, Seal, Signed
from glance.identity.session import ServiceSession
from glance.identity.tls import ClientTLS, Files
from glance.identity.validation import Validator

_BINDINGS: dict[str, frozenset[str] | None] = {
    "disabled": frozenset(),
    "permissive": frozenset({"kerberos"}),
    "strict": None,
}


def make_authenticator(
    conf: Any, reactor: Any, is_admin: Callable[[Identity], bool]
) -> IAuthenticator:
    """Make what tells callers apart, as ``[paste_deploy] flavor`` says.

    :param conf: the options.
    :param is_admin: whether somebody may see and do everything (rule ``context_is_admin``).
    :raises ConfigError: the options cannot be followed.
    """
    if not authenticates(conf.paste_deploy.flavor):
        return NoAuthentication()
    options = conf[GROUP]
    section = options.auth_section or GROUP
    credentials = read_credentials(conf, section)
    if options.auth_version and options.auth_version.strip().lower() not in ("v3", "v3.0", "3"):
        raise ConfigError(
            f"[{GROUP}] auth_version = {options.auth_version}: there is only v3 by now."
        )
    attempt_time = float(options.http_connect_timeout or ATTEMPT_TIME)
    treq, pool = make_treq(reactor, _make_tls(options), attempt_time)
    http = HttpCaller(
        reactor, treq, attempt_time=attempt_time, retries=options.http_request_max_retries
    )
    session = ServiceSession(
        reactor, http, credentials, interface=options.interface, region=options.region_name or None
    )
    catalogs = Catalogs()
    with_catalog = options.include_service_catalog
    shelf = _make_shelf(options, reactor, credentials.auth_url)
    lookup = TokenLookup(
        reactor,
        Validator(session, time.time, catalogs, with_catalog=with_catalog),
        cache_time=options.token_cache_time,
        now=time.time,
        catalogs=catalogs,
        shelf=shelf,
        with_catalog=with_catalog,
        whole_time=max(WHOLE_TIME, attempt_time),
    )

    def stop() -> Deferred[None]:
        if shelf is not None:
            shelf.stop()
        closed: Deferred[None] = pool.closeCachedConnections()
        return closed

    rules = _make_rules(conf, credentials.auth_url)
    return KeystoneAuthenticator(lookup, session, rules, is_admin, stop)


def _make_rules(conf: Any, auth_url: str) -> Rules:
    options = conf[GROUP]
    uri = options.www_authenticate_uri
    if uri:
        check_url(uri, f"[{GROUP}] www_authenticate_uri")
    binding = (options.enforce_token_bind or "permissive").strip().lower()
    if binding not in _BINDINGS:
        raise ConfigError(
            f"[{GROUP}] enforce_token_bind = {options.enforce_token_bind} asks for tokens that "
            "are bound to another way of authentication, which cannot be checked here. It must "
            "be disabled, permissive or strict."
        )
    return Rules(
        challenge=f'Keystone uri="{uri or auth_url}"',
        anonymous=conf.allow_anonymous_access,
        service_type=options.service_type or "image",
        service_roles=frozenset(options.service_token_roles),
        service_roles_required=options.service_token_roles_required,
        refused_bindings=_BINDINGS[binding],
    )


def _make_tls(options: Any) -> ClientTLS:
    files = Files(
        GROUP,
        ("cafile", options.cafile),
        ("certfile", options.certfile),
        ("keyfile", options.keyfile),
    )
    return ClientTLS(files, insecure=options.insecure)


def _make_shelf(options: Any, reactor: Any, auth_url: str) -> Memcached | None:
    """Make what processes share, where memcached is configured."""
    seal = _make_seal(options)
    if options.memcache_sasl_enabled:
        raise ConfigError(
            f"[{GROUP}] memcache_sasl_enabled is not available. Protect memcached by TLS with "
            "certificates, and what is in it by memcache_security_strategy."
        )
    names = list(dict.fromkeys(filter(None, options.memcached_servers or [])))
    tls = None
    if options.memcache_tls_enabled:
        files = Files(
            GROUP,
            ("memcache_tls_cafile", options.memcache_tls_cafile),
            ("memcache_tls_certfile", options.memcache_tls_certfile),
            ("memcache_tls_keyfile", options.memcache_tls_keyfile),
        )
        tls = ClientTLS(files, ciphers=options.memcache_tls_allowed_ciphers)
    timeout = options.memcache_pool_socket_timeout
    servers = [
        Server(
            reactor,
            name,
            make_endpoint(reactor, name, timeout, tls),
            timeout=timeout,
            dead_retry=options.memcache_pool_dead_retry,
            idle_time=options.memcache_pool_unused_timeout,
        )
        for name in names
    ]
    if not servers:
        return None
    # Two clouds may share memcached; a token of one is nothing to the other.
    cloud = hashlib.sha256(auth_url.encode()).hexdigest()[:16].encode()
    return Memcached(servers, seal, b"glance:token:" + cloud)


def _make_seal(options: Any) -> Seal:
    strategy = options.memcache_security_strategy.upper()
    if strategy == "NONE":
        return Open()
    if not options.memcache_secret_key:
        raise ConfigError(
            f"[{GROUP}] memcache_security_strategy = {strategy} needs memcache_secret_key."
        )
    secret = options.memcache_secret_key.encode()
    return Signed(secret) if strategy == "MAC" else Encrypted(secret)
