"""One SMPP connection: the sans-IO session on a Twisted transport, whichever side opened it.

Invariants: what a turn of the event loop produced leaves in one write; requests that have to wait (for the
window, the configured rate or a pause of the SMSC) leave in their order; every request's future ends, at
the latest when the connection does.
"""

import asyncio
import ipaddress
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from typing import Any
from typing import Protocol as Interface

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from gateway.config.models import Timers
from gateway.smpp import events
from gateway.smpp.pdu import Pdu
from gateway.smpp.session import Session, SessionConfig
from gateway.smpp.states import Role
from gateway.smpp.throttle import Throttle

#: Requests that may wait for a slot of the window; more is refused, so that memory stays flat.
QUEUE_LIMIT = 10_000


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class LostError(Exception):
    """The connection ended, or no response came in time: whether the peer took the request is unknown."""


class OverfullError(Exception):
    """More is waiting than this connection will ever send in time."""


class TooLateError(Exception):
    """The request was not sent, and never will be: its time to live is over."""


Soon = Callable[[Callable[[], None]], object]


class Delayed(Interface):
    """Twisted's IDelayedCall, as a type that mypy can read (zope's interfaces are none)."""

    def active(self) -> bool: ...

    def cancel(self) -> None: ...


class Scheduler(Interface):
    """Twisted's IReactorTime: the reactor, or a `task.Clock` in tests."""

    def seconds(self) -> float: ...

    def callLater(self, delay: float, call: Callable[[], None], /) -> Delayed: ...  # noqa: N802 - Twisted's name


class Owner(Interface):
    """Whoever made the connection: told of all that is not a response to one of its requests."""

    def bind_event(
        self,
        connection: "Connection",
        event: events.Bound | events.BindRefused | events.Invited | events.BindRequested,
    ) -> None: ...

    def request_received(self, connection: "Connection", pdu: Pdu) -> None: ...

    def connection_ended(self, connection: "Connection", why: str) -> None: ...


def new_session(role: Role, timers: Timers, now_s: float) -> Session:
    """A session with the timers of a link's configuration."""
    return Session(
        role,
        SessionConfig(
            enquire_link_s=timers.enquire_link_s,
            enquire_timeout_s=timers.enquire_timeout_s,
            response_timeout_s=timers.response_timeout_s,
            session_init_s=timers.session_init_s,
            window=timers.window,
        ),
        now_s,
    )


