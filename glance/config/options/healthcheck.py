"""Options of the health check."""

from __future__ import annotations

from oslo_config import cfg

from glance.config.valuetypes import BracketList

OPTIONS: dict[str, list[cfg.Opt]] = {
    "healthcheck": [
        cfg.BoolOpt(
            "detailed",
            default=False,
            help="Say with each reason in the answer to /healthcheck which backend gives it.",
        ),
        cfg.Opt(
            "backends",
            type=BracketList(),
            default=[],
            sample_default="disable_by_file",
            help="What /healthcheck looks at: disable_by_file, disable_by_files_ports, "
            "enable_by_files, each by the option of files that goes with it.",
        ),
        cfg.Opt(
            "allowed_source_ranges",
            type=BracketList(),
            default=[],
            help="Networks whose addresses may ask; empty lets anyone. The address counts that "
            "the connection comes from, whatever a proxy says.",
        ),
        cfg.BoolOpt(
            "ignore_proxied_requests",
            default=False,
            help="Refuse to answer requests that came through a proxy.",
        ),
        cfg.StrOpt(
            "disable_by_file_path",
            sample_default="/etc/glance/healthcheck_disable",
            help="disable_by_file: the service counts as out of use as long as this file exists.",
        ),
        cfg.Opt(
            "disable_by_file_paths",
            type=BracketList(),
            default=[],
            help="disable_by_files_ports: the same for single ports, as port:path pairs.",
        ),
        cfg.Opt(
            "enable_by_file_paths",
            type=BracketList(),
            default=[],
            help="enable_by_files: the service counts as in use only while all of these files "
            "exist, such as a marker on each file system that it needs.",
        ),
    ],
}
