"""Relays between the gateway and its peers that keep every octet, so that tshark can judge it.

Invariant: what one side wrote reaches the other unchanged and in order, its end included. Capturing on the
loopback needs rights that a CI seldom has; here the octets become the capture, each as a TCP segment.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

GATEWAY, PEER = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
SMPP_PORT = 2775
_READ = 32_768  # less than an IPv4 packet holds
_SYN, _ACK, _FIN = 0x02, 0x10, 0x01


class Octets(NamedTuple):
    """One read of a relay; `ours`: the gateway sent it."""

    ours: bool
    data: bytes


class Recorded:
    """One connection."""

    def __init__(self, *, gateway_listens: bool) -> None:
        self.gateway_listens = gateway_listens
        self.octets: list[Octets] = []

    def pdus(self, *, ours: bool) -> Iterator[bytes]:
        """Cut where PDUs end (command_length, SMPP 3.4 section 5.1.1); what is no whole PDU is left out."""
        rest = b"".join(octets.data for octets in self.octets if octets.ours is ours)
        while len(rest) >= 16 and 16 <= (length := int.from_bytes(rest[:4], "big")) <= len(rest):
            yield rest[:length]
            rest = rest[length:]


class Recorder:
    """Its relays live on a thread of their own, until `stop`."""

    def __init__(self) -> None:
        self.connections: list[Recorded] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    @contextmanager
    def relay(self, port: int, *, gateway_listens: bool = False) -> Iterator[int]:
        """The port to connect to instead of `port`."""
        relay = _Relay(port, self.connections, gateway_listens=gateway_listens)
        yield asyncio.run_coroutine_threadsafe(relay.start(), self._loop).result(10)
        asyncio.run_coroutine_threadsafe(relay.stop(), self._loop).result(10)

    def pdus(self, *, ours: bool) -> list[bytes]:
        return [pdu for connection in self.connections for pdu in connection.pdus(ours=ours)]

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def write_pcap(self, file: Path) -> None:
        """The gateway is 10.0.0.1, each of its peers 10.0.0.2, the listening side's port 2775."""
        packets = itertools.chain.from_iterable(
            _packets(connection, 10_000 + index) for index, connection in enumerate(self.connections)
        )
        with file.open("wb") as output:
            output.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 101))  # raw IP
            for number, packet in enumerate(packets):
                seconds, microseconds = divmod(number, 1_000_000)
                output.write(struct.pack("<IIII", seconds, microseconds, len(packet), len(packet)) + packet)


class _Relay:
    def __init__(self, port: int, connections: list[Recorded], *, gateway_listens: bool) -> None:
        self._port = port
        self._connections = connections
        self._gateway_listens = gateway_listens
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()  # the caller learns that nobody listens
            return
        recorded = Recorded(gateway_listens=self._gateway_listens)
        self._connections.append(recorded)
        caller_is_ours = not self._gateway_listens
        try:
            await asyncio.gather(
                _pass_on(reader, far_writer, recorded.octets, ours=caller_is_ours),
                _pass_on(far_reader, writer, recorded.octets, ours=not caller_is_ours),
            )
        finally:
            writer.transport.abort()
            far_writer.transport.abort()


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: list[Octets], *, ours: bool
) -> None:
    try:
        while data := await reader.read(_READ):
            kept.append(Octets(ours, data))
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


def _packets(connection: Recorded, caller_port: int) -> Iterator[bytes]:
    """The connection as IPv4 packets, from SYN to FIN."""
    sent = {True: 0, False: 0}  # by the gateway, by the peer: the next sequence number

    def packet(flags: int, data: bytes, *, ours: bool) -> bytes:
        ports = (
            (caller_port, SMPP_PORT) if ours is not connection.gateway_listens else (SMPP_PORT, caller_port)
        )
        tcp = struct.pack("!HHIIBBHHH", *ports, sent[ours], sent[not ours], 5 << 4, flags, 65_535, 0, 0)
        addresses = (GATEWAY, PEER) if ours else (PEER, GATEWAY)
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + len(data), 0, 0, 64, 6, 0, *addresses)
        sent[ours] += len(data) + bool(flags & (_SYN | _FIN))
        return ip + tcp + data

    caller = not connection.gateway_listens
    yield packet(_SYN, b"", ours=caller)
    yield packet(_SYN | _ACK, b"", ours=not caller)
    yield packet(_ACK, b"", ours=caller)
    for ours, data in connection.octets:
        yield packet(_ACK, data, ours=ours)
    yield packet(_FIN | _ACK, b"", ours=caller)
    yield packet(_FIN | _ACK, b"", ours=not caller)
    yield packet(_ACK, b"", ours=caller)


def tshark(pcap: Path, display_filter: str, *fields: str) -> list[list[str]]:
    """A row per packet that the filter lets through; a packet with several PDUs has comma-joined values."""
    command = ["tshark", "-r", str(pcap), "-d", f"tcp.port=={SMPP_PORT},smpp", "-Y", display_filter]
    command += ["-T", "fields", *(option for field in fields for option in ("-e", field))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]
