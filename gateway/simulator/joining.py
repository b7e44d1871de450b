"""Parts of the texts a phone receives: where concatenation is told (UDH, SAR TLVs), and the parts put
together.

A key holds the sender and the receiver, so that equal references of two senders are never mixed. Called by
`smsc`.
"""

from collections import OrderedDict
from typing import NamedTuple

from smpplib import consts

from gateway.simulator import alphabets
from gateway.simulator.pdus import Pdu, PduError

_CONCATENATED_8, _CONCATENATED_16 = 0x00, 0x08  # 3GPP 23.040 sections 9.2.3.24.1 and 9.2.3.24.8
_MAX_UNFINISHED = 10_000


_Place = tuple[tuple[str, int], int, int]  # reference (kind and number), total, position


class Piece(NamedTuple):
    """What one submit_sm brings: a whole text (`reference` None) or one part of a longer one."""

    reference: tuple[str, int] | None
    total: int
    position: int
    text: str


def piece_of(pdu: Pdu, alphabet: str = "gsm") -> Piece:
    """The text and the place of a submit_sm or data_sm among its parts; `alphabet` is that of data_coding 0.
    Raises PduError.
    """
    octets: bytes = getattr(pdu, "short_message", None) or getattr(pdu, "message_payload", None) or b""
    concatenation: _Place | None = None
    end = 0
    if pdu.esm_class & consts.SMPP_GSMFEAT_UDHI:
        end = octets[0] + 1 if octets else 1
        if end > len(octets):
            raise PduError(consts.SMPP_ESME_RINVESMCLASS, "UDHI is set and the UDH does not fit")
        concatenation = _in_udh(octets[1:end])
        octets = octets[end:]
    if concatenation is None and pdu.sar_msg_ref_num is not None:
        concatenation = ("sar", pdu.sar_msg_ref_num), pdu.sar_total_segments or 0, pdu.sar_segment_seqnum or 0
    text = alphabets.decode(octets, pdu.data_coding, alphabet, end)
    if concatenation is None:
        return Piece(None, 1, 1, text)
    reference, total, position = concatenation
    if not 1 <= position <= total:
        raise PduError(consts.SMPP_ESME_RINVMSGLEN, f"part {position} of {total}")
    return Piece(reference, total, position, text)


def _in_udh(elements: bytes) -> _Place | None:
    """Reference, total and position of the concatenation element, wherever it stands in the UDH."""
    at = 0
    while at + 2 <= len(elements):
        identifier, length = elements[at], elements[at + 1]
        value = elements[at + 2 : at + 2 + length]
        if len(value) != length:
            raise PduError(consts.SMPP_ESME_RINVESMCLASS, "an element of the UDH does not fit")
        if identifier == _CONCATENATED_8 and length == 3:
            return ("udh8", value[0]), value[1], value[2]
        if identifier == _CONCATENATED_16 and length == 4:
            return ("udh16", int.from_bytes(value[:2], "big")), value[2], value[3]
        at += 2 + length
    return None


class Unfinished:
    """Texts of which parts are missing; the oldest is forgotten when there are too many."""

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[object, ...], dict[int, str]] = OrderedDict()

    def add(self, source: str, destination: str, piece: Piece) -> tuple[int, str | None]:
        """Put a piece in: how many parts are there now, and the whole text once all are."""
        if piece.reference is None:
            return 1, piece.text
        key = (source, destination, piece.reference, piece.total)
        parts = self._texts.setdefault(key, {})
        parts[piece.position] = piece.text
        if len(parts) == piece.total:
            del self._texts[key]
            return piece.total, "".join(text for _, text in sorted(parts.items()))
        if len(self._texts) > _MAX_UNFINISHED:
            self._texts.popitem(last=False)
        return len(parts), None
