"""Sockets from a service manager: which are taken, for what, and which are refused."""

import os
import socket
import tempfile
from collections.abc import Iterator

import pytest

from glance.domain.errors import ConfigError
from glance.services.activation import take_sockets


@pytest.fixture
def listening() -> Iterator[list[socket.socket]]:
    """Two listening sockets with consecutive descriptors."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        first = 200
        os.dup2(one.fileno(), first)
        with socket.create_server(("127.0.0.1", 0)) as two:
            os.dup2(two.fileno(), first + 1)
            yield [one, two]
    for descriptor in (first, first + 1):
        try:
            os.close(descriptor)
        except OSError:
            continue


def environment(count: int, names: str | None = None, pid: int | None = None) -> dict[str, str]:
    found = {"LISTEN_FDS": str(count), "LISTEN_PID": str(pid or os.getpid()), "HOME": "/"}
    if names is not None:
        found["LISTEN_FDNAMES"] = names
    return found


def take(environ: dict[str, str]) -> dict[str, tuple[str, int]]:
    sockets = take_sockets(environ, 200)
    assert environ == {"HOME": "/"}
    try:
        for taken in sockets.values():
            assert not taken.get_inheritable()
            assert taken.gettimeout() == 0
        return {use: taken.getsockname() for use, taken in sockets.items()}
    finally:
        for taken in sockets.values():
            taken.close()


def test_none() -> None:
    assert take_sockets({}) == {}
    assert take(environment(1, pid=1)) == {}
    assert take(environment(0)) == {}


def test_one(listening: list[socket.socket]) -> None:
    assert take(environment(1)) == {"main": listening[0].getsockname()}


@pytest.mark.parametrize("name", ["glance-api.socket", "", "public"])
def test_both(listening: list[socket.socket], name: str) -> None:
    one, two = (each.getsockname() for each in listening)
    assert take(environment(2, f"{name}:internal")) == {"main": one, "internal": two}


def test_order_does_not_matter(listening: list[socket.socket]) -> None:
    one, two = (each.getsockname() for each in listening)
    assert take(environment(2, "internal:x")) == {"main": two, "internal": one}


@pytest.mark.parametrize("names", [None, "a:b", "internal:internal"])
def test_use_is_not_clear(listening: list[socket.socket], names: str | None) -> None:
    with pytest.raises(ConfigError, match="do not tell what for"):
        take_sockets(environment(2, names), 200)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (lambda: socket.socket(), "does not listen"),
        (lambda: socket.socket(type=socket.SOCK_DGRAM), "is not a TCP socket"),
        (lambda: socket.socket(socket.AF_UNIX), "is not a TCP socket"),
        (tempfile.TemporaryFile, "is not a socket"),
    ],
)
def test_what_cannot_be_listened_on(what: object, told: str) -> None:
    with what() as thing:  # type: ignore[operator]
        copy = os.dup(thing.fileno())
        with pytest.raises(ConfigError, match=rf"Descriptor {copy} \(x\) .* {told}"):
            take_sockets(environment(1, "x"), copy)
