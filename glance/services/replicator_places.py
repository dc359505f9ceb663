"""Where an image service is and how to log in to it: command line, environment, configuration.

Of what is said in several places, what stands nearest to the caller counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from glance.config import Loaded
from glance.config.options.replicator import SOURCE
from glance.domain.errors import ConfigError, Invalid
from glance.identity.credentials import Credentials, read_credentials
from glance.remote.access import read_side
from glance.remote.endpoint import Endpoint, read_endpoint
from glance.remote.service import Trust, make_tls
from glance.remote.side import Side
from glance.services.replicator_line import is_exported, prefix_of

#: Options of the token of each side.
_TOKENS = {SOURCE: "sourcetoken"}


def thd_make_side(
    loaded: Loaded, name: str, typed: str | None, environ: Mapping[str, str], *, alone: bool
) -> Side:
    """Find out where a side is and how to ask it.

    :param name: of the side, and of its section.
    :param typed: server that was typed, if one was.
    :param alone: whether there is no other service, so that variables without a prefix mean this.
    :raises ConfigError: something is missing, or cannot be used.
    """
    arguments, conf = loaded.arguments, loaded.conf
    cloud = getattr(arguments, f"{name}_cloud")
    if cloud:
        side = _thd_of_cloud(cloud)
    elif is_exported(name, environ):
        side = read_side(environ, name, prefix_of(name))
    else:
        side = _thd_of_section(conf[name], name)
        if alone and side == _nothing(conf[name], name):
            side = read_side(environ, name, prefix_of(name))
    token = conf[_TOKENS.get(name, "targettoken")] or (None if cloud else conf.token)
    if token:
        side = replace(side, credentials=token)
    if typed:
        side = replace(side, endpoint=_endpoint(typed, f"The {name}: "))
    if side.endpoint is None and not isinstance(side.credentials, Credentials):
        raise ConfigError(
            f"Where the {name} is, only its login could tell; give its server as well."
        )
    trust = _trust(arguments, name, side.trust)
    # Made only to be found good.
    make_tls(trust)
    return replace(side, name=f"the {name}", trust=trust)


def _thd_of_cloud(cloud: str, region: str | None = None) -> Side:
    # Only now: it brings along a library that most do without.
    from glance.remote.clouds import thd_read_cloud

    return thd_read_cloud(cloud, region)


def _nothing(section: Any, name: str) -> Side:
    """Return what a section makes that says nothing of any importance."""
    return Side(name, interface=section.interface, region=section.region_name)


def _thd_of_section(section: Any, name: str) -> Side:
    side = _nothing(section, name)
    if section.cloud:
        side = _thd_of_cloud(section.cloud, section.region_name)
    elif section.auth_url:
        side = replace(side, credentials=read_credentials({name: section}, name))
    if section.server:
        side = replace(side, endpoint=_endpoint(section.server, f"[{name}]server: "))
    if section.cafile or section.insecure:
        authorities = (f"[{name}]cafile", section.cafile or side.trust.authorities[1])
        insecure = section.insecure or side.trust.insecure
        side = replace(side, trust=replace(side.trust, authorities=authorities, insecure=insecure))
    return side


def _endpoint(text: str, where: str) -> Endpoint:
    try:
        return read_endpoint(text)
    except Invalid as error:
        raise ConfigError(f"{where}{error.message}") from None


def _trust(arguments: Any, name: str, trust: Trust) -> Trust:
    for option in (f"{name}_cacert", "cacert"):
        if path := getattr(arguments, option):
            trust = replace(trust, authorities=(f"--{option.replace('_', '-')}", path))
            break
    insecure = arguments.insecure or getattr(arguments, f"{name}_insecure")
    return replace(trust, insecure=True) if insecure else trust
