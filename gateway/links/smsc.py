"""The ESME role: our binds to one SMSC of the configuration, kept up for as long as the gateway runs.

Each bind is a loop: connect, bind, serve, lose, wait, again. It never gives up. Where who we are is refused,
one loop goes on asking and the others wait for it, so that no SMSC locks the account for many binds with one
wrong password. With `bind = "outbind"` the SMSC calls us: the loop is replaced by a port that waits for its
outbind and binds back over that connection.
"""

import asyncio
import random
from typing import Any, NamedTuple

import structlog
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, ServerFactory

from gateway.config import Smsc
from gateway.errors import GatewayError
from gateway.flow.intake import Line
from gateway.links.addresses import within
from gateway.links.admission import Gate
from gateway.links.backoff import Backoff, Cause, cause_of
from gateway.links.connection import Connection, new_session
from gateway.links.receiving import Receiving
from gateway.links.routes import Routes
from gateway.links.tally import Tally
from gateway.links.tls import client
from gateway.smpp import events
from gateway.smpp.constants import BindType, status_name
from gateway.smpp.pdu import BIND_CLASSES, Pdu
from gateway.smpp.states import Role
from gateway.smpp.throttle import Throttle

log = structlog.get_logger("cxmyd")

CONNECT_TIMEOUT_S = 10.0
#: A response that takes this part of its time limit is a sign that the SMSC is overloaded.
SLOW_SHARE = 4
#: With outbind, how many may be connected beyond those that are bound.
SPARE_CONNECTIONS = 16
_TYPES = {
    "transceiver": (BindType.TRANSCEIVER,),
    "transmitter+receiver": (BindType.TRANSMITTER, BindType.RECEIVER),
}


class _Ending(NamedTuple):
    """How a connection ended; `refused_with` is the command_status of a refused bind."""

    why: str
    bound_for_s: float
    refused_with: int | None


