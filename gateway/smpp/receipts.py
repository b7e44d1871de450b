"""Which deliver_sm is a subscriber's message, and what a delivery receipt says of a message of ours.

esm_class alone decides what a message is (3.4, 5.2.12): a subscriber may type "id: stat:" and some SMSCs'
receipts read like anything. `kind_of` is called for every message before its text is looked at, the rest by
the flow's `deliveries`. Invariants: any octets are read or not read, nothing raises; a state only moves
forward (`FOLLOWS`).
"""

import re
from collections.abc import Iterator, Sequence
from enum import Enum, IntEnum
from itertools import zip_longest
from typing import NamedTuple

from gateway.smpp.constants import EsmClass, Tlv
from gateway.smpp.pdu import DataSm, Sm

_MESSAGE_TYPE = int(EsmClass.MESSAGE_TYPE)
_UDHI = int(EsmClass.UDHI)


class Kind(Enum):
    QUERY = "query"  # a subscriber's message
    RECEIPT = "receipt"  # of the SMSC: what became of a message of ours
    OTHER = "other"  # acknowledgements of the handset or its user, aborted conversations, reserved types


class MessageState(IntEnum):
    """3.4, 5.2.28; SCHEDULED and SKIPPED are 5.0's (4.7.15)."""

    SCHEDULED = 0
    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8
    SKIPPED = 9


#: After these nothing follows.
FINAL = frozenset(
    {
        MessageState.DELIVERED,
        MessageState.EXPIRED,
        MessageState.DELETED,
        MessageState.UNDELIVERABLE,
        MessageState.REJECTED,
        MessageState.SKIPPED,
    }
)
# 5.0 calls ACCEPTED and UNKNOWN final. In the field ACCEPTD is what an SMSC says while it still tries, and
# who did not know may know later: both yield to an end.
_RANK: dict[MessageState | None, int] = {
    None: 0,
    MessageState.SCHEDULED: 1,
    MessageState.ENROUTE: 2,
    MessageState.ACCEPTED: 3,
    MessageState.UNKNOWN: 4,
    **dict.fromkeys(FINAL, 5),
}
#: The states that each state may follow; None: accepted, and nothing heard since.
FOLLOWS: dict[MessageState, frozenset[MessageState | None]] = {
    state: frozenset(before for before, rank in _RANK.items() if rank < _RANK[state])
    for state in MessageState
}


class Receipt(NamedTuple):
    """`message_ids` as the SMSC wrote them, the TLV's before the text's: some write one in hex and one in
    decimal. `state` None: it does not say. `error`: `err` as written, or network_error_code as
    `type/code`; or empty.
    """

    message_ids: tuple[str, ...]
    state: MessageState | None
    error: str


_TYPES = {
    0: Kind.QUERY,
    int(EsmClass.DELIVERY_RECEIPT): Kind.RECEIPT,
    int(EsmClass.INTERMEDIATE_NOTIFICATION): Kind.RECEIPT,
}
# 3.4, appendix B; read at once where it is just so, which is twenty times as fast.
_APPENDIX_B = re.compile(
    r"id:(?P<id>[^\s:=,;|]+) sub:[0-9]+ dlvrd:[0-9]+ submit date:[0-9]+ done date:[0-9]+"
    r" stat:(?P<stat>[A-Z]+) err:(?P<err>[0-9A-Za-z]+) [Tt]ext:"
)
# In the field: any case, any order, missing parts, `=`, other separators or none. A value ends where the next
# name begins. No name stands behind a letter ("paid:") or a colon ("stat:ID:0012", see `_CODE`).
_NAME = re.compile(
    r"(?<![a-z:=])(?:(?:message|msg|smsc)[ _-]?)?"
    r"(id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat|err|text)(?:us|e|or)?\s*[:=]",
    re.IGNORECASE,
)
_VALUE = re.compile(r"[\s,;|\"'<\[{(]*([^\s,;|\"'>\]})]*)")
_LONGEST = 1024  # octets that are looked at: appendix B's fields take about 120
_ERROR = re.compile(r"[0-9A-Za-z:/_.-]{1,16}")
# What gateways of CMPP put into `stat` for a failure: whose it is and its number, "MK:0012".
_CODE = re.compile(r"[A-Z]{2}:[0-9]{1,4}")
#: By their first letters, since each is written in several ways (DELIVRD, DELIVERED, DELIVERD).
_WORDS = {
    "DELIV": MessageState.DELIVERED,
    "EXPIR": MessageState.EXPIRED,
    "DELET": MessageState.DELETED,
    "UNDEL": MessageState.UNDELIVERABLE,
    "FAIL": MessageState.UNDELIVERABLE,
    "ACCEP": MessageState.ACCEPTED,
    "UNKN": MessageState.UNKNOWN,
    "REJEC": MessageState.REJECTED,
    "EN": MessageState.ENROUTE,
    "BUFF": MessageState.ENROUTE,
    "SCHED": MessageState.SCHEDULED,
    "SKIP": MessageState.SKIPPED,
}
_STATES = {int(state): state for state in MessageState}


