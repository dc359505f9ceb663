"""The command line: general options, and what a program adds to them.

oslo.config can parse a command line too, but there the order of ``--config-file`` and other
options decides who wins. Here the command line always does.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from oslo_config import cfg

from glance import __version__
from glance.config.programs import Program

#: Adds a program's own arguments: called with the parser, and with a parent for sub-commands'
#: parsers (``add_parser(name, parents=[general])``) so that general options may follow those too.
ExtraCli = Callable[[argparse.ArgumentParser, argparse.ArgumentParser], None]


@dataclass(slots=True)
class CommandLine:
    """A parsed command line.

    :param files: values of ``--config-file``.
    :param directories: values of ``--config-dir``.
    :param values: given options of ``[DEFAULT]`` by name.
    :param arguments: everything, the program's own arguments included.
    """

    files: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    arguments: argparse.Namespace = field(default_factory=argparse.Namespace)


def make_parser(
    program: Program, result: CommandLine, extra: ExtraCli | None = None
) -> argparse.ArgumentParser:
    """Make a program's parser.

    :param result: receives the configuration files and directories.
    :param extra: adds the program's own arguments.
    """
    general = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = general.add_argument_group("general options")
    group.add_argument(
        "--config-file",
        action=_Collect,
        sink=result.files,
        metavar="PATH",
        help="Configuration file to read instead of the default ones; may be given several times, "
        "later files win.",
    )
    group.add_argument(
        "--config-dir",
        action=_Collect,
        sink=result.directories,
        metavar="DIR",
        help="Directory whose *.conf files are read in the order of their names, after every "
        "--config-file.",
    )
    for opt in program.command_line():
        _add(group, opt)
    parser = _Parser(
        prog=program.name,
        description=program.summary,
        parents=[general],
        add_help=False,
        epilog="Every option can also be set in a configuration file or as the environment "
        "variable OS_<GROUP>__<OPTION>; the command line wins over the environment, and that over "
        "files.",
    )
    parser.add_argument("-h", "--help", action="help", help="Show this message and exit.")
    parser.add_argument(
        "--version",
        action="version",
        version=__version__,
        help="Show the version number and exit.",
    )
    if extra is not None:
        extra(parser, general)
    return parser


def parse(program: Program, argv: Sequence[str], extra: ExtraCli | None = None) -> CommandLine:
    """Parse a command line.

    :param argv: the arguments without the program's name.
    :raises SystemExit: with 0 after ``--help`` and ``--version``, with 2 after a usage error.
    """
    result = CommandLine()
    parser = make_parser(program, result, extra)
    # Options may stand between positional arguments too; sub-commands see to that themselves.
    read = parser.parse_args if parser._subparsers else parser.parse_intermixed_args
    result.arguments = read(list(argv))
    given = vars(result.arguments)
    result.values = {name: given[name] for name in program.cli if name in given}
    return result


class _BriefUsage(argparse.HelpFormatter):
    """Says ``[options]`` in the usage line instead of listing forty of them."""

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None = None,
    ) -> None:
        """Note the usage line down."""
        brief = [action for action in actions if not action.option_strings]
        # With a prefix of its own this is no usage line but the beginning of a sub-command's name.
        if prefix is None:
            brief.insert(0, argparse.Action(["options"], "options", nargs=0))
        super().add_usage(usage, brief, (), prefix)


class _Parser(argparse.ArgumentParser):
    """A parser, and parsers of sub-commands, with a brief usage line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"formatter_class": _BriefUsage, **kwargs})


class _Collect(argparse.Action):
    """Appends to a list of our own: argparse's 'append' forgets what stood before a sub-command."""

    def __init__(self, *args: Any, sink: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sink = sink

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        self.sink.append(values)


def _add(group: argparse._ArgumentGroup, opt: cfg.Opt) -> None:
    """Add one declared option, with its short form and its former names."""
    name = opt.dest.replace("_", "-")
    old = [entry.name for entry in opt.deprecated_opts if entry.name and entry.group == "DEFAULT"]
    names = [f"--{name}"]
    for former in old:
        names += dict.fromkeys([f"--{former.replace('_', '-')}", f"--{former}"])
    if opt.short:
        names.insert(0, f"-{opt.short}")
    text = (opt.help or "").replace("%", "%%")
    if isinstance(opt, cfg.BoolOpt):
        group.add_argument(*names, dest=opt.dest, action="store_true", help=text)
        group.add_argument(
            f"--no{name}", dest=opt.dest, action="store_false", help=f"The reverse of --{name}."
        )
    else:
        action = "append" if opt.multi else "store"
        group.add_argument(*names, dest=opt.dest, action=action, metavar=opt.metavar, help=text)
