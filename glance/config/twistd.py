"""The same command line below ``twistd``.

``twistd glance-api --config-file x --debug`` must do what ``glance-api --config-file x --debug``
does, so the options given to ``twistd`` after the program's name go to the same ``load``.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from twisted.logger import ILogObserver
from twisted.python import usage
from zope.interface import provider

from glance.config import cli
from glance.config.loading import Loaded, load
from glance.config.programs import PROGRAMS
from glance.domain.errors import ConfigError


class ProgramOptions(usage.Options):
    """Options of a service maker: give the program's name in a subclass.

    Unless ``twistd`` was given an observer with ``--logger``, its own logging options count as ours
    where ours are not used, and its own observer keeps quiet: ``makeService`` has to call
    ``glance.services.logs.start_logging(…, under_twistd=True)``, which then writes everything.
    """

    program = ""
    #: Adds the program's own arguments.
    extra_cli: cli.ExtraCli | None = None
    #: The configuration.
    loaded: Loaded
    #: The command line it came from; a worker process is started with the same.
    arguments: list[str]
    _on_terminal = False

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Load the configuration into ``loaded``; leave the process as the program itself would."""
        self.arguments = list(sys.argv[1:] if options is None else options)
        try:
            self.loaded = self._load()
            if self.parent is not None and not self.parent.get("logger"):
                self._take_log_over(self.parent)
        except ConfigError as error:
            print(f"ERROR: {error}", file=sys.stderr)
            raise SystemExit(1) from None
        self.postOptions()

    def reload(self) -> Loaded:
        """Load the configuration anew, as :meth:`parseOptions` did.

        :raises ConfigError: it cannot be used.
        """
        loaded = self._load()
        self._set_defaults(loaded)
        return loaded

    def getUsage(self, width: int | None = None) -> str:
        """Return the program's help, for ``twistd``'s own messages."""
        return self._parser().format_help()

    def getSynopsis(self) -> str:
        """Return the program's usage line."""
        return self._parser().format_usage().rstrip()

    def _load(self) -> Loaded:
        return load(self.program, self.arguments, extra_cli=self.extra_cli)

    def _parser(self) -> ArgumentParser:
        return cli.make_parser(PROGRAMS[self.program], cli.CommandLine(), self.extra_cli)

    def _take_log_over(self, parent: Any) -> None:
        """Take over where ``twistd`` was told to log, unless our own options say where."""
        if not logs_somewhere(self.loaded.conf):
            logfile = parent.get("logfile")
            foreground = logfile == "-" or (parent.get("nodaemon") and not logfile)
            if parent.get("syslog"):
                self.arguments.append("--use-syslog")
            elif not foreground:
                path = os.path.abspath(logfile or "twistd.log").replace("$", "$$")
                self.arguments.append(f"--log-file={path}")
            self.loaded = self._load()
            self._on_terminal = bool(foreground and not parent.get("syslog"))
            self._set_defaults(self.loaded)
        # twistd looks the name up when it has parsed everything.
        parent["logger"] = f"{__name__}.{quiet_observer.__name__}"

    def _set_defaults(self, loaded: Loaded) -> None:
        if self._on_terminal:
            # twistd would write to standard output; a log does better on standard error.
            loaded.conf.set_default("use_stderr", True)


def options_for(program: str) -> type[ProgramOptions]:
    """Make the ``options`` of a program's service maker.

    :param program: a name out of ``glance.config.programs.PROGRAMS``.
    """
    return type("Options", (ProgramOptions,), {"program": program})


def logs_somewhere(conf: Any) -> bool:
    """Tell whether any option says where log lines are to go."""
    return any(getattr(conf, name) for name in _DESTINATIONS)


_DESTINATIONS = (
    "log_file",
    "log_dir",
    "log_config_append",
    "use_syslog",
    "use_journal",
    "use_stderr",
)


@provider(ILogObserver)
def _ignore(event: dict[str, Any]) -> None:
    """Do nothing with a log event."""


def quiet_observer() -> Any:
    """Make an observer that does nothing, for ``twistd`` to use as its own."""
    return _ignore
