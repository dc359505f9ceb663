"""What one process knows of tokens: a bounded number of them, each for a limited time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class Memory(Generic[V]):
    """Values by key, the least recently used of which is forgotten first.

    :param most: how many there may be.
    :param seconds: a clock that never goes back.
    """

    def __init__(self, most: int, seconds: Callable[[], float]) -> None:
        self._most = most
        self._seconds = seconds
        self._values: OrderedDict[bytes, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> V | None:
        """Return a value that is still good."""
        entry = self._values.get(key)
        if entry is None:
            return None
        if self._seconds() >= entry[0]:
            del self._values[key]
            return None
        self._values.move_to_end(key)
        return entry[1]

    def put(self, key: bytes, value: V, life: float) -> None:
        """Keep a value.

        :param life: seconds for which it is good; 0 or less does not keep it.
        """
        if life <= 0:
            return
        self._values[key] = (self._seconds() + life, value)
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)
