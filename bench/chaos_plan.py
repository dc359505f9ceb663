"""What is done to a cache, drawn from a seed beforehand: the same seed has the same done.

When each operation meets which other one is not in the plan; that the machine decides.
"""

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

KIB, MIB = 1 << 10, 1 << 20

SMALLEST, LARGEST = 64 * KIB, 1 * MIB
#: Of sizes of which each order of magnitude is as likely.
MEAN = int((LARGEST - SMALLEST) / math.log(LARGEST / SMALLEST))
#: Bytes that the cache may have: room for eight images of forty.
SLOTS = 40
LIMIT = 8 * MEAN

#: Kinds of operations, and how often each comes in a thousand.
WEIGHTS = {
    "download": 380,
    "storm": 40,
    "range": 140,
    "abort": 100,
    "queue": 80,
    "drop": 70,
    "list": 30,
    "clear": 6,
    "prune": 25,
    "clean": 25,
    "replace": 80,
    "run cleaner": 4,
    "run pruner": 4,
    "run prefetcher": 4,
    "kill worker": 4,
    "kill prefetcher": 4,
    "kill daemon": 4,
}

#: Places whose images are of remarkable sizes, whatever generation.
_SPECIAL = {11: 1, 17: LIMIT + 1, 23: LIMIT}
#: One in so many places has its data in the service's own store.
_OWN = 4


class Operation(NamedTuple):
    """One thing to do.

    :ivar slot: the place of the image that it is done to.
    :ivar first: a chance between 0 and 1, whatever it is used for.
    :ivar second: another one.
    """

    number: int
    kind: str
    slot: int
    first: float
    second: float


def plan(seed: int, count: int) -> list[Operation]:
    """Return so many operations; each kind is among them, and more often by its weight.

    :raises ValueError: there are fewer than kinds.
    """
    if count < len(WEIGHTS):
        raise ValueError(f"--operations: at least {len(WEIGHTS)}, one of each kind")
    chance = random.Random(f"{seed} operations")
    total = sum(WEIGHTS.values())
    rest = count - len(WEIGHTS)
    kinds = [k for k, weight in WEIGHTS.items() for _ in range(1 + rest * weight // total)]
    kinds += chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count - len(kinds))
    chance.shuffle(kinds)
    return [
        # Some images are asked for much more often than others.
        Operation(n, kind, int(SLOTS * chance.random() ** 2), chance.random(), chance.random())
        for n, kind in enumerate(kinds, 1)
    ]


def size_of(seed: int, slot: int, generation: int) -> int:
    """Return how many bytes an image has."""
    if slot in _SPECIAL:
        return _SPECIAL[slot]
    chance = random.Random(f"{seed} size {slot} {generation}")
    return int(math.exp(chance.uniform(math.log(SMALLEST), math.log(LARGEST))))


def is_own(slot: int) -> bool:
    """Tell whether an image's data is in the service's own store."""
    return slot % _OWN == _OWN - 1


def part_of(size: int, operation: Operation) -> tuple[int, int]:
    """Return first and last byte of the range that an operation asks for."""
    first = int(operation.first * size)
    return first, min(size - 1, first + int(operation.second * size))


def counted(operations: Sequence[Operation]) -> dict[str, int]:
    """Count operations by kind."""
    return {kind: sum(one.kind == kind for one in operations) for kind in WEIGHTS}
