"""Options of the scrubber."""

from __future__ import annotations

from oslo_config import cfg

CLI = ("daemon", "restore")

OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.IntOpt(
            "scrub_time",
            default=0,
            min=0,
            help="Seconds after the deletion of an image before its data may be deleted.",
        ),
        cfg.IntOpt(
            "scrub_pool_size",
            default=1,
            min=1,
            help="Images whose data is deleted at the same time.",
        ),
        cfg.BoolOpt(
            "daemon",
            short="D",
            default=False,
            help="Go on for ever, with a pass every wakeup_time, instead of making one pass.",
        ),
        cfg.IntOpt(
            "wakeup_time",
            default=300,
            min=0,
            help="Seconds between the beginnings of two passes with daemon; 0 counts as 1.",
        ),
        cfg.StrOpt(
            "restore",
            metavar="<IMAGE_ID>",
            help="Make a deleted image whose data has not been scrubbed yet active again, and do "
            "nothing else.",
        ),
    ]
}
