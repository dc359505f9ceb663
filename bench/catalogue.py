"""The images a metadata case is measured over: made, counted, and where their last page begins."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.load import drive
from bench.report import say
from bench.wire import Target, WireError

PAGE = 20
#: What one service allows at most in a page, by default.
WALK = 1000
#: Images made through the API at most; a larger catalogue is filled by SQL.
SEEDS = 1000
_PAGES = 10_000

TAGS = ("bench", "linux")
PROPERTIES = {"os_distro": "debian", "os_version": "12", "hw_disk_bus": "virtio"}


@dataclass(frozen=True)
class Catalogue:
    """What is known of a target's images before it is measured."""

    count: int
    seeded: list[tuple[str, str]]  # (name, id) of the images to show and to look up
    marker: str  # the image just before the last page
    last: list[str]  # the ids of the last page


def image_body(name: str) -> dict[str, Any]:
    """Return an image to create."""
    return {
        "name": name,
        "disk_format": "raw",
        "container_format": "bare",
        "visibility": "public",
        "tags": list(TAGS),
        **PROPERTIES,
    }


def walk(target: Target, limit: int = WALK) -> Iterator[list[dict[str, Any]]]:
    """Follow ``next`` through every page.

    :raises WireError: when it leads in a circle or nowhere.
    """
    path = f"/v2/images?limit={limit}"
    for _ in range(_PAGES):
        page = target.call("GET", path)
        yield page["images"]
        path = page.get("next", "")
        if not path:
            return
        if not path.startswith("/"):
            raise WireError(f"{target.name}: 'next' is not a path: {path!r}")
    raise WireError(f"{target.name}: more than {_PAGES} pages")


def is_whole(image: dict[str, Any]) -> bool:
    """Tell whether an image has everything that it was created with."""
    return set(image["tags"]) >= set(TAGS) and PROPERTIES.items() <= image.items()


def seed(target: Target, count: int) -> dict[str, int]:
    """Top the target up to ``count`` images named seed-000000 and so on.

    A service that refuses some under load is asked again, more gently; what it left half made is
    deleted.

    :return: what went wrong, by kind.
    :raises WireError: when some could not be made at all.
    """
    names = [f"seed-{i:06d}" for i in range(count)]
    refused: dict[str, int] = {}
    for concurrency in (4, 4, 1, 1):
        have, spoilt = _seeds(target)
        _delete(target, spoilt)
        missing = [name for name in names if name not in have]
        if not missing:
            return refused
        requests = ((target.request("POST", "/v2/images", image_body(n)), n) for n in missing)
        figures, _ = drive(target, requests, concurrency, 3600, (201,))
        for what, times in figures["bad"].items():
            refused[what] = refused.get(what, 0) + times
    have, spoilt = _seeds(target)
    if spoilt or not have.keys() >= set(names):
        raise WireError(f"{target.name}: {count} images could not be made: {refused}")
    return refused


def _seeds(target: Target) -> tuple[dict[str, str], list[str]]:
    """Return the seeded images, name -> id, and the ids of those half made or made twice."""
    whole: dict[str, str] = {}
    spoilt = []
    for page in walk(target):
        for image in page:
            name = image["name"] or ""
            if name.startswith("seed-"):
                if name in whole or not is_whole(image):
                    spoilt.append(image["id"])
                else:
                    whole[name] = image["id"]
    return whole, spoilt


def _delete(target: Target, ids: list[str]) -> None:
    requests = ((target.request("DELETE", f"/v2/images/{image}"), None) for image in ids)
    figures, _ = drive(target, requests, 1, 3600, (204, 404))
    if figures["bad"]:
        say(f"{target.name}: some images were not deleted: {figures['bad']}")


def survey(target: Target) -> Catalogue:
    """Walk the catalogue once, so that the last page can be asked for directly.

    :raises WireError: when the pages repeat an image or there is less than a page and one image.
    """
    ids: list[str] = []
    seeded: list[tuple[str, str]] = []
    for page in walk(target):
        ids += [i["id"] for i in page]
        seeded += [(i["name"], i["id"]) for i in page if (i["name"] or "").startswith("seed-")]
    if len(set(ids)) != len(ids):
        raise WireError(f"{target.name}: the pages repeat {len(ids) - len(set(ids))} images")
    if len(ids) <= PAGE or not seeded:
        raise WireError(f"{target.name}: {len(ids)} images, {len(seeded)} of them seeds: too few")
    return Catalogue(len(ids), sorted(seeded), ids[-PAGE - 1], ids[-PAGE:])


def clean(target: Target) -> None:
    """Delete the seeded images."""
    whole, spoilt = _seeds(target)
    _delete(target, [*whole.values(), *spoilt])


def strided(catalogue: Catalogue) -> list[tuple[str, str]]:
    """Return the seeds in an order that is not the table's own."""
    return [entry for k in range(37) for entry in catalogue.seeded[k::37]]
