"""``glance-control``: start, stop, reload and watch the servers."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from oslo_config import cfg

from glance.cmd.common import fail, run
from glance.config import Loaded, load
from glance.config.options import general
from glance.control.commands import COMMANDS, Control
from glance.control.errors import FAILED, USAGE, ControlError
from glance.control.pidfile import Places
from glance.control.servers import ALL, SERVERS, Server, names, resolve
from glance.control.starting import Starter

#: Where things are of a server that the whole machine uses.
RUN_DIRECTORY = Path("/var/run/glance")
LOG_DIRECTORY = Path("/var/log/glance")

#: General options that say where a server logs to.
_LOG_OPTIONS = ("log_file", "log_dir", "log_config_append", "use_syslog", "use_journal")

_STARTING = ("start", "restart")


def main() -> None:
    """Run the program with the process's arguments."""
    run(control)


def control() -> int:
    """Do what the command line says.

    :returns: the exit code.
    """
    # What is half started is then undone, as it is by an interrupt from the keyboard.
    signal.signal(signal.SIGTERM, _end)
    loaded = load("glance-control", sys.argv[1:], extra_cli=add_arguments)
    for warning in loaded.warnings:
        print(f"WARNING: {warning}", file=sys.stderr)
    arguments, conf = loaded.arguments, loaded.conf
    servers = resolve(arguments.server, SERVERS)
    starting = arguments.command in _STARTING
    if arguments.server == ALL and conf.pid_file:
        fail(
            f"pid_file names one file, {conf.pid_file}, which cannot serve several servers; name "
            "one server, or leave it out."
        )
        return USAGE
    if starting and conf.await_child and conf.respawn:
        fail("await_child and respawn exclude each other: one returns, the other stays.")
        return FAILED
    return make(loaded, find_config(arguments.config if starting else None)).run(
        arguments.command, servers
    )


def add_arguments(parser: argparse.ArgumentParser, general: argparse.ArgumentParser) -> None:
    """Add the server, the command and the configuration file to the command line."""
    add_positionals(parser, SERVERS)


def add_positionals(parser: argparse.ArgumentParser, servers: tuple[Server, ...]) -> None:
    """Add the arguments for some servers."""
    choices = names(servers)
    parser.add_argument(
        "server", metavar="SERVER", choices=choices, help=f"One of: {', '.join(choices)}."
    )
    parser.add_argument(
        "command", metavar="COMMAND", choices=COMMANDS, help=f"One of: {', '.join(COMMANDS)}."
    )
    parser.add_argument(
        "config",
        metavar="CONFPATH",
        nargs="?",
        help="Configuration file for a server that is started; by default it finds its own.",
    )


def make(loaded: Loaded, config: Path | None) -> Control:
    """Make what carries commands out.

    :param config: the configuration file for servers.
    """
    conf, state = loaded.conf, loaded.state_dir
    given = set(vars(loaded.arguments))
    return Control(
        starter=Starter(
            logs=None if given & set(_LOG_OPTIONS) else Places(LOG_DIRECTORY, state),
            arguments=passed_on(loaded),
            capture=conf.capture_output,
        ),
        places=Places(RUN_DIRECTORY, state / "run"),
        say=_say,
        warn=fail,
        pid_file=Path(conf.pid_file).expanduser().absolute() if conf.pid_file else None,
        config=config,
        await_child=conf.await_child,
        respawn=conf.respawn,
    )


def find_config(path: str | None) -> Path | None:
    """Return the absolute path of a configuration file.

    :raises ControlError: there is no such file.
    """
    if path is None:
        return None
    found = Path(path).expanduser().absolute()
    if found.is_dir():
        raise ControlError(
            f"CONFPATH: {found} is a directory. Use --config-dir for a directory of files."
        )
    if not found.exists():
        raise ControlError(f"CONFPATH: there is no file {found}.")
    return found


def passed_on(loaded: Loaded) -> list[str]:
    """Return the general options of our command line as those of a server.

    Configuration files are our own: what is in them is about us, and a server has CONFPATH.
    """
    given = vars(loaded.arguments)
    declared = {opt.dest: opt for opt in general.OPTIONS["DEFAULT"]}
    found = [f"--config-dir={os.path.abspath(path)}" for path in loaded.config_dirs]
    for name in general.CLI:
        if name not in given:
            continue
        option, value = name.replace("_", "-"), given[name]
        if isinstance(declared[name], cfg.BoolOpt):
            found.append(f"--{option}" if value else f"--no{option}")
        else:
            found.append(f"--{option}={value}")
    return found


def _say(line: str) -> None:
    print(line, flush=True)


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
