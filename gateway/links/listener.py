"""The listening role: peers bind to us and submit subscribers' texts; answers leave as deliver_sm on their
receiving binds.

Such peers are often synchronous: a message is parked and acknowledged before its answer is even begun. What
strangers can do is bounded: connections, the time until a bind, failed binds of an address.
"""

import asyncio
import hmac
from collections.abc import Mapping
from math import inf
from typing import Any

import structlog
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ServerFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from gateway.config import Client, Listen
from gateway.errors import GatewayError
from gateway.flow.intake import Line
from gateway.links.addresses import within
from gateway.links.admission import FailedBinds, Gate
from gateway.links.connection import Connection, new_session
from gateway.links.receiving import Receiving
from gateway.links.routes import Routes
from gateway.links.tally import Tally
from gateway.links.tls import server
from gateway.smpp import events
from gateway.smpp.constants import CommandStatus
from gateway.smpp.pdu import Pdu
from gateway.smpp.states import Role
from gateway.smpp.throttle import Throttle

log = structlog.get_logger("cxmyd")

#: Why a connection ends before anything of SMPP is read; `no_room` also for the oldest unbound one.
TURNED_AWAY = ("not_allowed", "shut_out", "no_room", "proxy_header")


def route_of(client: Client) -> str:
    """The route of a client's answers. SMSC names have no colon, so the two never meet."""
    return f"listen:{client.system_id}"


