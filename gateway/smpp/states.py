"""The table of the SMPP session: what is done with each kind of PDU in each state, for both roles.

Theory of operation. A session is one connection. It is OPEN until somebody asks for a bind, BINDING until
that is answered, BOUND while it works, and it ends in one of two ways: we unbind (UNBINDING until the
unbind_resp) or the peer does (DRAINING until what is open has been answered). CLOSED is for ever. The 3.4
states BOUND_TX, BOUND_RX and BOUND_TRX are one state here with a bind type, which decides what an operation
of the peer is: OPERATION when the bind allows it in this direction, MISDIRECTED when not (3.4, 2.3).

        bind / BindRequested        bind_resp            unbind sent           unbind_resp, or too late
    OPEN ────────────────▶ BINDING ───────────▶ BOUND ──────────────▶ UNBINDING ──────────────▶ CLOSED
      ▲                      │                    │ unbind received                                ▲
      └──────────────────────┘ refused            └──────────────▶ DRAINING ── all answered ──────┘

A lost connection, a broken stream and a timer that ran out lead from everywhere to CLOSED. Every pair of
state and kind has a reaction in `TABLE`; a pair that the specification forbids has REFUSE, ALREADY_BOUND or
IGNORE, so forbidden is never the same as forgotten. Read by `session` alone; pure data.
"""

from enum import Enum
from functools import cache

from gateway.smpp.constants import BindType, CommandId, Version


class Role(Enum):
    ESME = "ESME"
    SMSC = "SMSC"


class State(Enum):
    OPEN = "open"
    BINDING = "binding"
    BOUND = "bound"
    UNBINDING = "unbinding"
    DRAINING = "draining"
    CLOSED = "closed"


class Heard(Enum):
    """Kinds of received PDUs, as far as the state machine tells them apart."""

    BIND = "bind_*"
    BIND_RESP = "bind_*_resp"
    OUTBIND = "outbind"
    UNBIND = "unbind"
    UNBIND_RESP = "unbind_resp"
    ENQUIRE_LINK = "enquire_link"
    ENQUIRE_LINK_RESP = "enquire_link_resp"
    GENERIC_NACK = "generic_nack"
    OPERATION = "a request that the bind allows the peer"
    OPERATION_RESP = "a response to a request"
    NOTICE = "alert_notification"
    MISDIRECTED = "a request that the bind does not allow the peer"


class Reaction(Enum):
    """What is done; the value is the method of `Session` that does it."""

    ASK = "_ask_for_bind"  # SMSC: the owner decides
    BIND_ANSWERED = "_bind_answered"
    INVITED = "_invited"
    TAKE = "_take"  # hand it to the owner, who owes a response
    NOTE = "_note"  # hand it to the owner, no response
    PUT_OFF = "_put_off"  # a temporary refusal, so that the peer keeps the message
    SETTLE = "_settle"  # match it with a request of ours
    ANSWER_ENQUIRY = "_answer_enquiry"
    ENQUIRY_ANSWERED = "_enquiry_answered"
    NACKED = "_nacked"
    LET_GO = "_let_go"  # the peer unbinds
    CROSSED = "_crossed_unbind"
    UNBOUND = "_unbound"
    REFUSE = "_refuse_for_state"  # ESME_RINVBNDSTS
    ALREADY_BOUND = "_refuse_second_bind"  # ESME_RALYBND
    IGNORE = "_ignore"  # counted


STATES = (State.OPEN, State.BINDING, State.BOUND, State.UNBINDING, State.DRAINING)  # the columns below

# 3.4 allows enquire_link on a bound session only, 5.0 on any; answering it always costs nothing.
_BOTH = """
ENQUIRE_LINK       ANSWER_ENQUIRY   ANSWER_ENQUIRY   ANSWER_ENQUIRY   ANSWER_ENQUIRY   ANSWER_ENQUIRY
ENQUIRE_LINK_RESP  IGNORE           IGNORE           ENQUIRY_ANSWERED ENQUIRY_ANSWERED ENQUIRY_ANSWERED
GENERIC_NACK       IGNORE           NACKED           NACKED           NACKED           NACKED
UNBIND             LET_GO           LET_GO           LET_GO           CROSSED          IGNORE
UNBIND_RESP        IGNORE           IGNORE           IGNORE           UNBOUND          IGNORE
OPERATION          REFUSE           REFUSE           TAKE             PUT_OFF          REFUSE
OPERATION_RESP     IGNORE           IGNORE           SETTLE           SETTLE           SETTLE
MISDIRECTED        REFUSE           REFUSE           REFUSE           REFUSE           REFUSE
"""
_ESME = """
BIND               REFUSE           REFUSE           REFUSE           REFUSE           REFUSE
BIND_RESP          IGNORE           BIND_ANSWERED    IGNORE           IGNORE           IGNORE
OUTBIND            INVITED          IGNORE           IGNORE           IGNORE           IGNORE
NOTICE             IGNORE           IGNORE           NOTE             NOTE             NOTE
"""
_SMSC = """
BIND               ASK              ALREADY_BOUND    ALREADY_BOUND    REFUSE           REFUSE
BIND_RESP          IGNORE           IGNORE           IGNORE           IGNORE           IGNORE
OUTBIND            REFUSE           REFUSE           REFUSE           REFUSE           REFUSE
NOTICE             REFUSE           REFUSE           REFUSE           REFUSE           REFUSE
"""


