"""location_store.pending: sightings in memory, by columns."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from location_store.pending import Column, Numbers, Rows

numbers = st.lists(st.lists(st.integers(8613000000000, 8613000000040) | st.integers(1, 10**15)), max_size=5)
rows = st.tuples(st.integers(0, 5), st.integers(100, 5000), st.integers(0, 65_535))


@given(numbers)
def test_a_number_has_one_index(blocks: list[list[int]]) -> None:
    """The same in every column that it stands in, and the known ones are found by it."""
    index = Numbers()
    given_out: dict[int, int] = {}
    for block in blocks:
        found = index.index(np.array(block, np.int64)).tolist()
        for number, place in zip(block, found, strict=True):
            assert given_out.setdefault(number, place) == place
    assert sorted(given_out.values()) == list(range(len(given_out)))
    assert [given_out[number] for number in index.known.values.tolist()] == list(range(len(given_out)))


def test_a_million_numbers() -> None:
    """The table grows as it fills, also at once; consecutive numbers and random ones."""
    index = Numbers()
    some = np.arange(8613000000000, 8613000300000)
    others = np.random.default_rng(1).integers(10**7, 10**15, 700_000)
    assert index.index(some[:10]).tolist() == list(range(10))
    for column in (some, others, some[::-1]):
        found = index.index(column)
        assert (index.known.values[found] == column).all()


def test_a_column_grows_and_can_be_assigned_to() -> None:
    column = Column(np.uint8, 2)
    for start in range(0, 3000, 300):
        column.extend(np.arange(start, start + 600).astype(np.uint8).reshape(-1, 2))
    assert column.values.shape == (3000, 2)
    column.values[2999] = 7
    assert column.values[2999].tolist() == [7, 7]


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
