"""The man pages name what the programs' command lines take."""

import argparse
import re
from pathlib import Path

import pytest

from glance.cmd import manage
from glance.config import cli
from glance.config.programs import PROGRAMS

DOCS = Path(__file__).parents[3] / "docs"
EXTRA = {"glance-manage": manage.add_arguments}


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {
        option
        for action in parser._actions
        if action.help is not argparse.SUPPRESS
        for option in action.option_strings
    }


def options_in(page: str) -> set[str]:
    section = re.search(r"^Options\n-+\n(.*?)\n\w[\w ]+\n-+\n", page, re.DOTALL | re.MULTILINE)
    assert section is not None
    entries = re.findall(r"^``-.*$", section[1], re.MULTILINE)
    return set(re.findall(r"``(--?[\w-]+)", "\n".join(entries)))


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_options(name):
    parser = cli.make_parser(PROGRAMS[name], cli.CommandLine(), EXTRA.get(name))
    assert options_in((DOCS / "cli" / f"{name}.rst").read_text()) == options_of(parser)


def test_actions():
    page = (DOCS / "cli" / "glance-manage.rst").read_text()
    section = page[page.index("\nActions\n") : page.index("\nOptions\n")]
    assert set(re.findall(r"``db (\w+)``", section)) == set(manage.ACTIONS)
