"""Octets of a short message to text and back, for every data_coding a subscriber's text comes in.

GSM text is unpacked, one septet to an octet, as SMPP carries it. Decoding is total: what no alphabet
explains becomes U+FFFD, never an exception, for a text comes from a stranger. Called with each incoming
message and by `segments`.
"""

import codecs
import re
from enum import Enum

# 3GPP TS 23.038, 6.2.1: the default alphabet, in the order of its codes; 0x1B is the escape to the
# extension table.
GSM_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# 6.2.1.1: character -> the basic character whose code follows the escape.
GSM_EXTENSION = {
    "\f": "\n",
    "^": "Λ",
    "{": "(",
    "}": ")",
    "\\": "/",
    "[": "<",
    "~": "=",
    "]": ">",
    "|": "¡",
    "€": "e",
}
_ESCAPE = "\x1b"
_GSM_DECODING = GSM_BASIC + "\ufffe" * 128  # U+FFFE: no character has this code
_GSM_ENCODING = codecs.charmap_build(_GSM_DECODING)
_ESCAPED = str.maketrans({char: _ESCAPE + base for char, base in GSM_EXTENSION.items()})
_UNESCAPED = {base: char for char, base in GSM_EXTENSION.items()} | {_ESCAPE: " "}
_ESCAPE_PAIR = re.compile(_ESCAPE + "(.?)", re.DOTALL)


class Alphabet(Enum):
    """What data_coding 0 may mean at an SMSC; UCS2 besides. The values are those of the configuration."""

    GSM = "gsm"
    ASCII = "ascii"
    LATIN1 = "latin-1"
    UCS2 = "ucs2"


def decode(data: bytes, data_coding: int, default: Alphabet = Alphabet.GSM) -> str:
    """The text in `data`, a header removed; `default` is what data_coding 0 means at this SMSC."""
    if data_coding == 0:
        return decode_alphabet(data, default)
    if data_coding == 8:
        return _decode_ucs2(data)
    codec = _PYTHON_CODECS.get(data_coding)
    if codec is not None:
        return data.decode(codec, "replace")
    return decode_alphabet(data, _alphabet_of_gsm_dcs(data_coding))


def decode_alphabet(data: bytes, alphabet: Alphabet) -> str:
    """Total, like `decode`."""
    if alphabet is Alphabet.GSM:
        return _decode_gsm(data)
    if alphabet is Alphabet.UCS2:
        return _decode_ucs2(data)
    return data.decode(alphabet.value, "replace")


def encode(text: str, alphabet: Alphabet) -> bytes:
    """Raises UnicodeEncodeError for what the alphabet has not; UCS2 (UTF-16, big-endian) has everything."""
    if alphabet is Alphabet.GSM:
        escape = text.find(_ESCAPE)
        if escape >= 0:  # it would make a character of its neighbour
            raise UnicodeEncodeError("gsm", text, escape, escape + 1, "the escape is no character")
        return codecs.charmap_encode(text.translate(_ESCAPED), "strict", _GSM_ENCODING)[0]
    if alphabet is Alphabet.UCS2:
        return text.encode("utf-16-be", "replace")  # replaces lone surrogates, which are no characters
    return text.encode(alphabet.value)


def is_gsm(text: str) -> bool:
    """Whether every character is in the GSM default alphabet or its extension."""
    return _GSM_CHARACTERS.issuperset(text)


def septets(text: str) -> int:
    """The length of GSM text: two for a character of the extension table."""
    return len(text.translate(_ESCAPED))


_GSM_CHARACTERS = frozenset(GSM_BASIC.replace(_ESCAPE, "")) | frozenset(GSM_EXTENSION)

# 3.4, 5.2.19. Octets of no stated alphabet (2, 4) are read as Latin-1: it is the only reading that fails
# for no octet.
_PYTHON_CODECS = {
    1: "ascii",
    2: "latin-1",
    3: "latin-1",
    4: "latin-1",
    5: "shift_jis",
    6: "iso8859-5",
    7: "iso8859-8",
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


def _decode_gsm(data: bytes) -> str:
    text = codecs.charmap_decode(data, "replace", _GSM_DECODING)[0]
    if _ESCAPE not in text:
        return text
    # 6.2.1: an escape that no table explains shows the basic character; a doubled or last one shows a space.
    return _ESCAPE_PAIR.sub(lambda pair: _UNESCAPED.get(pair[1], pair[1]) if pair[1] else " ", text)


def _decode_ucs2(data: bytes) -> str:
    if data[:2] == b"\xff\xfe":
        return data[2:].decode("utf-16-le", "replace")
    if data[:2] == b"\xfe\xff":
        data = data[2:]
    return data.decode("utf-16-be", "replace")
