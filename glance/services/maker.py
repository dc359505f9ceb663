"""Make the ``glance-api`` service of a loaded configuration, for twistd and the console program.

Whatever can be wrong is found here, before a reactor runs: addresses, formats, the database's
schema. So every mistake ends the program with one line and an exit code.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.threads import deferToThread

from glance import __version__
from glance.config import Loaded, load
from glance.domain.errors import ConfigError
from glance.identity.flavors import authenticates
from glance.services.activation import INTERNAL, MAIN, take_sockets
from glance.services.cache_check import check_cache_options, thd_prepare_cache
from glance.services.database_check import thd_check_database
from glance.services.listening import Listeners, Wanted, choose_host, is_loopback, url_of
from glance.services.logs import Logging
from glance.services.notify import Notifier
from glance.services.plan import Plan
from glance.services.serving import Serving

#: The most workers that are started when their number is not configured.
MOST_WORKERS = 8


def make_api(
    loaded: Loaded,
    argv: Sequence[str],
    reactor: Any,
    say: Callable[[str], None],
    warn: Callable[[str], None],
    *,
    reload: Callable[[], Loaded] | None = None,
    logging: Logging | None = None,
) -> Serving:
    """Make the service.

    :param loaded: the configuration.
    :param argv: the options it was loaded from, for worker processes.
    :param say: tells the operator where the service listens and keeps things.
    :param warn: tells the operator what is dangerous.
    :param reload: loads the configuration anew; by default by ``argv``.
    :param logging: follows what a configuration that was loaded anew says of logging.
    :raises ConfigError: the service cannot be started so.
    """
    notifier = Notifier.from_environment()
    handed_over = take_sockets()
    plan = thd_plan(loaded, reactor, warn, handed_over)
    listeners = Listeners(handed_over)
    listeners.take_over(listeners.open(plan.wanted))
    for line in description(loaded, listeners):
        say(line)

    def thd_replan() -> Plan:
        anew = reload() if reload is not None else load(loaded.program, argv)
        if anew.embedded and not loaded.embedded:
            # It would be another service, with another catalogue, that lets everybody in.
            raise ConfigError(
                "No configuration file is found any more; it was "
                f"{', '.join(loaded.config_files) or 'in ' + ', '.join(loaded.config_dirs)}."
            )
        for warning in anew.warnings:
            warn(warning)
        return thd_plan(anew, reactor, warn, handed_over)

    def use(plan: Plan) -> None:
        if logging is not None:
            logging.change(plan.loaded.conf)

    parts = (reactor, plan, thd_replan, listeners, notifier, deferToThread, use)
    if not plan.count:
        from glance.services.single import SingleProcess

        return SingleProcess(*parts)
    from glance.services.supervisor import Supervisor, template_command

    return Supervisor(*parts, command=template_command(argv, loaded.embedded))


def thd_plan(
    loaded: Loaded,
    reactor: Any,
    warn: Callable[[str], None],
    handed_over: Mapping[str, socket.socket],
) -> Plan:
    """Judge a configuration.

    :param handed_over: listening sockets that are used instead of addresses.
    :raises ConfigError: it is not possible to serve by it.
    :raises Unavailable: the database cannot be reached.
    """
    conf = loaded.conf
    authenticated = authenticates(conf.paste_deploy.flavor)
    check_cache_options(conf)
    if authenticated:
        from glance.identity.factory import make_authenticator

        # Made only to be found good, before anything else is touched.
        make_authenticator(conf, reactor, lambda _: False)
    else:
        warn_of_keystone(conf, warn)
    wanted = _wanted(conf, authenticated, warn, handed_over)
    if loaded.embedded:
        loaded.thd_make_state_dir()
    thd_check_database(loaded, warn)
    from glance.identity.limits import make_limits
    from glance.services.prepared import thd_prepare
    from glance.stores.registry import Stores

    # A worker would find the faults of these anew at every start.
    prepared = thd_prepare(conf, warn)
    make_limits(conf, reactor)
    stores = Stores(conf, reactor)
    if conf.image_cache_dir:
        thd_prepare_cache(conf)
    return Plan(loaded, prepared, stores, wanted, worker_count(conf.workers))


def _wanted(
    conf: Any,
    authenticated: bool,
    warn: Callable[[str], None],
    handed_over: Mapping[str, socket.socket],
) -> dict[str, Wanted]:
    ports = {MAIN: ""}
    if conf.internal_bind_port is not None:
        ports[INTERNAL] = "internal_"
    elif INTERNAL in handed_over:
        raise ConfigError(
            "The service manager handed over a socket for the internal port, but "
            "[DEFAULT]internal_bind_port is not set."
        )
    wanted = {}
    for name, prefix in ports.items():
        given = handed_over.get(name)
        host = _host(conf, f"{prefix}bind_host", authenticated, warn, given)
        port = conf[f"{prefix}bind_port"]
        wanted[name] = Wanted(host, port, conf.backlog, conf.tcp_keepidle, prefix)
    return wanted


def _host(
    conf: Any,
    option: str,
    authenticated: bool,
    warn: Callable[[str], None],
    handed_over: socket.socket | None,
) -> str:
    given = None if handed_over is None else handed_over.getsockname()[0]
    host = choose_host(conf, authenticated, option, given)
    if not authenticated and not is_loopback(host):
        warn(
            f"Listening on {host} without authentication: anyone who reaches this machine can "
            "read, change and delete every image."
        )
    return host


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


def description(loaded: Loaded, listeners: Listeners) -> list[str]:
    """Say where the service listens and where it keeps things."""
    scheme = "https" if loaded.conf.cert_file else "http"
    current = listeners.current
    lines = [f"glance-api {__version__} serves {url_of(current[MAIN].socket, scheme)}"]
    if INTERNAL in current:
        lines.append(f"Internal port: {url_of(current[INTERNAL].socket, scheme)}")
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
