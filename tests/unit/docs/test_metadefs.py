"""The page on metadata definitions names all that come along, and its example can be loaded."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

from glance.domain.metadefs.files import read

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/metadefs.rst").read_text()


def test_every_namespace_is_listed() -> None:
    listed = re.findall(r"\* - ``(\S+)``\n     - ``(\S+)``\n     - .+\n     - (.+)\n", PAGE)
    there = []
    for path in (ROOT / "conf/metadefs").iterdir():
        document = json.loads(path.read_bytes())
        there.append((document["namespace"], path.name, document["display_name"]))
    assert sorted(listed) == sorted(there)


def test_the_example() -> None:
    block = re.search(r"\.\. code-block:: json\n\n((?:    .*\n|\n)+)", PAGE)
    assert block is not None
    definition, ignored = read(textwrap.dedent(block[1]).encode())
    assert ignored == []
    assert all(definition.parts.values())
    assert len(definition.own) == 5
