"""Who may be answered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialog.addresses import replyable

OWN = ("10086", "10010", "8613900000000")


@pytest.mark.parametrize(
    ("ton", "digits"),
    [
        (1, "8613812345678"),
        (1, "+8613812345678"),
        (0, "008613812345678"),
        (2, "13812345678"),
        (0, "13812345678"),
        (0, "1001012345678"),  # a long number that only begins like ours
        (1, "100861234"),
        (1, "14155550100"),
        (1, "6591234567"),
    ],
)
def test_subscribers_are_answered(ton: int, digits: str) -> None:
    """National and international numbers, with any prefix they come with."""
    assert replyable(ton, digits, OWN)


@pytest.mark.parametrize(
    ("ton", "digits"),
    [
        (5, "BANK"),
        (5, "13812345678"),
        (0, "BANK"),
        (6, "13812345678"),
        (0, ""),
        (1, "+"),
        (0, "10086"),
        (0, "10010"),
        (0, "95588"),
        (0, "123456"),
        (1, "8613900000000"),
        (0, "+8613900000000"),
        (0, "1008611"),
        (0, "10086123"),
        (0, "138123456x8"),
        (0, "١٣٨١٢٣٤٥٦٧٨"),
        (0, "138 1234 5678\0"),
    ],
)
def test_machines_are_not(ton: int, digits: str) -> None:
    """Alphanumeric senders, short codes, our own numbers and their extensions get nothing."""
    assert not replyable(ton, digits, OWN)


@given(st.integers(0, 255), st.text(max_size=30), st.lists(st.text(max_size=12), max_size=4))
def test_any_address_has_a_verdict(ton: int, digits: str, own: list[str]) -> None:
    """No address raises, and none of our own is ever answered."""
    replyable(ton, digits, own)
    assert not any(replyable(ton, number, own) for number in own)
