"""Whether this service could serve: its catalogue, its stores.

A store that hangs or a database that is away is told of within :data:`PATIENCE`, and asking costs
the parts no more than one question a second, whoever asks how often. Nothing is told but names of
stores and fixed words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from glance.api.asking import NoAnswer, Question
from glance.stores.errors import StoreTimeout

#: Seconds that a part may take to answer, and for which its answer stands.
PATIENCE = 2.0
FRESH = 1.0

OK = "ok"
FAILED = "failed"
NO_ANSWER = "no answer"
#: The store's driver cannot be asked.
UNKNOWN = "unknown"

READY = "ready"
#: Some images cannot be read, but new ones can be made.
DEGRADED = "degraded"
NOT_READY = "not ready"

Ask = Callable[[], Deferred[Any]]


class Readiness:
    """Asks every part.

    :param reactor: keeps time.
    :param catalogue: asks the database.
    :param stores: by store id what asks it, ``None`` where nothing can.
    :param default_store: without it no image can be uploaded.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        catalogue: Ask,
        stores: Mapping[str, Ask | None],
        default_store: str,
    ) -> None:
        self._catalogue = Question(reactor, catalogue, PATIENCE, FRESH)
        self._stores = {
            store_id: None if ask is None else Question(reactor, ask, PATIENCE, FRESH)
            for store_id, ask in stores.items()
        }
        self._default = default_store
        self._told: dict[str, str] = {}

    def look(self) -> Deferred[dict[str, Any]]:
        """Return the state of every part, and under ``status`` what it comes to."""
        asked = [self._ask("the catalogue", self._catalogue)]
        asked += [self._ask(f"store {name}", part) for name, part in self._stores.items()]
        return gatherResults(asked).addCallback(self._report)

    def _report(self, states: list[str]) -> dict[str, Any]:
        catalogue, stores = states[0], dict(zip(self._stores, states[1:], strict=True))
        if catalogue != OK or stores.get(self._default) not in (OK, UNKNOWN):
            status = NOT_READY
        else:
            whole = all(state in (OK, UNKNOWN) for state in stores.values())
            status = READY if whole else DEGRADED
        return {"status": status, "catalogue": catalogue, "stores": stores}

    def _ask(self, name: str, part: Question[Any] | None) -> Deferred[str]:
        if part is None:
            return succeed(UNKNOWN)
        state = part.answer().addCallbacks(lambda _: OK, self._failed, errbackArgs=(name,))
        return state.addCallback(self._note, name)

    def _failed(self, failure: Failure, name: str) -> str:
        if failure.check(NoAnswer, StoreTimeout):
            return NO_ANSWER
        if self._told.get(name) != FAILED:
            self._log.error("Health check of {part}: {error}", part=name, error=_line(failure))
        return FAILED

    def _note(self, state: str, name: str) -> str:
        """Log what has changed; ask as often as one likes, it is told once."""
        before = self._told.get(name, OK)
        self._told[name] = state
        if state == before:
            return state
        if state == NO_ANSWER:
            self._log.error("Health check of {part}: it does not answer", part=name)
        elif state == OK:
            self._log.warn("Health check of {part}: it answers again", part=name)
        return state


def _line(failure: Failure) -> str:
    """Return what a failure says, without the statement that a database adds in further lines."""
    return (failure.getErrorMessage().splitlines() or [str(failure.type)])[0]
