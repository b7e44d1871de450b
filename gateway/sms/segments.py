"""An answer cut into the parts that SMSCs and phones take.

Invariants: each part decodes by itself and the parts join to the text; no cut goes through a surrogate
pair, an escape pair or, as long as one fits into a part, a grapheme cluster (an emoji with its skin tone, a
letter with its accents). A text that fits into one message is one, without header. Called by the links for
every answer.
"""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

import regex  # type: ignore[import-untyped] # it ships no types

from gateway.smpp.constants import DataCoding, EsmClass, Tlv
from gateway.smpp.pdu import Tlvs
from gateway.sms.alphabets import GSM_ALPHABETS, Alphabet, encode, is_gsm, septets, spare_bits

# 3GPP TS 23.040, 9.2.3.24: a message has 140 octets of user data, its header among them.
OCTETS = 140
MAX_PARTS = 255
MAX_PAYLOAD = 0xFFFF  # octets of a TLV (3.4, 3.2.4.1)
_GRAPHEME = regex.compile(r"\X")


class Method(Enum):
    """How the parts of a long text are told. The values are those of the configuration."""

    UDH_8 = "udh-8"  # a user data header with an 8-bit reference, which every SMSC and phone knows
    UDH_16 = "udh-16"
    SAR = "sar"  # TLVs, from which the SMSC makes the header
    PAYLOAD = "payload"  # the whole text in message_payload, to be cut by the SMSC


# With SAR the header is the SMSC's, of the longer kind at worst, since sar_msg_ref_num has 16 bits.
_HEADER_OCTETS = {Method.UDH_8: 6, Method.UDH_16: 7, Method.SAR: 7}


class Part(NamedTuple):
    """The fields of a submit_sm or deliver_sm that depend on the text."""

    esm_class: int
    data_coding: int
    short_message: bytes
    tlvs: Tlvs = ()


class Style(NamedTuple):
    """How texts leave to one SMSC: `default` is what data_coding 0 means there."""

    default: Alphabet = Alphabet.GSM
    method: Method = Method.UDH_8

    @property
    def without_tlvs(self) -> "Style":
        """For SMPP 3.3, which has none."""
        return self._replace(method=Method.UDH_8) if self.method in _BY_TLVS else self


_BY_TLVS = frozenset({Method.SAR, Method.PAYLOAD})


class _Measure(NamedTuple):
    """`length` of a text in units of which a message without header takes `single`, a part `part`."""

    length: Callable[[str], int]
    single: int
    part: int


def segment(text: str, reference: int, style: Style) -> tuple[Part, ...]:
    """The parts of `text`; `reference` is taken modulo what the method has room for.

    A text goes with data_coding 0 when the SMSC's default alphabet has all of its characters and the phone
    will get them in GSM's (see `_fits`), everything else as UCS2. Raises ValueError beyond 255 parts.
    """
    if _fits(text, style.default):
        alphabet, coding = style.default, int(DataCoding.DEFAULT)
    else:
        alphabet, coding = Alphabet.UCS2, int(DataCoding.UCS2)
    header_octets = _HEADER_OCTETS.get(style.method, 0)
    measure = _measure(alphabet, header_octets)
    if measure.length(text) <= measure.single:
        return (Part(0, coding, encode(text, alphabet)),)
    if style.method is Method.PAYLOAD:
        payload = encode(text, alphabet)
        if len(payload) > MAX_PAYLOAD:
            raise ValueError(f"a text of {len(payload)} octets; at most {MAX_PAYLOAD}")
        return (Part(0, coding, b"", ((int(Tlv.MESSAGE_PAYLOAD), payload),)),)
    pieces = _cut(text, measure, header_octets if alphabet is Alphabet.GSM_PACKED else None)
    if len(pieces) > MAX_PARTS:
        raise ValueError(f"a text of {len(pieces)} parts; at most {MAX_PARTS}")
    return tuple(
        _part(piece, alphabet, coding, style.method, (reference, len(pieces), index))
        for index, piece in enumerate(pieces, start=1)
    )


def _part(piece: str, alphabet: Alphabet, coding: int, method: Method, place: tuple[int, int, int]) -> Part:
    reference, total, index = place
    if method is Method.SAR:  # the SMSC puts its header before octets that stand for themselves
        tlvs = (
            (int(Tlv.SAR_MSG_REF_NUM), (reference & 0xFFFF).to_bytes(2, "big")),
            (int(Tlv.SAR_TOTAL_SEGMENTS), bytes((total,))),
            (int(Tlv.SAR_SEGMENT_SEQNUM), bytes((index,))),
        )
        return Part(0, coding, encode(piece, alphabet), tlvs)
    if method is Method.UDH_16:
        header = bytes((6, 8, 4, reference >> 8 & 0xFF, reference & 0xFF, total, index))
    else:
        header = bytes((5, 0, 3, reference & 0xFF, total, index))
    return Part(int(EsmClass.UDHI), coding, header + encode(piece, alphabet, len(header)))


def _measure(alphabet: Alphabet, header_octets: int) -> _Measure:
    """What counts, and how much of it there is room for.

    GSM's own alphabets and those that an SMSC turns into it become septets on the air. Of GBK and UTF-8 it is
    the SMSC's matter what they become: their octets are counted.
    """
    room = OCTETS - header_octets
    if alphabet is Alphabet.UCS2:
        return _Measure(_utf16_units, OCTETS // 2, room // 2)
    if alphabet in _AS_OCTETS:
        return _Measure(lambda text: len(text.encode(alphabet.value)), OCTETS, room)
    return _Measure(septets, OCTETS * 8 // 7, room * 8 // 7)


_AS_OCTETS = frozenset({Alphabet.GBK, Alphabet.UTF8})


def _fits(text: str, default: Alphabet) -> bool:
    """Whether data_coding 0 carries the text from us to the SMSC and, as far as we know, on to the phone."""
    if default is Alphabet.UCS2:
        return False
    if default not in _AS_OCTETS and not is_gsm(text):
        return False
    if default in GSM_ALPHABETS:
        return True
    try:
        encode(text, default)
    except UnicodeEncodeError:
        return False
    return True


def _cut(text: str, measure: _Measure, packed_header: int | None) -> list[str]:
    """Greedily, cluster by cluster; a cluster longer than a part is cut between its characters.

    `packed_header`: the header's length where septets are packed. A part that others follow must not leave
    room for a septet at its end, which the phone would show.
    """
    length, room = measure.length, measure.part
    pieces: list[str] = []
    piece: list[str] = []
    used = 0
    for cluster in _GRAPHEME.findall(text):
        for unit in (cluster,) if length(cluster) <= room else cluster:
            needed = length(unit)
            if used + needed > room:
                left: list[str] = []
                while packed_header is not None and spare_bits(used, packed_header) == 7:
                    left.insert(0, piece.pop())
                    used -= length(left[0])
                pieces.append("".join(piece))
                piece, used = left, sum(map(length, left))
            piece.append(unit)
            used += needed
    return [*pieces, "".join(piece)]


def _utf16_units(text: str) -> int:
    return len(text) + sum(char > "\uffff" for char in text)
