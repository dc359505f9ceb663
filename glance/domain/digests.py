"""What a client says the digest of its data is (RFC 9530), and whether that is so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from glance.domain.errors import Invalid
from glance.domain.structured import Malformed, parse_dictionary

#: The headers that state a digest. Of the whole data of an image they mean the same: the two differ
#: where a message has but a part of what it is about.
DIGEST_HEADERS = ("Content-Digest", "Repr-Digest")

#: By their names in such a header: what hashlib calls the algorithms, and bytes of their digests.
ALGORITHMS: dict[str, tuple[str, int]] = {
    "sha-512": ("sha512", 64),
    "sha-256": ("sha256", 32),
    "md5": ("md5", 16),
}

_EXAMPLE = "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:"


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest that data must have.

    :param header: who says so.
    :param name: the algorithm, as the header has it: a key of ``ALGORITHMS``.
    """

    header: str
    name: str
    value: bytes

    @property
    def algorithm(self) -> str:
        """What hashlib calls the algorithm."""
        return ALGORITHMS[self.name][0]


def parse_digests(header: str, text: str) -> list[Digest]:
    """Return the digests that a header states.

    Those of algorithms that are not known here are nobody's business (RFC 9530, section 2).

    :param header: the header's name.
    :param text: its value; of several lines, these with ``", "`` between them.
    :raises Invalid: the header cannot be read, or a digest is none of its algorithm.
    """
    try:
        members = parse_dictionary(text)
    except Malformed:
        raise Invalid(
            f"The header {header} must be a dictionary of digests (RFC 9530), such as {_EXAMPLE}"
        ) from None
    found = []
    for name, value in members.items():
        if name not in ALGORITHMS:
            continue
        length = ALGORITHMS[name][1]
        if not isinstance(value, bytes) or len(value) != length:
            raise Invalid(
                f"The header {header} must give {name} as {length} bytes in base64 between colons."
            )
        found.append(Digest(header, name, value))
    return found


def check_digests(stated: Iterable[Digest], digest_of: Callable[[str], bytes]) -> None:
    """Check that data has the digests that were stated.

    :param digest_of: tells the data's digest by what hashlib calls the algorithm.
    :raises Invalid: it does not.
    """
    wrong = [digest for digest in stated if digest_of(digest.algorithm) != digest.value]
    if wrong:
        raise Invalid(f"The data does not fit {_listed(wrong)}; nothing of it was kept.")


def _listed(digests: Sequence[Digest]) -> str:
    return " and ".join(f"the {digest.name} of the header {digest.header}" for digest in digests)
