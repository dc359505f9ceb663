"""Stand-ins for what a request's body comes over and goes through."""

from __future__ import annotations

from unittest import mock

from glance.transfers import buffers
from glance.transfers.buffers import Buffer, BufferPool

#: Small buffers let small bodies cross many of them.
SMALL = 16


def small_buffers():
    """Make every buffer hold so few bytes that a test can fill many."""
    return mock.patch.object(buffers, "BUFFER_SIZE", SMALL)


class CountingPool(BufferPool):
    """A pool that knows how many of its buffers are out, and how many ever were at once."""

    def __init__(self, budget: int = 1000) -> None:
        super().__init__(budget=budget)
        self.out: list[Buffer] = []
        self.most = 0

    def get(self, *, extra: bool = False) -> Buffer:
        buffer = super().get(extra=extra)
        assert buffer.filled == 0
        self.out.append(buffer)
        self.most = max(self.most, len(self.out))
        return buffer

    def put(self, buffer: Buffer, *, extra: bool = False) -> None:
        self.out.remove(buffer)
        super().put(buffer, extra=extra)


class FakeFlow:
    """A connection that insists on balance: never paused twice, never resumed unpaused."""

    def __init__(self) -> None:
        self.paused = False
        self.wanted = 0

    def pause(self) -> None:
        assert not self.paused
        self.paused = True

    def resume(self) -> None:
        assert self.paused
        self.paused = False

    def want(self) -> None:
        self.wanted += 1
