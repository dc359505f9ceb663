"""A question whose answer the reactor waits for."""

from __future__ import annotations

import os

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from glance.services.replicator_question import is_yes


class Reactor:
    """Knows who waits to read."""

    def __init__(self) -> None:
        self.readers = []
        self.ended = []

    def addReader(self, reader) -> None:
        self.readers.append(reader)

    def removeReader(self, reader) -> None:
        self.readers.remove(reader)


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def ask(pipe):
    reactor = Reactor()
    results: list[object] = []
    asked = is_yes(reactor, pipe[0], lambda: reactor.ended.append(True))
    asking = Deferred.fromCoroutine(asked).addBoth(results.append)
    assert reactor.readers[0].fileno() == pipe[0]
    return reactor, asking, results


@pytest.mark.parametrize(
    ("typed", "yes"),
    [("y\n", True), (" YES \n", True), ("n\n", False), ("\n", False), ("yess\n", False)],
)
def test_answers(pipe, typed, yes):
    reactor, _, results = ask(pipe)
    assert results == []
    os.write(pipe[1], typed.encode())
    reactor.readers[0].doRead()
    assert results == [yes]
    assert reactor.readers == []
    assert reactor.ended == []


def test_the_end_of_input_is_no_yes(pipe):
    reactor, _, results = ask(pipe)
    reactor.readers[0].connectionLost(Failure(ValueError()))
    assert results == [False]
    assert reactor.ended == [True]


def test_a_terminal_that_is_gone_is_no_yes():
    reader, writer = os.pipe()
    reactor, _, results = ask((reader, writer))
    os.close(reader)
    os.close(writer)
    reactor.readers[0].doRead()
    assert results == [False]


def test_nobody_waits_any_more(pipe):
    reactor, asking, results = ask(pipe)
    asking.cancel()
    assert reactor.readers == []
    (failure,) = results
    assert isinstance(failure, Failure)
    assert failure.check(CancelledError)
    assert reactor.ended == [True]
