"""The PROXY protocol's header, versions 1 and 2: who is really at the other end of a proxy's connection.

Pure. https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt. Bounded: a header that could be longer than
`LONGEST` is no header. Twisted has a parser, but it refuses a header that comes in small segments, and lets
KeyError and ValueError escape. Called by `admission`.
"""

import ipaddress
from typing import NamedTuple

_V1, _V2 = b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"
_LONGEST_V1 = 107  # with its CR LF (section 2.1)
LONGEST = 16 + 2048  # of version 2 with its TLVs; 536 are what any receiver has to take (section 2)
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_NO_ADDRESS = {0x00, 0x31}  # unspecified, a Unix socket: the connection's own address has to do


class Header(NamedTuple):
    """`source`: the peer's address; empty where the proxy speaks for itself or does not know."""

    source: str
    length: int


def read(data: bytes) -> Header | None:
    """The header at the beginning of `data`; None: more is to come. Raises ValueError where there is none."""
    if data[: len(_V2)] == _V2[: len(data)]:
        return _version_2(data)
    if data[: len(_V1)] == _V1[: len(data)]:
        return _version_1(data)
    raise ValueError("no PROXY header")


def _version_1(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, _LONGEST_V1)
    if end < 0:
        if len(data) >= _LONGEST_V1:
            raise ValueError("a PROXY line without end")
        return None
    fields = data[:end].decode("ascii", "replace").split(" ")
    if fields[1] == "UNKNOWN":
        return Header("", end + 2)
    if len(fields) != 6 or fields[1] not in ("TCP4", "TCP6"):
        raise ValueError("a PROXY line of another form")
    kind = ipaddress.IPv4Address if fields[1] == "TCP4" else ipaddress.IPv6Address
    source, _ = kind(fields[2]), kind(fields[3])
    if not all(port.isascii() and port.isdigit() and int(port) <= 0xFFFF for port in fields[4:]):
        raise ValueError("a PROXY line with a port that cannot be")
    return Header(str(source), end + 2)


def _version_2(data: bytes) -> Header | None:
    if len(data) < 16:
        return None
    command, family = data[12], data[13]
    length = 16 + int.from_bytes(data[14:16])
    if command not in (_LOCAL, _PROXY) or length > LONGEST:
        raise ValueError("a PROXY header of another version, or too long")
    if len(data) < length:
        return None
    if command == _LOCAL or family in _NO_ADDRESS:
        return Header("", length)
    size = {_TCP4: 4, _TCP6: 16}.get(family)
    if size is None or length < 16 + 2 * size + 4:
        raise ValueError("a PROXY header for no TCP connection")
    return Header(str(ipaddress.ip_address(data[16 : 16 + size])), length)
