"""location_store.index: columns that grow, and dense indices."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from location_store.index import Column, Index

numbers = st.lists(st.lists(st.integers(8613000000000, 8613000000040) | st.integers(0, 2**60)), max_size=5)


@given(numbers)
def test_a_number_has_one_index(blocks: list[list[int]]) -> None:
    """The same in every column that it stands in, and the known ones are found by it."""
    index = Index()
    given_out: dict[int, int] = {}
    for block in blocks:
        found = index.of(np.array(block, np.int64)).tolist()
        for number, place in zip(block, found, strict=True):
            assert given_out.setdefault(number, place) == place
    assert sorted(given_out.values()) == list(range(len(given_out)))
    assert [given_out[number] for number in index.known.values.tolist()] == list(range(len(given_out)))


def test_a_million_numbers() -> None:
    """The table grows as it fills, also at once; consecutive numbers and random ones."""
    index = Index()
    some = np.arange(8613000000000, 8613000300000)
    others = np.random.default_rng(1).integers(10**7, 10**15, 700_000)
    assert index.of(some[:10]).tolist() == list(range(10))
    for column in (some, others, some[::-1]):
        found = index.of(column)
        assert (index.known.values[found] == column).all()


def test_a_column_grows_and_can_be_assigned_to() -> None:
    column = Column(np.uint8, 2)
    for start in range(0, 3000, 300):
        column.extend(np.arange(start, start + 600).astype(np.uint8).reshape(-1, 2))
    assert column.values.shape == (3000, 2)
    column.values[2999] = 7
    assert column.values[2999].tolist() == [7, 7]
