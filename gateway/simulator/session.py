"""One ESME's connection to the simulated SMSC: framing, bind, responses, timers, and the faults ordered on
the way out.

No sockets and no clock of its own: it is given a wire to write to, a clock, and an `Exchange` (the SMSC)
that stores messages. Invariant: a deliver_sm that was sent is reported to the exchange exactly once, as
answered, expired or lost.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from smpplib import consts

from gateway.simulator import pdus
from gateway.simulator.clock import Clock, Timer
from gateway.simulator.faults import Faults
from gateway.simulator.pdus import Pdu, PduError
from gateway.simulator.trace import NOBODY, Parties

_MAX_SEQUENCE = 0x7FFF_FFFF
_VERSION_34 = 0x34
_MAX_UNREAD = 1 << 20  # octets that may wait while the link is mute
_RESPONSE_BIT = 0x8000_0000


class Wire(Protocol):
    """The connection; an `asyncio.Transport` is one."""

    def write(self, data: bytes) -> object: ...

    def close(self) -> object: ...

    def abort(self) -> object: ...


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
    """See the module. `data_received` and `connection_lost` are called by whoever owns the wire."""

    def __init__(
        self, link: int, *, exchange: Exchange, wire: Wire, clock: Clock, timers: Timers, faults: Faults
    ) -> None:
        self.link = link
        self.system_id = ""
        self.bind_type: str | None = None
        self.address_range = ""
        self.since_s = clock.now_s()
        self._exchange, self._wire, self._clock = exchange, wire, clock
        self._timers, self._faults = timers, faults
        self._open = True
        self._buffer = bytearray()
        self._sequence = 0
        self._requests: dict[int, _Request] = {}
        self._held: list[tuple[bytes, Parties]] = []
        self._chunks: deque[bytes] = deque()
        self._dripping = False
        self._timer = clock.call_later(timers.session_init_s, self.abort)

    # What the SMSC does

    @property
    def receives(self) -> bool:
        """Whether deliver_sm may be sent here."""
        return self._open and self.bind_type in ("receiver", "transceiver")

    @property
    def in_flight(self) -> int:
        """Requests of ours without a response."""
        return len(self._requests)

    def deliver(self, delivery: Delivery) -> None:
        """Send a deliver_sm and wait for its response."""
        timeout_s = self._timers.response_timeout_s
        self._request("deliver_sm", timeout_s, delivery, delivery.parties, **delivery.fields)

    def enquire_link(self) -> None:
        """Ask whether the ESME is there; without an answer in time the connection is dropped."""
        if self._open:
            self._request("enquire_link", self._timers.enquire_timeout_s)
            self._timer = self._clock.call_later(self._timers.enquire_link_s, self.enquire_link)

    def outbind(self, system_id: str, password: str) -> None:
        """Ask the ESME at the other end to bind (SMPP 3.4 section 2.2.1)."""
        self._put(
            pdus.encode("outbind", self._next_sequence(), system_id=system_id, password=password), NOBODY
        )

    def unbind(self) -> None:
        """Take leave: no new deliver_sm; the connection is closed when the ESME has answered."""
        if self.bind_type is None:
            self.abort()
            return
        self.bind_type = "unbinding"
        self._request("unbind", self._timers.response_timeout_s)

    def abort(self) -> None:
        """Reset the connection."""
        self._open = False
        self._wire.abort()

    # What the ESME does

    def connection_lost(self) -> None:
        """The wire has ended, by whomever."""
        self._open = False
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
        while self._open and len(self._buffer) >= 4:
            length = int.from_bytes(self._buffer[:4], "big")
            if not pdus.HEADER_LENGTH <= length <= pdus.MAX_COMMAND_LENGTH:
                self._send("generic_nack", 0, consts.SMPP_ESME_RINVCMDLEN)
                self._open = False
                self._wire.close()
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
        handler = self._HANDLERS.get(pdu.command)
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
        version = _VERSION_34 if pdu.interface_version >= _VERSION_34 else None  # 3.3 knows no TLV
        self._send(
            f"{pdu.command}_resp", pdu.sequence, status, system_id="simulator", sc_interface_version=version
        )
        if not status:
            self.bind_type = pdu.command.removeprefix("bind_")
            self._timer.cancel()
            self._timer = self._clock.call_later(self._timers.enquire_link_s, self.enquire_link)
            self._exchange.bound(self)

    def _submit(self, pdu: Pdu) -> None:
        answer, sequence, parties = f"{pdu.command}_resp", pdu.sequence, self._parties(pdu)
        if self.bind_type not in ("transmitter", "transceiver", "unbinding"):
            self._send(answer, sequence, consts.SMPP_ESME_RINVBNDSTS, parties)
            return
        refusal = self._faults.take("refuse_submit")
        if refusal is not None:
            self._send(answer, sequence, refusal.status, parties)
            return
        try:
            message_id = self._exchange.submitted(self, pdu)
        except PduError as error:
            self._send(answer, sequence, error.status, parties)
            return
        if self._faults.take("lose_submit_resp"):
            self.abort()
        elif not self._faults.take("ignore_submit"):
            self._send(answer, sequence, 0, parties, message_id=message_id)

    def _answer_enquire_link(self, pdu: Pdu) -> None:
        self._send("enquire_link_resp", pdu.sequence)

    def _answer_unbind(self, pdu: Pdu) -> None:
        self._send("unbind_resp", pdu.sequence)
        self._open = False
        self._wire.close()

    def _response(self, pdu: Pdu) -> None:
        """A response to a request of ours; late, repeated and unknown sequence numbers change nothing."""
        request = self._requests.pop(pdu.sequence, None)
        if request is None:
            return
        request.timer.cancel()
        if request.delivery is not None:
            self._exchange.answered(request.delivery, pdu.status)
        elif pdu.command == "unbind_resp":
            self._open = False
            self._wire.close()

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

    def _request(
        self, name: str, timeout_s: float, delivery: Any = None, parties: Parties = NOBODY, **fields: Any
    ) -> None:
        sequence = self._next_sequence()
        timer = self._clock.call_later(timeout_s, lambda: self._expire(sequence))
        self._requests[sequence] = _Request(delivery, timer, parties)
        self._put(pdus.encode(name, sequence, **fields), parties)

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
        self._put(pdus.encode(name, sequence, status, **fields), parties)

    def _put(self, frame: bytes, parties: Parties) -> None:
        """Write a PDU, or hold it back as long as an ordered fault lasts; what is held keeps its order."""
        if not self._open:
            return
        now_s = self._clock.now_s()
        hold_s = self._faults.lasting_s("mute", now_s)
        if frame[4] & 0x80:
            hold_s = max(hold_s, self._faults.lasting_s("stall_responses", now_s))
        if hold_s:
            self._held.append((frame, parties))
            if len(self._held) == 1:
                self._clock.call_later(hold_s, self._release)
            return
        self._exchange.traced(self, "out", frame, parties)
        pieces = self._faults.fragment
        size = pieces.bytes if pieces else len(frame)
        self._chunks.extend(frame[start : start + size] for start in range(0, len(frame), size))
        if not self._dripping:
            self._drip()

    def _release(self) -> None:
        held, self._held = self._held, []
        for frame, parties in held:
            self._put(frame, parties)

    def _drip(self) -> None:
        """Write what is due; piece by piece with a pause between while `fragment` is in force."""
        self._dripping = False
        while self._chunks and self._open:
            self._wire.write(self._chunks.popleft())
            pause_s = self._faults.fragment.delay_s if self._faults.fragment else 0.0
            if pause_s and self._chunks:
                self._dripping = True
                self._clock.call_later(pause_s, self._drip)
                return
