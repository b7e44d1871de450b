"""The PDUs that went over the links, kept for reading: a bounded list of frames, decoded only when somebody
looks.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from gateway.simulator import pdus

_KEPT = 5_000


class Parties(NamedTuple):
    """The phone and the service a PDU belongs to; both None for what belongs to the link."""

    number: str | None = None
    service: str | None = None


NOBODY = Parties()


class Trace(NamedTuple):
    """One PDU as it was read (`in`, from the ESME) or written (`out`); passwords are already masked."""

    id: int
    at_s: float
    direction: Literal["in", "out"]
    link: int
    system_id: str
    parties: Parties
    frame: bytes

    def as_json(self) -> dict[str, Any]:
        """For the page: header values, fields as [name, value], the octets as hex."""
        _, code, status, sequence = (int.from_bytes(self.frame[i : i + 4], "big") for i in (0, 4, 8, 12))
        return {
            "id": self.id,
            "at_s": self.at_s,
            "direction": self.direction,
            "link": self.link,
            "system_id": self.system_id,
            "number": self.parties.number,
            "service": self.parties.service,
            "command": pdus.command_name(self.frame) or f"0x{code:08X}",
            "status": pdus.status_name(status),
            "sequence": sequence,
            "fields": pdus.fields(self.frame),
            "hex": self.frame.hex(),
        }


class Traces:
    """The latest PDUs, oldest first."""

    def __init__(self) -> None:
        self._kept: deque[Trace] = deque(maxlen=_KEPT)
        self._count = 0

    def add(
        self,
        at_s: float,
        direction: Literal["in", "out"],
        link: tuple[int, str],
        parties: Parties,
        frame: bytes,
    ) -> Trace:
        """Keep one PDU; `link` is the connection's number and system_id."""
        self._count += 1
        trace = Trace(self._count, at_s, direction, *link, parties, pdus.redact(frame))
        self._kept.append(trace)
        return trace

    def of(self, number: str | None, service: str | None, limit: int) -> list[Trace]:
        """The latest `limit` PDUs of a number (and service); of everything when both are None."""
        return list(
            reversed([trace for trace, _ in zip(self._matching(number, service), range(limit), strict=False)])
        )

    def _matching(self, number: str | None, service: str | None) -> Iterator[Trace]:
        for trace in reversed(self._kept):
            if number in (None, trace.parties.number) and service in (None, trace.parties.service):
                yield trace
