"""Which pages of other origins a browser lets use the API (the Fetch standard, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from glance.domain.errors import ConfigError

ANY = "*"

#: Headers that a request may have without being allowed to.
_SIMPLE_HEADERS = frozenset(
    ["accept", "accept-language", "content-language", "content-type", "cache-control"]
    + ["expires", "last-modified", "pragma"]
)

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Cors:
    """The rules; made by :func:`make_cors`.

    :param origins: those allowed, as browsers write them, or :data:`ANY` among them.
    :param headers: allowed beyond the simple ones, in lower case.
    :param exposed: value of ``Access-Control-Expose-Headers``, empty for none.
    :param max_age: seconds that a browser may remember a preflight's answer.
    """

    origins: frozenset[str]
    credentials: bool
    methods: frozenset[str]
    headers: frozenset[str]
    exposed: str
    max_age: int | None

    @property
    def varies(self) -> bool:
        """Whether answers differ by the asking origin, which caches must know."""
        return self.origins != {ANY}

    def simple(self, origin: str) -> Headers:
        """Return the headers of an answer to a request from an origin; none for a stranger."""
        found = self._allow(origin)
        if found and self.exposed:
            found.append(("Access-Control-Expose-Headers", self.exposed))
        return found

    def preflight(self, origin: str, method: str, headers: str) -> Headers:
        """Return the headers that allow a request which a browser asks about; none if it may not.

        :param method: ``Access-Control-Request-Method``.
        :param headers: ``Access-Control-Request-Headers``, empty for none.
        """
        names = [name.strip() for name in headers.split(",") if name.strip()]
        if method not in self.methods or not all(self._may_send(name) for name in names):
            return []
        found = self._allow(origin)
        if not found:
            return []
        if self.max_age is not None:
            found.append(("Access-Control-Max-Age", str(self.max_age)))
        found.append(("Access-Control-Allow-Methods", method))
        if names:
            found.append(("Access-Control-Allow-Headers", ",".join(names)))
        return found

    def _may_send(self, name: str) -> bool:
        return name.lower() in self.headers or name.lower() in _SIMPLE_HEADERS

    def _allow(self, origin: str) -> Headers:
        if origin in self.origins:
            found = [("Access-Control-Allow-Origin", origin)]
            if self.credentials:
                found.append(("Access-Control-Allow-Credentials", "true"))
            return found
        # To name the origin here would let any page use a visitor's credentials; with the star,
        # browsers refuse credentials by themselves.
        return [("Access-Control-Allow-Origin", ANY)] if ANY in self.origins else []


def make_cors(
    allowed_origin: Iterable[str] | None,
    *,
    allow_credentials: bool = True,
    allow_methods: Iterable[str] = (),
    allow_headers: Iterable[str] = (),
    expose_headers: Iterable[str] = (),
    max_age: int | None = None,
) -> Cors | None:
    """Make the rules of the options of ``[cors]``; ``None`` when no origin is allowed.

    :raises ConfigError: an origin is not of the form ``https://host`` or ``https://host:port``.
    """
    origins = frozenset(_origin(text) for text in allowed_origin or () if text.strip())
    if not origins:
        return None
    return Cors(
        origins=origins,
        credentials=allow_credentials,
        methods=frozenset(method.strip().upper() for method in allow_methods),
        headers=frozenset(name.strip().lower() for name in allow_headers),
        exposed=",".join(name.strip() for name in expose_headers),
        max_age=max_age,
    )


def _origin(text: str) -> str:
    origin = text.strip()
    if origin in (ANY, "null"):
        return origin
    scheme, separator, host = origin.removesuffix("/").partition("://")
    if not (scheme and separator and host) or set(host) & set("/?#@ \t"):
        raise ConfigError(
            f"[cors]allowed_origin: {text!r} is not an origin; write https://host or "
            "https://host:port, without a path, or * for any."
        )
    # Browsers write both in lower case.
    return f"{scheme}://{host}".lower()
