"""What asyncio tells of a connection to Redis, handed on; apart from `Node`, which can be compiled so."""

import asyncio
from typing import Protocol, cast


class Listening(Protocol):
    """See `node.Node`."""

    def connected(self, transport: asyncio.Transport) -> None: ...

    def received(self, data: bytes) -> None: ...

    def lost(self, error: Exception | None) -> None: ...


class Wire(asyncio.Protocol):
    def __init__(self, node: Listening) -> None:
        self._node = node

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._node.connected(cast(asyncio.Transport, transport))  # uvloop's are not of that class

    def data_received(self, data: bytes) -> None:
        self._node.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._node.lost(exc)
