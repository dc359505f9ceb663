"""Where version 3 of the identity API is, below the URL of an endpoint."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

_V3 = re.compile(r"/v3(?:\.\d+)?$")
_GONE = frozenset({"deprecated_and_gone", "unsupported", "experimental"})


def is_versioned(url: str) -> bool:
    """Tell whether a URL without slashes at its end names version 3 already."""
    return _V3.search(url) is not None


def v3_url(url: str, document: Any) -> str | None:
    """Return the URL of version 3 by a version document, or ``None`` where it offers none.

    :param url: where the document came from, without slashes at its end.
    :param document: the parsed JSON of an answer 200 or 300 there.

    Scheme, host and port stay those of ``url``: a document often names the public endpoint, which
    may not be reachable from here, and what it says must not decide who gets our password.
    """
    for version in _versions(document):
        name = version.get("id")
        if not isinstance(name, str) or not re.match(r"v3(\.|$)", name):
            continue
        if str(version.get("status", "")).lower() in _GONE:
            continue
        return url + _path_below(url, version)
    return None


def _versions(document: Any) -> list[dict[str, Any]]:
    if not isinstance(document, dict):
        return []
    versions = document.get("versions", document.get("version"))
    if isinstance(versions, dict):
        versions = versions.get("values", versions)
    if isinstance(versions, dict):
        versions = [versions]
    if not isinstance(versions, list):
        return []
    return [version for version in versions if isinstance(version, dict)]


def _path_below(url: str, version: dict[str, Any]) -> str:
    """Return the path of a version's own link, as far as it goes beyond the document's."""
    before = urlsplit(url).path
    links = version.get("links")
    for link in links if isinstance(links, list) else []:
        if not isinstance(link, dict) or link.get("rel") != "self":
            continue
        try:
            path = urlsplit(str(link.get("href"))).path.rstrip("/")
        except ValueError:
            continue
        if path.startswith(f"{before}/") and _V3.search(path) and path.isascii():
            return path.removeprefix(before)
    return "/v3"
