"""What there is while a cache is shaken: images, what happened to them, and what may fail for it.

A download that fails needs a reason: its worker was killed, its image was deleted, or the store
failed it. One that gives other bytes than were uploaded has none.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.chaos_plan import LARGEST, LIMIT, SLOTS, size_of
from bench.origin import STALLED, Asked, Content, Origin

#: Seconds in which a killed worker's connections are found broken.
KILL_TIME = 10.0
#: Seconds for which a cache tries a failing store again: whoever joins meanwhile fails late.
FAULT_TIME = 15.0

_POOL_SIZE = LIMIT + LARGEST


@dataclass(eq=False)
class Image:
    """An image of the catalogue.

    :ivar source: where its data is on the web server, or nothing if the service has it itself.
    :ivar leaving: when it began to be deleted.
    """

    image_id: str
    slot: int
    content: Content
    source: str
    leaving: float | None = None

    @property
    def size(self) -> int:
        return len(self.content.data)


@dataclass(frozen=True)
class Killed:
    """A worker that was killed, and the ports of those who were connected to it."""

    at: float
    ports: frozenset[int]


@dataclass
class Try:
    """One request of a client, to be judged when it has ended.

    :ivar what: the operation, for the report.
    :ivar number: that of the operation.
    :ivar port: its own end of the connection.
    """

    what: str
    number: int
    image: Image | None
    began: float
    port: int = 0
    ended: float = 0.0


@dataclass(frozen=True)
class Fault:
    """What must not be."""

    number: int
    text: str

    def __str__(self) -> str:
        return f"operation {self.number}: {self.text}" if self.number else self.text


@dataclass
class World:
    """The images, and the book of what happened.

    :ivar filling: tells whether somebody has the right to write the copy of an image.
    :ivar done: what was done, by kind.
    :ivar reasons: why what failed did.
    :ivar going_on: false after the first fault.
    """

    seed: int
    origin: Origin
    filling: Callable[[str], bool] = lambda image_id: False
    slots: dict[int, Image] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    killed: list[Killed] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    marks: Counter[int] = field(default_factory=Counter)
    going_on: bool = True
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._pool = memoryview(random.Random(f"{self.seed} data").randbytes(_POOL_SIZE))
        self._generations = dict.fromkeys(range(SLOTS), 0)
        #: Numbers of the store's answers that a copy was being made from.
        self._of_fills: set[int] = set()
        self.origin.watcher = self._asked

    def next_content(self, slot: int) -> tuple[Content, str]:
        """Return what the next image of a place holds, and a name for it."""
        with self.lock:
            generation = self._generations[slot] = self._generations[slot] + 1
        size = size_of(self.seed, slot, generation)
        chance = random.Random(f"{self.seed} place {slot} {generation}")
        start = chance.randrange(_POOL_SIZE - size)
        return Content.of(self._pool[start : start + size]), f"/{slot}-{generation}"

    def put(self, image: Image) -> Image | None:
        """Have an image in its place; return the one before."""
        with self.lock:
            before = self.slots.get(image.slot)
            self.slots[image.slot] = image
        return before

    def know(self, image: Image) -> None:
        """Note an image that the catalogue has."""
        with self.lock:
            self.images[image.image_id] = image

    def fault(self, number: int, text: str) -> None:
        """Note what must not be; all comes to an end."""
        with self.lock:
            self.faults.append(Fault(number, text))
            self.going_on = False
        print(f"! {self.faults[-1]}", flush=True)

    def count(self, what: str) -> None:
        """Note a success."""
        with self.lock:
            self.done[what] += 1

    def _asked(self, asked: Asked) -> None:
        """Note, as the store is asked, whether it is for a copy."""
        image = next((i for i in list(self.images.values()) if i.source == asked.name), None)
        if image is not None and self.filling(image.image_id):
            self._of_fills.add(asked.number)

    # Judging.

    def failed(self, attempt: Try, how: str) -> None:
        """Note a failure; it is a fault unless there is a reason for it."""
        reason = self.reason(attempt)
        with self.lock:
            self.failures.append(f"{attempt.number} {attempt.what}: {how} ({reason})")
            if reason is not None:
                self.reasons[reason] += 1
                return
        name = "" if attempt.image is None else f" of {attempt.image.image_id}"
        self.fault(attempt.number, f"{attempt.what}{name} failed without a reason: {how}")

    def reason(self, attempt: Try) -> str | None:
        """Return why a request may fail that has ended."""
        for killed in list(self.killed):
            if attempt.port in killed.ports and -1 < attempt.ended - killed.at < KILL_TIME:
                return "its worker was killed"
        if (image := attempt.image) is None:
            return None
        if image.leaving is not None and image.leaving <= attempt.ended:
            return "its image was deleted"
        for asked in self._answers(image):
            if asked.fault is None or asked.fault.kind == STALLED:
                continue
            if asked.overlaps(attempt.began - FAULT_TIME, attempt.ended):
                return f"the store failed: {asked.fault.kind}"
        return None

    def differs(
        self, attempt: Try, got: memoryview, first: int, *, broken_off: bool = False
    ) -> None:
        """Judge bytes that are not those of the image.

        The store's own may be sent as they come where no copy is made, but only once; and as the
        beginning of a copy that proves to be wrong at its end, which is never sent.

        :param first: where in the image they begin.
        :param broken_off: the client went away before the end.
        """
        assert attempt.image is not None
        data = attempt.image.content.data
        for asked in self._answers(attempt.image):
            if asked.spoilt is None or got != spoilt(data, *asked.spoilt)[first : first + len(got)]:
                continue
            if broken_off:
                with self.lock:
                    self.reasons["the store's corrupt data, not read to its end"] += 1
                return
            with self.lock:
                self.marks[asked.number] += 1
                seen = self.marks[asked.number]
                for_a_copy = asked.number in self._of_fills
            if attempt.what == "range" and asked.began >= attempt.began:
                # A range is fetched by itself while others make a copy.
                for_a_copy = False
            if for_a_copy:
                text = f"bytes of the store's corrupt answer {asked.number}, made a copy from"
                self.fault(attempt.number, f"{attempt.what}: {text}")
            elif seen > 1:
                text = f"the store's corrupt answer {asked.number} came to {seen} downloads"
                self.fault(attempt.number, text)
            else:
                with self.lock:
                    self.reasons["the store's corrupt data, which nobody cached"] += 1
            return
        right = data[first : first + len(got)]
        pairs = enumerate(zip(got, right, strict=False))
        where = next((first + n for n, (a, b) in pairs if a != b), first + len(right))
        text = f"{attempt.what} of {attempt.image.image_id}: other bytes from {where} on"
        self.fault(attempt.number, text)

    def _answers(self, image: Image) -> list[Asked]:
        return [asked for asked in list(self.origin.asked) if asked.name == image.source]

    def fetched_during(self, image: Image, began: float, ended: float) -> bool:
        """Tell whether the store was giving an image's data out at any time of a download."""
        return any(asked.overlaps(began, ended) for asked in self._answers(image))


def spoilt(data: memoryview, at: int, wrong: bytes) -> bytes:
    """Return what an image's data is with wrong bytes in it."""
    return bytes(data[:at]) + wrong + bytes(data[at + len(wrong) :])
