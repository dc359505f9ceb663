"""Reading configuration files for their places: which file and line sets which option.

oslo.config knows only the section's last file, and shows the text of a broken line, which may hold
a password. This pass over the same files, with the same grammar, comes first: it reports every
file that cannot be read or parsed in our own words, and keeps the index that later errors cite.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_config import cfg, iniparser

from glance.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Place:
    """Where an option is set.

    :param path: the file.
    :param line: its line, counted from 1.
    :param value: the text that stands there.
    """

    path: str
    line: int
    value: str

    def __str__(self) -> str:
        return f"{self.path} line {self.line}"


class FileIndex:
    """Places of all options in a sequence of files, the later of which win."""

    def __init__(self) -> None:
        self._files: list[dict[tuple[str, str], Place]] = []

    def read(self, paths: Iterable[str], *, origin: str) -> None:
        """Add files.

        :param paths: the files, in the order in which they are to be applied.
        :param origin: the option that named them, for the error message.
        :raises ConfigError: a file is missing, unreadable or malformed.
        """
        for path in paths:
            self._files.append(_Reader(path).places(origin))

    def find(self, group: str, opt: cfg.Opt) -> Place | None:
        """Return the place that decides an option's value, under its present or an old name."""
        names = [(group, opt.dest)]
        for old in opt.deprecated_opts:
            names.append((old.group or group, old.name or opt.dest))
        for places in reversed(self._files):
            for section, name in names:
                place = places.get((normal(section), name))
                if place is not None:
                    return place
        return None

    def everything(self) -> Iterator[tuple[str, str, Place]]:
        """Yield section, option and place of whatever stands in the files, the later of which win.

        The sections' names are in the form of :func:`normal`.
        """
        for places in self._files:
            for (section, name), place in places.items():
                yield section, name, place


def normal(section: str) -> str:
    """Bring a section's name to the form in which names are compared."""
    return section if section == "DEFAULT" else section.lower()


def conf_files(directory: str, *, origin: str) -> list[str]:
    """List the ``*.conf`` files of a directory in the order in which they are applied.

    :param origin: the option that named it, for the error message.
    :raises ConfigError: there is no such directory, or it cannot be read.
    """
    path = Path(directory).expanduser()
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        raise ConfigError(f"{origin} {directory}: cannot be read: {_reason(error)}") from None
    return [
        str(path / name) for name in names if name.endswith(".conf") and not name.startswith(".")
    ]


class _Reader(iniparser.BaseParser):
    """Parses one file, keeping the line on which each assignment begins."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = str(Path(path).expanduser().absolute())
        self.section = ""
        self.found: dict[tuple[str, str], Place] = {}
        self.key_line = 0

    def places(self, origin: str) -> dict[tuple[str, str], Place]:
        """Parse the file and return what it sets."""
        try:
            mode = Path(self.path).stat().st_mode
            if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
                # oslo.config reads it once more, and would find a pipe empty.
                raise ConfigError(f"{origin} {self.path}: a pipe cannot be a configuration file.")
            with open(self.path) as file:
                self.parse(self._counted(file))
        except OSError as error:
            raise ConfigError(f"{origin} {self.path}: cannot be read: {_reason(error)}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{origin} {self.path}: is not a text file in UTF-8.") from None
        except iniparser.ParseError as error:
            # Not str(error): that shows the line, and the line may show a password.
            raise ConfigError(
                f"{self.path} line {error.lineno}: {_GRAMMAR.get(error.msg, error.msg)}."
            ) from None
        return self.found

    def _counted(self, lines: Iterable[str]) -> Iterator[str]:
        """Note where an assignment begins: at the last line that does not go on with another."""
        for number, line in enumerate(lines, 1):
            yield line
            if line.strip() and not line.startswith((" ", "\t", "#", ";", "[")):
                self.key_line = number

    def new_section(self, section: str) -> None:
        """Take note of a section's header."""
        self.section = normal(section)

    def assignment(self, key: str, value: list[str]) -> None:
        """Take note of an assignment, once its last line has been seen."""
        if not self.section:
            raise self.parse_exc(_NO_SECTION, self.key_line, "")
        place = Place(self.path, self.key_line, "\n".join(value))
        self.found[self.section, key] = place


_NO_SECTION = "no section"
_GRAMMAR = {
    _NO_SECTION: "a section such as [DEFAULT] must come before the first option",
    "No ':' or '=' found in assignment": "neither a section nor 'option = value'",
    "Key cannot be empty": "there is no option name before the '='",
    "Unexpected continuation line": "the line is indented but continues no option",
    "Invalid section (must end with ])": "the section's name must end with ']'",
    "Empty section name": "the section has no name",
}


def _reason(error: OSError) -> str:
    """Word an operating system error without repeating the path."""
    return (error.strerror or type(error).__name__).lower() + "."


def whole(value: Any) -> str:
    """Return a value as one line of text that is fit for an error message, or an empty text."""
    text = str(value)
    # Long values help nobody, and one with a URL may hold a password.
    return repr(text) if len(text) <= 80 and "://" not in text else ""
