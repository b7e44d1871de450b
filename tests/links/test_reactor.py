"""The reactor on uvloop: a connection ends when it was reset, whatever came before; many that flood do not
stop the loop.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import uvloop
from twisted.internet.protocol import Factory, Protocol

from gateway.links.reactor import READ_OCTETS, READING_S, Reactor


class _Peer(Protocol):
    def __init__(self, lost: "asyncio.Future[bytes]") -> None:
        self._lost = lost
        self._read = bytearray()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self._read += data

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802 - Twisted's name
        self._lost.set_result(bytes(self._read))


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = uvloop.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("octets", [b"", b"the last words", bytes(100_000)])
def test_reset_behind_octets_ends_the_connection(loop: asyncio.AbstractEventLoop, octets: bytes) -> None:
    """The octets are read and the end is told, also when both came before anybody looked."""
    reactor = Reactor(loop)
    lost = loop.create_future()
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ours.setblocking(False)
        with ours:
            reactor.adoptStreamConnection(
                ours.fileno(), socket.AF_INET, Factory.forProtocol(lambda: _Peer(lost))
            )
        theirs.settimeout(1)
        theirs.sendall(octets)
        theirs.close()

    async def end() -> bytes:
        return await asyncio.wait_for(lost, 5)

    assert loop.run_until_complete(end()) == octets


class _Slow(Protocol):
    """Takes 10 ms for whatever is read at once; `reads` are told."""

    def __init__(self, reads: Callable[["_Slow"], None]) -> None:
        self._reads = reads

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self._reads(self)
        time.sleep(2 * READING_S)


def test_peers_that_flood_are_read_in_turns_of_the_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Not all in one, and each as often as the others, also where one has more to say."""
    reactor = Reactor(loop)
    turns = 0
    reads: list[tuple[int, _Slow]] = []
    everything = loop.create_future()

    def read(by: _Slow) -> None:
        reads.append((turns, by))
        if len(reads) == 20 and not everything.done():
            everything.set_result(None)

    def turn() -> None:
        nonlocal turns
        turns += 1
        loop.call_soon(turn)

    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        for _ in range(4):
            ours = stack.enter_context(socket.create_connection(server.getsockname()))
            theirs = stack.enter_context(server.accept()[0])
            ours.setblocking(False)
            reactor.adoptStreamConnection(
                ours.fileno(), socket.AF_INET, Factory.forProtocol(lambda: _Slow(read))
            )
            theirs.setblocking(False)
            theirs.send(bytes(8 * READ_OCTETS))
        loop.call_soon(turn)
        loop.run_until_complete(asyncio.wait_for(everything, 10))
    assert len({at for at, _ in reads}) == len(reads)
    for first in range(0, 20, 4):
        assert len({by for _, by in reads[first : first + 4]}) == 4
