"""Loading a program's configuration: find the files, read them, check every value.

The order of precedence is: command line, environment, files of ``--config-dir``, ``--config-file``,
defaults.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oslo_config import cfg

from glance.config import cli
from glance.config.files import FileIndex, Place, conf_files, whole
from glance.config.options import general, identity, store
from glance.config.programs import PROGRAMS, Program, find_defaults, state_home
from glance.config.valuetypes import describe
from glance.domain.errors import ConfigError

#: Prefix of the names of stores that the service makes for itself.
RESERVED_STORES = "os_glance_"


@dataclass(frozen=True)
class Loaded:
    """A program's configuration, read and found good.

    :param conf: the options: ``conf.bind_port``, ``conf.database.connection``.
    :param program: the program's name.
    :param embedded: no configuration file was given or found, so the service keeps its own
        database and files in ``state_dir``.
    :param state_dir: absolute; nothing has been created there.
    :param config_files: every file that was read, in the order in which they were applied.
    :param config_dirs: what ``--config-dir`` named.
    :param arguments: the parsed command line, with what ``extra_cli`` added.
    :param warnings: what the log should say about the configuration, such as old names in use.
    """

    conf: cfg.ConfigOpts
    program: str
    embedded: bool
    state_dir: Path
    config_files: list[str]
    config_dirs: tuple[str, ...] = ()
    arguments: argparse.Namespace = field(default_factory=argparse.Namespace)
    warnings: tuple[str, ...] = ()
    _values: _Values | None = field(default=None, repr=False, compare=False)

    def thd_make_state_dir(self) -> None:
        """Make the state directory of the embedded default.

        :raises ConfigError: it cannot be made.
        """
        try:
            self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"The state directory {self.state_dir} cannot be made: {error.strerror}. "
                "Choose another with --state-dir."
            ) from None

    def add_section(self, group: str, opts: Sequence[cfg.Opt]) -> None:
        """Declare a section that came to light after loading, such as a store's, and check it.

        :raises ConfigError: a value is wrong.
        """
        assert self._values is not None
        self._values.add_section(group, opts)

    def places(self) -> Iterator[tuple[str, str, Place]]:
        """Yield section, option and place of whatever stands in the configuration files."""
        if self._values is not None:
            yield from self._values.index.everything()


def load(
    program: str,
    argv: Sequence[str],
    *,
    extra_cli: cli.ExtraCli | None = None,
    directories: Sequence[Path] | None = None,
) -> Loaded:
    """Load a program's configuration.

    :param program: a name out of ``PROGRAMS``.
    :param argv: the command line without the program's name.
    :param extra_cli: adds the program's own arguments; see :data:`glance.config.cli.ExtraCli`.
    :param directories: where default files are looked for, instead of the usual places.
    :raises ConfigError: a file cannot be used or a value is wrong; the message says which.
    :raises SystemExit: after ``--help``, ``--version`` (0) and usage errors (2).
    """
    row = PROGRAMS[program]
    line = cli.parse(row, argv, extra_cli)
    default_files = [] if line.files else find_defaults(row, ".conf", directories)
    default_dirs = [] if line.directories else find_defaults(row, ".conf.d", directories)
    index = FileIndex()
    files = list(line.files or default_files)
    index.read(line.files, origin="--config-file")
    index.read(default_files, origin="configuration file")
    named = "--config-dir" if line.directories else "configuration directory"
    for directory in line.directories or default_dirs:
        found = conf_files(directory, origin=named)
        index.read(found, origin="configuration file")
        files += found
    embedded = row.embedded and not (files or line.directories)
    with _quiet() as warnings:
        conf = _parse(program, line, default_files, default_dirs)
        values = _Values(conf, index, line)
        values.register(row)
        state_dir = _state_dir(values)
        if embedded:
            _embed(conf, row, state_dir)
        values.check_all(row.declared())
        _check_together(values, row)
        _add_auth_section(values, row)
        _add_stores(values, row)
    return Loaded(
        conf=conf,
        program=program,
        embedded=embedded,
        state_dir=state_dir,
        config_files=[str(Path(path).expanduser().absolute()) for path in files],
        config_dirs=tuple(line.directories),
        arguments=line.arguments,
        warnings=tuple(warnings),
        _values=values,
    )


class _Values:
    """The values of one load, with where each of them comes from."""

    def __init__(self, conf: cfg.ConfigOpts, index: FileIndex, line: cli.CommandLine) -> None:
        self.conf = conf
        self.index = index
        self.line = line

    def register(self, program: Program) -> None:
        """Declare a program's options and put the command line's values above all others."""
        for group, opt in program.declared():
            self.conf.register_opt(opt, group=None if group == "DEFAULT" else group)
        for opt in program.command_line():
            if opt.dest in self.line.values:
                try:
                    self.conf.set_override(opt.dest, self.line.values[opt.dest])
                except ValueError:
                    raise self.error("DEFAULT", opt, f"it must be {describe(opt)}") from None

    def add_section(self, group: str, opts: Sequence[cfg.Opt]) -> None:
        """See :meth:`Loaded.add_section`."""
        self.conf.register_opts(opts, group=group)
        self.check_all((group, opt) for opt in opts)

    def check_all(self, declared: Iterable[tuple[str, cfg.Opt]]) -> None:
        """Read every option once, so that a wrong value is found now and not in a month.

        :raises ConfigError: a value is wrong.
        """
        for group, opt in declared:
            self.check(group, opt)

    def check(self, group: str, opt: cfg.Opt) -> Any:
        """Return an option's value.

        :raises ConfigError: it is wrong.
        """
        try:
            value = self.conf[opt.dest] if group == "DEFAULT" else self.conf[group][opt.dest]
        except (
            cfg.NoSuchOptError,
            cfg.NoSuchGroupError,
            cfg.TemplateSubstitutionError,
            RecursionError,
        ):
            raise self.error(
                group,
                opt,
                "a '$' in it does not refer to another option; write '$$' for a plain dollar sign",
            ) from None
        except (ValueError, cfg.Error):
            raise self.error(group, opt, f"it must be {describe(opt)}") from None
        if value is None and opt.default is not None:
            raise self.error(group, opt, f"it is empty but must be {describe(opt)}")
        return value

    def origin(self, group: str, opt: cfg.Opt) -> tuple[str, Any] | None:
        """Return where an option's value comes from and its text; None for a default."""
        if group == "DEFAULT" and opt.dest in self.line.values:
            return f"--{opt.dest.replace('_', '-')}", self.line.values[opt.dest]
        variable = f"OS_{group.upper()}__{opt.dest.upper()}"
        if variable in os.environ:
            return f"environment variable {variable}", os.environ[variable]
        place = self.index.find(group, opt)
        return None if place is None else (str(place), place.value)

    def error(self, group: str, opt: cfg.Opt, problem: str) -> ConfigError:
        """Make the error for a wrong value: option, group, place, value, what it should be."""
        where, value = self.origin(group, opt) or ("default", "")
        # A wrong value of a secret option is most of a secret.
        shown = "" if opt.secret else whole(value)
        stated = f" is {shown}" if shown else " has a value that cannot be used"
        return ConfigError(f"[{group}]{opt.dest} ({where}){stated}: {problem}.")


