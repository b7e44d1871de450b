"""One SMPP connection: the sans-IO session on a Twisted transport, whichever side opened it.

Invariants: what a turn of the event loop produced leaves in one write; requests that have to wait (for the
window, the rate or a peer that does not read) leave in their order, those that the SMSC throttled before the
others; every request's `then` is called once, at the latest when the connection ends.

Memory is bounded against a peer that floods and does not read: once the transport holds more than its 8 KiB
(`reactor`), nothing is read from the peer and no request leaves until it has taken them. Its responses wait
with the rest, which is no deadlock: whatever is owed has a deadline of its own, and a peer that reads nothing
for `enquire_link_s` + `enquire_timeout_s` is dropped.
"""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, Protocol

from twisted.internet.protocol import connectionDone
from twisted.internet.tcp import Connection as TcpConnection
from twisted.python.failure import Failure

from gateway.config.models import Timers
from gateway.links.errors import LostError, OverfullError, TooLateError, UnsentError
from gateway.links.tls import complaint
from gateway.smpp import events
from gateway.smpp.constants import Version
from gateway.smpp.errors import SessionError
from gateway.smpp.pdu import Pdu
from gateway.smpp.session import Session, SessionConfig
from gateway.smpp.states import Role
from gateway.smpp.throttle import Throttle

VERSIONS = {"3.3": Version.V3_3, "3.4": Version.V3_4, "5.0": Version.V5_0}
#: Requests that may wait for a slot of the window; more is refused, so that memory stays flat.
QUEUE_LIMIT = 10_000
#: How long a peer that does not read may keep a connection that we have closed.
CLOSE_TIMEOUT_S = 2.0
#: A timer that comes so late says that the process stood still. What the peer sent meanwhile is read first,
#: or it would be declared dead, and its responses lost, for our own fault.
LATE_S, READ_FIRST_S = 0.5, 0.01

Soon = Callable[[Callable[[], None]], object]


class Delayed(Protocol):
    """Twisted's IDelayedCall, as a type that mypy can read (zope's interfaces are none)."""

    def active(self) -> bool: ...

    def cancel(self) -> None: ...


class Scheduler(Protocol):
    """Twisted's IReactorTime: the reactor, or a `task.Clock` in tests."""

    def seconds(self) -> float: ...

    def callLater(self, delay: float, call: Callable[[], None], /) -> Delayed: ...  # noqa: N802 - Twisted's name


class Owner(Protocol):
    """Whoever made the connection: told of all that is not a response to one of its requests."""

    def bind_event(
        self,
        connection: "Connection",
        event: events.Bound | events.BindRefused | events.Invited | events.BindRequested,
    ) -> None: ...

    def room(self, connection: "Connection") -> float:
        """How many messages are taken now; the session refuses what comes beyond."""

    def turned_away(self, connection: "Connection", count: int) -> None:
        """So many were refused for want of room."""

    def requests_left(self, connection: "Connection", waited_s: float, now_s: float) -> None:
        """Requests of ours have left, after so long in the queue, or longer."""

    def request_received(self, connection: "Connection", pdu: Pdu) -> None: ...

    def connection_ended(self, connection: "Connection", why: str) -> None: ...


def new_session(role: Role, timers: Timers, now_s: float) -> Session:
    """A session with the version and the timers of a link's configuration."""
    return Session(
        role,
        SessionConfig(
            enquire_link_s=timers.enquire_link_s,
            enquire_timeout_s=timers.enquire_timeout_s,
            response_timeout_s=timers.response_timeout_s,
            session_init_s=timers.session_init_s,
            window=timers.window,
            version=VERSIONS[timers.version],
        ),
        now_s,
    )


#: Given the response to a request, or why there is none; never raises.
Answered = Callable[[Pdu | Exception], None]


class _Request:
    """One of our requests on its way."""

    __slots__ = ("body", "command_id", "not_after_s", "queued_s", "sent_s", "then")

    def __init__(
        self, body: bytes, command_id: int, then: Answered, not_after_s: float, queued_s: float
    ) -> None:
        self.body = body
        self.command_id = command_id
        self.then = then
        self.not_after_s = not_after_s
        self.queued_s = queued_s
        self.sent_s = 0.0


