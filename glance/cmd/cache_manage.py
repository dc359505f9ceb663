"""``glance-cache-manage``: look at a node's image cache and change it, over its image service."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from glance.cmd.cache_manage_commands import COMMANDS, PROGRAM, SUMMARY, Command, listing
from glance.cmd.cache_manage_options import make_parser, parse
from glance.cmd.common import run

# Parser and summary are also what the manual page is made from.
__all__ = ["SUMMARY", "main", "make_parser"]

FAILED = 1
USAGE = 2

#: What may be answered to a question for it to be a yes.
_YES = ("y", "yes")


def main() -> None:
    """Run the program with the process's arguments."""
    run(manage)


def manage() -> int:
    """Do what the command line says.

    :returns: the exit code.
    """
    arguments = parse(sys.argv[1:])
    words = arguments.words
    if arguments.help or words == ["help"]:
        print(make_parser().format_help(), end="")
        return 0
    if not words:
        print(f"{make_parser().format_usage()}{PROGRAM}: error: no command.\n", file=sys.stderr)
        print(listing(), end="", file=sys.stderr)
        return USAGE
    name, *rest = words[1:] if words[0] == "help" else words
    command = COMMANDS.get(name)
    if command is None:
        print(f'\nError: "{name}" is not a valid command.\n\n{listing()}')
        print(f"Unknown command: {name}", file=sys.stderr)
        return FAILED
    if words[0] == "help":
        explanation = command.explanation.replace("\n", "\n    ")
        print(f"{command.usage}\n\n    {explanation}")
        return 0
    return prepare(command, rest, arguments)


def prepare(command: Command, images: list[str], arguments: argparse.Namespace) -> int:
    """Check what a command is given, ask whether to do it, and have it done.

    :returns: the exit code.
    """
    began = time.monotonic()
    if problem := _misuse(command, images, arguments):
        print(problem, file=sys.stderr)
        return FAILED
    images = list(dict.fromkeys(images))
    if not _is_confirmed(command, images, arguments.force):
        return 0
    # Only now: help and questions need none of it.
    from glance.cmd.cache_manage_work import carry_out

    code = carry_out(command, images, arguments, os.environ)
    if code == 0 and arguments.verbose:
        print(f"Completed in {time.monotonic() - began:0.4f} sec.")
    return code


def _misuse(command: Command, images: Sequence[str], arguments: argparse.Namespace) -> str | None:
    """Say what is wrong with a command's arguments."""
    if bool(images) is not command.images:
        what = (
            "Please specify the ID of the image, or of several images."
            if command.images
            else f"{command.name} takes no arguments."
        )
        return f"{what}\nusage: {command.usage}"
    for image_id in images:
        if not _is_uuid(image_id):
            return f"Image ID {image_id!r} is not a valid UUID."
    if arguments.json and not command.name.startswith("list-"):
        return "--json goes with list-cached and list-queued."
    if arguments.wait and command.name != "queue-image":
        return "--wait goes with queue-image."
    if arguments.wait_time is not None and not arguments.wait:
        return "--wait-time goes with --wait."
    return None


def _is_uuid(text: str) -> bool:
    import re

    from glance.domain.documents import UUID_PATTERN

    return re.fullmatch(UUID_PATTERN.removesuffix("$"), text) is not None


def _is_confirmed(command: Command, images: list[str], force: bool) -> bool:
    """Ask the question that a command has.

    :raises SystemExit: nobody is there to answer.
    """
    if force or not command.question:
        return True
    try:
        answer = input(f"{command.ask(images)} [y/N] ")
    except EOFError:
        print()
        print(
            "Nobody answered, so nothing was done. Use --force to do it without being asked.",
            file=sys.stderr,
        )
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print()
        raise
    return answer.strip().lower() in _YES


if __name__ == "__main__":
    main()
