"""The commands of ``glance-replicator``, and what is said of them.

Nothing heavy is imported here: help has to come at once.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from glance.config.options.replicator import SOURCE, TARGET
from glance.domain.errors import GlanceError

PROGRAM = "glance-replicator"

SERVER, DIRECTORY = "server", "directory"

#: A side and what it is.
Slot = tuple[str, str]


class Misuse(GlanceError):
    """The command line cannot be followed.

    :param usage: how it should have been.
    """

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


@dataclass(frozen=True, slots=True)
class Command:
    """A command.

    :param slots: what its arguments are, in their order.
    :param arguments: what to call them.
    :param summary: one line for the list of commands.
    :param explanation: for its own help.
    :param changes: whether it changes anything.
    """

    name: str
    slots: tuple[Slot, ...]
    arguments: str
    summary: str
    explanation: str
    changes: bool = False

    @property
    def usage(self) -> str:
        """How it is typed."""
        return f"{PROGRAM} {self.name} [options] {self.arguments}"

    @property
    def is_of_one(self) -> bool:
        """Whether it has to do with one service only."""
        return [what for _, what in self.slots].count(SERVER) == 1

    def help(self) -> str:
        """Return all there is to say about it."""
        text = textwrap.indent(self.explanation, "    ")
        return f"{self.usage}\n\n{text}\n\n{textwrap.indent(_PLACES, '    ')}"


_PLACES = """\
<server:port> is a host and a port, or a URL such as https://host:9292/image.
It may be left out for a side whose cloud is named (--source-cloud,
--target-cloud), or that stands in the configuration.

'glance-replicator --help' tells the options."""

_SOURCE, _TARGET = (SOURCE, SERVER), (TARGET, SERVER)

COMMANDS = {
    command.name: command
    for command in (
        Command(
            "compare",
            (_SOURCE, _TARGET),
            "<fromserver:port> <toserver:port>",
            "What is missing from the target, or differs there?",
            "Compares the images of two services by what is known of them: fields, tags,\n"
            "properties, members, and sizes and hashes of their data. Nothing is changed.\n"
            "Exit code 0 means that the target has all of the source's images just as they are\n"
            "there, 1 that it has not. Images that only the target has are shown, and count with\n"
            "--delete-extra.",
        ),
        Command(
            "dump",
            (_SOURCE, (TARGET, DIRECTORY)),
            "<server:port> <path>",
            "Copy the images of a service into a directory.",
            "Writes what is known of each image, its data and its hash into a directory. What\n"
            "is there already and has not changed is left; what was broken off is gone on with.",
            changes=True,
        ),
        Command(
            "livecopy",
            (_SOURCE, _TARGET),
            "<fromserver:port> <toserver:port>",
            "Copy the images of one service into another.",
            "Streams images from one service straight into the other, with the same ids. What\n"
            "is there already is brought up to date without copying its data again; what was\n"
            "broken off is completed.",
            changes=True,
        ),
        Command(
            "load",
            (_TARGET, (SOURCE, DIRECTORY)),
            "<server:port> <path>",
            "Copy a dump into a service.",
            "Reads a directory that dump has written, also that of former releases, and makes\n"
            "its images in a service, with the same ids.",
            changes=True,
        ),
        Command(
            "size",
            (_SOURCE,),
            "<server:port>",
            "How much data has a service?",
            "Adds up the data of the active images of a service.",
        ),
    )
}


def listing() -> str:
    """Return the list of commands."""
    rows = [("help <command>", "Show the help of one of these commands.")]
    rows += [(command.name, command.summary) for command in COMMANDS.values()]
    return "Commands:\n\n" + "\n".join(f"    {name:<18}{summary}" for name, summary in rows) + "\n"


def find(name: str) -> Command:
    """Find a command.

    :raises Misuse: there is none of that name.
    """
    command = COMMANDS.get(name)
    if command is None:
        raise Misuse(
            f"Unknown command: {name}\n\n{listing().rstrip()}",
            f"{PROGRAM} <command> [options] [args]",
        )
    return command
