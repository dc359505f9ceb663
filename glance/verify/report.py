"""What a verification has to say: as text for people, as JSON for programs.

Both are written as they are read from the state, so that a million findings take no memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from glance.domain.verification import REPAIRS, SEVERITY
from glance.stores.interfaces import IListable
from glance.stores.registry import Stores
from glance.verify.progress import in_words
from glance.verify.records import DONE, FAILED, NONE, PLANNED, REFUSED, is_open
from glance.verify.settings import Settings
from glance.verify.state import State

#: Of the JSON; it changes when something is taken away or means something else.
FORMAT: Final = 1

_PAGE: Final = 500

_WORDS: Final = {
    "missing_data": "the data is not there",
    "no_location": "the image is said to have data, but not where",
    "size_mismatch": "the data has another length",
    "hash_mismatch": "the data has other hashes",
    "unreachable": "nothing can be told of the data",
    "no_hash": "the image has no hash",
    "orphan": "data that no image refers to",
    "leftover": "unfinished data whose writer is gone",
    "unknown": "nothing that the service has put there",
}


class Report:
    """The report on what a state says.

    :param resumed: whether it was the work of several runs.
    """

    def __init__(self, state: State, settings: Settings, stores: Stores, *, resumed: bool) -> None:
        self._state = state
        self._settings = settings
        self._stores = stores
        self._resumed = resumed
        self._kinds = dict.fromkeys(SEVERITY, 0)
        self._outcomes = dict.fromkeys((PLANNED, DONE, REFUSED, FAILED), 0)
        self._errors = 0
        #: How many findings still have to be dealt with.
        self.open = 0

    @property
    def errors(self) -> int:
        """How much could not be told, or not be repaired."""
        return self._errors + self._outcomes[FAILED]

    async def count(self) -> None:
        """Count what there is to report."""
        async for data in self._findings():
            self._kinds[data["kind"]] += 1
            outcome = data["repair"]["outcome"]
            if outcome in self._outcomes:
                self._outcomes[outcome] += 1
            self.open += is_open(data)
        async for _ in self._all_errors():
            self._errors += 1

    async def _findings(self) -> AsyncIterator[dict[str, Any]]:
        after = 0
        while page := await self._state.findings(after, _PAGE):
            after = page[-1][0]
            for _, data in page:
                yield {name: value for name, value in data.items() if name != "held"}

    async def _all_errors(self) -> AsyncIterator[dict[str, Any]]:
        after = 0
        while page := await self._state.errors(after, _PAGE):
            after = page[-1][0]
            for _, data in page:
                yield data

    def _head(self) -> dict[str, Any]:
        meta, settings, counters = self._state.meta, self._settings, self._state.counters
        repair = "no" if not settings.repair else "yes" if settings.really else "dry_run"
        stores = [
            {
                "id": store.store_id,
                "driver": store.driver,
                "listed": bool(IListable.providedBy(store)),
                "copies": counters[f"copies/{store.store_id}"],
                "objects": counters[f"objects/{store.store_id}"],
            }
            for store in self._stores.all()
            if settings.wants(store.store_id)
        ]
        return {
            "format": FORMAT,
            "started_at": meta["started"],
            "finished_at": meta["finished"],
            "resumed": self._resumed,
            "hashes": settings.hashes,
            "repair": repair,
            "stores": stores,
            "summary": {
                "images": counters["images"],
                "copies": counters["copies"],
                "objects": counters["objects"],
                "bytes_read": counters["bytes"],
                "busy": counters["busy"],
                "findings": self._kinds,
                "repairs": self._outcomes,
                "errors": self._errors,
                "open": self.open,
            },
        }

    async def write_json(self, write: Callable[[str], object]) -> None:
        """Write the report as one JSON object, a finding a line."""
        head = orjson.dumps(self._head(), option=orjson.OPT_INDENT_2).decode()
        write(head.removesuffix("\n}"))
        for name, records in (("findings", self._findings()), ("errors", self._all_errors())):
            write(f',\n  "{name}": [')
            separator = "\n    "
            async for data in records:
                write(separator + orjson.dumps(data).decode())
                separator = ",\n    "
            write("]" if separator == "\n    " else "\n  ]")
        write("\n}\n")

    async def write_text(self, write: Callable[[str], object]) -> None:
        """Write the report for people."""
        async for data in self._findings():
            write(f"{data['severity']:8}{data['kind']:15}{_about(data)}\n")
            line = _repair(data["repair"])
            if line:
                write(f"{'':8}{line}\n")
        async for data in self._all_errors():
            write(f"{'failed':23}{_place(data)}: {data['message']}\n")
        write(self._summary())

    def _summary(self) -> str:
        counters = self._state.counters
        looked = f"{counters['images']} images with {counters['copies']} copies of their data"
        if counters["objects"]:
            looked += f", {counters['objects']} things in stores"
        if counters["bytes"]:
            looked += f", {in_words(counters['bytes'])} read"
        lines = [f"Looked at {looked}."]
        if counters["busy"]:
            lines.append(f"{counters['busy']} were being worked on, and were let be.")
        found = [f"{count} {kind}" for kind, count in self._kinds.items() if count]
        lines.append(f"Found: {', '.join(found) or 'nothing'}.")
        done = [f"{count} {outcome}" for outcome, count in self._outcomes.items() if count]
        if done:
            lines.append(f"Repairs: {', '.join(done)}.")
        if self._errors:
            lines.append(f"{self._errors} could not be told.")
        return "\n".join(lines) + "\n"


def _place(data: dict[str, Any]) -> str:
    parts = [
        f"{name} {data[name]}"
        for name in ("image", "store", "location", "object")
        if data.get(name) is not None
    ]
    return ", ".join(parts)


def _about(data: dict[str, Any]) -> str:
    facts = []
    found = data["found"]
    for name, value in data["expected"].items():
        other = f"{_short(name, found[name])} instead of " if name in found else ""
        facts.append(f"{name} {other}{_short(name, value)}")
    facts += [
        f"{name} {_short(name, value)}"
        for name, value in found.items()
        if name not in data["expected"]
    ]
    detail = f" ({'; '.join(facts)})" if facts else ""
    return f"{_place(data)}: {_WORDS[data['kind']]}{detail}"


def _short(name: str, value: Any) -> str:
    if name == "modified":
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = str(value)
    # The JSON has all of a hash; here it only is to be told from another.
    return f"{text[:12]}..." if name in ("os_hash_value", "checksum") else text


def _repair(repair: dict[str, Any]) -> str:
    detail = repair["detail"]
    if repair["outcome"] == NONE:
        return f"nothing is done: {detail}" if detail else ""
    does = REPAIRS[repair["action"]]
    says = {"not_asked": f"--repair would {does}", PLANNED: f"would {does}", DONE: f"done: {does}"}
    said = says.get(repair["outcome"], f"not done ({repair['outcome']}): {does}")
    return f"{said}; {detail}" if detail else said
