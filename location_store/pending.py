"""Sightings in memory until they are written: the coalescer's columns.

A subscriber of a nation is seen about 60 times a day, and each write to the store costs as much as reading 20
rows: so sightings gather here, 8 bytes each, and one write takes all that came meanwhile. A sighting is one
integer (subscriber's index, minute, place), so that gathering is appending and ordering is sorting integers.

Invariants: pure; rows keep what they were added with, in no order until `ordered`. Called by `coalescer`.
"""

from __future__ import annotations

import numpy as np

from location_store.record_columns import Ints

_PLACE_BITS, _MINUTE_BITS = 16, 20
_OWNER_SHIFT = _PLACE_BITS + _MINUTE_BITS
MAX_SUBSCRIBERS = 2 ** (63 - _OWNER_SHIFT)
_MINUTE_MASK, _PLACE_MASK = 2**_MINUTE_BITS - 1, 2**_PLACE_BITS - 1


class Rows:
    """Sightings as integers. Minutes are those of records (epoch.EPOCH_MIN), `base_min` and two years on."""

    def __init__(self, base_min: int) -> None:
        self.clear(base_min)

    def clear(self, base_min: int) -> None:
        self._base_min = base_min
        self._blocks: list[Ints] = []
        self.count = 0

    def add(self, owner: Ints, minute: Ints, place: Ints) -> None:
        self._blocks.append(owner << _OWNER_SHIFT | minute - self._base_min << _PLACE_BITS | place)
        self.count += owner.size

    def drop(self, owners: Ints) -> None:
        """Remove the rows of these subscribers."""
        self._blocks = [block[~np.isin(block >> _OWNER_SHIFT, owners)] for block in self._blocks]
        self.count = sum(block.size for block in self._blocks)

    def ordered(self, rank: Ints) -> Ints:
        """All rows, distinct and ascending by (rank of the owner, minute, place): see `split`."""
        rows = np.concatenate(self._blocks) if self._blocks else np.empty(0, np.int64)
        rows = rank[rows >> _OWNER_SHIFT] << _OWNER_SHIFT | rows & (1 << _OWNER_SHIFT) - 1
        rows.sort()
        distinct = np.empty(rows.size, np.bool_)
        distinct[:1] = True
        np.not_equal(rows[1:], rows[:-1], out=distinct[1:])
        out: Ints = rows[distinct]
        return out

    def split(self, rows: Ints) -> tuple[Ints, Ints, Ints]:
        """Rank, minute and place of ordered rows."""
        minute = (rows >> _PLACE_BITS & _MINUTE_MASK) + self._base_min
        return rows >> _OWNER_SHIFT, minute, rows & _PLACE_MASK
