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
    if authenticated:
        from glance.identity.factory import make_authenticator

        # Made only to be found good, before anything else is touched.
        make_authenticator(conf, reactor, lambda _: False)
    else:
        warn_of_keystone(conf, warn)
    host = _host(conf, "bind_host", authenticated, warn)
    internal_host = None
    if conf.internal_bind_port is not None:
        internal_host = _host(conf, "internal_bind_host", authenticated, warn)
    if loaded.embedded:
        loaded.thd_make_state_dir()
    thd_check_database(loaded)
    from glance.services.edge import thd_make_edge

    # Made only to be found good, before there are workers that each would complain.
    thd_make_edge(conf, warn)
    listener = bind(host, conf.bind_port, conf.backlog, conf.tcp_keepidle)
    internal = None
    if internal_host is not None:
        internal = bind(
            internal_host, conf.internal_bind_port, conf.backlog, conf.tcp_keepidle, "internal_"
        )
    service = _make_service(loaded, argv, reactor, listener, internal)
    for line in description(loaded, listener, internal):
        say(line)
    return service


def _host(conf: Any, option: str, authenticated: bool, warn: Callable[[str], None]) -> str:
    host = choose_host(conf, authenticated, option)
    if not authenticated and not is_loopback(host):
        warn(
            f"Listening on {host} without authentication: anyone who reaches this machine can "
            "read, change and delete every image."
        )
    return host


def _make_service(
    loaded: Loaded,
    argv: Sequence[str],
    reactor: Any,
    listener: socket.socket,
    internal: socket.socket | None,
) -> IService:
    count = worker_count(loaded.conf.workers)
    if not count:
        from glance.services.api import ApiService

        return ApiService(loaded, reactor, listener, internal)
    from glance.identity.limits import make_limits
    from glance.services.access import thd_load_protection, thd_load_rules
    from glance.services.supervisor import Supervisor, worker_command
    from glance.stores.registry import Stores

    # Made only to be found good: a worker would find their faults anew at every start.
    Stores(loaded.conf, reactor)
    _, rules = thd_load_rules(loaded.conf)
    thd_load_protection(loaded.conf, rules)
    make_limits(loaded.conf, reactor)
    return Supervisor(reactor, listener, worker_command(argv), count, internal)


def warn_of_keystone(conf: Any, warn: Callable[[str], None]) -> None:
    """Say that nobody is authenticated although there is a Keystone to do it."""
    options = conf.keystone_authtoken
    if options.auth_url or options.auth_section:
        warn(
            "NOBODY IS AUTHENTICATED: [keystone_authtoken] is configured, but without "
            "[paste_deploy] flavor = keystone it is not used, and every caller is an administrator."
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


def description(
    loaded: Loaded, listener: socket.socket, internal: socket.socket | None
) -> list[str]:
    """Say where the service listens and where it keeps things."""
    scheme = "https" if loaded.conf.cert_file else "http"
    lines = [f"glance-api {__version__} serves {url_of(listener, scheme)}"]
    if internal is not None:
        lines.append(f"Internal port: {url_of(internal, scheme)}")
    if loaded.embedded:
        lines.append(
            f"No configuration file found: keeping everything in {loaded.state_dir}"
            + (
                "."
                if authenticates(loaded.conf.paste_deploy.flavor)
                else ", without authentication, for this machine only."
            )
        )
    else:
        lines.append(f"Configuration: {', '.join(loaded.config_files)}")
    return lines
