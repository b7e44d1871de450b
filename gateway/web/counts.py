"""Counts of the hot path, as plain integers.

A process counts in one thread, so nothing is locked: prometheus_client's own metrics take a lock and four
calls for each event. Pure; `counting` makes them and shows them.
"""

from bisect import bisect_left
from collections.abc import Sequence


class Counts:
    """By labels."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, ...], int] = {}

    def add(self, labels: tuple[str, ...], count: int = 1) -> None:
        self.counts[labels] = self.counts.get(labels, 0) + count


class Durations:
    """By one label: how many were up to each bound and above the one before; the last are beyond all."""

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self._bounds_s = bounds_s
        self.counts: dict[str, list[int]] = {}
        self.sums_s: dict[str, float] = {}

    def add(self, label: str, seconds: float) -> None:
        counts = self.counts.get(label)
        if counts is None:
            counts = self.counts[label] = [0] * (len(self._bounds_s) + 1)
            self.sums_s[label] = 0.0
        counts[bisect_left(self._bounds_s, seconds)] += 1
        self.sums_s[label] += seconds
