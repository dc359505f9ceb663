"""Every program has a man page, made for real, that tells of all its command line takes.

Sphinx belongs to what the tests need: a page that cannot be made is a failure, not a skip.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

from glance.config import cli
from glance.config.programs import CLIENTS, PROGRAMS

DOCS = Path(__file__).parents[3] / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

import program_options  # noqa: E402


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, str]:
    """The pages as text, by program."""
    out = tmp_path_factory.mktemp("man")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "man", "-d", str(out / "work")]
    made = subprocess.run([*build, str(DOCS), str(out)], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return {page.name: _plain(page.read_text()) for page in out.glob("*.1")}


def _plain(troff: str) -> str:
    """Take out of a page what is for troff alone: fonts, escaped hyphens."""
    return re.sub(r"\\f[A-Z]|\\f\[\w*\]", "", troff.replace(r"\-", "-").replace(r"\&", ""))


def section(page: str, name: str) -> str:
    found = re.search(rf"^\.SH {name}\n(.*?)(?=^\.SH )", page, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def parsers(parser: argparse.ArgumentParser):
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


def test_every_program_has_a_page(pages):
    assert set(pages) == {f"{name}.1" for name in [*PROGRAMS, *CLIENTS]}


@pytest.mark.parametrize("name", sorted([*PROGRAMS, *CLIENTS]))
def test_options(name, pages):
    told = section(pages[f"{name}.1"], "OPTIONS")
    expected = {
        option
        for parser in parsers(program_options.make_parser(name))
        for action in parser._actions
        if action.help is not argparse.SUPPRESS
        for option in action.option_strings
    }
    wanted = {"--host", "-A"} if name in CLIENTS else {"--config-file", "--log_config", "--nodebug"}
    assert expected >= {"--help", *wanted}
    assert expected - set(re.findall(r"--?\w[\w-]*", told)) == set()


@pytest.mark.parametrize("name", sorted([*PROGRAMS, *CLIENTS]))
def test_sections(name, pages):
    headings = re.findall(r"^\.SH (.+)$", pages[f"{name}.1"], re.MULTILINE)
    wanted = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "FILES", "EXIT STATUS", "SEE ALSO"]
    if name in CLIENTS:
        wanted[4] = "ENVIRONMENT"
    assert [heading for heading in headings if heading in wanted] == wanted
    name_line = section(pages[f"{name}.1"], "NAME").strip()
    assert re.fullmatch(rf"{name} - [a-z].*[^.]", name_line.replace(r"\-", "-"))


def test_actions(pages):
    told = section(pages["glance-manage.1"], "ACTIONS")
    parser = program_options.make_parser("glance-manage")
    actions = [words for words, _ in program_options.leaves(parser) if len(words) == 2]
    assert ("db", "sync") in actions
    for words in actions:
        assert re.search(rf"\b{' '.join(words)}\b", told), words


class TestEntries:
    """What the directive makes of a parser."""

    PROGRAM = PROGRAMS["glance-manage"]

    @staticmethod
    def add(parser, general):
        children = parser.add_subparsers()
        one = children.add_parser("db_load", parents=[general])
        two = children.add_parser("db", parents=[general]).add_subparsers()
        two = two.add_parser("load", parents=[general])
        children.add_parser("idle", parents=[general])
        for child in (one, two):
            child.add_argument("--rows", metavar="N", default=100, help="at most %(default)s, 5%%")
            child.add_argument("path", nargs="?", help="PATH of --all *.json")
            child.add_argument("--secret", help=argparse.SUPPRESS)

    def parser(self):
        return cli.make_parser(self.PROGRAM, cli.CommandLine(), self.add)

    def test_general_options(self):
        entries = program_options.general(self.PROGRAM, self.parser())
        assert [entry.names for entry in entries[:2]] == [["-h", "--help"], ["--version"]]
        by_name = {entry.names[-1]: entry for entry in entries}
        assert by_name["--nodebug"].names == ["-d", "--debug", "--nodebug"]
        assert by_name["--log-config-append"].former == ["--log-config", "--log_config"]
        assert by_name["--log-date-format"].default == ["%Y-%m-%d %H:%M:%S"]
        assert by_name["--config-dir"].value == "DIR"
        assert not any("--rows" in entry.names for entry in entries)

    def test_spellings_of_one_command_are_joined(self):
        (command,) = program_options.commands(self.parser())
        assert command.spellings == ["db_load", "db load"]
        rows, path = command.entries
        assert (rows.names, rows.value, rows.default) == (["--rows"], "N", ["100"])
        assert rows.text == "at most 100, 5%"
        assert (path.names, path.value) == ([], "[path]")

    def test_typed_words_stand_as_they_are(self):
        entry = program_options.Entry(["--x"], "", "read --all of *.json", ["--y", "--z"], ["1"])
        paragraph = program_options._text(entry)
        literals = [node.astext() for node in paragraph.findall(program_options.nodes.literal)]
        assert literals == ["--all", "*.json", "1", "--y", "--z"]
        assert paragraph.astext() == ("read --all of *.json Default: 1. Former names: --y, --z.")
