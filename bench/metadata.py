"""The metadata cases: pages of the list, show, look-up by name, schema, create, patch, delete."""

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from bench.catalogue import PAGE, Catalogue, image_body, is_whole, strided, walk
from bench.load import Request, drive
from bench.report import Record
from bench.stats import Figures, turned
from bench.wire import Target

_PATCH = b"application/openstack-images-v2.1-json-patch"
_MOST = 50_000  # requests in one cell, whatever the time


class Read(NamedTuple):
    """A reading case: its name, its requests, whether an answer is right, if it grows with size."""

    label: str
    requests: Callable[[Target, Catalogue], Iterator[Request]]
    check: Callable[[Any, bytes], bool]
    grows: bool = True


def _forever(path: str, key: Any = None) -> Callable[[Target], Iterator[Request]]:
    return lambda target: itertools.repeat((target.request("GET", path), key))


def _first_page(target: Target, catalogue: Catalogue) -> Iterator[Request]:
    return _forever(f"/v2/images?limit={PAGE}")(target)


def _last_page(target: Target, catalogue: Catalogue) -> Iterator[Request]:
    path = f"/v2/images?limit={PAGE}&marker={catalogue.marker}"
    return _forever(path, catalogue.last)(target)


def _show(target: Target, catalogue: Catalogue) -> Iterator[Request]:
    for _, image in itertools.cycle(strided(catalogue)):
        yield target.request("GET", f"/v2/images/{image}"), image


def _by_name(target: Target, catalogue: Catalogue) -> Iterator[Request]:
    for name, _ in itertools.cycle(strided(catalogue)):
        yield target.request("GET", f"/v2/images?name={name}"), name


def _schema(target: Target, catalogue: Catalogue) -> Iterator[Request]:
    return _forever("/v2/schemas/image")(target)


def _is_page(key: Any, body: bytes) -> bool:
    return len(json.loads(body)["images"]) == PAGE


def _is_last_page(key: Any, body: bytes) -> bool:
    return bool([image["id"] for image in json.loads(body)["images"]] == key)


def _is_image(key: Any, body: bytes) -> bool:
    image = json.loads(body)
    return bool(image["id"] == key and is_whole(image))


def _is_found(key: Any, body: bytes) -> bool:
    return [image["name"] for image in json.loads(body)["images"]] == [key]


def _is_schema(key: Any, body: bytes) -> bool:
    return "os_hash_value" in json.loads(body)["properties"]


READS = (
    Read("list, first page", _first_page, _is_page),
    Read("list, last page", _last_page, _is_last_page),
    Read("show", _show, _is_image),
    Read("list by name", _by_name, _is_found),
    Read("schema", _schema, _is_schema, grows=False),
)


def writes(target: Target, concurrency: int, seconds: float) -> Iterable[tuple[str, Figures]]:
    """Create for a while, patch what was made for a while, delete it all."""
    new = (
        (target.request("POST", "/v2/images", image_body(f"write-{k}")), None) for k in range(_MOST)
    )
    figures, replies = drive(target, new, concurrency, seconds, (201,))
    made = [json.loads(reply.body)["id"] for reply in replies if reply.status == 201]
    yield "create", figures

    def patch(image: str, turn: int) -> bytes:
        change = [
            {"op": "replace", "path": "/name", "value": f"patched-{turn}"},
            {"op": "add", "path": "/bench_turn", "value": str(turn)},
        ]
        return target.request("PATCH", f"/v2/images/{image}", change, _PATCH)

    if made:
        changes = ((patch(image, k), str(k)) for k, image in enumerate(itertools.cycle(made)))
        yield (
            "patch",
            drive(
                target,
                changes,
                concurrency,
                seconds,
                (200,),
                lambda key, body: bool(json.loads(body)["bench_turn"] == key),
            )[0],
        )
        gone = ((target.request("DELETE", f"/v2/images/{image}"), None) for image in made)
        yield "delete", drive(target, gone, concurrency, 20 * seconds + 10, (204,))[0]
        drive(target, gone, 1, 3600, (204,))  # what the time did not reach for


def measure(
    targets: Sequence[Target],
    catalogues: dict[str, Catalogue],
    size: int,
    turn: int,
    concurrencies: Sequence[int],
    seconds: float,
    record: Record,
    first: bool,
) -> None:
    """Measure one round of all cases over catalogues of one size.

    :param first: whether this is the first size; cases that do not depend on it are left to that.
    """
    for concurrency in concurrencies:
        for case in READS:
            if not (case.grows or first):
                continue
            label = f"{case.label}, {size} images" if case.grows else case.label
            for target in turned(targets, turn):
                requests = case.requests(target, catalogues[target.name])
                figures, _ = drive(
                    target,
                    itertools.islice(requests, _MOST),
                    concurrency,
                    seconds,
                    check=case.check,
                )
                record(
                    f"{label} c={concurrency}",
                    target.name,
                    figures,
                    bound=f"Klein, tiny JSON c={concurrency}",
                )
        if first:
            for target in turned(targets, turn):
                for what, figures in writes(target, concurrency, seconds):
                    record(
                        f"{what} c={concurrency}",
                        target.name,
                        figures,
                        bound=f"Klein, tiny JSON c={concurrency}",
                    )


def measure_walk(targets: Sequence[Target], size: int, turn: int, record: Record) -> None:
    """Walk every image in pages of a hundred."""
    for target in turned(targets, turn):
        cpu, began = target.cpu()[0], time.perf_counter()
        pages = list(walk(target, 100))
        wall = time.perf_counter() - began
        ids = [image["id"] for page in pages for image in page]
        record(
            f"walk {size} images, 100 a page",
            target.name,
            {
                "pages_s": len(pages) / wall,
                "cpu_s": target.cpu()[0] - cpu,
                "errors": ["images repeated"] if len(set(ids)) != len(ids) else [],
            },
        )


def warm_up(targets: Sequence[Target], catalogues: dict[str, Catalogue]) -> None:
    """Ask everything for a moment, unrecorded: imports, compiled statements, pools."""
    for target in targets:
        for case in READS:
            drive(target, case.requests(target, catalogues[target.name]), 4, 0.5)
