"""The directive ``.. program-options:: PROGRAM``, and the list of man pages.

Options stand in a page as the program's own parser has them, so that a page cannot tell of one that
is gone or miss one that came. The extensions of the field that read argparse repeat the general
options for every sub-command, know neither ``--no`` forms nor former names, and take help texts for
reStructuredText; hence these lines of our own.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from docutils import nodes
from oslo_config import cfg
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from glance.config import cli
from glance.config.programs import CLIENTS, PROGRAMS, Program
from glance.config.sample import defaults

#: Words of help texts that are typed as they stand.
_TYPED = re.compile(r"(--[a-z][\w-]*|\*\.\w+|%\(\w+\)s)")


@dataclass
class Entry:
    """An option or argument as the page shows it.

    :param names: what is typed, the ``--no`` form included.
    :param value: what follows, empty where nothing does.
    :param former: names that are accepted for old scripts.
    :param default: its default values as they would be typed.
    """

    names: list[str]
    value: str
    text: str
    former: list[str] = field(default_factory=list)
    default: list[str] = field(default_factory=list)


@dataclass
class Command:
    """A sub-command that has arguments of its own.

    :param spellings: ways to type it, such as ``db upgrade`` and ``db_upgrade``.
    """

    spellings: list[str]
    entries: list[Entry]


def make_parser(name: str) -> argparse.ArgumentParser:
    """Make a program's parser.

    It is that of ``make_parser`` in the module of a program without configuration; of others, the
    general one with what ``add_arguments`` adds.
    """
    module = _module(name)
    if name in CLIENTS:
        made: argparse.ArgumentParser = module.make_parser()
        return made
    extra = getattr(module, "add_arguments", None)
    return cli.make_parser(PROGRAMS[name], cli.CommandLine(), extra)


def _module(name: str) -> Any:
    return import_module("glance.cmd." + name.removeprefix("glance-").replace("-", "_"))


def general(program: Program | None, parser: argparse.ArgumentParser) -> list[Entry]:
    """Return what a program takes whatever the sub-command.

    :param program: ``None`` for one without configuration.
    """
    declared = {opt.dest: opt for opt in program.command_line()} if program else {}
    entries = list(_entries(parser, parser._actions, declared))
    # The parser has these last, readers look for them first.
    return sorted(entries, key=lambda entry: not {"--help", "--version"} & {*entry.names})


def commands(parser: argparse.ArgumentParser) -> list[Command]:
    """Return the sub-commands with arguments of their own; spellings of one are joined."""
    shared = {name for action in parser._actions for name in action.option_strings}
    found: dict[str, Command] = {}
    for words, leaf in leaves(parser):
        own = [
            action
            for action in leaf._actions
            if not action.option_strings or not shared & {*action.option_strings}
        ]
        entries = list(_entries(leaf, own, {}))
        if entries:
            command = found.setdefault("_".join(words), Command([], entries))
            command.spellings.append(" ".join(words))
    return list(found.values())


def leaves(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Yield the sub-commands that have none below them, with the words that lead there."""
    choosers = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for chooser in choosers:
        for name, child in chooser.choices.items():
            yield from leaves(child, (*words, name))
    if words and not choosers:
        yield words, parser


def _entries(
    parser: argparse.ArgumentParser, actions: list[argparse.Action], declared: dict[str, cfg.Opt]
) -> Iterator[Entry]:
    """Describe actions, each switch together with its reverse."""
    switches: dict[str, Entry] = {}
    for action in actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
            continue
        if isinstance(action, argparse._StoreFalseAction) and action.dest in switches:
            switches[action.dest].names += action.option_strings
            continue
        opt = declared.get(action.dest)
        entry = Entry(
            names=list(action.option_strings),
            value=_value(parser, action),
            text=parser._get_formatter()._expand_help(action) if action.help else "",
            default=_default(action, opt),
        )
        if opt is not None:
            current = [f"--{opt.dest.replace('_', '-')}", f"-{opt.short}"]
            entry.former = [name for name in entry.names if name not in current]
            entry.names = [name for name in entry.names if name in current]
        if isinstance(action, argparse._StoreTrueAction):
            switches[action.dest] = entry
        yield entry


def _value(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return what stands for an action's value in usage lines."""
    if action.nargs == 0:
        return ""
    formatter = parser._get_formatter()
    if action.option_strings:
        default = action.dest.upper()
        return formatter._format_args(action, default)
    return formatter._format_args(action, formatter._get_default_metavar_for_positional(action))


def _default(action: argparse.Action, opt: cfg.Opt | None) -> list[str]:
    """Return the default values worth telling."""
    if isinstance(opt, cfg.BoolOpt):
        return ["on"] if opt.default else []
    if opt is not None:
        found = [text for text in defaults(opt) if text not in ("", "<none>")]
        return [text.strip("<>") for text in found]
    if action.nargs == 0 or action.default in (None, argparse.SUPPRESS, [], ""):
        return []
    return [str(action.default)]


class ProgramOptions(SphinxDirective):
    """The directive."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make the lists."""
        name = self.arguments[0]
        if name not in PROGRAMS and name not in CLIENTS:
            raise self.error(f"there is no program {name!r}")
        parser = make_parser(name)
        made: list[nodes.Node] = [_list(general(PROGRAMS.get(name), parser))]
        for command in commands(parser):
            paragraph = nodes.paragraph("", "For ")
            paragraph += _joined(nodes.literal("", words) for words in command.spellings)
            paragraph += nodes.Text(":")
            made += [paragraph, _list(command.entries)]
        return made


def _list(entries: list[Entry]) -> nodes.definition_list:
    made = nodes.definition_list()
    for entry in entries:
        value = f" {entry.value}" if entry.value else ""
        names = [f"{name}{value}" for name in entry.names] or [entry.value]
        item = nodes.definition_list_item()
        item += nodes.term("", "", *_joined(nodes.literal("", name) for name in names))
        item += nodes.definition("", _text(entry))
        made += item
    return made


def _text(entry: Entry) -> nodes.paragraph:
    made = nodes.paragraph()
    for number, part in enumerate(_TYPED.split(entry.text)):
        made += nodes.literal("", part) if number % 2 else nodes.Text(part)
    for words, texts in (("Default", entry.default), ("Former name", entry.former)):
        if texts:
            made += nodes.Text(f" {words}{'s' if len(texts) > 1 else ''}: ")
            made += _joined(nodes.literal("", text) for text in texts)
            made += nodes.Text(".")
    return made


def _joined(parts: Iterator[nodes.Node]) -> list[nodes.Node]:
    made: list[nodes.Node] = []
    for part in parts:
        made += [nodes.Text(", "), part] if made else [part]
    return made


def man_pages(author: str) -> list[tuple[str, str, str, str, int]]:
    """Return Sphinx's list of man pages: one for each program, with its summary as description."""
    summaries = {name: program.summary for name, program in PROGRAMS.items()}
    summaries |= {name: _module(name).SUMMARY for name in CLIENTS}
    return [
        (f"cli/{name}", name, _description(summary), author, 1)
        for name, summary in summaries.items()
    ]


def _description(summary: str) -> str:
    sentence = summary.split(". ")[0].rstrip(".")
    return sentence[0].lower() + sentence[1:]


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("program-options", ProgramOptions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
