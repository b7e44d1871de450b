"""SMPP by hand, over a socket: for tests that need octets, moments and addresses of their own choice."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from types import TracebackType
from typing import NamedTuple, Self

BIND_RECEIVER, BIND_TRANSMITTER, SUBMIT_SM, DELIVER_SM, UNBIND, BIND_TRANSCEIVER = 1, 2, 4, 5, 6, 9
QUERY_SM, ENQUIRE_LINK, SUBMIT_MULTI = 3, 0x15, 0x21
RESP = 0x80000000
SO_TIMESTAMPNS = 35  # of Linux; Python does not have it


class Pdu(NamedTuple):
    command_id: int
    command_status: int
    sequence_number: int
    body: bytes


def pdu(command_id: int, body: bytes = b"", *, status: int = 0, number: int = 1) -> bytes:
    return struct.pack(">4I", 16 + len(body), command_id, status, number) + body


def bind(
    system_id: str, password: str = "secret", command_id: int = BIND_TRANSCEIVER, *, version: int = 0x34
) -> bytes:
    return pdu(command_id, f"{system_id}\0{password}\0\0".encode() + bytes([version, 0, 0, 0]))


def message(
    command_id: int,
    source: str,
    destination: str,
    text: bytes,
    *,
    number: int = 1,
    esm_class: int = 0,
    data_coding: int = 0,
    tlvs: bytes = b"",
) -> bytes:
    """A submit_sm or deliver_sm."""
    addresses = b"\x01\x01" + source.encode() + b"\0\0\x01" + destination.encode() + b"\0"
    fixed = bytes([esm_class, 0, 0, 0, 0, 0, 0, data_coding, 0, len(text)])
    return pdu(command_id, b"\0" + addresses + fixed + text + tlvs, number=number)


class Message(NamedTuple):
    """What a submit_sm or deliver_sm carries."""

    source: str
    destination: str
    esm_class: int
    data_coding: int
    text: bytes
    tlvs: dict[int, bytes]


def short_message(heard: Pdu) -> Message:
    body = heard.body
    source, rest = body[body.index(b"\0") + 3 :].split(b"\0", 1)
    destination, rest = rest[2:].split(b"\0", 1)
    _schedule, _validity, fixed = rest[3:].split(b"\0", 2)
    end = 5 + fixed[4]
    tlvs, rest_of_tlvs = {}, fixed[end:]
    while rest_of_tlvs:
        tag, length = struct.unpack_from(">HH", rest_of_tlvs)
        tlvs[tag], rest_of_tlvs = rest_of_tlvs[4 : 4 + length], rest_of_tlvs[4 + length :]
    return Message(source.decode(), destination.decode(), rest[0], fixed[2], fixed[5:end], tlvs)


class Wire:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(10)
        self.received_s = 0.0  # when what `receive` gave last came, as `time.time` has it
        self._received = b""
        if not isinstance(connection, ssl.SSLSocket):
            connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    @classmethod
    def to(cls, port: int, *, small: bool = False) -> Wire:
        """`small`: the system keeps little for us before we read it, on both sides."""
        connection = socket.socket()
        if small:  # told in the handshake
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", port))
        return cls(connection)

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def receive(self) -> Pdu:
        """The next PDU. Raises ConnectionError at the end."""
        while len(self._received) < 16 or len(self._received) < self._length():
            octets = self._receive()
            if not octets:
                raise ConnectionResetError("closed")
            self._received += octets
        length = self._length()
        one, self._received = self._received[:length], self._received[length:]
        command_id, status, number = struct.unpack(">3I", one[4:16])
        return Pdu(command_id, status, number, one[16:])

    def _receive(self) -> bytes:
        """Noting when the system took it from the sender: on a busy machine we may read it much later."""
        self.received_s = time.time()
        if isinstance(self.socket, ssl.SSLSocket):
            return self.socket.recv(65_536)
        octets, notes, _, _ = self.socket.recvmsg(65_536, socket.CMSG_SPACE(16))
        for _, kind, note in notes:
            if kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("=qq", note)
                self.received_s = seconds + nanoseconds / 1e9
        return octets

    def ask(self, octets: bytes) -> Pdu:
        self.send(octets)
        return self.receive()

    def ended(self) -> bool:
        """Whether the other side closes it, saying nothing more."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def _length(self) -> int:
        return int.from_bytes(self._received[:4])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()
