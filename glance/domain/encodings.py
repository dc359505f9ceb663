"""Which content encodings a client takes (RFC 9110, section 12.5.3)."""

from __future__ import annotations


def takes_gzip(accept_encoding: str) -> bool:
    """Tell whether a client takes an answer compressed by gzip.

    :param accept_encoding: the header; empty when there is none, which asks for nothing.
    """
    others = False
    for item in accept_encoding.lower().split(","):
        name, _, parameters = item.partition(";")
        name = name.strip()
        if name in ("gzip", "x-gzip"):
            return _wanted(parameters)
        if name == "*":
            others = _wanted(parameters)
    return others


def _wanted(parameters: str) -> bool:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                # A comparison with NaN is never true.
                return float(value) > 0
            except ValueError:
                return False
    return True
