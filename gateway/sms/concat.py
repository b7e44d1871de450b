"""What an incoming message holds: its octets without header, and its place among the parts of a long message.

Three ways of sending a long message are read: a user data header with an 8- or 16-bit reference anywhere in
it (3GPP TS 23.040, 9.2.3.24), the SAR TLVs, and message_payload (SMPP 3.4, 5.3.2). Whatever is inconsistent
is ignored, and the message stands for itself. Called with each incoming message before its octets become
text.
"""

from dataclasses import dataclass
from typing import NamedTuple

from gateway.smpp.constants import EsmClass, Tlv
from gateway.smpp.pdu import DataSm, Sm

_UDHI = int(EsmClass.UDHI)
_CONCAT_8_BIT, _CONCAT_16_BIT = 0x00, 0x08  # information element identifiers
_MESSAGE_PAYLOAD = int(Tlv.MESSAGE_PAYLOAD)


@dataclass(frozen=True, slots=True)
class Concat:
    """One part of `total`; `index` counts from 1. Parts belong together by sender, receiver and these but
    index.

    `width` is 8 or 16, the bits of the reference: the same number in both widths is two references.
    """

    reference: int
    total: int
    index: int
    width: int


class Content(NamedTuple):
    data: bytes
    concat: Concat | None


def content(pdu: Sm | DataSm) -> Content:
    """The octets of the text, header removed, and the concatenation if there is one."""
    data = pdu.short_message if isinstance(pdu, Sm) else b""
    if pdu.tlvs and not data:
        data = pdu.tlv(_MESSAGE_PAYLOAD) or b""
    concat = None
    if pdu.esm_class & _UDHI and data:
        header_end = data[0] + 1
        if header_end <= len(data):  # else no header at all, whatever esm_class says
            concat = _concat_of_header(data[1:header_end])
            data = data[header_end:]
    if concat is None and pdu.tlvs:
        concat = _concat_of_tlvs(pdu)
    return Content(data, concat)


def _concat_of_header(header: bytes) -> Concat | None:
    """Walk all information elements; the last of several concatenations counts (23.040, 9.2.3.24)."""
    concat = None
    offset = 0
    while offset + 2 <= len(header):
        identifier, length = header[offset], header[offset + 1]
        offset += 2
        element = header[offset : offset + length]
        offset += length
        if len(element) != length:
            break
        if identifier == _CONCAT_8_BIT and length == 3:
            concat = _part(element[0], element[1], element[2], 8) or concat
        elif identifier == _CONCAT_16_BIT and length == 4:
            concat = _part(element[0] << 8 | element[1], element[2], element[3], 16) or concat
    return concat


def _concat_of_tlvs(pdu: Sm | DataSm) -> Concat | None:
    reference = pdu.tlv(Tlv.SAR_MSG_REF_NUM)
    total = pdu.tlv(Tlv.SAR_TOTAL_SEGMENTS)
    index = pdu.tlv(Tlv.SAR_SEGMENT_SEQNUM)
    if reference is None or total is None or index is None:
        return None
    if (len(reference), len(total), len(index)) != (2, 1, 1):
        return None
    return _part(int.from_bytes(reference, "big"), total[0], index[0], 16)


def _part(reference: int, total: int, index: int, width: int) -> Concat | None:
    """None for what is to be ignored (23.040, 9.2.3.24.1: no parts, index 0 or beyond), and for 1 of 1."""
    if total > 1 and 1 <= index <= total:
        return Concat(reference, total, index, width)
    return None