def within(peer: str, networks: Iterable[Network]) -> bool:
    """Whether the address is in one of the networks; an IPv4 address that came over IPv6 counts as itself."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


class Connection(Protocol):
    def __init__(
        self,
        session: Session,
        owner: Owner,
        clock: Scheduler,
        *,
        throttle: Throttle,
        soon: Soon | None = None,
        on_start: Callable[["Connection"], None] | None = None,
    ) -> None:
        """`soon`: the event loop's call_soon where there is one; Twisted's timers cost ten times as much."""
        self.session = session
        self.peer = ""
        self._wire: Any = None  # the transport; an ITCPTransport, which mypy cannot read
        self._owner = owner
        self._clock = clock
        self._soon: Soon = soon or (lambda call: clock.callLater(0, call))
        self._throttle = throttle
        self._on_start = on_start
        self._waiting: deque[tuple[Pdu, asyncio.Future[Pdu], float]] = deque()
        self._flushing = False
        self._ticking: Delayed | None = None
        self._ticking_at_s = 0.0
        self._pumping: Delayed | None = None
        self._ended = False

    # Twisted's side

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        self._wire = self.transport
        if hasattr(self._wire, "setTcpNoDelay"):  # transports in memory have none
            self._wire.setTcpNoDelay(True)
        self.peer = getattr(self._wire.getPeer(), "host", "")
        if self._on_start is not None:
            self._on_start(self)
        self.flush_soon()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self._dispatch(self.session.receive(data, self._clock.seconds()))

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        self._dispatch(self.session.connection_lost())
        self._end(reason.getErrorMessage())

    # our side

    @property
    def may_transmit(self) -> bool:
        """Whether answers can leave by this connection: submit_sm of an ESME, deliver_sm of a listener."""
        return self.session.carries_texts

    @property
    def usable(self) -> bool:
        """Bound to transmit, and with room for another request."""
        return self.session.carries_texts and not self._ended and len(self._waiting) < QUEUE_LIMIT

    @property
    def load(self) -> int:
        return self.session.in_flight + len(self._waiting)

    def request(self, pdu: Pdu, not_after_s: float = inf) -> asyncio.Future[Pdu]:
        """Send `pdu` as soon as the window and the rate allow, but not later than `not_after_s` of the
        clock; its response. Raises (in the future) LostError, TooLateError or OverfullError.
        """
        future: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()
        if self._ended or len(self._waiting) >= QUEUE_LIMIT:
            future.set_exception(
                LostError("not connected") if self._ended else OverfullError("too much is waiting")
            )
            return future
        self._waiting.append((pdu, future, not_after_s))
        if self._pumping is None:
            self._pump()
        return future

    def respond(self, request: Pdu, response: Pdu) -> None:
        """Answer a request of the peer; nothing when the connection is gone (it will come again)."""
        if not self._ended:
            self.session.respond(request.sequence_number, response)
            self.flush_soon()

    def unbind(self) -> None:
        """No new requests; the session waits for what is in flight, then says goodbye."""
        if not self._ended:
            self._dispatch(self.session.unbind(self._clock.seconds()))

    def close(self) -> None:
        """Write what is due, then end the connection."""
        self._flush()
        if self._wire is not None:
            self._wire.loseConnection()

    def flush_soon(self) -> None:
        """Write once at the end of this turn of the loop."""
        if not self._flushing and not self._ended:
            self._flushing = True
            self._soon(self._flush_in_time)

    # inside

    def _pump(self) -> None:
        """Move waiting requests into the window, as many as the rate and the SMSC's pauses allow now."""
        self._pumping = None
        now_s = self._clock.seconds()
        while self._waiting and self.session.window_free > 0:
            wait_s = self._throttle.wait_s(now_s)
            if wait_s > 0:
                self._pumping = self._clock.callLater(wait_s, self._pump)
                break
            pdu, future, not_after_s = self._waiting.popleft()
            if future.done():
                continue
            if now_s > not_after_s:
                future.set_exception(TooLateError())
                continue
            self.session.request(pdu, now_s, future)
            self._throttle.sent(now_s)
        self.flush_soon()

    def _flush_in_time(self) -> None:
        self._flushing = False
        if not self._ended:
            self._flush()

    def _flush(self) -> None:
        data = self.session.data_to_send()
        if data and self._wire is not None:
            self._wire.write(data)
        self._schedule_tick()

    def _schedule_tick(self) -> None:
        """One timer, never later than the session's next deadline (it may be earlier: a tick that finds
        nothing due is cheap).
        """
        deadline_s = None if self._ended else self.session.next_deadline_s()
        if deadline_s is None:
            return
        if self._ticking is not None:
            if self._ticking_at_s <= deadline_s:
                return
            self._ticking.cancel()
        self._ticking_at_s = deadline_s
        self._ticking = self._clock.callLater(max(0.0, deadline_s - self._clock.seconds()), self._tick)

    def _tick(self) -> None:
        self._ticking = None
        self._dispatch(self.session.tick(self._clock.seconds()))

    def _dispatch(self, happened: list[events.Event]) -> None:
        closed = None
        now_s = self._clock.seconds()
        for event in happened:
            if isinstance(event, events.Incoming):
                self._owner.request_received(self, event.pdu)
            elif isinstance(event, events.Response):
                self._throttle.answered(event.pdu.command_status, now_s)
                if not event.context.done():
                    event.context.set_result(event.pdu)
            elif isinstance(event, events.Expired):
                _fail(event.context, "no response in time")
            elif isinstance(event, events.Closed):
                closed = event
            elif not isinstance(event, events.Refused | events.Unbinding):  # the session answered these
                self._owner.bind_event(self, event)
        if closed is not None:
            for future in closed.contexts:
                _fail(future, closed.reason.value)
            self.close()
            self._end(closed.reason.value)
            return
        if self._waiting and self._pumping is None:
            self._pump()
        if self.session.has_data or self._ticking is None:
            self.flush_soon()

    def _end(self, why: str) -> None:
        if self._ended:
            return
        self._ended = True
        for timer in (self._ticking, self._pumping):
            if timer is not None and timer.active():
                timer.cancel()
        waiting, self._waiting = self._waiting, deque()
        for _, future, _ in waiting:
            _fail(future, why)
        self._owner.connection_ended(self, why)


def _fail(future: asyncio.Future[Pdu], why: str) -> None:
    if not future.done():
        future.set_exception(LostError(why))
