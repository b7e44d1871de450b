"""An answer cut into the parts that SMSCs and phones take.

Invariants: each part decodes by itself and the parts join to the text; no cut goes through a surrogate
pair, an escape pair or, as long as one fits into a part, a grapheme cluster (an emoji with its skin tone, a
letter with its accents). A text that fits into one message is one, without header. Called by the pipeline
for every answer.
"""

from collections.abc import Callable
from typing import NamedTuple

import regex  # type: ignore[import-untyped] # it ships no types

from gateway.smpp.constants import DataCoding, EsmClass
from gateway.smpp.pdu import Tlvs
from gateway.sms.alphabets import Alphabet, encode, is_gsm, septets

# 3GPP TS 23.040, 9.2.3.24: 140 octets of user data; 6 of them are the header of a concatenated part, which
# leaves 134 octets: 153 septets after a fill bit, or 67 UTF-16 units.
GSM_SINGLE, GSM_PART = 160, 153
UCS2_SINGLE, UCS2_PART = 70, 67
MAX_PARTS = 255
_GRAPHEME = regex.compile(r"\X")


class Part(NamedTuple):
    """The fields of a submit_sm or deliver_sm that depend on the text."""

    esm_class: int
    data_coding: int
    short_message: bytes
    tlvs: Tlvs = ()


class Style(NamedTuple):
    """How texts leave to one SMSC: `default` is what data_coding 0 means there."""

    default: Alphabet = Alphabet.GSM


def segment(text: str, reference: int, style: Style) -> tuple[Part, ...]:
    """The parts of `text`; `reference` is taken modulo 256.

    A text within the GSM alphabet goes with data_coding 0 when the SMSC's default alphabet has all of its
    characters (it becomes septets on the air, so septets count), everything else as UCS2. Raises ValueError
    beyond 255 parts.
    """
    if _fits(text, style.default):
        alphabet, coding, single, part = style.default, DataCoding.DEFAULT, GSM_SINGLE, GSM_PART
    else:
        alphabet, coding, single, part = Alphabet.UCS2, DataCoding.UCS2, UCS2_SINGLE, UCS2_PART
    length = septets if coding == DataCoding.DEFAULT else _utf16_units
    if length(text) <= single:
        return (Part(0, int(coding), encode(text, alphabet)),)
    pieces = _cut(text, part, length)
    if len(pieces) > MAX_PARTS:
        raise ValueError(f"a text of {len(pieces)} parts; at most {MAX_PARTS}")
    return tuple(
        Part(
            int(EsmClass.UDHI),
            int(coding),
            bytes((5, 0, 3, reference & 0xFF, len(pieces), index)) + encode(piece, alphabet),
        )
        for index, piece in enumerate(pieces, start=1)
    )


def _fits(text: str, default: Alphabet) -> bool:
    """Whether data_coding 0 carries the text from us to the SMSC and as septets on to the phone."""
    if default is Alphabet.UCS2 or not is_gsm(text):
        return False
    if default is Alphabet.GSM:
        return True
    try:
        encode(text, default)
    except UnicodeEncodeError:
        return False
    return True


def _cut(text: str, room: int, length: Callable[[str], int]) -> list[str]:
    """Greedily, cluster by cluster; a cluster longer than a part is cut between its characters."""
    pieces: list[str] = []
    piece: list[str] = []
    used = 0
    for cluster in _GRAPHEME.findall(text):
        needed = length(cluster)
        for unit in (cluster,) if needed <= room else cluster:
            needed = length(unit)
            if used + needed > room:
                pieces.append("".join(piece))
                piece, used = [], 0
            piece.append(unit)
            used += needed
    return [*pieces, "".join(piece)]


def _utf16_units(text: str) -> int:
    return len(text) + sum(char > "\uffff" for char in text)
