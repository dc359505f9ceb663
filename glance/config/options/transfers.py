"""Options of work on images' data that several programs have a part in."""

from __future__ import annotations

from oslo_config import cfg

CLI = ()

OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.BoolOpt(
            "delayed_delete",
            default=False,
            help="Leave the data of a deleted image to glance-scrubber, which then has to run now "
            "and then; until it has been there the image can be restored. glance-scrubber takes "
            "what it finds, whatever this says.",
        ),
        cfg.IntOpt(
            "transfer_heartbeat_interval",
            default=10,
            min=1,
            help="Seconds between the signs of life that work on an image leaves in the catalogue.",
        ),
        cfg.IntOpt(
            "transfer_stale_time",
            default=60,
            min=1,
            help="Seconds without a sign of life after which work on an image counts as dead and "
            "is undone or finished by others. Must be longer than transfer_heartbeat_interval.",
        ),
    ]
}
