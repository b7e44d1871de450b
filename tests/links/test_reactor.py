"""The reactor on uvloop: a connection ends when it was reset, whatever came before."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop
from twisted.internet.protocol import Factory, Protocol

from gateway.links.reactor import Reactor


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
