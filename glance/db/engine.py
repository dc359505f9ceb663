"""Make the SQLAlchemy engine for an operator's database URL.

Every connection is in the driver's autocommit mode and ``glance.db.txdbapi`` begins transactions
in so many words: reading costs no BEGIN and ROLLBACK round trips, and SQLite can be told at the
start whether a transaction is going to write.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool, StaticPool

from glance.db.sealed_locations import seal_with
from glance.domain.errors import ConfigError

#: How long a SQLite writer waits for another process's, in seconds, unless told otherwise.
SQLITE_BUSY_TIMEOUT = 60.0

#: Driver names in operators' files, and the drivers that serve them here.
_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg2": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mysql+mysqldb": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
}
#: The drivers there are, by database, and how each takes the time to wait for a connection.
_SERVED = {
    "sqlite": ({"sqlite", "sqlite+pysqlite"}, "timeout"),
    "postgresql": ({"postgresql+psycopg"}, "connect_timeout"),
    "mysql": ({"mysql+pymysql"}, "connect_timeout"),
}


def parse_url(text: str) -> URL:
    """Parse a database URL and choose the driver that serves it.

    :param text: a SQLAlchemy URL as it stands in ``[database] connection``.
    :raises ConfigError: it is no URL or names an unknown database. The text, which may hold a
        password, is not repeated.
    """
    try:
        url = make_url(text)
        # The end of a password with an @ and a / in it looks like part of the database's name.
        usable = url.drivername.startswith("sqlite") or "@" not in (url.database or "")
    except (ArgumentError, ValueError):  # the latter is that of a port that is no number
        usable = False
    if not usable:
        raise ConfigError(
            "[database] connection is not a database URL; a URL looks like "
            "postgresql://user:password@host/name or sqlite:////path/to/file. Special characters "
            "in the password are written %XX."
        )
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if url.get_backend_name() == "mysql" and "charset" not in url.query:
        # The schema's text is utf8mb3, but a client that says utf8mb4 can read all of it.
        url = url.update_query_dict({"charset": "utf8mb4"})
    return url


def make_engine(
    url: str,
    *,
    sqlite_synchronous: bool = True,
    mysql_sql_mode: str | None = "TRADITIONAL",
    connect_timeout: int = 10,
) -> Engine:
    """Make an engine whose connections are set up alike on every database.

    The engine pools nothing: a connection lives as long as the thread that uses it
    (``glance.db.txdbapi``), so pooling it again would only cost time.

    :param url: ``[database] connection``.
    :param sqlite_synchronous: ``False`` gives up durability for speed on SQLite.
    :param mysql_sql_mode: the session's SQL mode on MariaDB and MySQL.
    :param connect_timeout: seconds to wait for a server that does not answer.
    :raises ConfigError: the URL cannot be used or its driver is not installed.
    """
    parsed = parse_url(url)
    backend = parsed.get_backend_name()
    if backend not in _SERVED:
        raise ConfigError(
            f"[database] connection names the database {backend!r}; "
            "use sqlite, postgresql or mysql (also for MariaDB)."
        )
    drivers, wait = _SERVED[backend]
    if parsed.drivername not in drivers:
        raise ConfigError(
            f"[database] connection names the driver {parsed.drivername!r}, which is not one of "
            f"this service's; begin the URL with {backend}://."
        )
    # Errors are logged, and the values of a statement may be the URLs of stored data.
    options: dict[str, Any] = {
        "poolclass": NullPool, "isolation_level": "AUTOCOMMIT", "hide_parameters": True,
    }  # fmt: skip
    connect: dict[str, Any] = {}
    if wait not in parsed.query:
        connect[wait] = SQLITE_BUSY_TIMEOUT if backend == "sqlite" else connect_timeout
    if backend == "sqlite":
        connect["check_same_thread"] = False
        if not parsed.database or parsed.database == ":memory:":
            options["poolclass"] = StaticPool
    try:
        engine = create_engine(parsed, connect_args=connect, **options)
    except ImportError:
        raise ConfigError(
            f"[database] connection needs the driver {parsed.drivername!r}, which is not "
            f"installed; try: pip install 'txglance[{backend}]'."
        ) from None
    if backend == "sqlite":
        _set_up_sqlite(engine, sqlite_synchronous)
    elif backend == "postgresql":
        _set_up_postgresql(engine)
    else:
        _set_up_mysql(engine, mysql_sql_mode)
    return engine


def make_configured_engine(options: Any, key: str | None = None) -> Engine:
    """Make the engine of the configuration.

    :param options: the group ``[database]``.
    :param key: ``[DEFAULT] metadata_encryption_key``; whoever reads or writes locations needs it.
    :raises ConfigError: as :func:`make_engine` does.
    """
    engine = make_engine(
        options.connection,
        sqlite_synchronous=options.sqlite_synchronous,
        mysql_sql_mode=options.mysql_sql_mode,
    )
    return seal_with(engine, key)


def _set_up_sqlite(engine: Engine, synchronous: bool) -> None:
    level = "FULL" if synchronous else "OFF"

    @event.listens_for(engine, "connect")
    def thd_connected(connection: Any, record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        # Readers go on while one writes; the mode stays with the file.
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {level}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()


def _set_up_postgresql(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def thd_connected(connection: Any, record: object) -> None:
        # A list with many filters looks costly enough to be compiled, for 0.2 s, and then runs for
        # 0.01 s. Servers may be older than the setting.
        connection.execute(
            "SELECT set_config(name, 'off', false) FROM pg_settings WHERE name = 'jit'"
        )


def _set_up_mysql(engine: Engine, sql_mode: str | None) -> None:
    @event.listens_for(engine, "connect")
    def thd_connected(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        # Less locking of gaps between rows, and so fewer deadlocks among writers.
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        if sql_mode:
            cursor.execute("SET SESSION sql_mode = %s", (sql_mode,))
        cursor.close()


def address(engine: Engine) -> str:
    """Return where an engine's database is, without account and password."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return f"file {url.database or ':memory:'}"
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{url.host or ''}{port}/{url.database or ''}"


def reason(error: Any, engine: Engine) -> str:
    """Return one line saying what a driver complains of, without the password."""
    original = getattr(error, "orig", None) or error
    words = [part for part in original.args if isinstance(part, str)]
    line = (words[0] if words else type(original).__name__).strip().splitlines()[0]
    password = engine.url.password
    return line.replace(str(password), "***") if password else line
