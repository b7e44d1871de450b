"""The run as a capture file that Wireshark and tshark read: each segment with made-up Ethernet, IP and TCP
headers.

The capture is made from what was read and written, so it needs no privilege and is complete; real packet
boundaries, retransmissions and timestamps below our own are not in it. Invariant: sequence and
acknowledgement numbers are consistent, so that the dissector reassembles each direction. Called by
`command`.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from gateway.simulator.conformance.record import Record, Segment

_MAGIC, _LINKTYPE_RAW, _SNAPLEN = 0xA1B2C3D4, 101, 262_144
_ESME, _SMSC = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
_MOST_OCTETS = 16_384  # of a segment; an IPv4 packet holds at most 65,535
_ACK, _PUSH = 0x10, 0x08


def write(record: Record, port: int, path: Path) -> None:
    """Write all segments; the SMSC is port `port` of 10.0.0.2, the ESME 10.0.0.1."""
    with path.open("wb") as file:
        file.write(struct.pack(">LHHlLLL", _MAGIC, 2, 4, 0, 0, _SNAPLEN, _LINKTYPE_RAW))
        for at_s, packet in _packets(record, port):
            whole_s = int(record.began_at + at_s)
            micros = int((record.began_at + at_s - whole_s) * 1e6)
            file.write(struct.pack(">LLLL", whole_s, micros, len(packet), len(packet)))
            file.write(packet)


def _packets(record: Record, port: int) -> Iterator[tuple[float, bytes]]:
    sent: dict[tuple[int, str], int] = {}  # octets so far, by connection and direction
    for segment in record.segments:
        other = "out" if segment.direction == "in" else "in"
        for start in range(0, len(segment.octets), _MOST_OCTETS):
            octets = segment.octets[start : start + _MOST_OCTETS]
            here, there = (segment.connection, segment.direction), (segment.connection, other)
            number, acknowledged = sent.get(here, 0), sent.get(there, 0)
            sent[here] = number + len(octets)
            yield segment.at_s, _packet(segment, port, number, acknowledged, octets)


def _esme_port(segment: Segment) -> int:
    """One for each connection: a real one may come again within a run, and would join two streams."""
    return 10_000 + segment.connection % 50_000


def _packet(segment: Segment, port: int, number: int, acknowledged: int, octets: bytes) -> bytes:
    inward = segment.direction == "in"
    ports = (_esme_port(segment), port) if inward else (port, _esme_port(segment))
    addresses = _ESME + _SMSC if inward else _SMSC + _ESME
    tcp = struct.pack(
        ">HHLLBBHHH",
        *ports,
        (number + 1) & 0xFFFF_FFFF,
        (acknowledged + 1) & 0xFFFF_FFFF,
        0x50,
        _ACK | _PUSH,
        65_535,
        0,
        0,
    )
    pseudo = addresses + struct.pack(">BBH", 0, 6, len(tcp) + len(octets))
    tcp = tcp[:16] + struct.pack(">H", _checksum(pseudo + tcp + octets)) + tcp[18:]
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp) + len(octets), 0, 0, 64, 6, 0) + addresses
    ip = ip[:10] + struct.pack(">H", _checksum(ip)) + ip[12:]
    return ip + tcp + octets


def _checksum(octets: bytes) -> int:
    """RFC 1071."""
    padded = octets + b"\0" * (len(octets) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
