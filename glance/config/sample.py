"""Writes the sample configuration files from the declarations.

``python -m glance.config.sample`` writes ``conf/<program>.conf`` for each program that has one;
with ``--check`` it only tells, by its exit code, whether they are what it would write.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg

from glance.config.options import store
from glance.config.programs import PROGRAMS, Program
from glance.config.valuetypes import describe

HEAD = """\
# Sample configuration of {name}.
#
# Every option stands here with its default value, commented out. Made from the program's own
# declarations by `python -m glance.config.sample`; do not edit it, copy it.
#
# Every option can also be set as the environment variable OS_<GROUP>__<OPTION>, which wins over
# files. Lists may stand in square brackets. Write a dollar sign as $$.
"""

STORE_HEAD = """\
# With enabled_backends = fast:file each store has such a section, named after its id. It takes what
# follows and all options of its driver that stand in [glance_store]; what it leaves unset is taken
# from [backend_defaults] if it is set there.
#[fast]
"""


def sampled() -> list[Program]:
    """Return the programs that have a file of their own; the others share those."""
    return [program for program in PROGRAMS.values() if program.files[-1] == program.name]


def write(directory: Path) -> None:
    """Write the sample file of every program that has one."""
    for program in sampled():
        (directory / f"{program.name}.conf").write_text(sample(program), encoding="utf-8")


def outdated(directory: Path) -> list[str]:
    """Return the names of sample files that are missing or not as they would be written."""
    found = []
    for program in sampled():
        path = directory / f"{program.name}.conf"
        if not path.exists() or path.read_text(encoding="utf-8") != sample(program):
            found.append(path.name)
    return found


def sample(program: Program) -> str:
    """Return the text of a program's sample file."""
    groups: dict[str, list[cfg.Opt]] = {}
    for group, opt in program.declared():
        groups.setdefault(group, []).append(opt)
    parts = [HEAD.format(name=program.name)]
    for group, opts in groups.items():
        parts.append(f"[{group}]\n")
        parts += ["\n".join(_lines(opt)) + "\n" for opt in opts]
    if "glance_store" in groups:
        parts.append(STORE_HEAD)
        parts += ["\n".join(_lines(opt)) + "\n" for opt in store.backend_options()]
    return "\n".join(parts)


def _lines(opt: cfg.Opt) -> Iterator[str]:
    """Yield the lines about one option."""
    yield from _comment(opt.help or "")
    if (values := describe(opt)) != "text":
        yield from _comment(f"Value: {values}.")
    for old in opt.deprecated_opts:
        yield from _comment(f"Former name: [{old.group}]{old.name}.")
    for value in defaults(opt):
        yield f"#{opt.dest} = {value}".rstrip()


def _comment(text: str) -> list[str]:
    """Wrap a text as comment lines."""
    return textwrap.wrap(
        text,
        width=99,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def defaults(opt: cfg.Opt) -> Sequence[str]:
    """Return an option's default as it would be written, one text per line."""
    if opt.sample_default is not None:
        return [f"<{opt.sample_default}>"]
    default: Any = opt.default
    if default is None:
        return ["<none>"]
    values = default if opt.multi else [default]
    return [text for value in values for text in opt.type.format_defaults(value)] or [""]


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check the sample files.

    :returns: the exit code: 1 if a check finds one outdated.
    """
    return run("glance.config.sample", __doc__, write, outdated, argv)


def run(
    program: str,
    description: str | None,
    write: Callable[[Path], object],
    outdated: Callable[[Path], Sequence[str]],
    argv: Sequence[str] | None,
) -> int:
    """Run a program that writes or checks sample files.

    :param program: its module.
    :param write: writes the files into a directory.
    :param outdated: names those of a directory that are not as they would be written.
    :returns: the exit code.
    """
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    parser.add_argument(
        "directory",
        nargs="?",
        type=Path,
        default=Path(__file__).parents[2] / "conf",
        help="where the files are (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    if not arguments.check:
        write(arguments.directory)
        return 0
    names = outdated(arguments.directory)
    for name in names:
        print(f"{name} is not up to date; run: python -m {program}", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
