"""PDUs as the load needs them: deliver_sm made in bulk, submit_sm taken apart.

With struct alone, sharing nothing with `gateway.smpp`, which it judges. Pure. Called by `session` and
`conversations`. Sections are those of SMPP 3.4.
"""

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

GENERIC_NACK: Final = 0x80000000
RESP: Final = 0x80000000
BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER = 1, 2, 9
SUBMIT_SM, DELIVER_SM, UNBIND, ENQUIRE_LINK = 4, 5, 6, 0x15
ESME_RINVCMDLEN, ESME_RINVCMDID, ESME_RINVBNDSTS, ESME_RALYBND, ESME_RINVPARAM = 2, 3, 4, 5, 0x0A
MAX_LENGTH: Final = 1 << 17

HEADER: Final = struct.Struct(">4I")
_NUMBER: Final = struct.Struct(">I")
_TLV: Final = struct.Struct(">HH")
_UDHI: Final = 0x40
SAR_MSG_REF_NUM, SAR_TOTAL, SAR_SEQNUM, MESSAGE_PAYLOAD = 0x020C, 0x020E, 0x020F, 0x0424
_CONCATENATED_8, _CONCATENATED_16 = 0, 8  # information elements, 3GPP TS 23.040, 9.2.3.24

_GSM: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_ESCAPED: Final = dict(zip(b"\x0a\x14()/<=>@e", "\f^{}\\[~]|€", strict=True))


class Part(NamedTuple):
    """Of an answer: the `number`th of `total`. An answer in one piece has no key and is 1 of 1."""

    key: tuple[int, int, int] | None
    total: int
    number: int
    data_coding: int
    octets: bytes
    in_payload: bool
    wants_receipt: bool


def pdu(command_id: int, sequence: int, body: bytes = b"", status: int = 0) -> bytes:
    return HEADER.pack(16 + len(body), command_id, status, sequence) + body


def deliveries(
    numbers: Iterable[int], first: int, line: bytes, *, service: str, data_coding: int, ids: int
) -> bytes:
    """A deliver_sm of `line` from each of the numbers, which have equally many digits: so all are of one
    length. Sequence numbers count from `first`. `ids`: but for 0, each has a receipted_message_id
    that no other has, nor any in a run with other `ids` (up to 65,535).
    """
    tail = b"\0\0\1%b\0\0\0\0\0\0\0\0%b\0%b%b" % (
        service.encode(),
        bytes([data_coding]),
        bytes([len(line)]),
        line,
    )
    made = []
    for sequence, number in enumerate(numbers, first):
        tlv = b"\0\x1e\0\x0d%04x%08x\0" % (ids, sequence) if ids else b""
        made.append(b"%b\0\1\1%d%b%b" % (_NUMBER.pack(sequence), number, tail, tlv))
    head = HEADER.pack(12 + len(made[0]), DELIVER_SM, 0, 0)[:12]
    return head + head.join(made)


def address_at(data: bytes, start: int, stop: int) -> int:
    """Where a submit_sm's destination_addr begins; ValueError where it has none. `start`: of its body."""
    service_type = data.index(0, start, min(stop, start + 6))
    source = data.index(0, service_type + 3, min(stop, service_type + 24))
    return source + 3


def part_of(tail: bytes) -> Part:
    """What follows the NUL of destination_addr in a submit_sm; ValueError where it is malformed."""
    if len(tail) < 10:
        raise ValueError("cut off")
    esm_class = tail[0]
    at = tail.index(0, 3, 20) + 1  # schedule_delivery_time
    at = tail.index(0, at, at + 17) + 1  # validity_period
    if len(tail) < at + 5:
        raise ValueError("cut off")
    registered_delivery, _, data_coding, _, length = tail[at : at + 5]
    octets = tail[at + 5 : at + 5 + length]
    if len(octets) < length:
        raise ValueError("sm_length goes beyond the end")
    tlvs = _tlvs(tail, at + 5 + length)
    payload = tlvs.get(MESSAGE_PAYLOAD)
    if payload is not None:
        octets = payload
    key, total, number = None, 1, 1
    if esm_class & _UDHI and octets:
        key, total, number = _concatenation(octets[1 : octets[0] + 1])
        if octets[0] >= len(octets):
            raise ValueError("the user data header goes beyond the end")
        octets = octets[octets[0] + 1 :]
    elif SAR_TOTAL in tlvs:
        key = (2, int.from_bytes(tlvs.get(SAR_MSG_REF_NUM, b"")), tlvs[SAR_TOTAL][0])
        total, number = tlvs[SAR_TOTAL][0], tlvs.get(SAR_SEQNUM, b"\0")[0]
    if not 1 <= number <= total:
        raise ValueError("a part of no message")
    return Part(
        key, total, number, data_coding, octets, payload is not None, bool(registered_delivery & 0x1F)
    )


def _tlvs(tail: bytes, at: int) -> dict[int, bytes]:
    found = {}
    while at < len(tail):
        if len(tail) < at + 4:
            raise ValueError("a parameter is cut off")
        tag, length = _TLV.unpack_from(tail, at)
        found[tag] = tail[at + 4 : at + 4 + length]
        if len(found[tag]) < length:
            raise ValueError("a parameter goes beyond the end")
        at += 4 + length
    return found


def _concatenation(elements: bytes) -> tuple[tuple[int, int, int] | None, int, int]:
    """Key, total and number of a user data header; of a message in one piece without such an element."""
    at = 0
    while len(elements) >= at + 2:
        kind, length = elements[at], elements[at + 1]
        value = elements[at + 2 : at + 2 + length]
        if (kind, len(value)) in ((_CONCATENATED_8, 3), (_CONCATENATED_16, 4)):
            total, number = value[-2:]
            return (1, int.from_bytes(value[:-2]), total), total, number
        at += 2 + length
    return None, 1, 1


def decode(octets: bytes, data_coding: int) -> str:
    """The text; GSM 03.38 with one septet an octet. What cannot be read becomes U+FFFD."""
    if data_coding == 8:
        return octets.decode("utf-16-be", "replace")
    if data_coding in (1, 3):
        return octets.decode("latin-1")
    text, escaped = [], False
    for octet in octets:
        if escaped:
            text.append(_GSM_ESCAPED.get(octet, " "))
        elif octet != 0x1B:
            text.append(_GSM[octet] if octet < 128 else "\ufffd")
        escaped = octet == 0x1B and not escaped
    return "".join(text)
