"""Where an image service is and how to log in to it, by command line and configuration.

Of what is said in several places, what stands nearest to the caller counts: an argument, then the
cloud that the command line names, then the side's section.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from glance.config import Loaded
from glance.config.options.replicator import SOURCE
from glance.domain.errors import ConfigError, Invalid
from glance.identity.credentials import Credentials, read_credentials
from glance.remote.endpoint import Endpoint, read_endpoint
from glance.remote.service import Trust, make_tls
from glance.remote.side import Side

#: Options of the token of each side.
_TOKENS = {SOURCE: "sourcetoken"}


def thd_make_side(loaded: Loaded, name: str, typed: str | None) -> Side:
    """Find out where a side is and how to ask it.

    :param name: of the side, and of its section.
    :param typed: server that was typed, if one was.
    :raises ConfigError: something is missing, or cannot be used.
    """
    arguments, section = loaded.arguments, loaded.conf[name]
    named = getattr(arguments, f"{name}_cloud")
    side = _of_cloud(named, name) if named else _of_section(section, name)
    token = loaded.conf[_TOKENS.get(name, "targettoken")]
    if not (token or named):
        token = loaded.conf.token
    if token:
        side = replace(side, credentials=token)
    if typed:
        side = replace(side, endpoint=_endpoint(typed, name))
    if side.endpoint is None and not isinstance(side.credentials, Credentials):
        raise ConfigError(
            f"Where the {name} is, only its login could tell; give its server as well."
        )
    trust = _trust(arguments, name, side.trust)
    # Made only to be found good.
    make_tls(trust)
    return replace(side, name=f"the {name}", trust=trust)


def _of_cloud(cloud: str, name: str) -> Side:
    # Only now: most have none.
    from glance.remote.clouds import read_cloud

    return read_cloud(cloud)


def _of_section(section: Any, name: str) -> Side:
    side = Side(f"[{name}]", interface=section.interface, region=section.region_name)
    if section.cloud:
        side = _of_cloud(section.cloud, name)
    elif section.auth_url:
        side = replace(side, credentials=read_credentials({name: section}, name))
    if section.server:
        side = replace(side, endpoint=_endpoint(section.server, name, f"[{name}]server: "))
    if section.cafile or section.insecure:
        authorities = (f"[{name}]cafile", section.cafile or None)
        side = replace(side, trust=Trust(authorities, section.insecure))
    return side


def _endpoint(text: str, name: str, where: str = "") -> Endpoint:
    try:
        return read_endpoint(text)
    except Invalid as error:
        raise ConfigError(f"{where or f'The {name}: '}{error.message}") from None


def _trust(arguments: Any, name: str, trust: Trust) -> Trust:
    for option in (f"{name}_cacert", "cacert"):
        if path := getattr(arguments, option):
            trust = replace(trust, authorities=(f"--{option.replace('_', '-')}", path))
            break
    insecure = arguments.insecure or getattr(arguments, f"{name}_insecure")
    return replace(trust, insecure=True) if insecure else trust
