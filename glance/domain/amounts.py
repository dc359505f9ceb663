"""Amounts as people say them."""

from __future__ import annotations

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def human_size(size: int) -> str:
    """Write a number of bytes with a unit."""
    if size == 1:
        return "1 byte"
    number = float(size)
    for unit in _UNITS:
        if number < 1024 or unit == _UNITS[-1]:
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == _UNITS[0] else f"{number:.1f} {unit}"


def counted(number: int, what: str, several: str = "") -> str:
    """Write a number of things.

    :param what: what one of them is called.
    :param several: what more of them are called, unless that is with an s.
    """
    return f"{number:,} {what if number == 1 else several or what + 's'}"
