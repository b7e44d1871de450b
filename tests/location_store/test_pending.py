"""location_store.pending: sightings in memory, by columns."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from location_store.pending import Rows

rows = st.tuples(st.integers(0, 5), st.integers(100, 5000), st.integers(0, 65_535))


@given(st.lists(st.lists(rows), max_size=4), st.permutations(range(6)), st.sets(st.integers(0, 5)))
def test_rows_come_back_ordered_and_distinct(
    blocks: list[list[tuple[int, int, int]]], rank: list[int], dropped: set[int]
) -> None:
    """By the rank of their owner; those of a subscriber who was dropped are gone."""
    kept = Rows(100)
    for block in blocks:
        kept.add(*np.array(block, np.int64).reshape(-1, 3).T)
    kept.drop(np.array(sorted(dropped), np.int64))
    left = [row for block in blocks for row in block if row[0] not in dropped]
    assert kept.count == len(left)
    columns = kept.split(kept.ordered(np.array(rank)))
    expected = sorted({(rank[owner], minute, place) for owner, minute, place in left})
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected
    kept.clear(0)
    assert kept.ordered(np.array(rank)).size == 0
