"""Columns that grow, and dense indices for the numbers in them: what numpy does not have.

Sorting a column to look it up costs 100 ns a row, a hash table of open addressing 20. Invariants: pure; a
number keeps its index. Called by `coalescer` (subscribers) and `cells` (cells that were asked for).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing: consecutive numbers fall far apart
_FREE = -1


class Column:
    """An array that grows at its end."""

    def __init__(self, dtype: npt.DTypeLike, *width: int) -> None:
        self._data: npt.NDArray[Any] = np.empty((1024, *width), dtype)
        self.size = 0

    def extend(self, values: npt.NDArray[Any]) -> None:
        end = self.size + len(values)
        if end > len(self._data):
            grown = np.empty((max(end, 2 * len(self._data)), *self._data.shape[1:]), self._data.dtype)
            grown[: self.size] = self.values
            self._data = grown
        self._data[self.size : end] = values
        self.size = end

    @property
    def values(self) -> npt.NDArray[Any]:
        """What is in it: a view, so that it can be assigned to."""
        return self._data[: self.size]


class Index:
    """Distinct numbers (not negative) <-> 0, 1, 2, …: a hash table that is asked by whole columns."""

    def __init__(self) -> None:
        self.known = Column(np.int64)
        """The numbers in the order of their indices."""
        self._resize(1 << 12)

    def of(self, numbers: Ints) -> Ints:
        """The index of each number; one that is new gets the next."""
        index = self._find(numbers)
        missing = np.flatnonzero(index == _FREE)
        if missing.size:
            new = np.unique(numbers[missing])
            first = self.known.size
            self.known.extend(new)
            if 2 * self.known.size > self._keys.size:
                self._resize(4 * self.known.size)
            else:
                self._insert(new, np.arange(first, self.known.size))
            index[missing] = self._find(numbers[missing])
        return index

    def _resize(self, least: int) -> None:
        bits = int(least - 1).bit_length()
        self._shift = np.uint64(64 - bits)
        self._keys = np.full(1 << bits, _FREE, np.int64)
        self._values = np.empty(1 << bits, np.int64)
        self._insert(self.known.values, np.arange(self.known.size))

    def _slot(self, numbers: Ints) -> Ints:
        return (numbers.astype(np.uint64) * _SPREAD >> self._shift).astype(np.int64)

    def _find(self, numbers: Ints) -> Ints:
        slot, last = self._slot(numbers), self._keys.size - 1
        found = self._keys[slot]
        index = np.where(found == numbers, self._values[slot], _FREE)
        left = np.flatnonzero((found != numbers) & (found != _FREE))
        while left.size:
            slot[left] = slot[left] + 1 & last
            found, wanted = self._keys[slot[left]], numbers[left]
            hit = found == wanted
            index[left[hit]] = self._values[slot[left[hit]]]
            left = left[~hit & (found != _FREE)]
        return index

    def _insert(self, numbers: Ints, index: Ints) -> None:
        """Numbers that are not there yet, each once."""
        slot, last = self._slot(numbers), self._keys.size - 1
        left = np.arange(numbers.size)
        while left.size:
            free = left[self._keys[slot[left]] == _FREE]
            self._keys[slot[free]] = numbers[free]  # of several that want one slot the last stays
            won = free[self._keys[slot[free]] == numbers[free]]
            self._values[slot[won]] = index[won]
            left = np.setdiff1d(left, won, assume_unique=True)
            slot[left] = slot[left] + 1 & last