@contextlib.contextmanager
def _quiet() -> Iterator[list[str]]:
    """Keep oslo.config's log lines for later: at this time there is no log to write them to."""
    kept: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        kept.append(record.getMessage())
        return False

    logger = logging.getLogger(cfg.__name__)
    logger.addFilter(keep)
    try:
        yield kept
    finally:
        logger.removeFilter(keep)


def _parse(
    program: str, line: cli.CommandLine, default_files: list[str], default_dirs: list[str]
) -> cfg.ConfigOpts:
    """Let oslo.config read the files, which are known to be good by now."""
    conf = cfg.ConfigOpts()
    arguments = [f"--config-file={path}" for path in line.files or default_files]
    arguments += [f"--config-dir={path}" for path in line.directories or default_dirs]
    try:
        conf(
            arguments,
            project="glance",
            prog=program,
            default_config_files=[],
            default_config_dirs=[],
        )
    except cfg.Error as error:
        # Only a file that changed this very moment gets here. Its text may hold a secret.
        raise ConfigError(
            f"The configuration files cannot be read ({type(error).__name__}). Try again."
        ) from None
    return conf


def _state_dir(values: _Values) -> Path:
    """Work out the state directory."""
    opt = next(opt for opt in general.OPTIONS["DEFAULT"] if opt.dest == "state_dir")
    given = values.check("DEFAULT", opt)
    path = Path(given).expanduser() if given else state_home()
    if "?" in str(path):
        # It would begin the query part of the database's URL.
        raise values.error("DEFAULT", opt, "the path must not contain a question mark")
    return path.absolute()