class Listener:
    """One `[[listen]]`."""

    def __init__(
        self,
        listen: Listen,
        index: int,
        lines: Mapping[str, Line],
        *,
        reactor: Any,
        routes: Routes,
        receiving: Receiving,
    ) -> None:
        self.listen = listen
        self._lines = lines
        self._reactor = reactor
        self._routes = routes
        self._receiving = receiving
        self._clients = {client.system_id: client for client in listen.clients}
        self.credentials = server(listen.tls, f"listen[{index}]") if listen.tls else None
        self._key = f"listen[{index}]"
        self._port: Any = None
        self._failed_binds = FailedBinds(listen.failed_binds, listen.failed_binds_s)
        self._tally = Tally("bound", "lost", "bind_refused", *TURNED_AWAY)
        self._bound: dict[Connection, Client] = {}
        self._unbound: dict[Connection, None] = {}  # the oldest first
        self._open: dict[Connection, asyncio.Future[str]] = {}

    @property
    def name(self) -> str:
        return f"{self.listen.host}:{self.port}"

    @property
    def port(self) -> int:
        """The port in use (the free one that was taken when 0 was configured)."""
        return self._port.getHost().port if self._port is not None else self.listen.port

    @property
    def listening(self) -> bool:
        return self._port is not None

    def reconfigure(self, lines: Mapping[str, Line]) -> None:
        """Of the messages that come from now on."""
        self._lines = lines

    @property
    def bound(self) -> int:
        return len(self._bound)

    def start(self) -> None:
        """Listen. Raises GatewayError when the port is taken."""
        listen = self.listen
        factory: Any = ServerFactory.forProtocol(self._connection)
        if self.credentials is not None:
            credentials: Any = self.credentials  # an IOpenSSLContextFactory, which mypy cannot read
            factory = TLSMemoryBIOFactory(credentials, False, factory)
        gate = Gate(
            factory,
            listen.proxy_protocol,
            admits=self._admits,
            has_room=self._make_room,
            refused=self._tally.count,
        )
        try:
            self._port = self._reactor.listenTCP(listen.port, gate, interface=listen.host)
        except CannotListenError as error:
            raise GatewayError(
                f"{self._key}: port {listen.port} on {listen.host} is taken ({error.socketError}); "
                f"change {self._key}.port"
            ) from error
        log.info("listener.up", listener=self.name)

    @property
    def totals(self) -> dict[str, int]:
        """What its sessions have counted since the start, and who was turned away."""
        return self._tally.totals(self._open)

    async def stop(self) -> None:
        """No new peers; unbind those who are there."""
        if self._port is not None:
            await self._port.stopListening().asFuture(asyncio.get_running_loop())
            self._port = None
        endings = list(self._open.values())
        for connection in list(self._open):
            connection.unbind()
        if endings:
            await asyncio.wait(endings, timeout=5.0)
        for connection in list(self._open):
            connection.close()

    def _connection(self) -> Connection:
        session = new_session(Role.SMSC, self.listen, self._reactor.seconds())
        loop = asyncio.get_running_loop()
        connection = Connection(session, self, self._reactor, throttle=Throttle(), soon=loop.call_soon)
        self._open[connection] = loop.create_future()
        self._unbound[connection] = None
        return connection

    def _admits(self, peer: str) -> bool:
        if self.listen.allow and not within(peer, self.listen.allow):
            self._tally.count("not_allowed")
            return False
        if self._failed_binds.shut_out(peer, self._reactor.seconds()):
            self._tally.count("shut_out")
            return False
        return True

    def _make_room(self) -> bool:
        """For one more; strangers that do not bind cannot keep the others out."""
        if len(self._open) < self.listen.connections:
            return True
        self._tally.count("no_room")
        for connection in self._unbound:
            connection.abort()
            return True
        return False

    # the connection's Owner

    def bind_event(
        self,
        connection: Connection,
        event: events.Bound | events.BindRefused | events.Invited | events.BindRequested,
    ) -> None:
        if not isinstance(event, events.BindRequested):
            raise AssertionError("the session of a listener is the one that is asked")
        client = self._clients.get(event.pdu.system_id)
        # The comparison takes its time for an unknown system_id too, and the answer is the same.
        expected = client.password if client is not None else "\0"
        right = hmac.compare_digest(expected.encode("latin-1"), event.pdu.password.encode("latin-1"))
        allowed = client is not None and (not client.allow or within(connection.peer, client.allow))
        if client is None or not right or not allowed:
            self._refuse(connection)
            return
        del self._unbound[connection]
        connection.session.accept_bind("cxmyd")
        self._bound[connection] = client
        self._tally.count("bound")
        bind = connection.session.bind_type
        log.info("listener.bound", listener=self.name, client=client.system_id, bind=bind.name)
        if connection.may_transmit:
            self._routes.add(route_of(client), connection)

    def _refuse(self, connection: Connection) -> None:
        self._tally.count("bind_refused")
        log.warning("listener.refused", listener=self.name, peer=connection.peer)
        connection.session.refuse_bind(CommandStatus.ESME_RBINDFAIL)
        if self._failed_binds.failed(connection.peer, self._reactor.seconds()):
            log.warning(
                "listener.shut_out",
                listener=self.name,
                peer=connection.peer,
                for_s=self.listen.failed_binds_s,
            )
        if self._failed_binds.shut_out(connection.peer, self._reactor.seconds()):
            connection.unbind()  # nothing is bound: this ends the connection

    def room(self, connection: Connection) -> float:
        client = self._bound.get(connection)
        return inf if client is None else self._receiving.room(self._lines[client.system_id])

    def turned_away(self, connection: Connection, count: int) -> None:
        self._receiving.turned_away(self._lines[self._bound[connection].system_id], count)

    def requests_left(self, connection: Connection, waited_s: float, now_s: float) -> None:
        self._receiving.admission.left(route_of(self._bound[connection]), waited_s, now_s)

    def request_received(self, connection: Connection, pdu: Pdu) -> None:
        line = self._lines[self._bound[connection].system_id]
        self._receiving.received(connection, pdu, line, park_first=True)

    def connection_ended(self, connection: Connection, why: str) -> None:
        client = self._bound.pop(connection, None)
        if client is not None:
            self._routes.remove(route_of(client), connection)
            self._tally.count("lost")
            log.info("listener.unbound", listener=self.name, client=client.system_id, why=why)
        ended = self._open.pop(connection)
        self._unbound.pop(connection, None)
        self._tally.ended(connection)
        if not ended.done():
            ended.set_result(why)
