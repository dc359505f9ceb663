"""Options of ``glance-control``."""

from __future__ import annotations

from oslo_config import cfg

CLI = ("pid_file", "await_child", "capture_output", "respawn")

OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.StrOpt(
            "pid_file",
            metavar="PATH",
            sample_default="/var/run/glance/<server>.pid, else <state_dir>/run/<server>.pid",
            help="File with the server's process number. Unset: /var/run/glance/<server>.pid where "
            "that can be written, else run/<server>.pid in the state directory. One file cannot "
            "serve several servers.",
        ),
        cfg.IntOpt(
            "await_child",
            default=0,
            min=0,
            metavar="DELAY",
            help="Seconds to go on watching a server that came up; if it ends meanwhile, its exit "
            "code becomes ours. Excludes respawn.",
        ),
        cfg.BoolOpt(
            "capture_output",
            default=False,
            help="Send what a server writes to standard output and error once it is up to syslog, "
            "marked <server>[<pid>], instead of throwing it away.",
        ),
        cfg.BoolOpt(
            "respawn",
            default=False,
            help="Stay in the foreground and start a server again when it ends unexpectedly.",
        ),
    ]
}
