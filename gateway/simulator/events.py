"""What happens at the simulated SMSC, as it is told to pages and tests. `smsc` makes events, `api` passes
them on.
"""

from typing import Any, NamedTuple, Protocol


class Body(Protocol):
    """What an event is about."""

    def as_json(self) -> dict[str, Any]: ...


class Event(NamedTuple):
    """Something happened; `kind` is one of mo_sent, mo_attempted, mo_acknowledged, mo_refused, mo_expired,
    mt_part, mt_complete, pdu, link_up, link_down.
    """

    kind: str
    at_s: float
    body: Body


class PartArrived(NamedTuple):
    """A part of a longer text to a phone; `arrived` of `total` are there."""

    number: str
    service: str
    part: int
    arrived: int
    total: int

    def as_json(self) -> dict[str, Any]:
        return self._asdict()


class Link(NamedTuple):
    """A bound ESME as shown."""

    id: int
    system_id: str
    bind_type: str
    version: str
    since_s: float
    in_flight: int

    def as_json(self) -> dict[str, Any]:
        return self._asdict()
