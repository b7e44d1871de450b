"""One ESME's connection to the simulated SMSC: framing, bind, version, responses, timers, and the faults of
requests and responses.

No sockets and no clock of its own: it is given a wire to write to, a clock, and an `Exchange` (the SMSC)
that stores messages. Invariant: a deliver_sm that was sent is reported to the exchange exactly once, as
answered, expired or lost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from smpplib import consts

from gateway.simulator import odd, pdus
from gateway.simulator.clock import Clock, Timer
from gateway.simulator.faults import Faults, Settings
from gateway.simulator.outlet import Outlet, Wire
from gateway.simulator.pdus import Pdu, PduError
from gateway.simulator.trace import NOBODY, Parties

_MAX_SEQUENCE = 0x7FFF_FFFF
VERSION_34, VERSION_50 = 0x34, 0x50
_MAX_UNREAD = 1 << 20  # octets that may wait while the link is mute
_RESPONSE_BIT = 0x8000_0000
_LATER_THAN_33 = frozenset({"bind_transceiver", "data_sm"})
_TLVS = frozenset({"receipted_message_id", "message_state"})  # of our deliver_sm; SMPP 3.3 has none


class Delivery(Protocol):
    """A deliver_sm to send: its fields by name, and whom it concerns."""

    @property
    def fields(self) -> dict[str, Any]: ...

    @property
    def parties(self) -> Parties: ...


class Exchange(Protocol):
    """What a session needs of the SMSC."""

    def admit(self, system_id: str, password: str) -> int:
        """The command_status of a bind."""

    def bound(self, session: "Session") -> None: ...

    def throttles(self, session: "Session") -> bool:
        """Whether the ESME sends more than its rate allows; each question counts."""

    def congestion(self, session: "Session") -> int | None:
        """congestion_state (SMPP 5.0 section 4.8.4.18), where there is something to say."""

    def submitted(self, session: "Session", pdu: Pdu) -> str:
        """Take a submit_sm or data_sm; its message_id. Raises PduError."""

    def answered(self, delivery: Any, status: int) -> None:
        """A deliver_sm_resp (or generic_nack) has come."""

    def unanswered(self, delivery: Any) -> None:
        """The response timer has run out."""

    def lost(self, session: "Session", deliveries: list[Any]) -> None:
        """The connection has ended, with these deliveries in flight."""

    def traced(
        self, session: "Session", direction: Literal["in", "out"], frame: bytes, parties: Parties
    ) -> None: ...


@dataclass(frozen=True)
class Timers:
    """Seconds: to bind, between enquire_link, to answer one, to answer a deliver_sm."""

    session_init_s: float = 30.0
    enquire_link_s: float = 30.0
    enquire_timeout_s: float = 10.0
    response_timeout_s: float = 10.0


class _Request(NamedTuple):
    """A request of ours that is not answered yet; `delivery` None for enquire_link and unbind."""

    delivery: Any
    timer: Timer
    parties: Parties


class Session:
    """See the module. `data_received` and `connection_lost` are called by whoever owns the wire. `version` is
    the highest spoken, after the bind the one agreed upon. `response_s`: how long a submit_sm_resp takes;
    `submit_window`: how many may be owed (0: any number).
    """

    def __init__(
        self,
        link: int,
        *,
        exchange: Exchange,
        wire: Wire,
        clock: Clock,
        timers: Timers,
        faults: Faults,
        version: int = VERSION_34,
        response_s: float = 0.0,
        submit_window: int = 0,
    ) -> None:
        self.link = link
        self.system_id = ""
        self.bind_type: str | None = None
        self.address_range = ""
        self.version = version
        self.since_s = clock.now_s()
        self._exchange, self._clock = exchange, clock
        self._timers, self._faults = timers, faults
        self._response_s, self._submit_window = response_s, submit_window
        self._out = Outlet(wire, clock, faults, lambda *pdu: exchange.traced(self, "out", *pdu))
        self._buffer = bytearray()
        self._sequence = self._owed = 0
        self._requests: dict[int, _Request] = {}
        self._timer = clock.call_later(timers.session_init_s, self.abort)

    # What the SMSC does

    @property
    def receives(self) -> bool:
        """Whether deliver_sm may be sent here."""
        return self._out.open and self.bind_type in ("receiver", "transceiver")

    @property
    def in_flight(self) -> int:
        """deliver_sm without a response: what the window is for; an enquire_link keeps nothing out."""
        return sum(request.delivery is not None for request in self._requests.values())

    def deliver(self, delivery: Delivery) -> None:
        """Send a deliver_sm and wait for its response."""
        fields, parties = delivery.fields, delivery.parties
        if self.version < VERSION_34:
            fields = {name: value for name, value in fields.items() if name not in _TLVS}
        frame = self._framed("deliver_sm", self._timers.response_timeout_s, delivery, parties, **fields)
        damage = self._faults.take("damage_deliver", parties)
        if self._faults.take("cut_deliver", parties):
            self._out.cut(frame)
        else:
            self._out.put(odd.DELIVERIES[damage["form"]](frame) if damage else frame, parties)
        if self._faults.take("unbind_after_deliver", parties):
            self.unbind()

    def enquire_link(self) -> None:
        """Ask whether the ESME is there; without an answer in time the connection is dropped."""
        if self._out.open:
            self._request("enquire_link", self._timers.enquire_timeout_s)
            self._timer = self._clock.call_later(self._timers.enquire_link_s, self.enquire_link)

    def outbind(self, system_id: str, password: str) -> None:
        """Ask the ESME at the other end to bind (SMPP 3.4 section 2.2.1)."""
        self._send("outbind", self._next_sequence(), system_id=system_id, password=password)

    def unbind(self) -> None:
        """Take leave: no new deliver_sm; the connection is closed when the ESME has answered."""
        if self.bind_type is None:
            self.abort()
            return
        self.bind_type = "unbinding"
        self._request("unbind", self._timers.response_timeout_s)

    def abort(self) -> None:
        """Reset the connection."""
        self._out.abort()

    def act(self, name: str, settings: Settings) -> None:
        """A fault that happens at once (see `faults.FAULTS`); all but `drop` only on a bound connection."""
        if self.bind_type is not None or name == "drop":
            self._ACTS[name](self, settings)

    def _storm(self, settings: Settings) -> None:
        for _ in range(settings["count"]):
            self._request("enquire_link", self._timers.enquire_timeout_s)

    _ACTS: ClassVar[dict[str, Callable[["Session", Settings], None]]] = {
        "drop": lambda self, settings: self.abort(),
        "unbind": lambda self, settings: self.unbind(),
        "enquire_link": lambda self, settings: self._storm({"count": 1}),
        "enquire_storm": _storm,
        "stall_reading": lambda self, settings: self._out.stop_reading(settings["seconds"]),
        "unknown_command": lambda self, settings: self._out.put(
            odd.unknown_command(self._next_sequence()), NOBODY
        ),
        "lying_length": lambda self, settings: self._out.put(
            odd.lying_length(settings["form"], self._next_sequence()), NOBODY
        ),
        "cut": lambda self, settings: self._out.cut(pdus.encode("enquire_link", self._next_sequence())),
        "garbage": lambda self, settings: self._out.put_raw(odd.garbage(settings["bytes"])),
    }

    # What the ESME does

    def connection_lost(self) -> None:
        """The wire has ended, by whomever."""
        self._out.open = False
        self._timer.cancel()
        requests, self._requests = self._requests, {}
        for request in requests.values():
            request.timer.cancel()
        in_flight = [request.delivery for request in requests.values() if request.delivery is not None]
        self._exchange.lost(self, list(dict.fromkeys(in_flight)))

    def data_received(self, octets: bytes) -> None:
        """Take octets as they come, in any pieces."""
        self._buffer += octets
        mute_s = self._faults.lasting_s("mute", self._clock.now_s())
        if mute_s:
            if len(self._buffer) > _MAX_UNREAD:
                self.abort()
            self._clock.call_later(mute_s, lambda: self.data_received(b""))
            return
        while self._out.open and len(self._buffer) >= 4:
            length = int.from_bytes(self._buffer[:4], "big")
            if not pdus.HEADER_LENGTH <= length <= pdus.MAX_COMMAND_LENGTH:
                self._send("generic_nack", 0, consts.SMPP_ESME_RINVCMDLEN)
                self._out.close()
            elif len(self._buffer) < length:
                return
            else:
                frame = bytes(self._buffer[:length])
                del self._buffer[:length]
                self._frame(frame)

    def _frame(self, frame: bytes) -> None:
        """Act on one whole PDU; a damaged one is refused and the link lives."""
        name = pdus.command_name(frame)
        sequence = int.from_bytes(frame[12:16], "big")
        is_response = int.from_bytes(frame[4:8], "big") & _RESPONSE_BIT
        try:
            pdu = pdus.decode(frame)
        except PduError as error:
            self._exchange.traced(self, "in", frame, NOBODY)
            if not is_response:
                answer = f"{name}_resp" if name in self._HANDLERS else "generic_nack"
                self._send(answer, sequence, error.status)
            return
        too_new = self.version < VERSION_34 and pdu.command in _LATER_THAN_33
        handler = None if too_new else self._HANDLERS.get(pdu.command)
        self._exchange.traced(self, "in", frame, self._parties(pdu))
        if handler is not None:
            handler(self, pdu)
        elif not is_response:
            self._send("generic_nack", sequence, consts.SMPP_ESME_RINVCMDID)

    def _parties(self, pdu: Pdu) -> Parties:
        """The phone and the service of a request by its addresses, of a response by the request it
        answers.
        """
        if pdu.command in ("submit_sm", "data_sm"):
            return Parties(pdu.destination_addr.lstrip("+"), pdu.source_addr.lstrip("+"))
        request = self._requests.get(pdu.sequence) if pdu.is_response() else None
        return request.parties if request else NOBODY

    def _bind(self, pdu: Pdu) -> None:
        if self.bind_type is not None:
            self._send(f"{pdu.command}_resp", pdu.sequence, consts.SMPP_ESME_RALYBND)
            return
        status = self._exchange.admit(pdu.system_id, pdu.password)
        if not status:  # before the response is traced, so that it carries the name
            self.system_id, self.address_range = pdu.system_id, pdu.address_range
        ours = self.version if min(self.version, pdu.interface_version) >= VERSION_34 else None
        if self._faults.take("ignore_bind"):
            return
        late = self._faults.take("late_bind")
        frame = pdus.encode(
            f"{pdu.command}_resp", pdu.sequence, status, system_id="simulator", sc_interface_version=ours
        )
        if late:
            self._clock.call_later(late["seconds"], lambda: self._answer_bind(pdu, status, frame))
        else:
            self._answer_bind(pdu, status, frame)

    def _answer_bind(self, pdu: Pdu, status: int, frame: bytes) -> None:
        self._out.put(frame, NOBODY)
        if not status and self._out.open:
            self.version = min(self.version, pdu.interface_version)
            self.bind_type = pdu.command.removeprefix("bind_")
            self._timer.cancel()
            self._timer = self._clock.call_later(self._timers.enquire_link_s, self.enquire_link)
            self._exchange.bound(self)

    def _submit(self, pdu: Pdu) -> None:
        answer, sequence, parties = f"{pdu.command}_resp", pdu.sequence, self._parties(pdu)
        if self.bind_type not in ("transmitter", "transceiver", "unbinding"):
            self._send(answer, sequence, consts.SMPP_ESME_RINVBNDSTS, parties)
            return
        for fault, name in (("refuse_submit", answer), ("nack_submit", "generic_nack")):
            refusal = self._faults.take(fault, parties)
            if refusal is not None:
                self._send(name, sequence, refusal["status"], parties)
                return
        if self._exchange.throttles(self) or 0 < self._submit_window <= self._owed:
            self._respond(pdus.encode(answer, sequence, consts.SMPP_ESME_RTHROTTLED), parties)
            return
        try:
            message_id = self._exchange.submitted(self, pdu)
        except PduError as error:
            self._send(answer, sequence, error.status, parties)
            return
        if self._faults.take("lose_submit_resp", parties):
            self.abort()
        elif not self._faults.take("ignore_submit", parties):
            self._respond(pdus.encode(answer, sequence, message_id=message_id), parties)
        act = self._faults.addressed(parties)
        if act is not None and act[0] in self._ACTS:
            self.act(*act)

    def _respond(self, frame: bytes, parties: Parties) -> None:
        """Answer a submit_sm, as late and as wrongly as the orders in force have it."""
        congestion = self._exchange.congestion(self) if self.version >= VERSION_50 else None
        frames = [frame if congestion is None else pdus.with_congestion(frame, congestion)]
        for name, distort in odd.RESPONSES.items():
            if self._faults.take(name, parties):
                frames = distort(frames)
        late = self._faults.take("late_response", parties)
        delay_s = self._response_s + (late["seconds"] if late else 0.0)

        def write() -> None:
            self._owed -= 1
            for each in frames:
                self._out.put(each, parties)

        self._owed += 1
        if delay_s:
            self._clock.call_later(delay_s, write)
        else:
            write()

    def _answer_enquire_link(self, pdu: Pdu) -> None:
        self._send("enquire_link_resp", pdu.sequence)

    def _answer_unbind(self, pdu: Pdu) -> None:
        self._send("unbind_resp", pdu.sequence)
        self._out.close()

    def _response(self, pdu: Pdu) -> None:
        """A response to a request of ours; late, repeated and unknown sequence numbers change nothing."""
        request = self._requests.pop(pdu.sequence, None)
        if request is None:
            return
        request.timer.cancel()
        if request.delivery is not None:
            self._exchange.answered(request.delivery, pdu.status)
        elif pdu.command == "unbind_resp":
            self._out.close()

    _HANDLERS: ClassVar[dict[str, Callable[["Session", Pdu], None]]] = {
        "bind_transmitter": _bind,
        "bind_receiver": _bind,
        "bind_transceiver": _bind,
        "submit_sm": _submit,
        "data_sm": _submit,
        "enquire_link": _answer_enquire_link,
        "unbind": _answer_unbind,
        "deliver_sm_resp": _response,
        "enquire_link_resp": _response,
        "unbind_resp": _response,
        "generic_nack": _response,
    }

    # The way out

    def _next_sequence(self) -> int:
        self._sequence = self._sequence % _MAX_SEQUENCE + 1
        return self._sequence

    def _framed(
        self, name: str, timeout_s: float, delivery: Any = None, parties: Parties = NOBODY, **fields: Any
    ) -> bytes:
        """A request of ours, to be sent now: its response is waited for."""
        sequence = self._next_sequence()
        timer = self._clock.call_later(timeout_s, lambda: self._expire(sequence))
        self._requests[sequence] = _Request(delivery, timer, parties)
        return pdus.encode(name, sequence, **fields)

    def _request(self, name: str, timeout_s: float) -> None:
        self._out.put(self._framed(name, timeout_s), NOBODY)

    def _expire(self, sequence: int) -> None:
        request = self._requests.pop(sequence, None)
        if request is None:
            return
        if request.delivery is None:
            self.abort()
        else:
            self._exchange.unanswered(request.delivery)

    def _send(
        self, name: str, sequence: int, status: int = 0, parties: Parties = NOBODY, **fields: Any
    ) -> None:
        self._out.put(pdus.encode(name, sequence, status, **fields), parties)
