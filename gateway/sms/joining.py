"""The text of a message from its octets, or from those of all its parts in order.

Parts of one alphabet are joined before they are decoded, so that a character which a careless sender cut in
two is whole again; those of different alphabets are decoded each by itself. Called by the intake.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from gateway.sms.alphabets import Alphabet, Codings, Shifts, decode, padded, unpack

# 3GPP TS 23.040, 9.2.3.24: 140, less a header of seven that is not there yet where SAR TLVs tell the parts.
_FULL_OCTETS = 133
_BYTE_ORDER_MARKS = (b"\xfe\xff", b"\xff\xfe")


class Piece(NamedTuple):
    """One message, or a part of it: its octets without header, and all that says what they mean."""

    data: bytes
    data_coding: int
    shifts: Shifts
    header_length: int

    def sealable(self) -> bytes:
        """The piece as octets, to be kept until the others come."""
        return bytes((self.data_coding & 0xFF, *self.shifts, min(self.header_length, 0xFF))) + self.data

    @classmethod
    def of(cls, kept: bytes) -> "Piece":
        data_coding, locking, single, header_length = kept[:4]
        return cls(kept[4:], data_coding, Shifts(locking, single), header_length)


def text_of(pieces: Sequence[Piece], codings: Codings) -> str:
    """Total, like `decode`."""
    if len(pieces) == 1:
        (piece,) = pieces
        alphabet = codings.of(piece.data_coding)
        return decode(_octets(piece, alphabet, last=True), alphabet, piece.shifts)
    octets = []
    for index, piece in enumerate(pieces, start=1):
        alphabet = codings.of(piece.data_coding)
        octets.append((alphabet, piece.shifts, _octets(piece, alphabet, last=index == len(pieces))))
    return "".join(
        decode(_joined(alphabet, [data for _, _, data in run]), alphabet, shifts)
        for (alphabet, shifts), run in groupby(octets, key=lambda part: part[:2])
    )


def _octets(piece: Piece, alphabet: Alphabet | str, *, last: bool) -> bytes:
    if alphabet is not Alphabet.GSM_PACKED:
        return piece.data
    septets = unpack(piece.data, piece.header_length)
    # A part that others follow is mostly full, and then what it ends in is text.
    full = piece.header_length + len(piece.data) >= _FULL_OCTETS
    return septets[:-1] if padded(piece.data, piece.header_length) and (last or not full) else septets


def _joined(alphabet: Alphabet | str, run: list[bytes]) -> bytes:
    """The byte order mark, where each part has one, counts once."""
    mark = run[0][:2]
    if alphabet is Alphabet.UCS2 and mark in _BYTE_ORDER_MARKS:
        return mark + b"".join(data.removeprefix(mark) for data in run)
    return b"".join(run)
