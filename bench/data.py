"""The data cases: uploads with a length and in chunks, downloads whole and by range."""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.catalogue import image_body
from bench.report import Record
from bench.stats import Figures, turned
from bench.transfer import MIB, Source, fetch, send, timed
from bench.wire import Target, WireError

CONNECTIONS = (1, 4)
RANGES = 64


class Sizes(NamedTuple):
    """How much is moved, and how."""

    large: Source
    piece: int  # bytes in each chunk of a chunked upload
    settle: float  # seconds of rest before each upload


class Case(NamedTuple):
    """One data case: its label, the measurement, the limit of the machine it lives under."""

    label: str
    run: Callable[[Target, str], Figures]  # given the image to download
    bound: str


def open_source(folder: Path, gib: float) -> Source:
    """Open or make the source of the data cases."""
    folder.mkdir(parents=True, exist_ok=True)
    return Source(folder, max(1, int(gib * 1024)) * MIB)


def size_label(source: Source) -> str:
    """Name the size of a source."""
    mib = source.size // MIB
    return f"{mib / 1024:g} GiB" if mib % 128 == 0 else f"{mib} MiB"


def new_image(target: Target, name: str) -> str:
    """Create an image without data."""
    return str(target.call("POST", "/v2/images", image_body(name))["id"])


def file_path(image: str) -> str:
    """Return the path of an image's data."""
    return f"/v2/images/{image}/file"


def verify(target: Target, image: str, source: Source) -> None:
    """Compare what the service says of the data with what was sent.

    :raises WireError: when status, size or a hash is another.
    """
    got = target.call("GET", f"/v2/images/{image}")
    want = {
        "status": "active",
        "size": source.size,
        "checksum": source.md5,
        "os_hash_algo": "sha512",
        "os_hash_value": source.sha512,
    }
    wrong = {key: got.get(key) for key, value in want.items() if got.get(key) != value}
    if wrong:
        raise WireError(f"{target.name}: after the upload: {wrong}")


def remove(target: Target, image: str) -> None:
    """Delete an image, patiently: a broken upload may hold it for a while."""
    for _ in range(20):
        try:
            target.call("DELETE", f"/v2/images/{image}", expect=(204, 404))
            return
        except (WireError, OSError):
            time.sleep(0.5)


def _upload(sizes: Sizes, piece: int | None, count: int, target: Target, _: str) -> Figures:
    source = sizes.large
    images = [new_image(target, f"data-{k}") for k in range(count)]
    # A write that soon follows a large delete may reuse its pages and cost a fraction of one that
    # does not (seen on virtual machines: 0.3 against 1.9 CPU s/GiB). Without this rest the target
    # that comes second would be flattered by the delete that ended the first.
    os.sync()
    time.sleep(sizes.settle)
    try:
        return timed(
            target,
            [partial(send, target, file_path(image), source, piece) for image in images],
            count * source.size,
            [partial(verify, target, image, source) for image in images],
        )
    finally:
        for image in images:
            remove(target, image)


def _download(source: Source, count: int, target: Target, image: str) -> Figures:
    job = partial(fetch, target, file_path(image), source)
    return timed(target, [job] * count, count * source.size)


def _range(source: Source, count: int, target: Target, image: str) -> Figures:
    third = source.size // 3
    job = partial(fetch, target, file_path(image), source, third, 2 * third - 1)
    return timed(target, [job] * count, count * third)


def small_ranges(source: Source, count: int, target: Target, path: str) -> Figures:
    """Fetch the first pieces of the source one by one."""
    pieces = min(RANGES, source.size // MIB)

    def job() -> None:
        for k in range(pieces):
            fetch(target, path, source, k * MIB, (k + 1) * MIB - 1)

    return timed(target, [job] * count, count * pieces * MIB)


def _small_ranges(source: Source, count: int, target: Target, image: str) -> Figures:
    return small_ranges(source, count, target, file_path(image))


def cases(sizes: Sizes) -> list[Case]:
    """Return the data cases in order."""
    source, label = sizes.large, size_label(sizes.large)
    out = []
    for count in CONNECTIONS:
        bound = "slowest hash alone" if count == 1 else "md5 + sha512 in two threads"
        out += [
            Case(f"upload {label}, length c={count}", partial(_upload, sizes, None, count), bound),
            Case(
                f"upload {label}, chunked c={count}",
                partial(_upload, sizes, sizes.piece, count),
                bound,
            ),
        ]
    for count in CONNECTIONS:
        bound = f"nginx sendfile {label} c={count}"
        out += [
            Case(f"download {label} c={count}", partial(_download, source, count), bound),
            Case(
                f"download middle third of {label} c={count}", partial(_range, source, count), bound
            ),
            Case(
                f"download {RANGES} x 1 MiB c={count}",
                partial(_small_ranges, source, count),
                f"nginx {RANGES} x 1 MiB c={count}",
            ),
        ]
    return out


class Downloads:
    """The image each target serves in the download cases, for as long as the context lasts."""

    def __init__(self, targets: Sequence[Target], source: Source) -> None:
        self.targets, self.source = targets, source
        self.images: dict[str, str] = {}

    def __enter__(self) -> dict[str, str]:
        try:
            for target in self.targets:
                image = self.images[target.name] = new_image(target, "download")
                send(target, file_path(image), self.source)
                verify(target, image, self.source)
        except BaseException:
            self.__exit__()
            raise
        return self.images

    def __exit__(self, *_: object) -> None:
        for target in self.targets:
            if target.name in self.images:
                remove(target, self.images[target.name])


def measure(
    targets: Sequence[Target], images: dict[str, str], sizes: Sizes, turn: int, record: Record
) -> None:
    """Measure one round of the data cases."""
    for case in cases(sizes):
        for target in turned(targets, turn):
            try:
                figures = case.run(target, images[target.name])
            except (WireError, OSError) as e:
                figures = {"errors": [f"{type(e).__name__}: {e}"]}
            record(case.label, target.name, figures, case.bound)
