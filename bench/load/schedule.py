"""When conversations begin: as others end (closed loop), or at a rate, whatever the gateway does (open loop).

In the open loop a conversation counts from its scheduled time, so that waiting for a window is part of its
latency (no coordinated omission). Pure. Called by `run`.
"""

from collections.abc import Iterable, Iterator
from math import inf
from typing import NamedTuple


class Schedule(NamedTuple):
    """`rate_per_s`: 0 is the closed loop. `inflight`: conversations open at a time; 0: no bound."""

    messages: int
    rate_per_s: float
    inflight: int

    def due(self, elapsed_s: float, started: int, is_open: int) -> int:
        """How many may begin now."""
        count = self.messages - started
        if self.rate_per_s:
            count = min(count, int(elapsed_s * self.rate_per_s) + 1 - started)
        if self.inflight:
            count = min(count, self.inflight - is_open)
        return count

    def since_s(self, start_s: float, now_s: float, first: int, count: int) -> list[float]:
        """The times from which the latency of `count` conversations from the `first` on is counted."""
        if not self.rate_per_s:
            return [now_s] * count
        return [start_s + number / self.rate_per_s for number in range(first, first + count)]

    def next_s(self, start_s: float, started: int) -> float:
        """When the next one is due by the clock."""
        return start_s + started / self.rate_per_s if self.rate_per_s and started < self.messages else inf


def shared(count: int, rooms: Iterable[int], links: int) -> Iterator[int]:
    """So many messages for links of which each has room for some, as evenly as one after the other gives.

    Ends with the last message, so that a few messages cost as little with many links as with one.
    """
    for left, room in zip(range(links, 0, -1), rooms, strict=False):
        if not count:
            return
        share = min(room, -(-count // left))
        yield share
        count -= share
