"""Octets of a short message to text and back, for every data_coding a subscriber's text comes in.

Decoding is total: what no alphabet explains becomes U+FFFD, never an exception, for a text comes from a
stranger. Encoding is strict. Called with each incoming message and by `segments`.
"""

import codecs
import re
from enum import Enum
from functools import cache
from typing import NamedTuple

from gateway.sms.national import GSM_BASIC, GSM_EXTENSION, LOCKING_SHIFT, SINGLE_SHIFT

_ESCAPE = "\x1b"
_NO_CODES = "\ufffe" * 128  # U+FFFE: no character has this code
_GSM_ENCODING = codecs.charmap_build(GSM_BASIC + _NO_CODES)
_ESCAPED = str.maketrans({char: _ESCAPE + GSM_BASIC[code] for code, char in GSM_EXTENSION.items()})
_GSM_CHARACTERS = frozenset(GSM_BASIC.replace(_ESCAPE, "")) | frozenset(GSM_EXTENSION.values())
_ESCAPE_PAIR = re.compile(b"\x1b(.?)", re.DOTALL)


class Alphabet(Enum):
    """What a data_coding may mean at an SMSC. The values are those of the configuration."""

    GSM = "gsm"  # unpacked: one septet to an octet, as SMPP mostly carries it
    GSM_PACKED = "gsm-packed"  # eight septets in seven octets (3GPP TS 23.038, 6.1.2.1)
    ASCII = "ascii"
    LATIN1 = "latin-1"
    UCS2 = "ucs2"
    GBK = "gbk"
    UTF8 = "utf-8"


GSM_ALPHABETS = frozenset({Alphabet.GSM, Alphabet.GSM_PACKED})


class Codings(NamedTuple):
    """What data_coding means at one peer: 0 is `default`, `others` come before the specification's."""

    default: Alphabet = Alphabet.GSM
    others: tuple[tuple[int, Alphabet], ...] = ()

    def of(self, data_coding: int) -> Alphabet | str:
        """An alphabet, or the name of one of Python's codecs."""
        for value, alphabet in self.others:
            if value == data_coding:
                return alphabet
        if data_coding == 0:
            return self.default
        known = _KNOWN.get(data_coding) or _alphabet_of_gsm_dcs(data_coding)
        # An SMSC that packs packs all that is GSM, whatever else data_coding says of the message.
        return self.default if known is Alphabet.GSM and self.default is Alphabet.GSM_PACKED else known


class Shifts(NamedTuple):
    """The national language tables of a GSM text, by identifier; 0 is GSM's own (23.038, 6.2.1.2)."""

    locking: int = 0
    single: int = 0


GSM_TABLES = Shifts()


def decode(data: bytes, alphabet: Alphabet | str, shifts: Shifts = GSM_TABLES) -> str:
    """The text in `data`, a header removed and septets unpacked."""
    if alphabet is Alphabet.GSM or alphabet is Alphabet.GSM_PACKED:
        return _decode_gsm(data, shifts)
    if alphabet is Alphabet.UCS2:
        return _decode_ucs2(data)
    return data.decode(alphabet if isinstance(alphabet, str) else alphabet.value, "replace")


def encode(text: str, alphabet: Alphabet, header_length: int = 0) -> bytes:
    """Raises UnicodeEncodeError for what the alphabet has not; UCS2 (UTF-16, big-endian) has everything.

    `header_length`: of the user data header that goes before, on which the place of packed septets depends.
    """
    if alphabet in GSM_ALPHABETS:
        escape = text.find(_ESCAPE)
        if escape >= 0:  # it would make a character of its neighbour
            raise UnicodeEncodeError("gsm", text, escape, escape + 1, "the escape is no character")
        septets_ = codecs.charmap_encode(text.translate(_ESCAPED), "strict", _GSM_ENCODING)[0]
        return pack(septets_, header_length) if alphabet is Alphabet.GSM_PACKED else septets_
    if alphabet is Alphabet.UCS2:
        return text.encode("utf-16-be", "replace")  # replaces lone surrogates, which are no characters
    return text.encode(alphabet.value)


def is_gsm(text: str) -> bool:
    """Whether every character is in the GSM default alphabet or its extension."""
    return _GSM_CHARACTERS.issuperset(text)


def septets(text: str) -> int:
    """The length of GSM text: two for a character of the extension table."""
    return len(text.translate(_ESCAPED))


