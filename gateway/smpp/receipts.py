"""Which deliver_sm is a subscriber's message, and what a delivery receipt says.

esm_class alone decides what a message is (3.4, 5.2.12): a subscriber may type "id: stat:" and some SMSCs'
receipts read like anything. Called by the pipeline for every message before its text is looked at.
"""

import re
from enum import Enum, IntEnum
from typing import NamedTuple

from gateway.smpp.constants import EsmClass, Tlv
from gateway.smpp.pdu import DataSm, Sm

_MESSAGE_TYPE = int(EsmClass.MESSAGE_TYPE)


class Kind(Enum):
    QUERY = "query"  # a subscriber's message
    RECEIPT = "receipt"  # of the SMSC: what became of a message of ours
    OTHER = "other"  # acknowledgements of the handset or its user, aborted conversations, reserved types


class MessageState(IntEnum):
    """3.4, 5.2.28."""

    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8


class Receipt(NamedTuple):
    """`message_id` as the SMSC wrote it (see `same_message_id`); `error` in hex, as written, or empty."""

    message_id: str
    state: MessageState
    error: str


_TYPES = {
    0: Kind.QUERY,
    int(EsmClass.DELIVERY_RECEIPT): Kind.RECEIPT,
    int(EsmClass.INTERMEDIATE_NOTIFICATION): Kind.RECEIPT,
}
# 3.4, appendix B: "id:IIIIIIIIII sub:SSS dlvrd:DDD submit date:… done date:… stat:DDDDDDD err:E text:…"; in
# the field any case, any order, missing parts, spaces behind the colon.
_FIELD = re.compile(r"\b(id|stat|err)\s*:\s*([^\s:]+)", re.IGNORECASE)
_STATES = {
    "ENROUTE": MessageState.ENROUTE,
    "DELIVRD": MessageState.DELIVERED,
    "EXPIRED": MessageState.EXPIRED,
    "DELETED": MessageState.DELETED,
    "UNDELIV": MessageState.UNDELIVERABLE,
    "ACCEPTD": MessageState.ACCEPTED,
    "UNKNOWN": MessageState.UNKNOWN,
    "REJECTD": MessageState.REJECTED,
}


def kind_of(pdu: Sm | DataSm) -> Kind:
    """By esm_class and nothing else."""
    return _TYPES.get(pdu.esm_class & _MESSAGE_TYPE, Kind.OTHER)


def parse(pdu: Sm | DataSm) -> Receipt | None:
    """What a receipt says, by its TLVs, then by its text; None when it names no message."""
    fields = _scan(pdu)
    message_id = _c_octets(pdu.tlv(Tlv.RECEIPTED_MESSAGE_ID)) or fields.get("id", "")
    if not message_id:
        return None
    state = pdu.tlv(Tlv.MESSAGE_STATE)
    error = pdu.tlv(Tlv.NETWORK_ERROR_CODE)
    return Receipt(
        message_id,
        _state(state[0]) if state else _STATES.get(fields.get("stat", "").upper()[:7], MessageState.UNKNOWN),
        error.hex() if error else fields.get("err", ""),
    )


def same_message_id(ours: str, theirs: str) -> bool:
    """Whether two ids name one message.

    SMSCs answer submit_sm in hex and write receipts in decimal, or pad with zeros, or change the case. So
    "10" and "16" are the same; among several candidates prefer the one that is equal as written.
    """
    return bool(ours and theirs) and not _forms(ours).isdisjoint(_forms(theirs))


def _forms(message_id: str) -> set[str]:
    text = message_id.strip().lower().lstrip("0") or "0"
    forms = {text}
    if re.fullmatch(r"[0-9a-f]{1,16}", text):
        forms.add(f"#{int(text, 16)}")
    if re.fullmatch(r"[0-9]{1,20}", text):
        forms.add(f"#{int(text)}")
    return forms


def _scan(pdu: Sm | DataSm) -> dict[str, str]:
    octets = pdu.short_message if isinstance(pdu, Sm) else b""
    text = (octets or pdu.tlv(Tlv.MESSAGE_PAYLOAD) or b"").decode("latin-1")
    head = re.split(r"\btext\s*:", text, maxsplit=1, flags=re.IGNORECASE)[0]  # behind it stands our own text
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(head):
        fields.setdefault(name.lower(), value)
    return fields


def _c_octets(value: bytes | None) -> str:
    return (value or b"").split(b"\0", 1)[0].decode("latin-1")


def _state(number: int) -> MessageState:
    try:
        return MessageState(number)
    except ValueError:
        return MessageState.UNKNOWN
