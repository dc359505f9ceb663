"""What every program does round its work: errors as one line, and an exit code.

Nothing heavy is imported here, so that ``--help`` and ``--version`` answer at once; a program
imports what it works with inside its functions.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from glance.domain.errors import GlanceError

INTERRUPTED = 130
BROKEN_PIPE = 141


def run(function: Callable[[], int | None]) -> NoReturn:
    """Run a program and end the process.

    A :class:`~glance.domain.errors.GlanceError` becomes one line on standard error and exit code 1;
    an interrupt from the keyboard ends with 130; output that nobody reads any more, with 141.
    Anything else is a fault of ours and shows its traceback. What the terminal's character set does
    not have is escaped.

    :param function: does the work; returns the exit code, ``None`` for 0.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As standard error does by itself.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = function()
        # A reader that went away may show only now.
        sys.stdout.flush()
    except GlanceError as error:
        fail(error.message)
        code = 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes once more when it ends, and must not fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE
    sys.exit(code)


def fail(message: str) -> None:
    """Tell an error on standard error."""
    print(f"ERROR: {message}", file=sys.stderr)