def pack(data: bytes, header_length: int = 0) -> bytes:
    """Septets into octets, the first bit of the first behind the fill bits that a header needs (3GPP TS
    23.040, 9.2.3.24). Seven spare bits at the end are a carriage return, which is seen nowhere, since the
    receiver counts them as a septet (6.1.2.3.1).
    """
    if spare_bits(len(data), header_length) == 7:
        data += b"\r"
    bits = 0
    for septet in reversed(data):
        bits = bits << 7 | septet
    fill = _fill_bits(header_length)
    return (bits << fill).to_bytes((fill + 7 * len(data) + 7) // 8, "little")


def unpack(data: bytes, header_length: int = 0) -> bytes:
    """All septets in the octets behind a header; what is meant as padding is not told apart (`padded`)."""
    fill = _fill_bits(header_length)
    bits = int.from_bytes(data, "little") >> fill
    count = max(0, 8 * len(data) - fill) // 7
    return bytes([bits >> 7 * index & 0x7F for index in range(count)])


def padded(packed: bytes, header_length: int = 0) -> bool:
    """Whether the last septet is more likely padding than text: it ends with an octet and is a carriage
    return or nought, which would be @.
    """
    fill = _fill_bits(header_length)
    return len(packed) > 1 and (8 * len(packed) - fill) % 7 == 0 and packed[-1] >> 1 in (0x00, 0x0D)


def spare_bits(count: int, header_length: int) -> int:
    """How many bits of the last octet so many septets leave free."""
    return -(_fill_bits(header_length) + 7 * count) % 8


def _fill_bits(header_length: int) -> int:
    """Between a header and the next septet boundary."""
    return -8 * header_length % 7


# 3.4, 5.2.19. Octets of no stated alphabet (2, 4) are read as Latin-1: it is the only reading that fails
# for no octet.
_KNOWN: dict[int, Alphabet | str] = {
    1: Alphabet.ASCII,
    2: Alphabet.LATIN1,
    3: Alphabet.LATIN1,
    4: Alphabet.LATIN1,
    5: "shift_jis",
    6: "iso8859-5",
    7: "iso8859-8",
    8: Alphabet.UCS2,
    10: "iso2022_jp",
    13: "euc_jp",
    14: "euc_kr",
}


def _alphabet_of_gsm_dcs(data_coding: int) -> Alphabet:
    """Values that SMPP reserves or lends to GSM: the coding groups of 3GPP TS 23.038, chapter 4."""
    group = data_coding >> 4
    if group == 0xF:  # data coding and message class: bit 2 says 8-bit data
        return Alphabet.LATIN1 if data_coding & 0x04 else Alphabet.GSM
    if group == 0xE:  # message waiting, stored, UCS2
        return Alphabet.UCS2
    if group in (0xC, 0xD):  # message waiting, default alphabet
        return Alphabet.GSM
    return (Alphabet.GSM, Alphabet.LATIN1, Alphabet.UCS2, Alphabet.GSM)[data_coding >> 2 & 3]


def _decode_gsm(data: bytes, shifts: Shifts) -> str:
    table, extension = _tables(shifts)
    if b"\x1b" not in data:
        return codecs.charmap_decode(data, "replace", table)[0]
    text = []
    for index, piece in enumerate(_ESCAPE_PAIR.split(data)):  # text, escaped code, text, …
        if index % 2 == 0:
            text.append(codecs.charmap_decode(piece, "replace", table)[0])
        else:
            # 6.2.1.1: a code without a character there shows that of the main table; an escape behind the
            # escape, or none, a space.
            text.append(extension.get(piece) or codecs.charmap_decode(piece, "replace", table)[0])
    return "".join(text)


@cache
def _tables(shifts: Shifts) -> tuple[str, dict[bytes, str]]:
    """Main table, and the characters behind the escape. An unknown language is GSM's own (6.2.1.2.4)."""
    table = LOCKING_SHIFT.get(shifts.locking, GSM_BASIC)
    extension = SINGLE_SHIFT.get(shifts.single, GSM_EXTENSION)
    return table + _NO_CODES, {b"": " ", b"\x1b": " "} | {
        bytes((code,)): char for code, char in extension.items()
    }


def _decode_ucs2(data: bytes) -> str:
    if data[:2] == b"\xff\xfe":
        return data[2:].decode("utf-16-le", "replace")
    if data[:2] == b"\xfe\xff":
        data = data[2:]
    return data.decode("utf-16-be", "replace")
