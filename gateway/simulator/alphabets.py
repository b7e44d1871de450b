"""Texts of phones as octets and back, after 3GPP 23.038 (GSM 7-bit default alphabet, unpacked and packed) and
SMPP 3.4 section 5.2.19.

A phone splits between characters, never inside one. Called by `smsc` for the texts phones send and receive,
and by `pdus`.
"""

from typing import NamedTuple

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = {"\f": 10, "^": 20, "{": 40, "}": 41, "\\": 47, "[": 60, "~": 61, "]": 62, "|": 64, "€": 101}
_ESCAPE = 0x1B
_TO_GSM = {character: bytes([code]) for code, character in enumerate(_BASIC) if code != _ESCAPE} | {
    character: bytes([_ESCAPE, code]) for character, code in _EXTENSION.items()
}
_FROM_EXTENSION = {code: character for character, code in _EXTENSION.items()}

GSM, ASCII, BINARY, LATIN_1, UCS2 = 0, 1, 4, 3, 8
_CODECS = {ASCII: "ascii", LATIN_1: "latin-1", UCS2: "utf-16-be"}
# Octets of one short message, and of a part that also carries a UDH of six (3GPP 23.040 section 9.2.3.24.1).
_CAPACITY = {GSM: (160, 153), ASCII: (160, 153), LATIN_1: (140, 134), UCS2: (140, 134)}

# What data_coding 0 may mean at an SMSC: a name of --alphabet, its codec, its capacity.
DEFAULTS = {
    "gsm": (None, _CAPACITY[GSM]),
    "gsm-packed": (None, _CAPACITY[GSM]),
    "ascii": ("ascii", _CAPACITY[ASCII]),
    "latin-1": ("latin-1", _CAPACITY[LATIN_1]),
    "ucs2": ("utf-16-be", _CAPACITY[UCS2]),
    "gbk": ("gbk", (140, 134)),
    "utf-8": ("utf-8", (140, 134)),
}

UDHI = 0x40


class Part(NamedTuple):
    """One short message as it goes into a PDU."""

    esm_class: int
    data_coding: int
    short_message: bytes


def decode(octets: bytes, data_coding: int, default: str = "gsm", udh_length: int = 0) -> str:
    """The text a phone shows for the octets behind a UDH; never raises: what cannot be read is U+FFFD, binary
    data is hex. `default` is what data_coding 0 means.
    """
    alphabet = _alphabet(data_coding)
    if alphabet == GSM:
        codec = DEFAULTS[default][0]
        if codec is not None and data_coding == 0:
            return octets.decode(codec, errors="replace")
        return _decode_gsm(_unpacked(octets, udh_length) if default == "gsm-packed" else octets)
    if alphabet == BINARY:
        return octets.hex(" ")
    return octets.decode(_CODECS[alphabet], errors="replace")


def _alphabet(data_coding: int) -> int:
    """The alphabet of a data_coding, the message classes of 3GPP 23.038 section 4 included."""
    if data_coding in _CODECS or data_coding == GSM:
        return data_coding
    if 0x10 <= data_coding < 0x40:
        return (GSM, BINARY, UCS2, BINARY)[data_coding >> 2 & 3]
    if data_coding >= 0xF0:
        return BINARY if data_coding & 4 else GSM
    return BINARY


def _decode_gsm(octets: bytes) -> str:
    characters = []
    escaped = False
    for octet in octets:
        if escaped:
            characters.append(_FROM_EXTENSION.get(octet, "\ufffd"))
            escaped = False
        elif octet == _ESCAPE:
            escaped = True
        else:
            characters.append(_BASIC[octet] if octet < len(_BASIC) else "\ufffd")
    return "".join(characters) + ("\ufffd" if escaped else "")


def _unpacked(octets: bytes, udh_length: int) -> bytes:
    """The septets behind a UDH, which ends with fill bits up to the next septet (23.040 section 9.2.3.24). An
    SMSC counts as many as there is room for; a carriage return in the last place is padding.
    """
    bits = "".join(f"{octet:08b}"[::-1] for octet in octets)[-8 * udh_length % 7 :]
    septets = bytes(int(bits[at : at + 7][::-1], 2) for at in range(0, len(bits) - 6, 7))
    return septets.removesuffix(b"\r") if len(bits) % 7 == 0 else septets


def _packed(septets: bytes, udh_length: int) -> bytes:
    bits = "0" * (-8 * udh_length % 7) + "".join(f"{septet:07b}"[::-1] for septet in septets)
    if -len(bits) % 8 == 7:
        bits += f"{13:07b}"[::-1]
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def parts_of(text: str, reference: int, data_coding: int | None = None, default: str = "gsm") -> list[Part]:
    """The short messages a phone sends for a text: as data_coding 0 if all of it fits there, else UCS2, or as
    `data_coding` says.

    `reference` (0 to 255) joins the parts of a long text. Raises ValueError for a text that the alphabet
    cannot express or that needs more than 255 parts.
    """
    if data_coding is None:
        data_coding = GSM if all(_in_default(character, default) for character in text) else UCS2
    single, multiple = DEFAULTS[default][1] if data_coding == GSM else _CAPACITY[data_coding]
    pack = _packed if data_coding == GSM and default == "gsm-packed" else _as_they_are
    units = [_encode(character, data_coding, default) for character in text]
    if sum(map(len, units)) <= single:
        return [Part(0, data_coding, pack(b"".join(units), 0))]
    bodies = [bytearray()]
    for unit in units:
        if len(bodies[-1]) + len(unit) > multiple:
            bodies.append(bytearray())
        bodies[-1] += unit
    if len(bodies) > 255:
        raise ValueError("the text needs more than 255 parts")
    return [
        Part(UDHI, data_coding, bytes([5, 0, 3, reference, len(bodies), index]) + pack(bytes(body), 6))
        for index, body in enumerate(bodies, start=1)
    ]


def _as_they_are(septets: bytes, udh_length: int) -> bytes:
    return septets


def _in_default(character: str, default: str) -> bool:
    try:
        return bool(_encode(character, GSM, default))
    except ValueError:
        return False


def _encode(character: str, data_coding: int, default: str) -> bytes:
    try:
        codec = DEFAULTS[default][0] if data_coding == GSM else _CODECS[data_coding]
        return _TO_GSM[character] if codec is None else character.encode(codec)
    except (KeyError, UnicodeEncodeError):
        raise ValueError(f"data_coding {data_coding} has no character U+{ord(character):04X}") from None
