"""What an incoming message holds: its octets without header, what the header says of them, and its place
among the parts of a long message.

Three ways of sending a long message are read: a user data header with an 8- or 16-bit reference anywhere in
it (3GPP TS 23.040, 9.2.3.24), the SAR TLVs, and message_payload (SMPP 3.4, 5.3.2). Whatever is inconsistent
is ignored, and the message stands for itself. Called with each incoming message before its octets become
text.
"""

from dataclasses import dataclass
from typing import NamedTuple

from gateway.smpp.constants import DataCoding, EsmClass, Tlv
from gateway.smpp.pdu import DataSm, Sm
from gateway.sms.alphabets import GSM_TABLES, Shifts

_UDHI = int(EsmClass.UDHI)
_UCS2 = int(DataCoding.UCS2)
# 23.040, 9.2.3.24: information element identifiers
_CONCAT_8_BIT, _CONCAT_16_BIT, _SINGLE_SHIFT, _LOCKING_SHIFT = 0x00, 0x08, 0x24, 0x25
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
    """`header`: the user data header that was removed, its length octet included."""

    data: bytes
    concat: Concat | None = None
    shifts: Shifts = GSM_TABLES
    header: bytes = b""

    @property
    def header_length(self) -> int:
        return len(self.header)


def content(pdu: Sm | DataSm) -> Content:
    """The octets of the text, header removed, and the concatenation if there is one."""
    data = pdu.short_message if isinstance(pdu, Sm) else b""
    if pdu.tlvs and not data:
        data = pdu.tlv(_MESSAGE_PAYLOAD) or b""
    what = Content(data)
    if pdu.esm_class & _UDHI and data and not _only_says_so(data, pdu.data_coding):
        what = _behind_header(data)
    if what.concat is None and pdu.tlvs:
        concat = _concat_of_tlvs(pdu)
        return what if concat is None else what._replace(concat=concat)
    return what


def _only_says_so(data: bytes, data_coding: int) -> bool:
    """Some SMSCs set the indicator on everything: a header that ends beyond the text is none, nor is the
    nought before a Latin letter of UCS2.
    """
    return data[0] >= len(data) or (data[0] == 0 and data_coding == _UCS2 and len(data) % 2 == 0)


def _behind_header(data: bytes) -> Content:
    """Walk all information elements; of several of a kind the last counts (23.040, 9.2.3.24)."""
    concat, locking, single = None, 0, 0
    end = data[0] + 1
    header = data[1:end]
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
        elif identifier == _SINGLE_SHIFT and length == 1:
            single = element[0]
        elif identifier == _LOCKING_SHIFT and length == 1:
            locking = element[0]
    return Content(data[end:], concat, Shifts(locking, single), data[:end])


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
