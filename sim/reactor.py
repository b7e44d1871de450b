"""What a process's connections are made by: Twisted's reactor for the links, asyncio's for the store's nodes.

Only as much of either as the gateway asks for. Every call arrives in the process's own turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped]  # it has none

from sim.network import End, Network
from sim.world import Due, Process

_HERE = "127.0.0.1"
_REFUSED = "nobody listens there"


class Transport:
    """Twisted's, on a simulated connection."""

    disconnecting = False

    def __init__(self, end: End, protocol: Any, port: int) -> None:
        self._end, self._protocol, self._port = end, protocol, port
        self._producer: Any = None
        end.on_data = protocol.dataReceived
        end.on_lost = self._lost
        end.on_full = self._full
        end.on_drained = self._drained

    def write(self, data: bytes) -> None:
        self._end.write(data)

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.disconnecting = True
        self._end.close()

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.disconnecting = True
        self._end.abort()

    def registerProducer(self, producer: Any, _streaming: bool) -> None:  # noqa: N802 - Twisted's name
        self._producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        self._producer = None

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._end.pause()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._end.resume()

    def setTcpNoDelay(self, _enabled: bool) -> None:  # noqa: N802 - Twisted's name
        pass

    def getPeer(self) -> IPv4Address:  # noqa: N802 - Twisted's name
        return IPv4Address("TCP", _HERE, self._port)

    getHost = getPeer  # noqa: N815 - Twisted's name

    def _full(self) -> None:
        if self._producer is not None:
            self._producer.pauseProducing()

    def _drained(self) -> None:
        if self._producer is not None:
            self._producer.resumeProducing()

    def _lost(self, clean: bool) -> None:
        self._protocol.connectionLost(Failure(error.ConnectionDone() if clean else error.ConnectionLost()))


class _Connector:
    """An attempt to connect."""

    def __init__(self) -> None:
        self.stopped = False

    def stopConnecting(self) -> None:  # noqa: N802 - Twisted's name
        self.stopped = True

    disconnect = stopConnecting


@implementer(IReactorPluggableNameResolver)
class Reactor:
    """IReactorTime and IReactorTCP's client side of one process."""

    def __init__(self, process: Process, network: Network) -> None:
        self._process, self._network = process, network
        self.nameResolver = self

    def seconds(self) -> float:
        return self._process.world.now_s

    def callLater(self, delay: float, call: Callable[..., object], *args: Any, **kwargs: Any) -> Due:  # noqa: N802
        process = self._process
        due: Due

        def run() -> None:  # while the process stands still its timers are not yet over
            if due.cancelled:
                return
            due.cancelled = True
            call(*args, **kwargs)

        due = Due(run)
        process.call_later(delay, run)
        return due

    def getDelayedCalls(self) -> list[Due]:  # noqa: N802 - Twisted's name
        return []

    def resolveHostName(  # noqa: N802 - Twisted's name
        self,
        receiver: Any,
        host: str,
        portNumber: int = 0,  # noqa: N803 - Twisted's name
        *_: Any,
        **__: Any,
    ) -> Any:
        receiver.resolutionBegan(self)
        receiver.addressResolved(IPv4Address("TCP", host, portNumber))
        receiver.resolutionComplete()
        return self

    def installNameResolver(self, resolver: Any) -> Any:  # noqa: N802 - Twisted's name
        raise NotImplementedError("names are not looked up here")

    def connectTCP(  # noqa: N802 - Twisted's name
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: object = None,  # noqa: N803
    ) -> _Connector:
        connector = _Connector()
        factory.doStart()
        factory.startedConnecting(connector)

        def then(end: End | None) -> None:
            if end is None:
                factory.clientConnectionFailed(connector, Failure(error.ConnectionRefusedError(_REFUSED)))
            elif connector.stopped:
                end.abort()
            else:
                protocol = factory.buildProtocol(IPv4Address("TCP", host, port))
                if protocol is None:
                    end.abort()
                else:
                    protocol.makeConnection(Transport(end, protocol, port))

        self._network.connect(self._process.name, port, self._process.post, then)
        return connector


class StreamTransport(asyncio.Transport):
    """asyncio's, on a simulated connection."""

    def __init__(self, end: End, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._end = end
        end.on_data = protocol.data_received
        end.on_lost = lambda clean: protocol.connection_lost(None if clean else ConnectionResetError("reset"))

    def write(self, data: Any) -> None:
        self._end.write(bytes(data))

    def close(self) -> None:
        self._end.close()

    def abort(self) -> None:
        self._end.abort()

    def is_closing(self) -> bool:
        return self._end.closing or self._end.lost


def connect_by(process: Process, network: Network) -> None:
    """Give the process its `create_connection`."""

    async def connect(
        _host: str, port: int, factory: Callable[[], asyncio.Protocol]
    ) -> tuple[StreamTransport, asyncio.Protocol]:
        made = process.create_future()

        def then(end: End | None) -> None:
            if made.done():
                if end is not None:
                    end.abort()
            elif end is None:
                made.set_exception(ConnectionRefusedError(_REFUSED))
            else:
                protocol = factory()
                transport = StreamTransport(end, protocol)
                protocol.connection_made(transport)
                made.set_result((transport, protocol))

        network.connect(process.name, port, process.post, then)
        found: tuple[StreamTransport, asyncio.Protocol] = await made
        return found

    process.connect = connect
