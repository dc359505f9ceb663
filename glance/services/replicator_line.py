"""The command line of ``glance-replicator``: its options, and which argument means what.

Nothing heavy is imported here: help has to come at once.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from glance.config.options.replicator import SOURCE, TARGET
from glance.domain.errors import Invalid
from glance.services.replicator_commands import (
    COMMANDS,
    DIRECTORY,
    PROGRAM,
    SERVER,
    Command,
    Misuse,
    Slot,
    find,
    listing,
)

#: Variables by which the field's clients find a service.
_WHERE = ("OS_AUTH_URL", "OS_IMAGE_ENDPOINT_OVERRIDE", "OS_IMAGE_URL")

#: Options that make no sense with every command, by the names of arguments, and with which they do.
_CHANGERS = ("dump", "livecopy", "load")
_MEANT_FOR = {
    "dry_run": _CHANGERS,
    "delete_extra": ("compare", *_CHANGERS),
    "force": _CHANGERS,
    "watch": _CHANGERS,
}


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done.

    :param typed: servers and directories that were typed; others are to be looked up.
    """

    command: Command
    typed: Mapping[Slot, str] = field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser, general: argparse.ArgumentParser) -> None:
    """Add commands, their arguments, and options that are no part of the configuration."""
    parser.usage = f"{PROGRAM} <command> [options] [args]"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = f"{textwrap.fill(parser.description or '', 79)}\n\n{listing()}"
    parser.epilog = textwrap.fill(parser.epilog or "", 79)
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument(
        "-l",
        dest="log_file",
        metavar="LOGFILE",
        default=argparse.SUPPRESS,
        help="The same as --log-file.",
    )
    parser.add_argument(
        "-s",
        "--syslog",
        dest="use_syslog",
        action="store_true",
        default=argparse.SUPPRESS,
        help="The same as --use-syslog.",
    )
    parser.add_argument(
        "--json", action="store_true", help="Print the result as a JSON object on standard output."
    )
    _add_sides(parser.add_argument_group("the two sides"))


def _add_sides(group: argparse._ArgumentGroup) -> None:
    for side in (SOURCE, TARGET):
        group.add_argument(
            f"--{side}-cloud",
            metavar="NAME",
            help=f"Cloud of clouds.yaml that says where the {side} is and how to log in, in place "
            f"of [{side}] in the configuration; envvars is the one of the OS_ variables.",
        )
    for name, what in (("", "both sides"), *((f"{side}-", f"the {side}") for side in _SIDES)):
        group.add_argument(
            f"--{name}cacert",
            metavar="FILE",
            help=f"Certificates of the authorities to trust, in PEM, for {what}.",
        )
        group.add_argument(
            f"--{name}insecure",
            action="store_true",
            help=f"Do not verify the certificates of {what}: whoever is in between can read and "
            "change everything.",
        )


_SIDES = (SOURCE, TARGET)


def read_order(
    words: Sequence[str], arguments: argparse.Namespace, conf: Any, environ: Mapping[str, str]
) -> Order:
    """Find out what is to be done.

    :param words: a command and its arguments.
    :param environ: variables, some of which may say where a side is.
    :raises Misuse: nobody can tell.
    """
    command = find(words[0])
    given = vars(arguments)
    for name, commands in _MEANT_FOR.items():
        if given.get(name) and command.name not in commands:
            option = f"--{name.replace('_', '-')}"
            meant = f"{', '.join(commands[:-1])} and {commands[-1]}"
            raise Misuse(f"{option} goes with {meant}.", command.usage)
    typed = _placed(command, list(words[1:]), arguments, conf, environ)
    for (side, what), text in typed.items():
        if what == SERVER:
            _check_server(side, text, command)
        elif not text:
            raise Misuse(f"The {side}'s directory is empty.", command.usage)
    return Order(command, typed)


def service_order(arguments: argparse.Namespace, conf: Any, environ: Mapping[str, str]) -> Order:
    """Find out what a service is to do again and again; without a command, by configuration alone.

    :raises Misuse: the command line cannot be followed.
    :raises Invalid: the configuration does not say enough.
    """
    if not arguments.words:
        return _configured_order(conf, environ)
    order = read_order(arguments.words, arguments, conf, environ)
    if not order.command.changes:
        raise Misuse("A service can do dump, livecopy and load.", order.command.usage)
    return order


def _configured_order(conf: Any, environ: Mapping[str, str]) -> Order:
    """Return what the configuration alone has a service do.

    :raises Invalid: it does not say enough.
    """
    directories = [side for side in _SIDES if conf[side].directory]
    if len(directories) == len(_SIDES):
        raise Invalid(
            "[source]directory and [target]directory are both set; one side has to be a service."
        )
    command = {SOURCE: COMMANDS["load"], TARGET: COMMANDS["dump"]}.get(
        directories[0] if directories else "", COMMANDS["livecopy"]
    )
    for side, what in command.slots:
        if not (_is_configured(side, what, conf) or _is_told((side, what), environ, False)):
            raise Invalid(f"Where the {side} is, nothing says; set [{side}]server or cloud.")
    return Order(command)


def prefix_of(side: str) -> str:
    """Return what the names of variables begin with that are about one side alone."""
    return f"{side.upper()}_"


def is_exported(side: str, environ: Mapping[str, str]) -> bool:
    """Tell whether the environment has variables about one side alone."""
    return any(name.startswith(f"{prefix_of(side)}OS_") for name in environ)


def _placed(
    command: Command,
    words: list[str],
    arguments: argparse.Namespace,
    conf: Any,
    environ: Mapping[str, str],
) -> dict[Slot, str]:
    """Tell which argument is which, where some may have been left out."""
    slots = list(command.slots)
    if len(words) > len(slots):
        raise Misuse("Too many arguments.", command.usage)
    named = [slot for slot in slots if not _is_named(slot, arguments)]
    unknown = [
        slot
        for slot in named
        if not (_is_configured(*slot, conf) or _is_told(slot, environ, command.is_of_one))
    ]
    for wanted in (slots, named, unknown):
        if len(wanted) == len(words):
            return dict(zip(wanted, words, strict=True))
    if len(words) < len(unknown):
        missing = [f"the {side}'s {what}" for side, what in unknown[len(words) :]]
        verb = "is" if len(missing) == 1 else "are"
        raise Misuse(f"Too few arguments: {' and '.join(missing)} {verb} missing.", command.usage)
    raise Misuse("Which side is meant? Give both arguments.", command.usage)


def _is_named(slot: Slot, arguments: argparse.Namespace) -> bool:
    side, what = slot
    return what == SERVER and bool(getattr(arguments, f"{side}_cloud"))


def _is_told(slot: Slot, environ: Mapping[str, str], alone: bool) -> bool:
    side, what = slot
    prefixes = [prefix_of(side), *([""] if alone else [])]
    return what == SERVER and any(
        environ.get(f"{prefix}{name}") for prefix in prefixes for name in _WHERE
    )


def _is_configured(side: str, what: str, conf: Any) -> bool:
    section = conf[side]
    if what == DIRECTORY:
        return bool(section.directory)
    return bool(section.server or section.cloud or section.auth_url)


def _check_server(side: str, text: str, command: Command) -> None:
    from glance.remote.endpoint import read_endpoint

    try:
        read_endpoint(text)
    except Invalid as error:
        # It may hold a password, so it is not repeated.
        raise Misuse(f"The {side}'s server cannot be used: {error}", command.usage) from None
