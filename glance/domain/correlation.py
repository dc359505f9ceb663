"""The request being worked on, for log lines written far from where the request is known.

A ``ContextVar`` follows Deferred-based coroutines and ``inlineCallbacks`` by itself. It does not
follow a call into a thread: wrap such a call with :func:`carried`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token, copy_context
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Correlation:
    """What a log line says of its request.

    :param request_id: of this service.
    :param global_request_id: of the chain of services that led here.
    """

    request_id: str
    global_request_id: str | None = None
    user: str | None = None
    project: str | None = None
    domain: str | None = None
    system_scope: str | None = None
    user_domain: str | None = None
    project_domain: str | None = None


_current: ContextVar[Correlation | None] = ContextVar("glance_correlation", default=None)

#: Returns the request being worked on, or ``None``.
current: Callable[[], Correlation | None] = _current.get


def begin(correlation: Correlation | None) -> Token[Correlation | None]:
    """Set the request being worked on; return what :func:`end` needs."""
    return _current.set(correlation)


def end(token: Token[Correlation | None]) -> None:
    """Go back to what was worked on before; only in the context of the :func:`begin`."""
    _current.reset(token)


@contextmanager
def working_on(correlation: Correlation | None) -> Iterator[None]:
    """Set the request being worked on for the length of a ``with`` block."""
    token = begin(correlation)
    try:
        yield
    finally:
        end(token)


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """Bind a function to the current request, so that it can be called in another thread.

    :param function: called with whatever the result is called with, once.
    """
    context = copy_context()

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.run(function, *args, **kwargs)

    return call
