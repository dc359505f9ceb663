"""``glance-manage``: look after the catalogue and what belongs to it.

Each action can be typed as ``db sync`` or as ``db_sync``. What an action has to say stands on
standard output, where scripts look for it; progress and errors on standard error. The actions
themselves are in the modules ``glance.cmd.manage_*``; a new one is a new row of a table.
"""

from __future__ import annotations

import argparse
import sys

from glance.cmd import manage_metadefs, manage_purge, manage_schema, manage_store
from glance.cmd.common import run
from glance.cmd.manage_action import Action, Category
from glance.config import Loaded, load

USAGE = 2

CATEGORIES = {
    "db": Category(
        "Work on the database.",
        {**manage_schema.ACTIONS, **manage_metadefs.ACTIONS, **manage_purge.ACTIONS},
    ),
    "store": Category("Work on the stores of image data.", manage_store.ACTIONS),
}

#: Options that call for a log; without any, what there is to say goes to the terminal.
_LOGGING = (
    "debug", "verbose", "log_file", "log_dir", "log_config_append",
    "use_syslog", "use_journal", "use_json", "use_stderr",
)  # fmt: skip


def main() -> None:
    """Run the program with the process's arguments."""
    run(manage)


def manage() -> int:
    """Do what the command line says.

    :returns: the exit code.
    """
    loaded = load("glance-manage", sys.argv[1:], extra_cli=add_arguments)
    action: Action | None = getattr(loaded.arguments, "chosen", None)
    if action is None:
        return list_choices(loaded.arguments.category)
    log(loaded)
    return action.run(loaded, loaded.arguments)


def add_arguments(parser: argparse.ArgumentParser, general: argparse.ArgumentParser) -> None:
    """Add the actions to the command line, in both spellings."""
    words = parser.add_subparsers(
        dest="category", metavar="COMMAND", help="db ACTION, or the same in one word: db_sync"
    )
    for category_name, category in CATEGORIES.items():
        two_words = words.add_parser(
            category_name, parents=[general], help=category.summary
        ).add_subparsers(dest="action", metavar="ACTION")
        for name, action in category.actions.items():
            for subparser in (
                two_words.add_parser(
                    name, parents=[general], description=action.summary, help=action.summary
                ),
                words.add_parser(
                    f"{category_name}_{name}", parents=[general], description=action.summary
                ),
            ):
                action.add_arguments(subparser)
                subparser.set_defaults(chosen=action)


def list_choices(category: str | None) -> int:
    """Say what can be typed next."""
    if category is None:
        lines = [f"{sys.argv[0]} category action [<args>]", "Available categories:"]
        lines += [f"\t{name}" for name in CATEGORIES]
    else:
        lines = [f"{sys.argv[0]} {category} action [<args>]", "Available actions:"]
        lines += [f"\t{name}" for name in CATEGORIES[category].actions]
    print("\n".join(lines))
    return USAGE


def log(loaded: Loaded) -> None:
    """Start logging where the configuration asks for a log."""
    for warning in loaded.warnings:
        print(f"WARNING: {warning}", file=sys.stderr)
    conf = loaded.conf
    if any(getattr(conf, name) for name in _LOGGING):
        # Only now: it takes as long to load as all the rest.
        from glance.services.logs import start_logging

        start_logging(conf, loaded.program)


if __name__ == "__main__":
    main()
