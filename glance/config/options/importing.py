"""Options of fetching data from where users say it is."""

from __future__ import annotations

from oslo_config import cfg, types

from glance.config.valuetypes import BracketList

CLI = ()

FILTER_GROUP = "import_filtering_opts"


def _list(name: str, default: list[object], help_: str) -> cfg.Opt:
    port = types.Integer(min=1, max=65535) if name.endswith("ports") else None
    return cfg.Opt(name, type=BracketList(item_type=port), default=default, help=help_)


def filter_options() -> list[cfg.Opt]:
    """Declare the rules for URIs that the service fetches from."""
    wins = " If not empty it decides alone, and {} is ignored."
    return [
        _list(
            "allowed_schemes",
            ["http", "https"],
            "Schemes of URIs that image data may be fetched from, and that locations of images may "
            "be given as." + wins.format("disallowed_schemes"),
        ),
        _list("disallowed_schemes", [], "Schemes that it may not be fetched from."),
        _list(
            "allowed_hosts",
            [],
            "Hosts that it may be fetched from. Only these may be, or resolve to, loopback and "
            "link-local addresses." + wins.format("disallowed_hosts"),
        ),
        _list(
            "disallowed_hosts",
            [],
            "Hosts that it may not be fetched from. Addresses, and networks such as 10.0.0.0/8, "
            "also refuse names that resolve to them.",
        ),
        _list(
            "allowed_ports",
            [80, 443],
            "Ports that it may be fetched from, where the URI has one in so many words."
            + wins.format("disallowed_ports"),
        ),
        _list("disallowed_ports", [], "Ports that it may not be fetched from."),
    ]


OPTIONS: dict[str, list[cfg.Opt]] = {FILTER_GROUP: filter_options()}