class Connection:
    """Twisted's IProtocol and IPushProducer by its methods; without a base, so that it can be compiled."""

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
        self.factory: Any = None  # whoever made it sets that
        self._wire: Any = None  # the transport; an ITCPTransport, which mypy cannot read
        self._direct = False  # it is a socket of its own, without TLS
        self._owner = owner
        self._clock = clock
        self._soon: Soon = soon or (lambda call: clock.callLater(0, call))
        self._throttle = throttle
        self._on_start = on_start
        self._waiting: deque[_Request] = deque()
        self._throttled: deque[_Request] = deque()  # their turn comes before that of `_waiting`
        self._unread = False  # the peer does not take what we write
        self._flushing = False
        self._waited_s = inf  # the least of what leaves with the next write
        self._ticking: Delayed | None = None
        self._ticking_at_s = 0.0
        self._pumping: Delayed | None = None
        self._aborting: Delayed | None = None
        self._ended = False
        self._complaint = ""  # of TLS, when that is why it ended

    # Twisted's side

    def makeConnection(self, transport: Any) -> None:  # noqa: N802 - Twisted's name
        self._wire = transport
        self._direct = isinstance(self._wire, TcpConnection)
        if hasattr(self._wire, "setTcpNoDelay"):  # transports in memory have none
            self._wire.setTcpNoDelay(True)
        self._wire.registerProducer(self, True)
        if self._on_start is not None:
            self._on_start(self)
        self.flush_soon()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        session = self.session
        before = session.counters.overflowed
        happened = session.receive(data, self._clock.seconds(), self._owner.room(self))
        turned_away = session.counters.overflowed - before
        if turned_away:
            self._owner.turned_away(self, turned_away)
        self._dispatch(happened)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        self._complaint = complaint(reason.value)
        self._dispatch(self.session.connection_lost())
        self._end(reason.getErrorMessage())
        if self._aborting is not None and self._aborting.active():
            self._aborting.cancel()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name: its buffer is full
        self._unread = True
        if self.session.counters.received:  # before it, TLS pauses us for a handshake that it has to read
            self._wire.pauseProducing()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name: its buffer is empty
        self._unread = False
        self._wire.resumeProducing()
        self._pump_soon()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name; connectionLost follows
        pass

    # our side

    @property
    def peer(self) -> str:
        """Its address; behind a proxy the real one, once its header has come."""
        return getattr(self._wire.getPeer(), "host", "") if self._wire is not None else ""

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
        return self.session.in_flight + len(self._waiting) + len(self._throttled)

    def request(
        self,
        body: bytes,
        command_id: int,
        then: Answered,
        not_after_s: float = inf,
        *,
        throttled: bool = False,
    ) -> None:
        """Send a request of this encoded body as soon as the window and the rate allow, but not later than
        `not_after_s` of the clock. `throttled`: the SMSC refused it as such, so it goes before those that
        have not been sent yet. `then` is given the response, or LostError, TooLateError, OverfullError or
        SessionError.
        """
        if self._ended:
            then(UnsentError("not connected"))
        elif len(self._waiting) >= QUEUE_LIMIT:
            then(OverfullError("too much is waiting"))
        else:
            now_s = self._clock.seconds()
            request = _Request(body, command_id, then, not_after_s, now_s)
            if self._throttled or self._waiting or not self._may_leave(now_s):
                (self._throttled if throttled else self._waiting).append(request)
                self._pump_soon()
            else:  # as nearly all do
                self._leave(request, now_s)
                self.flush_soon()

    def acknowledge(self, sequence_number: int, command_status: int) -> None:
        """As `respond` to a text that gets no message_id."""
        if not self._ended:
            self.session.acknowledge(sequence_number, command_status)
            self.flush_soon()

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
        if self._wire is not None and self._aborting is None:
            self._wire.unregisterProducer()  # else it would be waited for
            self._wire.loseConnection()
            self._aborting = self._clock.callLater(CLOSE_TIMEOUT_S, self._wire.abortConnection)

    def abort(self) -> None:
        """End it at once, whatever is due."""
        if self._wire is not None:
            self._wire.abortConnection()
        self._dispatch(self.session.connection_lost())

    def flush_soon(self) -> None:
        """Write once at the end of this turn of the loop."""
        if not self._flushing and not self._ended:
            self._flushing = True
            self._soon(self._flush_in_time)

    # inside

    def _pump_soon(self) -> None:
        if self._pumping is None and not self._ended:
            self._pump()

    def _pump(self) -> None:
        """Move waiting requests into the window, as many as the peer, the rate and its pauses allow now."""
        self._pumping = None
        now_s = self._clock.seconds()
        throttle, session = self._throttle, self.session
        while (queue := self._throttled or self._waiting) and session.window_free > 0 and not self._unread:
            wait_s = throttle.wait_s(now_s)
            if wait_s > 0:
                self._pumping = self._clock.callLater(wait_s, self._pump)
                break
            self._leave(queue.popleft(), now_s)
        self.flush_soon()

    def _may_leave(self, now_s: float) -> bool:
        """Whether the peer, the rate and its pauses allow a request now."""
        if self._pumping is not None or self._unread or self.session.window_free <= 0:
            return False
        return self._throttle.wait_s(now_s) <= 0

    def _leave(self, request: _Request, now_s: float) -> None:
        if now_s > request.not_after_s:
            request.then(TooLateError())
            return
        try:
            self.session.request_encoded(request.body, request.command_id, now_s, request)
        except SessionError as error:
            request.then(error)
            return
        request.sent_s = now_s
        self._throttle.sent(now_s)
        waited_s = now_s - request.queued_s
        self._waited_s = min(self._waited_s, waited_s)

    def _flush_in_time(self) -> None:
        self._flushing = False
        if not self._ended:
            self._flush()

    def _flush(self) -> None:
        self._schedule_tick()  # first: whatever the transport does, the deadlines hold
        if self._waited_s < inf:
            waited_s, self._waited_s = self._waited_s, inf
            self._owner.requests_left(self, waited_s, self._clock.seconds())
        data = self.session.data_to_send()
        if data and self._wire is not None:
            self._write(data)

    def _write(self, data: bytes) -> None:
        """At once, where nothing waits before it: Twisted would ask the kernel first whether it may, and
        write in the next turn of the loop.
        """
        wire = self._wire
        if self._direct and wire.connected and not (wire.dataBuffer or wire._tempDataBuffer):
            try:
                sent = wire.socket.send(data)
            except OSError:  # the kernel takes no more for now, or Twisted will meet the error again
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        wire.write(data)

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
        now_s = self._clock.seconds()
        if now_s > self._ticking_at_s + LATE_S:
            self._ticking_at_s = now_s + READ_FIRST_S
            self._ticking = self._clock.callLater(READ_FIRST_S, self._tick)
            return
        self._ticking = None
        self._dispatch(self.session.tick(now_s))

    def _dispatch(self, happened: list[events.Event]) -> None:
        closed = None
        now_s = self._clock.seconds()
        for event in happened:
            if isinstance(event, events.Incoming):
                self._owner.request_received(self, event.pdu)
            elif isinstance(event, events.Response):
                self._answered(event.context, event.pdu, now_s)
            elif isinstance(event, events.Expired):
                self._throttle.expired(event.context.sent_s, now_s)
                event.context.then(LostError("no response in time"))
            elif isinstance(event, events.Closed):
                closed = event
            elif not isinstance(event, events.Refused | events.Unbinding):  # the session answered these
                self._owner.bind_event(self, event)
        if closed is not None:
            self.close()
            self._end(self._complaint or closed.reason.value)
            for request in closed.contexts:
                request.then(LostError(closed.reason.value))
            return
        if self._waiting or self._throttled:
            self._pump_soon()
        if self.session.has_data:
            self.flush_soon()
        else:
            self._schedule_tick()  # what was heard may have moved the deadline nearer

    def _answered(self, request: _Request, response: Pdu, now_s: float) -> None:
        congestion_state = response.congestion_state if response.tlvs else None
        self._throttle.answered(response.command_status, request.sent_s, now_s, congestion_state)
        request.then(response)

    def _end(self, why: str) -> None:
        if self._ended:
            return
        self._ended = True
        for timer in (self._ticking, self._pumping):
            if timer is not None and timer.active():
                timer.cancel()
        self._owner.connection_ended(self, why)  # first: whoever is told that his has not left tries another
        for queue in (self._throttled, self._waiting):
            while queue:
                queue.popleft().then(UnsentError(why))
