"""Which source addresses may be answered.

Pure. Machines answer machines: whatever is not a subscriber's number gets nothing, so that no loop can
begin. Called by the pipeline before the conversation.
"""

from collections.abc import Collection
from functools import lru_cache

TON_INTERNATIONAL = 1
TON_ALPHANUMERIC = 5
TON_ABBREVIATED = 6
"""Types of number of SMPP 3.4, section 5.2.5."""

_SHORTEST_NUMBER = 7
_LONGEST_EXTENDED_CODE = 10


def replyable(ton: int, digits: str, own_numbers: Collection[str]) -> bool:
    """Whether a message from this address may be answered at all.

    Not an alphanumeric or abbreviated sender, not a short code, not one of `own_numbers` and not a short
    extension of one (carriers send from 10086xxx, too). `digits` as it came on the wire; a leading + or 00
    is tolerated.
    """
    if ton in (TON_ALPHANUMERIC, TON_ABBREVIATED):
        return False
    number = _bare(digits)
    if not (number.isascii() and number.isdigit()) or len(number) < _SHORTEST_NUMBER:
        return False
    own = _all_bare(frozenset(own_numbers))
    if number in own:
        return False
    return (
        ton == TON_INTERNATIONAL
        or len(number) > _LONGEST_EXTENDED_CODE
        or not any(number.startswith(short) for short in own if short)
    )


@lru_cache(64)
def _all_bare(numbers: frozenset[str]) -> frozenset[str]:
    return frozenset(map(_bare, numbers))


def _bare(digits: str) -> str:
    return digits.removeprefix("+").removeprefix("00")
