"""What the sessions of one link or listener have counted, those that have ended included. For metrics."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import fields

from gateway.links.connection import Connection
from gateway.smpp.session import Counters

_NAMES = tuple(field.name for field in fields(Counters))


class Tally:
    """By name: those of `Counters`, and what the owner counts itself, its `own`; from the start, with 0."""

    def __init__(self, *own: str) -> None:
        self._ended: Counter[str] = Counter(dict.fromkeys((*_NAMES, *own), 0))

    def count(self, event: str) -> None:
        self._ended[event] += 1

    def ended(self, connection: Connection) -> None:
        """It will count no more."""
        self._add(connection, self._ended)

    def totals(self, connections: Iterable[Connection]) -> dict[str, int]:
        """With what `connections`, still open, have counted so far."""
        totals = self._ended.copy()
        for connection in connections:
            self._add(connection, totals)
        return dict(totals)

    def _add(self, connection: Connection, to: Counter[str]) -> None:
        counters = connection.session.counters
        for name in _NAMES:
            value = getattr(counters, name)
            if value:
                to[name] += value
