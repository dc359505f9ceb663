"""Lists in the manual that would go out of date unnoticed."""

import re
from pathlib import Path

from glance.config.programs import PROGRAMS

ROOT = Path(__file__).parents[3]
#: Told to administrators, and nothing else.
READ_IN_VAIN = {"filesystem_store_chunk_size"}
#: Read under a name that is put together.
READ_OTHERWISE = {"internal_bind_host"}


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.rst").read_text()


def test_options_without_effect_are_listed():
    sources = [
        path
        for path in (ROOT / "glance").rglob("*.py")
        if not path.is_relative_to(ROOT / "glance" / "config" / "options")
    ]
    words = set(re.findall(r"\w+", "\n".join(path.read_text() for path in sources)))
    declared = {opt.dest for program in PROGRAMS.values() for _, opt in program.declared()}
    # The paste file has a paragraph of its own.
    without_effect = (declared - words - READ_OTHERWISE - {"config_file"}) | READ_IN_VAIN
    text = page("configuration")
    table = text[text.index("\nAccepted without effect\n") :]
    listed = set()
    for row in re.findall(r"^   \* - (.*?)^     - ", table, re.DOTALL | re.MULTILINE)[1:]:
        listed |= set(re.findall(r"``(\w+)``", row))
    assert listed == without_effect
