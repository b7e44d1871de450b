"""Decisions drawn from fuzzed octets: front to back, noughts once they are used up."""

from collections.abc import Sequence
from typing import TypeVar

_Any = TypeVar("_Any")


class Source:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def octet(self) -> int:
        if not self.left:
            return 0
        self._at += 1
        return self._data[self._at - 1]

    def octets(self, count: int) -> bytes:
        """As many, or what is left."""
        found = self._data[self._at : self._at + count]
        self._at += len(found)
        return found

    def choice(self, among: Sequence[_Any]) -> _Any:
        return among[self.octet() % len(among)]
