"""What a `Session` tells its owner; each is made once and read once. Names follow the specification's terms.

Compared and matched by class. Not frozen, because a frozen dataclass costs three times as much to make and
events are made by the ten thousand a second; nobody writes to one.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.smpp import pdu as p
from gateway.smpp.errors import PduError


class CloseReason(StrEnum):
    """Why a session ended; the link chooses its pause before the next bind by it."""

    UNBOUND = "unbound"  # our unbind was answered
    UNBIND_UNANSWERED = "unbind unanswered"
    PEER_UNBOUND = "peer unbound"
    NOT_BOUND_IN_TIME = "not bound in time"
    ENQUIRE_LINK_UNANSWERED = "enquire_link unanswered"
    STREAM_BROKEN = "stream broken"  # a command_length that cannot be
    PDU_UNFINISHED = "PDU unfinished"  # its beginning came, and for response_timeout_s not its end
    CONNECTION_LOST = "connection lost"


@dataclass(slots=True)
class Bound:
    """ESME: the SMSC accepted our bind."""

    pdu: p.BindResp


@dataclass(slots=True)
class BindRefused:
    """ESME: the SMSC answered our bind with this status (or nacked it); the session is open for another."""

    command_status: int


@dataclass(slots=True)
class Invited:
    """ESME: the SMSC sent outbind; to be answered by `bind`, or by closing (3.4, 2.2.1)."""

    pdu: p.Outbind


@dataclass(slots=True)
class BindRequested:
    """SMSC: to be answered by `accept_bind` or `refuse_bind`."""

    pdu: p.Bind


@dataclass(slots=True, init=False)
class Incoming:
    """A request of the peer, to be answered by `respond` (an alert_notification has no answer)."""

    pdu: p.Pdu

    def __init__(self, pdu: p.Pdu) -> None:
        self.pdu = pdu


@dataclass(slots=True, init=False)
class Response:
    """The answer to a request of ours, its response or a generic_nack; `context` came with the request."""

    context: Any
    pdu: p.Pdu

    def __init__(self, context: Any, pdu: p.Pdu) -> None:
        self.context = context
        self.pdu = pdu


@dataclass(slots=True)
class Expired:
    """No response in time: the outcome of the request is unknown, its slot of the window is free."""

    context: Any


@dataclass(slots=True)
class Refused:
    """A PDU of the peer was refused, and has been answered already."""

    error: PduError


@dataclass(slots=True)
class Unbinding:
    """The peer wants to go: no new requests; it gets its unbind_resp when all that is open is answered."""


@dataclass(slots=True)
class Closed:
    """The end: write what `data_to_send` gives, then close the connection.

    `contexts` are those of all requests still without a response, in order; their outcome is unknown.
    """

    reason: CloseReason
    contexts: list[Any]


Event = (
    Bound
    | BindRefused
    | Invited
    | BindRequested
    | Incoming
    | Response
    | Expired
    | Refused
    | Unbinding
    | Closed
)
