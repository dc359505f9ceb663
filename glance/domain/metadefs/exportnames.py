"""Name the files that namespaces are exported to.

They are named after what people call the namespaces. Names that come out the same would have one
export overwrite another, so a number tells those apart.
"""

from __future__ import annotations

from collections.abc import Iterable


def file_names(namespaces: Iterable[tuple[str, str | None]]) -> list[str]:
    """Return a file name for each namespace, in order.

    :param namespaces: names and display names.
    """
    taken: set[str] = set()
    names = []
    for namespace, display_name in namespaces:
        stem = _letters(display_name or "") or _letters(namespace) or "namespace"
        wanted, number = stem, 1
        # On some file systems "a" and "A" are one name.
        while wanted.casefold() in taken:
            number += 1
            wanted = f"{stem}-{number}"
        taken.add(wanted.casefold())
        names.append(f"{wanted}.json")
    return names


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))
