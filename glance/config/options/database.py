"""Options of the catalogue's database."""

from __future__ import annotations

from oslo_config import cfg

from glance.config.valuetypes import EncryptionKey


def _old(*names: str) -> list[cfg.DeprecatedOpt]:
    """Turn ``group/name`` texts into declarations of former names."""
    pairs = (name.split("/") for name in names)
    return [cfg.DeprecatedOpt(name, group=group) for group, name in pairs]


CLI = ()

OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.Opt(
            "metadata_encryption_key",
            type=EncryptionKey(),
            secret=True,
            help="Key with which the locations of image data are encrypted in the database (AES). "
            "Every program that works with locations needs the same. Locations from before there "
            "was a key stay readable; those written with another key are lost.",
        ),
    ],
    "database": [
        cfg.StrOpt(
            "connection",
            secret=True,
            deprecated_opts=_old(
                "DEFAULT/sql_connection", "DATABASE/sql_connection", "sql/connection"
            ),
            help="URL of the database: postgresql://user:password@host/glance, "
            "mysql://user:password@host/glance or sqlite:////path/of/glance.sqlite. Write a dollar "
            "sign in it as $$. Required in a configuration file.",
        ),
        cfg.BoolOpt(
            "sqlite_synchronous",
            default=True,
            help="Let SQLite wait until data is on the disk. Switched off, a power failure may "
            "cost the last changes.",
        ),
        cfg.StrOpt(
            "mysql_sql_mode",
            default="TRADITIONAL",
            help="SQL mode set on every MySQL or MariaDB connection; empty leaves the server's.",
        ),
        cfg.IntOpt(
            "mysql_wsrep_sync_wait",
            help="Galera cluster: value of wsrep_sync_wait set on every connection. Unset leaves "
            "the server's.",
        ),
        cfg.IntOpt(
            "connection_recycle_time",
            default=3600,
            deprecated_opts=_old(
                "DATABASE/idle_timeout",
                "database/idle_timeout",
                "DEFAULT/sql_idle_timeout",
                "DATABASE/sql_idle_timeout",
                "sql/idle_timeout",
            ),
            help="Seconds after which a pooled connection is replaced by a new one; -1 for never.",
        ),
        cfg.IntOpt(
            "max_pool_size",
            default=5,
            deprecated_opts=_old("DEFAULT/sql_max_pool_size", "DATABASE/sql_max_pool_size"),
            help="Connections kept open by each worker process, and threads that use them.",
        ),
        cfg.IntOpt(
            "max_overflow",
            default=50,
            deprecated_opts=_old("DEFAULT/sql_max_overflow", "DATABASE/sqlalchemy_max_overflow"),
            help="Connections that may be opened beyond max_pool_size for a short while.",
        ),
        cfg.IntOpt(
            "pool_timeout",
            deprecated_opts=_old("DATABASE/sqlalchemy_pool_timeout"),
            help="Seconds to wait for a free connection of the pool.",
        ),
        cfg.IntOpt(
            "max_retries",
            default=10,
            deprecated_opts=_old("DEFAULT/sql_max_retries", "DATABASE/sql_max_retries"),
            help="Attempts to reach the database at start; -1 goes on for ever.",
        ),
        cfg.IntOpt(
            "retry_interval",
            default=10,
            deprecated_opts=_old("DEFAULT/sql_retry_interval", "DATABASE/reconnect_interval"),
            help="Seconds between those attempts.",
        ),
        cfg.BoolOpt(
            "use_db_reconnect",
            default=False,
            help="Repeat work that was lost because the connection broke, as db_max_retries and "
            "its companions say.",
        ),
        cfg.IntOpt(
            "db_max_retries",
            default=20,
            help="Attempts to repeat work after a lost connection or a deadlock; -1 goes on for "
            "ever.",
        ),
        cfg.IntOpt(
            "db_retry_interval",
            default=1,
            help="Seconds before the first of those attempts.",
        ),
        cfg.BoolOpt(
            "db_inc_retry_interval",
            default=True,
            help="Wait longer before each further attempt, up to db_max_retry_interval.",
        ),
        cfg.IntOpt(
            "db_max_retry_interval",
            default=10,
            help="Longest wait between those attempts, in seconds.",
        ),
        cfg.IntOpt(
            "connection_debug",
            default=0,
            min=0,
            max=100,
            deprecated_opts=_old("DEFAULT/sql_connection_debug"),
            help="How much of the SQL is logged: 0 nothing, 50 statements, 100 statements and "
            "rows.",
        ),
        cfg.BoolOpt(
            "connection_trace",
            default=False,
            deprecated_opts=_old("DEFAULT/sql_connection_trace"),
            help="Add a comment to each statement that names the code it came from.",
        ),
        cfg.StrOpt(
            "connection_parameters",
            default="",
            help="Parameters put behind the connection URL: name1=value1&name2=value2.",
        ),
    ],
}
