"""Options of whoever loads and exports metadata definitions."""

from __future__ import annotations

from oslo_config import cfg

DIRECTORY = "/etc/glance/metadefs/"

OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.StrOpt(
            "metadata_source_path",
            metavar="PATH",
            default=DIRECTORY,
            help="Where the metadata definitions are that db load_metadefs loads, and where db "
            "export_metadefs writes them, unless the command line says. If the default does not "
            "exist, those are loaded that came with the program.",
        ),
    ]
}
