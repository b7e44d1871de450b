"""What a session does with each PDU it hears: the reactions that `states.TABLE` names.

`Machine` holds the state and reacts; `session.Session` adds what the owner calls. They are two files
because they have two readers, not because one is of use without the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any

from gateway.smpp import events as e
from gateway.smpp import pdu as p
from gateway.smpp.codec import CLASSES, encode
from gateway.smpp.constants import (
    MAX_COMMAND_LENGTH,
    MAX_SEQUENCE_NUMBER,
    RESPONSE_BIT,
    BindType,
    CommandStatus,
    Tlv,
    Version,
)
from gateway.smpp.errors import PduError
from gateway.smpp.framing import Framer
from gateway.smpp.states import Role, State, may_send, reactions


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Times in seconds; `inactivity_s` 0 turns that timer off. `version` is the newest that we speak."""

    enquire_link_s: float = 30.0  # silence of the peer after which we ask
    enquire_timeout_s: float = 5.0  # further silence after which the link is dead
    response_timeout_s: float = 10.0  # for each request of ours, for an unbind, and for the rest of a PDU
    answer_timeout_s: float = 30.0  # for the owner to answer a request of the peer
    session_init_s: float = 10.0  # from the connection to the bind, one absolute deadline
    inactivity_s: float = 0.0  # without any request or response but enquire_link: unbind
    window: int = 100  # requests of ours without response
    peer_window: int = 1_000  # requests of the peer without response; what exceeds it gets ESME_RMSGQFUL
    max_length: int = MAX_COMMAND_LENGTH
    version: int = Version.V3_4


@dataclass(slots=True)
class Counters:
    """Since the session began; for metrics."""

    received: int = 0
    sent: int = 0
    refused: int = 0  # requests answered by the session with an error
    overflowed: int = 0  # of these, with ESME_RMSGQFUL
    unexpected: int = 0  # late, repeated or unknown responses, ignored
    malformed_responses: int = 0  # their header was used, their body was not
    expired: int = 0
    put_off: int = 0  # requests of the peer that the owner left unanswered for answer_timeout_s
    late_answers: int = 0  # the owner's answers to these, not sent
    unanswered_enquiries: int = 0  # more than MAX_UNSENT waited to be sent
    padded: int = 0  # PDUs with NULs behind their last field


_TEXTS = frozenset({p.SubmitSm.command_id, p.DeliverSm.command_id})

#: PDUs to send that may wait for the owner; an enquire_link that comes on top of them is not answered.
MAX_UNSENT = 10_000

Slot = tuple[float, int, Any]  # deadline_s, command_id of the response, context; a class costs too much here
Owed = tuple[float, p.Pdu, Any]  # deadline_s, the request, and an older Owed where the peer repeats a number


