"""Find everything that is wrong with a value out of a file, and say where.

Each finding has a JSON pointer (RFC 6901), so that it can be found in a file of thousands of lines;
and all of them are found at once, so that the file has to be mended once only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from glance.domain.errors import Invalid
from glance.domain.text import check_storable, shape, shorten

#: Bytes of the longest text that every database keeps whole.
LONGEST_TEXT = 65535
#: Nothing that describes a property is nested deeper.
DEEPEST = 32


class Problem(NamedTuple):
    """Something wrong.

    :param pointer: where; empty for the whole.
    :param what: is wrong, as a sentence without its full stop.
    """

    pointer: str
    what: str

    def __str__(self) -> str:
        return f"{self.pointer}: {self.what}" if self.pointer else self.what


def below(pointer: str, step: str | int) -> str:
    """Return the pointer to a member or an element of what a pointer leads to."""
    return f"{pointer}/{str(step).replace('~', '~0').replace('/', '~1')}"


class Checker:
    """Collects problems; each check answers whether the value can be used.

    :param problems: what was found.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def wrong(self, at: str, what: str) -> bool:
        """Note a problem."""
        self.problems.append(Problem(at, what))
        return False

    def text(self, value: Any, at: str, longest: int | None = None) -> bool:
        """Check a string, maybe an empty one."""
        if not isinstance(value, str):
            return self.wrong(at, f"must be a string, not {shape(value)}")
        if longest is not None and len(value) > longest:
            return self.wrong(at, f"has {len(value)} characters, but {longest} is the most")
        if longest is None and len(value.encode(errors="replace")) > LONGEST_TEXT:
            return self.wrong(at, f"is longer than {LONGEST_TEXT} bytes")
        return True

    def name(self, value: Any, at: str, longest: int) -> bool:
        """Check a string that is not empty."""
        return self.text(value, at, longest) and (
            value != "" or self.wrong(at, "must not be empty")
        )

    def choice(self, value: Any, at: str, choices: Iterable[str]) -> bool:
        """Check one of some strings."""
        if isinstance(value, str) and value in choices:
            return True
        given = shorten(value) if isinstance(value, str) else shape(value)
        return self.wrong(at, f"must be one of {', '.join(choices)}, not {given}")

    def boolean(self, value: Any, at: str) -> bool:
        """Check true or false."""
        return isinstance(value, bool) or self.wrong(
            at, f"must be true or false, not {shape(value)}"
        )

    def number(self, value: Any, at: str) -> bool:
        """Check a number."""
        good = isinstance(value, int | float) and not isinstance(value, bool)
        return good or self.wrong(at, f"must be a number, not {shape(value)}")

    def count(self, value: Any, at: str) -> bool:
        """Check an integer that is not negative."""
        good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return good or self.wrong(at, f"must be an integer of 0 or more, not {shape(value)}")

    def mapping(self, value: Any, at: str) -> bool:
        """Check an object."""
        return isinstance(value, dict) or self.wrong(at, f"must be an object, not {shape(value)}")

    def sequence(self, value: Any, at: str) -> bool:
        """Check a list."""
        return isinstance(value, list) or self.wrong(at, f"must be a list, not {shape(value)}")

    def every(self, value: Any, at: str, check: Callable[[Any, str], bool]) -> bool:
        """Check a list, and each of its elements."""
        if not self.sequence(value, at):
            return False
        bad = [n for n, item in enumerate(value) if not check(item, below(at, n))]
        return not bad

    def texts(self, value: Any, at: str) -> bool:
        """Check a list of strings."""
        return self.every(value, at, self.text)

    def storable(self, value: Any, at: str = "", depth: int = 0) -> bool:
        """Check that every database keeps a value, whatever it is, as it is."""
        if isinstance(value, dict | list):
            if depth == DEEPEST:
                return self.wrong(at, "is nested too deeply")
            pairs: Iterable[tuple[Any, Any]]
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            bad = [
                step
                for step, item in pairs
                if not self._storable_text(step, "The name of a member", at)
                or not self.storable(item, below(at, step), depth + 1)
            ]
            return not bad
        if isinstance(value, float) and not math.isfinite(value):
            return self.wrong(at, "is too large a number")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return self.wrong(at, "is too large a number")
        return self._storable_text(value, "The text", at)

    def _storable_text(self, value: Any, what: str, at: str) -> bool:
        if isinstance(value, str):
            try:
                check_storable(value, what)
            except Invalid as error:
                return self.wrong(at, error.message.removesuffix("."))
        return True
