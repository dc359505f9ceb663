"""Options of every program: where its state is, what it logs and where to."""

from __future__ import annotations

from oslo_config import cfg

from glance.config.valuetypes import BracketList, Facility, LevelPair

_LINE = "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s"

CLI = (
    "verbose",
    "debug",
    "use_syslog",
    "syslog_log_facility",
    "use_journal",
    "use_json",
    "log_config_append",
    "log_format",
    "log_date_format",
    "log_file",
    "log_dir",
    "watch_log_file",
    "state_dir",
)

OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.StrOpt(
            "state_dir",
            metavar="DIR",
            sample_default="$XDG_STATE_HOME/glance, else ~/.local/state/glance",
            help="Directory for what the program keeps itself. Started without any configuration "
            "file, the service puts its SQLite database and its image files here.",
        ),
        cfg.BoolOpt(
            "verbose",
            short="v",
            default=False,
            help="Log what is done as well as what goes wrong: level INFO instead of WARNING.",
        ),
        cfg.BoolOpt(
            "debug",
            short="d",
            default=False,
            help="Log everything: level DEBUG. Wins over verbose.",
        ),
        cfg.StrOpt(
            "log_config_append",
            metavar="PATH",
            deprecated_opts=[cfg.DeprecatedOpt("log_config", group="DEFAULT")],
            help="A file in the format of Python's logging.config.fileConfig, which then decides "
            "on handlers, formats and levels; the other logging options are left aside. Loggers "
            "that exist already go on working.",
        ),
        cfg.StrOpt(
            "log_format",
            metavar="FORMAT",
            help="Format of every line, made of logging.LogRecord attributes and the keys "
            "request_id, global_request_id, user_identity, user, project, domain and instance. "
            "Replaces logging_context_format_string and logging_default_format_string.",
        ),
        cfg.StrOpt(
            "log_date_format",
            metavar="DATE_FORMAT",
            default="%Y-%m-%d %H:%M:%S",
            help="How %(asctime)s is written, in the terms of strftime.",
        ),
        cfg.StrOpt(
            "log_file",
            metavar="PATH",
            deprecated_opts=[cfg.DeprecatedOpt("logfile", group="DEFAULT")],
            help="File to log to, below log_dir if that is set. Without any destination lines go "
            "to standard error.",
        ),
        cfg.StrOpt(
            "log_dir",
            metavar="LOG_DIR",
            deprecated_opts=[cfg.DeprecatedOpt("logdir", group="DEFAULT")],
            help="Directory of the log file. Given alone, the file is named after the program: "
            "<log_dir>/<program>.log.",
        ),
        cfg.BoolOpt(
            "watch_log_file",
            default=False,
            help="Accepted for old command lines and files. A log file that was moved or removed "
            "is opened anew in any case.",
        ),
        cfg.BoolOpt(
            "use_syslog",
            default=False,
            help="Log to the system's syslog daemon.",
        ),
        cfg.Opt(
            "syslog_log_facility",
            type=Facility(),
            default="LOG_USER",
            metavar="SYSLOG_LOG_FACILITY",
            help="Syslog facility of our lines.",
        ),
        cfg.BoolOpt(
            "use_journal",
            default=False,
            help="Log to the systemd journal, with the request's details as fields of their own. "
            "Needs the Python module 'systemd'.",
        ),
        cfg.BoolOpt(
            "use_json",
            default=False,
            help="Write each line as a JSON object.",
        ),
        cfg.BoolOpt(
            "use_stderr",
            default=False,
            help="Log to standard error even when there is another destination.",
        ),
        cfg.StrOpt(
            "log_rotation_type",
            default="none",
            choices=["interval", "size", "none"],
            ignore_case=True,
            help="When to begin a new log file: after a time, at a size, or never (something else "
            "such as logrotate may do it).",
        ),
        cfg.IntOpt(
            "log_rotate_interval",
            default=1,
            help="Number of log_rotate_interval_type units after which a new file begins; with "
            "Weekday the day itself, 0 being Monday.",
        ),
        cfg.StrOpt(
            "log_rotate_interval_type",
            default="days",
            choices=["Seconds", "Minutes", "Hours", "Days", "Weekday", "Midnight"],
            ignore_case=True,
            help="Unit of log_rotate_interval.",
        ),
        cfg.IntOpt(
            "max_logfile_count",
            default=30,
            help="Number of old log files kept.",
        ),
        cfg.IntOpt(
            "max_logfile_size_mb",
            default=200,
            help="Size in MiB at which a new log file begins, with log_rotation_type = size.",
        ),
        cfg.StrOpt(
            "logging_context_format_string",
            default=_LINE + " [%(global_request_id)s %(request_id)s %(user_identity)s] "
            "%(instance)s%(message)s",
            help="Format of a line that belongs to a request.",
        ),
        cfg.StrOpt(
            "logging_default_format_string",
            default=_LINE + " [-] %(instance)s%(message)s",
            help="Format of a line that belongs to no request.",
        ),
        cfg.StrOpt(
            "logging_debug_format_suffix",
            default="%(funcName)s %(pathname)s:%(lineno)d",
            help="Put at the end of lines of level DEBUG.",
        ),
        cfg.StrOpt(
            "logging_exception_prefix",
            default="%(asctime)s.%(msecs)03d %(process)d ERROR %(name)s %(instance)s",
            help="Put before each line of a traceback.",
        ),
        cfg.StrOpt(
            "logging_user_identity_format",
            default="%(user)s %(project)s %(domain)s %(system_scope)s %(user_domain)s "
            "%(project_domain)s",
            help="What %(user_identity)s stands for. An unknown value is written as '-'.",
        ),
        cfg.Opt(
            "default_log_levels",
            type=BracketList(item_type=LevelPair()),
            default=[
                "amqp=WARN",
                "boto=WARN",
                "sqlalchemy=WARN",
                "suds=INFO",
                "oslo.messaging=INFO",
                "oslo_messaging=INFO",
                "iso8601=WARN",
                "requests.packages.urllib3.connectionpool=WARN",
                "urllib3.connectionpool=WARN",
                "websocket=WARN",
                "requests.packages.urllib3.util.retry=WARN",
                "urllib3.util.retry=WARN",
                "keystonemiddleware=WARN",
                "routes.middleware=WARN",
                "stevedore=WARN",
                "taskflow=WARN",
                "keystoneauth=WARN",
                "oslo.cache=INFO",
                "oslo_policy=INFO",
                "dogpile.core.dogpile=INFO",
            ],
            help="Levels of single loggers, as logger=LEVEL.",
        ),
        cfg.IntOpt(
            "rate_limit_interval",
            default=0,
            help="Seconds over which lines are counted for rate_limit_burst; 0 sets no limit.",
        ),
        cfg.IntOpt(
            "rate_limit_burst",
            default=0,
            help="Most lines logged in rate_limit_interval; those beyond it are dropped and their "
            "dropping is told once. 0 sets no limit.",
        ),
        cfg.StrOpt(
            "rate_limit_except_level",
            default="CRITICAL",
            choices=["CRITICAL", "ERROR", "INFO", "WARNING", "DEBUG", ""],
            help="Lines of this level and above are never dropped; empty: no such level.",
        ),
    ]
}