def _parse(text: str) -> dict[Heard, tuple[Reaction, ...]]:
    rows = (line.split() for line in text.splitlines() if line)
    return {Heard[kind]: tuple(Reaction[name] for name in names) for kind, *names in rows}


TABLE = {Role.ESME: _parse(_BOTH + _ESME), Role.SMSC: _parse(_BOTH + _SMSC)}

# 3.4, 2.3, tables 2-1 and 2-2: who may send which request, given the direction is open.
_ESME_SENDS = frozenset(
    {
        CommandId.SUBMIT_SM,
        CommandId.DATA_SM,
        CommandId.QUERY_SM,
        CommandId.CANCEL_SM,
        CommandId.REPLACE_SM,
        CommandId.SUBMIT_MULTI,
        CommandId.BROADCAST_SM,
        CommandId.QUERY_BROADCAST_SM,
        CommandId.CANCEL_BROADCAST_SM,
    }
)
_SMSC_SENDS = frozenset({CommandId.DELIVER_SM, CommandId.DATA_SM})
_SINCE_34 = frozenset({CommandId.DATA_SM})
_SINCE_50 = frozenset({CommandId.BROADCAST_SM, CommandId.QUERY_BROADCAST_SM, CommandId.CANCEL_BROADCAST_SM})
_KINDS: dict[int, Heard] = {
    CommandId.BIND_RECEIVER: Heard.BIND,
    CommandId.BIND_TRANSMITTER: Heard.BIND,
    CommandId.BIND_TRANSCEIVER: Heard.BIND,
    CommandId.BIND_RECEIVER_RESP: Heard.BIND_RESP,
    CommandId.BIND_TRANSMITTER_RESP: Heard.BIND_RESP,
    CommandId.BIND_TRANSCEIVER_RESP: Heard.BIND_RESP,
    CommandId.OUTBIND: Heard.OUTBIND,
    CommandId.UNBIND: Heard.UNBIND,
    CommandId.UNBIND_RESP: Heard.UNBIND_RESP,
    CommandId.ENQUIRE_LINK: Heard.ENQUIRE_LINK,
    CommandId.ENQUIRE_LINK_RESP: Heard.ENQUIRE_LINK_RESP,
    CommandId.GENERIC_NACK: Heard.GENERIC_NACK,
    CommandId.ALERT_NOTIFICATION: Heard.NOTICE,
    CommandId.SUBMIT_SM_RESP: Heard.OPERATION_RESP,
    CommandId.DELIVER_SM_RESP: Heard.OPERATION_RESP,
    CommandId.DATA_SM_RESP: Heard.OPERATION_RESP,
    CommandId.QUERY_SM_RESP: Heard.OPERATION_RESP,
    CommandId.CANCEL_SM_RESP: Heard.OPERATION_RESP,
    CommandId.REPLACE_SM_RESP: Heard.OPERATION_RESP,
    CommandId.SUBMIT_MULTI_RESP: Heard.OPERATION_RESP,
    CommandId.BROADCAST_SM_RESP: Heard.OPERATION_RESP,
    CommandId.QUERY_BROADCAST_SM_RESP: Heard.OPERATION_RESP,
    CommandId.CANCEL_BROADCAST_SM_RESP: Heard.OPERATION_RESP,
}


def may_send(role: Role, bind_type: BindType, version: int = Version.V5_0) -> frozenset[CommandId]:
    """The requests that the side in `role` may send on a bind of this type and version.

    What a peer sends is taken whatever was agreed: one that knows a request means it.
    """
    if version < Version.V5_0:
        newer = _SINCE_50 if version >= Version.V3_4 else _SINCE_50 | _SINCE_34
        return may_send(role, bind_type) - newer
    if role is Role.ESME:
        return _ESME_SENDS if BindType.TRANSMITTER in bind_type else frozenset()
    return _SMSC_SENDS if BindType.RECEIVER in bind_type else frozenset()


@cache
def reactions(role: Role, state: State, bind_type: BindType) -> dict[int, Reaction]:
    """For one side: the reaction to every command id that the codec knows."""
    peer = Role.SMSC if role is Role.ESME else Role.ESME
    column = STATES.index(state)
    operations = may_send(peer, bind_type)
    kinds = dict(_KINDS)
    for command_id in _ESME_SENDS | _SMSC_SENDS:
        kinds[command_id] = Heard.OPERATION if command_id in operations else Heard.MISDIRECTED
    return {int(command_id): TABLE[role][kind][column] for command_id, kind in kinds.items()}
