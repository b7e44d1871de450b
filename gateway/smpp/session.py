"""One SMPP session without I/O or clock: bytes and times in, events and bytes out (after h11).

The owner (a link, or a test) feeds `receive` with what it read and `tick` when `next_deadline_s` has come,
acts on the events, and writes what `data_to_send` gives, once per loop turn. `states.TABLE` says what
happens when, and `machine` does it; here is what the owner calls. Times are seconds of any monotonic clock.

Invariants: a request of the peer is handed out at most once and is answered exactly once, by `respond` or,
when that comes too late, by the session; a request of ours gives exactly one Response or Expired, or stands
in Closed.contexts; memory is bounded by the window, the peer's window and one PDU.
"""

from math import inf
from typing import Any

from gateway.smpp import events as e
from gateway.smpp import pdu as p
from gateway.smpp import tlvs
from gateway.smpp.codec import CLASSES, HEADER, decode, encode, is_text
from gateway.smpp.constants import (
    HEADER_LENGTH,
    MAX_SEQUENCE_NUMBER,
    RESPONSE_BIT,
    BindType,
    CommandStatus,
    Tlv,
    Version,
)
from gateway.smpp.errors import NotBound, PduError, SessionError, WindowFull
from gateway.smpp.machine import Counters, Machine, Owed, SessionConfig, response_to
from gateway.smpp.states import Role, State

__all__ = ["Counters", "Role", "Session", "SessionConfig", "State", "response_to"]

# Read for every PDU, and in Python 3.11 a member of an enum costs ten times as much to look up as a global.
_BOUND, _DRAINING, _CLOSED = State.BOUND, State.DRAINING, State.CLOSED