def kind_of(pdu: Sm | DataSm) -> Kind:
    """By esm_class and nothing else."""
    return _TYPES.get(pdu.esm_class & _MESSAGE_TYPE, Kind.OTHER)


def parse(pdu: Sm | DataSm) -> Receipt | None:
    """What a receipt says, by its TLVs, then by its text; None when it names no message."""
    fields = _scan(pdu)
    named = (_c_octets(pdu.tlv(Tlv.RECEIPTED_MESSAGE_ID)), fields.get("id", ""))
    message_ids = tuple(dict.fromkeys(message_id for message_id in named if message_id))
    if not message_ids:
        return None
    stat = fields.get("stat", "").upper()
    state = _STATES.get(int.from_bytes(pdu.tlv(Tlv.MESSAGE_STATE) or b"\xff", "big"), _state(stat))
    if state is not None and pdu.esm_class & _MESSAGE_TYPE == EsmClass.INTERMEDIATE_NOTIFICATION:
        # It ends nothing, whatever it says: the SMSC goes on trying (3.4, 2.11).
        state = state if state not in FINAL and state is not MessageState.UNKNOWN else MessageState.ENROUTE
    return Receipt(message_ids, state, _error(pdu, fields.get("err", ""), stat))


def canonical(message_id: str) -> str:
    """The one form of an id under which it is kept: case, leading zeros and a 0x say nothing."""
    return message_id.strip().lower().removeprefix("0x").lstrip("0") or "0"


def candidates(message_ids: Sequence[str]) -> Iterator[str]:
    """The canonical forms to look for, best first: as written; then the answer to submit_sm had it in hex
    and the receipt in decimal; then the other way round. Nearly always the first is found.
    """
    written = [canonical(message_id) for message_id in message_ids]
    yield from written
    yield from (f"{int(text):x}" for text in written if re.fullmatch("[0-9]{1,20}", text))
    yield from (str(int(text, 16)) for text in written if re.fullmatch("[0-9a-f]{1,16}", text))


def _scan(pdu: Sm | DataSm) -> dict[str, str]:
    """The fields of the text up to `text:`, behind which stands our own; the first of each name counts."""
    octets = (pdu.short_message if isinstance(pdu, Sm) else b"") or pdu.tlv(Tlv.MESSAGE_PAYLOAD) or b""
    if pdu.esm_class & _UDHI and octets:
        octets = octets[octets[0] + 1 :]
    # A receipt in UCS2, however its data_coding calls it, is ASCII with a NUL before each letter.
    text = octets[:_LONGEST].replace(b"\0", b"").decode("latin-1")
    usual = _APPENDIX_B.match(text)
    if usual is not None:
        return usual.groupdict()
    fields: dict[str, str] = {}
    names = list(_NAME.finditer(text))
    for name, following in zip_longest(names, names[1:]):
        if name[1].lower() == "text":
            break
        value = _VALUE.match(text, name.end(), following.start() if following else len(text))
        fields.setdefault(name[1].lower(), value[1] if value else "")
    return fields


def _state(stat: str) -> MessageState | None:
    if len(stat) == 1 and stat.isdigit() and stat.isascii():
        return MessageState(int(stat))
    if _CODE.match(stat):
        return MessageState.UNDELIVERABLE
    for word, state in _WORDS.items():
        if stat.startswith(word):
            return state
    return None


def _error(pdu: Sm | DataSm, err: str, stat: str) -> str:
    octets = pdu.tlv(Tlv.NETWORK_ERROR_CODE)
    if octets is not None and len(octets) == 3:  # network type, error code (3.4, 5.3.2.31)
        return f"{octets[0]}/{int.from_bytes(octets[1:], 'big')}"
    code = _CODE.match(stat)
    said = code[0] if code else err
    return said if _ERROR.fullmatch(said) else ""


def _c_octets(value: bytes | None) -> str:
    return (value or b"").split(b"\0", 1)[0].decode("latin-1").strip()