class Machine:
    """One side of one connection; see `states` for the theory."""

    def __init__(self, role: Role, config: SessionConfig, now_s: float) -> None:
        self.role = role
        self.config = config
        self.counters = Counters()
        self.bind_type = BindType(0)
        self.version = config.version  # the agreed one, once bound
        self._framer = Framer(config.max_length)
        self._out: list[bytes] = []
        self._sequence_number = 0
        self._window, self._response_timeout_s = config.window, config.response_timeout_s
        self._in_flight: dict[int, Slot] = {}  # oldest deadline first, since the time limit is one for all
        self._owed: dict[int, Owed] = {}  # by sequence_number, oldest deadline first
        self._owing = 0
        self._bind: p.Bind | None = None  # asked for and not yet answered
        self._enquiry: tuple[int, float] | None = None  # sequence_number and time of the open enquire_link
        self._unbind_sequence_number = 0
        self._heard_s = now_s
        self._active_s = now_s
        self._unfinished_deadline_s = inf  # of the PDU whose beginning is in the framer
        self._closing_deadline_s = now_s + config.session_init_s
        self._enter(State.OPEN)

    def _enter(self, state: State) -> None:
        self.state = state
        self._reactions = _reactions(self.role, state, self.bind_type)
        self._may_send: frozenset[int] = frozenset()
        if state is State.BOUND:
            self._may_send = may_send(self.role, self.bind_type, self.version)
        self.carries_texts = bool(_TEXTS & self._may_send)  # read for every answer
        self._text = text = p.DeliverSm if self.role is Role.ESME else p.SubmitSm
        takes = self._reactions.get(text.command_id) is Machine._take
        self._text_id = text.command_id.to_bytes(4) if takes else b""
        self._acknowledgements: dict[int, tuple[bytes, bytes]] = {}

    def _send(self, pdu: p.Pdu) -> None:
        self._out.append(encode(pdu, self.version))
        self.counters.sent += 1

    def _next_sequence_number(self) -> int:
        """Ours run from 1 to 0x7FFFFFFF and around (3.4, 3.2), past those that still wait for a response."""
        number = self._sequence_number
        while True:
            number = number + 1 if number < MAX_SEQUENCE_NUMBER else 1
            if number not in self._in_flight:
                break
        self._sequence_number = number
        return number

    def _close(self, reason: e.CloseReason, events: list[e.Event]) -> None:
        if self.state is State.CLOSED:
            return
        contexts = [context for _, _, context in self._in_flight.values()]
        self._in_flight.clear()
        self._owed.clear()
        self._owing = 0
        self._enter(State.CLOSED)
        events.append(e.Closed(reason, contexts))

    # -- reactions; each takes (pdu, now_s, events)

    def _take(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        if self._owing >= self.config.peer_window:
            self.counters.overflowed += 1
            self._answer_with(pdu, CommandStatus.ESME_RMSGQFUL)
            return
        number = pdu.sequence_number
        # Taken out and put in again, a repeated number stands at the end, where the latest deadlines are.
        earlier = self._owed.pop(number, None) if number in self._owed else None
        self._owed[number] = now_s + self.config.answer_timeout_s, pdu, earlier
        self._owing += 1
        self._active_s = now_s
        events.append(e.Incoming(pdu))

    def _turn_away(self, sequence_numbers: list[bytes]) -> None:
        """Refuse messages before anything is made of them; the first is counted as received."""
        before, after = self._acknowledgement(CommandStatus.ESME_RMSGQFUL)
        self._out.append(before + (after + before).join(sequence_numbers) + after)
        count = len(sequence_numbers)
        counters = self.counters
        counters.received += count - 1
        counters.sent += count
        counters.overflowed += count

    def _acknowledge(self, sequence_number: bytes, command_status: int) -> None:
        before, after = self._acknowledgement(command_status)
        self._out.append(before + sequence_number + after)
        self.counters.sent += 1

    def _acknowledgement(self, command_status: int) -> tuple[bytes, bytes]:
        """Of the response to a text, without message_id, what comes before and after its number."""
        known = self._acknowledgements.get(command_status)
        if known is None:
            response = encode(self._text.response(command_status=command_status), self.version)
            known = self._acknowledgements[command_status] = response[:12], response[16:]
        return known

    def _note(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        events.append(e.Incoming(pdu))

    def _settle(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        slot = self._in_flight.get(pdu.sequence_number)
        if slot is None or slot[1] != pdu.command_id:
            self.counters.unexpected += 1
            return
        del self._in_flight[pdu.sequence_number]
        self._active_s = now_s
        events.append(e.Response(slot[2], pdu))

    def _ask_for_bind(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        assert isinstance(pdu, p.Bind)
        if self.config.version < Version.V3_4 and pdu.bind_type is BindType.TRANSCEIVER:
            status, why = CommandStatus.ESME_RINVCMDID, "SMPP 3.3 has no bind_transceiver"
            self._refuse(PduError(status, pdu.command_id, pdu.sequence_number, why), now_s, events)
            return
        self._bind = pdu
        self._enter(State.BINDING)
        events.append(e.BindRequested(pdu))

    def _bind_answered(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        assert isinstance(pdu, p.BindResp)
        bind = self._bind
        if bind is None or pdu.sequence_number != bind.sequence_number or type(pdu) is not bind.response:
            self.counters.unexpected += 1
        elif pdu.command_status:
            self._bind_failed(pdu.command_status, events)
        else:
            # 3.4 leaves sc_interface_version out at will; 5.0 does not.
            theirs = pdu.typed(Tlv.SC_INTERFACE_VERSION)
            self._bound(bind, Version.V3_4 if theirs is None else Version.of(theirs))
            self._active_s = now_s
            events.append(e.Bound(pdu))

    def _bound(self, bind: p.Bind, theirs: Version) -> None:
        self._bind = None
        self.version = min(self.config.version, theirs)
        self.bind_type = bind.bind_type
        self._enter(State.BOUND)

    def _bind_failed(self, command_status: int, events: list[e.Event]) -> None:
        self._bind = None
        self._enter(State.OPEN)
        events.append(e.BindRefused(command_status))

    def _invited(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        assert isinstance(pdu, p.Outbind)
        events.append(e.Invited(pdu))

    def _nacked(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        """generic_nack: the peer could make nothing of the PDU with this number (3.4, 4.3)."""
        number = pdu.sequence_number
        slot = self._in_flight.pop(number, None)
        if slot is not None:
            events.append(e.Response(slot[2], pdu))
        elif self.state is State.BINDING and self._bind is not None and number == self._bind.sequence_number:
            self._bind_failed(pdu.command_status or CommandStatus.ESME_RBINDFAIL, events)
        elif self.state is State.UNBINDING and number == self._unbind_sequence_number:
            self._close(e.CloseReason.UNBOUND, events)
        else:
            self._enquiry_answered(pdu, now_s, events)  # a peer without enquire_link is alive all the same

    def _answer_enquiry(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        if len(self._out) >= MAX_UNSENT:
            self.counters.unanswered_enquiries += 1
            return
        self._answer_with(pdu, CommandStatus.ESME_ROK)

    def _enquiry_answered(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        if self._enquiry is not None and pdu.sequence_number == self._enquiry[0]:
            self._enquiry = None
        else:
            self.counters.unexpected += 1

    def _let_go(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        """The peer unbinds. `session` sends the unbind_resp as soon as nothing is open."""
        self._unbind_sequence_number = pdu.sequence_number
        self._closing_deadline_s = now_s + self.config.response_timeout_s
        self._enter(State.DRAINING)
        events.append(e.Unbinding())

    def _crossed_unbind(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        self._answer_with(pdu, CommandStatus.ESME_ROK)  # and wait for the answer to our own

    def _unbound(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        if pdu.sequence_number == self._unbind_sequence_number:
            self._close(e.CloseReason.UNBOUND, events)
        else:
            self.counters.unexpected += 1

    def _put_off(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        status = CommandStatus.ESME_RX_T_APPN if self.role is Role.ESME else CommandStatus.ESME_RSYSERR
        self._answer_with(pdu, status)

    def _refuse_for_state(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        why = f"{type(pdu).__name__} to an {self.role.value} in state {self.state.value}"
        if self.bind_type:
            why += f" as {self.bind_type.name}"
        status = CommandStatus.ESME_RINVBNDSTS
        self._refuse(PduError(status, pdu.command_id, pdu.sequence_number, why), now_s, events)

    def _refuse_second_bind(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        status = CommandStatus.ESME_RALYBND
        self._refuse(PduError(status, pdu.command_id, pdu.sequence_number, "bound already"), now_s, events)

    def _ignore(self, pdu: p.Pdu, now_s: float, events: list[e.Event]) -> None:
        self.counters.unexpected += 1

    # -- answers

    def _answer_with(self, request: p.Pdu, command_status: int) -> None:
        self._send(response_to(request, command_status))

    def _refuse(self, error: PduError, now_s: float, events: list[e.Event]) -> None:
        """Answer what could not be decoded or is not allowed.

        A request of a known kind gets its own response with the error, everything else a generic_nack; but
        nothing that is a response is ever nacked, since two peers could nack each other for ever.
        """
        cls = CLASSES.get(error.command_id)
        if cls is not None and error.command_id & RESPONSE_BIT and not error.fatal:
            # The header is sound and says what became of the request; only the body is lost.
            self.counters.malformed_responses += 1
            response = cls(command_status=error.received_status, sequence_number=error.sequence_number)
            self._reactions[error.command_id](self, response, now_s, events)
            return
        if cls is None and _is_response(error.command_id):
            self.counters.unexpected += 1
            return
        self.counters.refused += 1
        answer = cls.response if cls is not None else None
        self._send(
            (answer or p.GenericNack)(
                command_status=error.command_status, sequence_number=error.sequence_number
            )
        )
        # A value from now on. With its traceback, whose frames hold `events`, it were a cycle, and a flood
        # of bad PDUs memory that only the collector frees.
        error.__context__ = None
        events.append(e.Refused(error.with_traceback(None)))


_Method = Callable[[Machine, p.Pdu, float, list[e.Event]], None]


@cache
def _reactions(role: Role, state: State, bind_type: BindType) -> dict[int, _Method]:
    """The table's reactions as methods, by command id; nothing is heard any more once closed."""
    if state is State.CLOSED:
        return {}
    return {
        command_id: getattr(Machine, reaction.value)
        for command_id, reaction in reactions(role, state, bind_type).items()
    }


def response_to(request: p.Pdu, command_status: int, **fields: Any) -> p.Pdu:
    """The response of the request's kind, with its sequence_number; a generic_nack where there is none."""
    cls = request.response or p.GenericNack
    return cls(command_status=command_status, sequence_number=request.sequence_number, **fields)


def _is_response(command_id: int) -> bool:
    """An unknown id in one of the ranges of responses, standard or vendors' (3.4, 5.1.2.1, table 5-1)."""
    number = command_id ^ RESPONSE_BIT
    return number <= 0x1FF or 0x10200 <= number <= 0x102FF