def _embed(conf: cfg.ConfigOpts, program: Program, state_dir: Path) -> None:
    """Make a service that stands on its own feet the default."""
    defaults: dict[tuple[str, str], Any] = {
        ("DEFAULT", "bind_host"): "127.0.0.1",
        ("DEFAULT", "bind_port"): 9292,
        ("DEFAULT", "workers"): 0,
        ("database", "connection"): f"sqlite:///{state_dir}/glance.sqlite",
        ("glance_store", "filesystem_store_datadir"): f"{state_dir}/images",
    }
    for group, opt in program.declared():
        value = defaults.get((group, opt.dest))
        if value is not None:
            conf.set_default(opt.dest, _plain(value), group=None if group == "DEFAULT" else group)


def _plain(value: Any) -> Any:
    """Protect dollar signs from being taken for references to other options."""
    return value.replace("$", "$$") if isinstance(value, str) else value


def _check_together(values: _Values, program: Program) -> None:
    """Check what only several options together can get wrong."""
    conf = values.conf
    declared = {(group, opt.dest): opt for group, opt in program.declared()}
    connection = declared.get(("database", "connection"))
    if connection is not None and program.catalogue and not conf.database.connection:
        raise ConfigError(
            "[database]connection is not set. Put the URL of the database into a configuration "
            "file, or start without any configuration file to use a SQLite database of its own."
        )
    if ("DEFAULT", "cert_file") in declared and bool(conf.cert_file) != bool(conf.key_file):
        given, missing = ("cert_file", "key_file") if conf.cert_file else ("key_file", "cert_file")
        raise values.error(
            "DEFAULT", declared["DEFAULT", given], f"[DEFAULT]{missing} must be set as well"
        )
    authorities = declared.get(("DEFAULT", "ca_file"))
    if authorities is not None and conf.ca_file and not conf.cert_file:
        raise values.error(
            "DEFAULT",
            authorities,
            "clients show their certificates over TLS only, so [DEFAULT]cert_file and "
            "[DEFAULT]key_file must be set as well",
        )
    stale = declared.get(("DEFAULT", "transfer_stale_time"))
    if stale is not None and conf.transfer_stale_time <= conf.transfer_heartbeat_interval:
        raise values.error(
            "DEFAULT",
            stale,
            "it must be greater than [DEFAULT]transfer_heartbeat_interval, "
            f"{conf.transfer_heartbeat_interval}",
        )


def _add_auth_section(values: _Values, program: Program) -> None:
    """Declare the section that holds the service's credentials, where it is one of its own."""
    declared = {(group, opt.dest): opt for group, opt in program.declared()}
    option = declared.get((identity.GROUP, "auth_section"))
    if option is None:
        return
    section = values.conf[identity.GROUP].auth_section
    if not section:
        return
    # A section of the name of an option of [DEFAULT] would hide that option.
    if section == "DEFAULT" or ("DEFAULT", section) in declared:
        raise values.error(identity.GROUP, option, "it must be the name of a section of its own")
    opts = identity.auth_options(section)
    values.add_section(section, [opt for opt in opts if (section, opt.dest) not in declared])


def _add_stores(values: _Values, program: Program) -> None:
    """Declare the sections of the stores named in ``enabled_backends``.

    Drivers of third parties declare theirs by ``add_section``.
    """
    declared = {(group, opt.dest): opt for group, opt in program.declared()}
    backends = declared.get(("DEFAULT", "enabled_backends"))
    if backends is None:
        return
    # A section of the name of an option of [DEFAULT] would hide that option.
    taken = {"backend_defaults"} | {group for group, _ in declared}
    taken |= {name for group, name in declared if group == "DEFAULT"}
    if (identity.GROUP, "auth_section") in declared:
        taken.add(values.conf[identity.GROUP].auth_section)
    stores = values.conf.enabled_backends or {}
    known = [options for name, options in store.DRIVER_OPTIONS.items() if name in stores.values()]
    if known:
        opts = [opt for options in known for opt in options()]
        values.add_section("backend_defaults", store.backend_options() + opts)
    for store_id, driver in stores.items():
        if store_id in taken or store_id.startswith(RESERVED_STORES):
            raise values.error(
                "DEFAULT",
                backends,
                f"the store id {store_id!r} is reserved for the service; choose another",
            )
        opts = store.backend_options()
        if driver in store.DRIVER_OPTIONS:
            opts += store.DRIVER_OPTIONS[driver]()
        values.add_section(store_id, opts)