class Session(Machine):
    """`Session(role, config, now_s)` once connected; `state`, `bind_type` and `counters` are to be read."""

    # -- what the owner reads

    @property
    def window_free(self) -> int:
        """How many requests `request` takes now, 0 when not bound."""
        if self.state is not _BOUND:
            return 0
        return self._window - len(self._in_flight)

    @property
    def in_flight(self) -> int:
        """Requests of ours without a response."""
        return len(self._in_flight)

    @property
    def owing(self) -> int:
        """Requests of the peer that were handed out and not yet answered."""
        return self._owing

    def may_send(self, command_id: int) -> bool:
        """Whether this session, bound as it is, may send requests of this kind."""
        return command_id in self._may_send

    def next_deadline_s(self) -> float | None:
        """When to call `tick` at the latest; None when closed. In the past when something is due already."""
        if self.state is _CLOSED:
            return None
        if self.state is _BOUND:
            deadline_s = self._enquiry_deadline_s()
            if self.config.inactivity_s:
                deadline_s = min(deadline_s, self._active_s + self.config.inactivity_s)
        elif self._drained:
            return self._heard_s
        else:
            deadline_s = self._closing_deadline_s
        deadline_s = min(deadline_s, self._unfinished_deadline_s)
        for open_requests in (self._in_flight, self._owed):
            for open_deadline_s, _, _ in open_requests.values():
                deadline_s = min(deadline_s, open_deadline_s)
                break  # the oldest is the first
        return deadline_s

    @property
    def has_data(self) -> bool:
        """Whether `data_to_send` has anything to give."""
        return bool(self._out)

    def data_to_send(self) -> bytes:
        """All octets to write since the last call, joined for one write."""
        if not self._out:
            return b""
        data = b"".join(self._out) if len(self._out) > 1 else self._out[0]
        self._out.clear()
        return data

    # -- what the owner does

    def bind(self, pdu: p.Bind) -> None:
        """ESME: ask for the PDU's bind in our version; answered by Bound, BindRefused or Closed."""
        if self.role is not Role.ESME or self.state is not State.OPEN:
            raise SessionError(f"no bind by an {self.role.value} in state {self.state.value}")
        if self.config.version < Version.V3_4 and pdu.bind_type is BindType.TRANSCEIVER:
            raise SessionError("SMPP 3.3 has no bind_transceiver: bind a transmitter and a receiver")
        pdu.interface_version = self.config.version
        pdu.sequence_number = self._next_sequence_number()
        self._send(pdu)
        self._bind = pdu
        self._enter(State.BINDING)

    def outbind(self, pdu: p.Outbind) -> None:
        """SMSC: ask the ESME at the other end to bind."""
        if self.role is not Role.SMSC or self.state is not State.OPEN:
            raise SessionError(f"no outbind by an {self.role.value} in state {self.state.value}")
        pdu.sequence_number = self._next_sequence_number()
        self._send(pdu)

    def accept_bind(self, system_id: str) -> None:
        """SMSC: answer the BindRequested; the session is bound from now on, in the older of both versions."""
        bind = self._bind_request()
        response = response_to(bind, CommandStatus.ESME_ROK, system_id=system_id)
        theirs = Version.of(bind.interface_version)
        if min(self.config.version, theirs) >= Version.V3_4:  # older peers know no TLVs
            response.tlvs = (tlvs.encode(Tlv.SC_INTERFACE_VERSION, self.config.version),)
        self._send(response)
        self._bound(bind, theirs)

    def refuse_bind(self, command_status: int) -> None:
        """SMSC: answer the BindRequested with an error; the peer may ask again within session_init_s."""
        self._send(response_to(self._bind_request(), command_status))
        self._bind = None
        self._enter(State.OPEN)

    def request(self, pdu: p.Pdu, now_s: float, context: Any = None) -> int:
        """Send a request and return its sequence_number; `context` comes back with the Response or Expired.

        Raises `NotBound`, also when the bind's type or version does not allow it, `WindowFull`, and
        `Unencodable`.
        """
        if pdu.response is None:
            raise NotBound(f"{type(pdu).__name__} has no response: see `notify`")
        self._check_request(pdu.command_id)
        body = encode(pdu, self.version)[HEADER_LENGTH:]
        pdu.sequence_number = self.request_encoded(body, pdu.command_id, now_s, context)
        return pdu.sequence_number

    def request_encoded(self, body: bytes, command_id: int, now_s: float, context: Any = None) -> int:
        """As `request`, of a PDU whose `body` is encoded, in this session's version."""
        in_flight = self._in_flight
        if command_id not in self._may_send or len(in_flight) >= self._window:
            self._check_request(command_id)  # tells why not
        number = self._sequence_number + 1
        if number > MAX_SEQUENCE_NUMBER or number in in_flight:
            number = self._next_sequence_number()
        self._sequence_number = number
        self._out.append(HEADER.pack(HEADER_LENGTH + len(body), command_id, 0, number) + body)
        self.counters.sent += 1
        in_flight[number] = now_s + self._response_timeout_s, command_id | RESPONSE_BIT, context
        self._active_s = now_s
        return number

    def _check_request(self, command_id: int) -> None:
        """Raises NotBound and WindowFull."""
        if command_id not in self._may_send:
            if self.state is not _BOUND:
                raise NotBound(f"the session is {self.state.value}")
            bound = f"a bound {self.bind_type.name} {self.role.value} of version 0x{self.version:X}"
            raise NotBound(f"{bound} sends no {CLASSES[command_id].__name__}")
        if len(self._in_flight) >= self._window:
            raise WindowFull(f"{self.config.window} requests wait for their responses")

    def respond(self, sequence_number: int, response: p.Pdu) -> bool:
        """Answer an Incoming; False when the peer will never know: the session closed meanwhile, or the
        request was put off after answer_timeout_s.

        `response` is of the request's kind (`response_to` makes one) or a generic_nack. Raises `Unencodable`.
        """
        owed = self._owed.get(sequence_number)
        if owed is None:
            self.counters.late_answers += 1
            return False
        response.sequence_number = sequence_number
        self._send(response)  # first: what cannot be encoded is still owed
        self._settled(sequence_number, owed)
        return True

    def acknowledge(self, sequence_number: int, command_status: int) -> bool:
        """As `respond` to a text, without a message_id."""
        owed = self._owed.get(sequence_number)
        if owed is None:
            self.counters.late_answers += 1
            return False
        self._acknowledge(sequence_number.to_bytes(4), command_status)
        self._settled(sequence_number, owed)
        return True

    def _settled(self, sequence_number: int, owed: Owed) -> None:
        earlier = owed[2]
        if earlier is None:
            del self._owed[sequence_number]
        else:
            self._owed[sequence_number] = earlier
        self._owing -= 1

    def notify(self, pdu: p.AlertNotification) -> None:
        """SMSC: a subscriber is reachable again; the only request without an answer (3.4, 4.12)."""
        if self.role is not Role.SMSC or BindType.RECEIVER not in self.bind_type:
            raise NotBound(f"a {self.role.value} bound as {self.bind_type.name} sends no alert_notification")
        if self.state is not _BOUND:
            raise NotBound(f"the session is {self.state.value}")
        pdu.sequence_number = self._next_sequence_number()
        self._send(pdu)

    def unbind(self, now_s: float) -> list[e.Event]:
        """Begin the end: nothing new is sent or taken, and Closed follows, at once when nothing is bound."""
        events: list[e.Event] = []
        if self.state in (State.OPEN, State.BINDING):
            self._close(e.CloseReason.UNBOUND, events)
        elif self.state is State.BOUND:
            self._start_unbind(now_s)
        return events

    def connection_lost(self) -> list[e.Event]:
        """The connection is gone: Closed, unless that was told before."""
        events: list[e.Event] = []
        self._close(e.CloseReason.CONNECTION_LOST, events)
        return events

    def receive(self, data: bytes, now_s: float, room: float = inf) -> list[e.Event]:
        """Take what was read from the connection, in any segments. `room`: how many messages the owner takes
        now; what comes beyond gets ESME_RMSGQFUL, unread.
        """
        events: list[e.Event] = []
        if self.state is _CLOSED:  # what still comes must not fill the framer
            return events
        counters = self.counters
        received_before = counters.received
        room = min(room, self.config.peer_window - self._owing)
        try:
            for frame in self._framer.frames(data):
                if self.state is _CLOSED:
                    break
                counters.received += 1
                self._heard_s = now_s
                if frame[4:8] == self._text_id:
                    if room <= 0 and is_text(frame, 0, len(frame)):
                        self._turn_away([frame[12:16], *self._framer.skip(self._text_id, is_text)])
                        continue
                    room -= 1
                try:
                    pdu = decode(frame)
                except PduError as error:
                    self._refuse(error, now_s, events)
                    continue
                if pdu.padding:
                    counters.padded += 1
                self._reactions[pdu.command_id](self, pdu, now_s, events)
        except PduError as error:  # from the framer
            if self.state is not _CLOSED:
                self._refuse(error, now_s, events)
                self._close(e.CloseReason.STREAM_BROKEN, events)
        if not self._framer.held:
            self._unfinished_deadline_s = inf
        elif counters.received != received_before or self._unfinished_deadline_s == inf:
            self._unfinished_deadline_s = now_s + self.config.response_timeout_s
        if self.state is _DRAINING and self._drained:
            self._finish_draining(events)
        return events

    def tick(self, now_s: float) -> list[e.Event]:
        """Let time pass: requests expire, enquire_link goes out, a dead peer is given up."""
        events: list[e.Event] = []
        self._expire(now_s, events)
        self._put_off_unanswered(now_s, events)
        if now_s >= self._unfinished_deadline_s:
            self._close(e.CloseReason.PDU_UNFINISHED, events)
        match self.state:
            case State.OPEN | State.BINDING:
                if now_s >= self._closing_deadline_s:
                    self._close(e.CloseReason.NOT_BOUND_IN_TIME, events)
            case State.BOUND:
                self._watch(now_s, events)
            case State.UNBINDING:
                if now_s >= self._closing_deadline_s:
                    self._close(e.CloseReason.UNBIND_UNANSWERED, events)
            case State.DRAINING:
                if self._drained or now_s >= self._closing_deadline_s:
                    self._finish_draining(events)
        return events

    def _expire(self, now_s: float, events: list[e.Event]) -> None:
        expired = []
        for number, (deadline_s, _, context) in self._in_flight.items():
            if deadline_s > now_s:
                break
            expired.append(number)
            events.append(e.Expired(context))
        for number in expired:
            del self._in_flight[number]
        self.counters.expired += len(expired)

    def _put_off_unanswered(self, now_s: float, events: list[e.Event]) -> None:
        """What the owner leaves unanswered must not fill the peer's window, or ours, for ever."""
        late = []
        for number, (deadline_s, _, _) in self._owed.items():
            if deadline_s > now_s:
                break
            late.append(number)
        for number in late:
            owed: Owed | None = self._owed.pop(number)
            while owed is not None:
                _, request, owed = owed
                self._put_off(request, now_s, events)
                self._owing -= 1
                self.counters.put_off += 1

    def _watch(self, now_s: float, events: list[e.Event]) -> None:
        """The timers of a bound session: is the peer alive, and does anybody need it?"""
        inactivity_s = self.config.inactivity_s
        if inactivity_s and now_s >= self._active_s + inactivity_s:
            self._start_unbind(now_s)
        elif now_s >= self._enquiry_deadline_s():
            if self._enquiry is not None:
                self._close(e.CloseReason.ENQUIRE_LINK_UNANSWERED, events)
            else:
                number = self._next_sequence_number()
                self._enquiry = number, now_s
                self._send(p.EnquireLink(sequence_number=number))

    def _enquiry_deadline_s(self) -> float:
        """When to ask, or, having asked, when to give up.

        A peer that sends other PDUs meanwhile is busy rather than dead; like every request an enquire_link
        then has response_timeout_s, but no more.
        """
        config = self.config
        if self._enquiry is None:
            return self._heard_s + config.enquire_link_s
        asked_s = self._enquiry[1]
        patience_s = max(config.enquire_timeout_s, config.response_timeout_s)
        return min(max(asked_s, self._heard_s) + config.enquire_timeout_s, asked_s + patience_s)

    def _start_unbind(self, now_s: float) -> None:
        number = self._next_sequence_number()
        self._unbind_sequence_number = number
        self._closing_deadline_s = now_s + self.config.response_timeout_s
        self._send(p.Unbind(sequence_number=number))
        self._enter(State.UNBINDING)

    @property
    def _drained(self) -> bool:
        return self.state is _DRAINING and not self._owing and not self._in_flight

    def _finish_draining(self, events: list[e.Event]) -> None:
        self._send(p.UnbindResp(sequence_number=self._unbind_sequence_number))
        self._close(e.CloseReason.PEER_UNBOUND, events)

    def _bind_request(self) -> p.Bind:
        if self.role is not Role.SMSC or self.state is not State.BINDING or self._bind is None:
            raise SessionError(f"no bind to answer by an {self.role.value} in state {self.state.value}")
        return self._bind