class SmscLink:
    """All binds to one `[[smsc]]`."""

    def __init__(
        self,
        smsc: Smsc,
        index: int,
        line: Line,
        *,
        rate_per_s: float,
        reactor: Any,
        routes: Routes,
        receiving: Receiving,
    ) -> None:
        """`rate_per_s`: this process's share of the configured one."""
        self.smsc = smsc
        self._line = line
        self._reactor = reactor
        self._routes = routes
        self._receiving = receiving
        self.credentials = client(smsc.host, smsc.tls, f"smsc[{index}]") if smsc.tls else None
        # One for all binds and for good: neither several nor a new one may send faster.
        self._throttle = Throttle(rate_per_s, smsc.response_timeout_s / SLOW_SHARE)
        self._bound: dict[Connection, float] = {}  # and since when
        self._open: dict[Connection, asyncio.Future[_Ending]] = {}
        self._refused: dict[Connection, int] = {}
        self._tally = Tally("bound", "lost", "bind_refused", "connect_failed", "not_allowed")
        self._admitted = asyncio.Event()  # not while we are barred
        self._admitted.set()
        self._loops: list[asyncio.Task[None]] = []
        self._port: Any = None
        self._stopping = False
        self.last_error = ""

    @property
    def name(self) -> str:
        return self.smsc.name

    def reconfigure(self, line: Line, rate_per_s: float) -> None:
        """Of the messages that come from now on; the binds stay."""
        self._line = line
        self._throttle.limit_to(rate_per_s)

    @property
    def bound(self) -> int:
        return len(self._bound)

    @property
    def in_flight(self) -> int:
        """Answers that wait for their response, or to be sent."""
        return sum(connection.load for connection in self._bound)

    @property
    def rate_per_s(self) -> float:
        """How many requests a second may leave now; inf: any."""
        return self._throttle.rate_per_s

    @property
    def totals(self) -> dict[str, int]:
        """What its sessions have counted since the start."""
        return self._tally.totals(self._open) | {"throttled": self._throttle.refusals}

    @property
    def wanted(self) -> int:
        """How many binds there are when all is well."""
        return self.smsc.binds * len(_TYPES.get(self.smsc.bind, (BindType.TRANSCEIVER,)))

    @property
    def ready(self) -> bool:
        """Whether questions can come in and answers go out."""
        bound = BindType(0)
        for connection in self._bound:
            bound |= connection.session.bind_type
        if self.smsc.bind == "outbind":
            return self._outbind_type in bound
        return bound == BindType.TRANSCEIVER

    @property
    def _outbind_type(self) -> BindType:
        """3.3 has no bind_transceiver, and outbind asks for a receiver first of all (3.4, 2.2.1)."""
        return BindType.RECEIVER if self.smsc.version == "3.3" else BindType.TRANSCEIVER

    def start(self) -> None:
        """Begin to bind. Raises GatewayError when the port for outbind is taken."""
        loop = asyncio.get_running_loop()
        if self.smsc.bind == "outbind":
            factory = Gate(
                ServerFactory.forProtocol(lambda: self._connection(self._outbind_type, waits=True)),
                (),
                admits=self._admits,
                has_room=lambda: len(self._open) < self.smsc.binds + SPARE_CONNECTIONS,
                refused=self._tally.count,
            )
            try:
                self._port = self._reactor.listenTCP(self.smsc.port, factory, interface=self.smsc.host)
            except CannotListenError as error:
                raise GatewayError(
                    f"smsc {self.name!r}: port {self.smsc.port} for outbind is taken "
                    f"({error.socketError}); change its host or port"
                ) from error
            return
        for _ in range(self.smsc.binds):
            for bind_type in _TYPES[self.smsc.bind]:
                self._loops.append(loop.create_task(self._keep_bound(bind_type)))

    async def stop(self) -> None:
        """Unbind everywhere; returns when every connection has ended or the sessions' own timers have ended
        it.
        """
        self._stopping = True
        if self._port is not None:
            await self._port.stopListening().asFuture(asyncio.get_running_loop())
        endings = list(self._open.values())
        for connection in list(self._open):
            connection.unbind()
        for task in self._loops:
            task.cancel()
        if endings:
            await asyncio.wait(endings, timeout=5.0)
        for connection in list(self._open):
            connection.close()

    # keeping a bind

    async def _keep_bound(self, bind_type: BindType) -> None:
        backoff = Backoff(self.smsc.reconnect_max_s)
        loop = asyncio.get_running_loop()
        cause = Cause.BROKEN
        while not self._stopping:
            if cause is not Cause.BARRED:  # whoever was told so first asks for all
                await self._admitted.wait()
            ending = _Ending("", 0.0, None)
            factory: Any = Factory.forProtocol(lambda: self._connection(bind_type))
            try:
                connecting = self._endpoint().connect(factory)
                connection = await connecting.asFuture(loop)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - refused, unreachable, no such host, TLS: all mean "later"
                self._tally.count("connect_failed")
                self._down(str(error) or type(error).__name__)
            else:
                if connection in self._open:
                    ending = await asyncio.shield(self._open[connection])
                    refused = ending.refused_with
                    self._down(ending.why if refused is None else f"bind refused: {status_name(refused)}")
            if not self._stopping:
                cause = self._learn(cause, ending)
                chance = random.random()  # noqa: S311 - jitter, not a secret
                await asyncio.sleep(backoff.ended(ending.bound_for_s, cause, chance))

    def _learn(self, before: Cause, ending: _Ending) -> Cause:
        """Why this loop has no bind, and whether the others may try."""
        cause = cause_of(ending.refused_with, others_bound=bool(self._bound))
        if before is Cause.BARRED and cause is Cause.BROKEN and not ending.bound_for_s:
            return before  # the cable tells nothing of the password
        if cause is Cause.BARRED and before is not Cause.BARRED and not self._admitted.is_set():
            return Cause.REFUSED  # another asks already
        if cause is Cause.BARRED:
            self._admitted.clear()
        elif before is Cause.BARRED:
            self._admitted.set()
        return cause

    def _endpoint(self) -> Any:
        endpoint: Any = HostnameEndpoint(
            self._reactor, self.smsc.host, self.smsc.port, timeout=CONNECT_TIMEOUT_S
        )
        if self.credentials is None:
            return endpoint
        return wrapClientTLS(self.credentials.options(), endpoint)

    def _down(self, why: str) -> None:
        if why != self.last_error and not self._stopping:
            log.warning("link.down", link=self.name, why=why)
        self.last_error = why

    def _connection(self, bind_type: BindType, *, waits: bool = False) -> Connection:
        smsc = self.smsc
        connection = Connection(
            new_session(Role.ESME, smsc, self._reactor.seconds()),
            self,
            self._reactor,
            throttle=self._throttle,
            soon=asyncio.get_running_loop().call_soon,
            on_start=None if waits else lambda c: self._bind(c, bind_type),
        )
        self._open[connection] = asyncio.get_running_loop().create_future()
        return connection

    def _bind(self, connection: Connection, bind_type: BindType) -> None:
        connection.session.bind(
            BIND_CLASSES[bind_type](
                system_id=self.smsc.system_id,
                password=self.smsc.password,
                system_type=self.smsc.system_type,
            )
        )

    # the connection's Owner

    def bind_event(
        self,
        connection: Connection,
        event: events.Bound | events.BindRefused | events.Invited | events.BindRequested,
    ) -> None:
        match event:
            case events.Bound():
                self._bound[connection] = self._reactor.seconds()
                self._tally.count("bound")
                self._admitted.set()
                self.last_error = ""
                log.info("link.bound", link=self.name, bind=connection.session.bind_type.name)
                if connection.may_transmit:
                    self._routes.add(self.name, connection)
            case events.BindRefused(status):
                self._refused[connection] = status
                self._tally.count("bind_refused")
                connection.unbind()  # nothing is bound: this ends the connection
            case events.Invited():
                self._invited(connection)
            case events.BindRequested():
                raise AssertionError("an ESME's session answers no bind requests")

    def _admits(self, peer: str) -> bool:
        """With outbind, whether it may call us: our password is meant for few."""
        allowed = within(peer, self.smsc.allow)
        if not allowed:
            self._tally.count("not_allowed")
            log.warning("outbind.refused", link=self.name, peer=peer)
        return allowed

    def _invited(self, connection: Connection) -> None:
        """An outbind: bind back, up to `binds` times."""
        if len(self._bound) < self.smsc.binds:
            self._bind(connection, self._outbind_type)
        else:
            connection.unbind()  # nothing is bound: this ends the connection

    def room(self, connection: Connection) -> float:
        return self._receiving.room(self._line)

    def turned_away(self, connection: Connection, count: int) -> None:
        self._receiving.turned_away(self._line, count)

    def requests_left(self, connection: Connection, waited_s: float, now_s: float) -> None:
        self._receiving.admission.left(self.name, waited_s, now_s)

    def request_received(self, connection: Connection, pdu: Pdu) -> None:
        self._receiving.received(connection, pdu, self._line, park_first=False)

    def connection_ended(self, connection: Connection, why: str) -> None:
        self._routes.remove(self.name, connection)
        bound_at_s = self._bound.pop(connection, None)
        ended = self._open.pop(connection)
        self._tally.ended(connection)
        if bound_at_s is not None:
            self._tally.count("lost")
        if self.smsc.bind == "outbind":
            self._down(why)
        bound_for_s = 0.0 if bound_at_s is None else self._reactor.seconds() - bound_at_s
        if not ended.done():
            ended.set_result(_Ending(why, bound_for_s, self._refused.pop(connection, None)))
