"""Make the ``glance-api`` service of a loaded configuration, for twistd and the console program.

Whatever can be wrong is found here, before a reactor runs: addresses, formats, the database's
schema. So every mistake ends the program with one line and an exit code.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import IService

from glance import __version__
from glance.config import Loaded
from glance.domain.errors import ConfigError
from glance.identity.flavors import authenticates
from glance.services.listening import bind, choose_host, is_loopback, url_of

#: The most workers that are started when their number is not configured.
MOST_WORKERS = 8


def make_api(
    loaded: Loaded,
    argv: Sequence[str],
    reactor: Any,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> IService:
    """Make the service.

    :param loaded: the configuration.
    :param argv: the options it was loaded from, for worker processes.
    :param say: tells the operator where the service listens and keeps things.
    :param warn: tells the operator what is dangerous.
    :raises ConfigError: the service cannot be started so.
    """
    conf = loaded.conf
    flavor = conf.paste_deploy.flavor
    authenticated = authenticates(flavor)
    if flavor and "cach" in flavor:
        warn(f"[paste_deploy] flavor = {flavor}: this version has no image cache; serving without.")
    check_unavailable(conf, warn)
    if not authenticated:
        warn_of_keystone(conf, warn)
    host = choose_host(conf, authenticated)
    if not authenticated and not is_loopback(host):
        warn(
            f"Listening on {host} without authentication: anyone who reaches this machine can "
            "read, change and delete every image."
        )
    if loaded.embedded:
        loaded.thd_make_state_dir()
    thd_check_database(loaded)
    listener = bind(host, conf.bind_port, conf.backlog, conf.tcp_keepidle)
    service = _make_service(loaded, argv, reactor, listener)
    for line in description(loaded, url_of(listener)):
        say(line)
    return service


def _make_service(
    loaded: Loaded, argv: Sequence[str], reactor: Any, listener: socket.socket
) -> IService:
    count = worker_count(loaded.conf.workers)
    if not count:
        from glance.services.api import ApiService

        return ApiService(loaded, reactor, listener)
    from glance.identity.factory import make_authenticator
    from glance.identity.limits import make_limits
    from glance.services.supervisor import Supervisor, worker_command
    from glance.stores.registry import Stores

    # Made only to be found good: a worker would find its faults anew at every start.
    Stores(loaded.conf, reactor)
    make_authenticator(loaded.conf, reactor, lambda _: False)
    make_limits(loaded.conf, reactor)
    return Supervisor(reactor, listener, worker_command(argv), count)


def warn_of_keystone(conf: Any, warn: Callable[[str], None]) -> None:
    """Say that nobody is authenticated although there is a Keystone to do it."""
    options = conf.keystone_authtoken
    if options.auth_url or options.auth_section:
        warn(
            "NOBODY IS AUTHENTICATED: [keystone_authtoken] is configured, but without "
            "[paste_deploy] flavor = keystone it is not used, and every caller is an administrator."
        )


def check_unavailable(conf: Any, warn: Callable[[str], None]) -> None:
    """Say which options are set to no effect, and refuse those that promise protection.

    :raises ConfigError: TLS is asked for, which this version does not have.
    """
    for name in ("cert_file", "key_file", "ca_file"):
        if getattr(conf, name):
            raise ConfigError(
                f"[DEFAULT] {name} asks for TLS, which this version does not serve by itself; "
                "leave it unset and put a proxy that ends TLS in front."
            )
    if conf.healthcheck.allowed_source_ranges:
        raise ConfigError(
            "[healthcheck] allowed_source_ranges is not supported by this version; leave it unset."
        )


def worker_count(configured: int | None) -> int:
    """Return how many worker processes to run, 0 to serve in this one."""
    if configured is not None:
        return configured
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


def thd_check_database(loaded: Loaded) -> None:
    """Check that the schema is this release's; the embedded default's is made so.

    :raises ConfigError: it is not.
    :raises Unavailable: the database cannot be reached.
    """
    from glance.db import schema
    from glance.db.engine import make_configured_engine

    engine = make_configured_engine(loaded.conf.database)
    try:
        if loaded.embedded:
            schema.thd_sync(engine)
        else:
            schema.thd_status(engine).check_usable()
    finally:
        engine.dispose()


def description(loaded: Loaded, url: str) -> list[str]:
    """Say where the service listens and where it keeps things."""
    lines = [f"glance-api {__version__} serves {url}"]
    if loaded.embedded:
        lines.append(
            f"No configuration file found: keeping everything in {loaded.state_dir}, "
            "without authentication, for this machine only."
        )
    else:
        lines.append(f"Configuration: {', '.join(loaded.config_files)}")
    return lines
