"""All that went over the wire in a run: segments for the capture, PDUs for reading and for the rules that
hold always.

Invariant: times are seconds of one monotonic clock since the run began; nothing recorded is ever changed.
Written by `peer`, read by `runner`, `report`, `pcap` and the scenarios of group `always`.
"""

import time
from collections.abc import Iterator
from typing import Literal, NamedTuple

from gateway.simulator.conformance import wire

Direction = Literal["in", "out"]


class Segment(NamedTuple):
    """Octets as they were read (`in`, from the ESME) or written, in one call."""

    at_s: float
    connection: int
    direction: Direction
    octets: bytes
    scenario: str


class Pdu(NamedTuple):
    """One PDU of the ESME, or what we wrote instead of one."""

    at_s: float
    connection: int
    direction: Direction
    octets: bytes
    scenario: str


class Note(NamedTuple):
    """A connection that began or ended."""

    at_s: float
    connection: int
    what: str


class Record:
    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self.began_at = time.time()  # for the capture and the reports
        self.scenario = ""  # that runs
        self.segments: list[Segment] = []
        self.pdus: list[Pdu] = []
        self.notes: list[Note] = []
        self.ports: dict[int, int] = {}  # connection -> the ESME's port

    def now_s(self) -> float:
        return time.monotonic() - self._began_s

    def opened(self, connection: int, port: int) -> None:
        self.ports[connection] = port
        self.notes.append(Note(self.now_s(), connection, "the ESME connected"))

    def closed(self, connection: int, by: str) -> None:
        self.notes.append(Note(self.now_s(), connection, f"closed by {by}"))

    def segment(self, connection: int, direction: Direction, octets: bytes) -> None:
        self.segments.append(Segment(self.now_s(), connection, direction, octets, self.scenario))

    def pdu(self, connection: int, direction: Direction, octets: bytes) -> None:
        self.pdus.append(Pdu(self.now_s(), connection, direction, octets, self.scenario))

    def sent(self, connection: int, octets: bytes) -> None:
        """What we wrote in one call: a segment, listed as a PDU too although it may be less or more."""
        self.segment(connection, "out", octets)
        self.pdu(connection, "out", octets)

    def timeline(self) -> Iterator[Pdu]:
        """The PDUs of both sides as their readers find them, in the order in which they were whole. Of what
        follows an impossible command_length only the header with it is told.
        """
        streams: dict[tuple[int, Direction], bytearray] = {}
        broken: set[tuple[int, Direction]] = set()
        for at_s, connection, direction, octets, scenario in self.segments:
            key = connection, direction
            stream = streams.setdefault(key, bytearray())
            stream += octets
            for frame in wire.frames(stream):
                yield Pdu(at_s, connection, direction, frame, scenario)
            if wire.is_broken(stream) and len(stream) >= wire.HEADER_OCTETS and key not in broken:
                broken.add(key)
                yield Pdu(at_s, connection, direction, bytes(stream[: wire.HEADER_OCTETS]), scenario)

    def tail(self, since_s: float, most: int = 12) -> list[str]:
        """The last lines since then, for a reader: who sent what, in hexadecimal."""
        lines: list[tuple[float, str]] = [
            (pdu.at_s, f"{'<' if pdu.direction == 'in' else '>'} #{pdu.connection} {readable(pdu.octets)}")
            for pdu in self.pdus
            if pdu.at_s >= since_s
        ]
        lines += [
            (note.at_s, f"- #{note.connection} {note.what}") for note in self.notes if note.at_s >= since_s
        ]
        return [f"{at_s:8.3f} {line}" for at_s, line in sorted(lines)[-most:]]


def readable(octets: bytes, most: int = 160) -> str:
    """Command, sequence number and hexadecimal of what may be a PDU; the middle of a long one is left out."""
    name = ""
    if len(octets) >= wire.HEADER_OCTETS:
        received = wire.Received(octets, 0.0)
        name = f"{received} "
    shown = octets[:most].hex(" ", -4)
    if len(octets) > most:
        shown += f" … ({len(octets)} octets)"
    return f"{name}[{shown}]"
