"""The text of a message from its octets, or from those of all its parts in order.

Parts of one alphabet are joined before they are decoded, so that a character which a careless sender cut in
two is whole again; those of different alphabets are decoded each by itself. Called by the intake.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from gateway.sms.alphabets import Alphabet, Shifts, decode, padded, unpack

# 3GPP TS 23.040, 9.2.3.24: 140, less a header of seven that is not there yet where SAR TLVs tell the parts.
_FULL_OCTETS = 133
_BY_NAME: dict[str, Alphabet | str] = {alphabet.value: alphabet for alphabet in Alphabet}
_BYTE_ORDER_MARKS = (b"\xfe\xff", b"\xff\xfe")


class Piece(NamedTuple):
    """One message, or a part of it: its octets without header, and all that says what they mean. `alphabet`
    is that of data_coding at the SMSC by which it came: another part may come by another.
    """

    data: bytes
    alphabet: Alphabet | str
    shifts: Shifts
    header_length: int

    def sealable(self) -> bytes:
        """The piece as octets, to be kept until the others come."""
        name = (self.alphabet if isinstance(self.alphabet, str) else self.alphabet.value).encode("ascii")
        return bytes((*self.shifts, min(self.header_length, 0xFF), len(name))) + name + self.data

    @classmethod
    def of(cls, kept: bytes) -> "Piece":
        locking, single, header_length, length = kept[:4]
        name = kept[4 : 4 + length].decode("ascii")
        return cls(kept[4 + length :], _BY_NAME.get(name, name), Shifts(locking, single), header_length)


def text_of(pieces: Sequence[Piece]) -> str:
    """Total, like `decode`."""
    if len(pieces) == 1:
        (piece,) = pieces
        return decode(_octets(piece, last=True), piece.alphabet, piece.shifts)
    octets = []
    for index, piece in enumerate(pieces, start=1):
        octets.append((piece.alphabet, piece.shifts, _octets(piece, last=index == len(pieces))))
    return "".join(
        decode(_joined(alphabet, [data for _, _, data in run]), alphabet, shifts)
        for (alphabet, shifts), run in groupby(octets, key=lambda part: part[:2])
    )


def _octets(piece: Piece, *, last: bool) -> bytes:
    if piece.alphabet is not Alphabet.GSM_PACKED:
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
