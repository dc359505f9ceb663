"""Do several things side by side, and stop all of them when one fails."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, FirstError, gatherResults

T = TypeVar("T")


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines side by side and return their results, in their order.

    :raises Exception: what the first that failed failed with.
    """
    running = [Deferred.fromCoroutine(work) for work in works]
    try:
        results: list[T] = await gatherResults(running, consumeErrors=True)
        return results
    except FirstError as error:
        for one in running:
            one.cancel()
        raise cast(Exception, error.subFailure.value) from None
