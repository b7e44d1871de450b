"""Alphabets: what the tables say, both ways, and that decoding never raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sms.alphabets import (
    GSM_BASIC,
    GSM_EXTENSION,
    Alphabet,
    decode,
    decode_alphabet,
    encode,
    is_gsm,
    septets,
)

GSM_CHARACTERS = sorted(set(GSM_BASIC) - {"\x1b"} | set(GSM_EXTENSION))
gsm_texts = st.text(st.sampled_from(GSM_CHARACTERS), max_size=60)


def test_the_gsm_tables() -> None:
    """23.038, 6.2.1: 128 codes, letters and digits at their ASCII places, ten codes behind the escape."""
    assert len(GSM_BASIC) == len(set(GSM_BASIC)) == 128
    for char in "ABCXYZabcxyz0189 !#%&()*+,-./:;<=>?\n\r":
        assert encode(char, Alphabet.GSM) == char.encode()
    assert encode("@£$¥Δ_Ω¡¿à", Alphabet.GSM) == bytes([0, 1, 2, 3, 0x10, 0x11, 0x15, 0x40, 0x60, 0x7F])
    assert encode("^{}\\[~]|€\f", Alphabet.GSM).hex() == "1b141b281b291b2f1b3c1b3d1b3e1b401b651b0a"


@given(gsm_texts)
def test_gsm_round_trip(text: str) -> None:
    """Every GSM text comes back, and its length in septets is its length in octets."""
    octets = encode(text, Alphabet.GSM)
    assert decode(octets, 0) == text
    assert len(octets) == septets(text)
    assert is_gsm(text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_ucs2_round_trip(text: str) -> None:
    """UCS2 carries every character; a byte order mark in front is no part of the text."""
    assert decode(encode("\ufeff" + text, Alphabet.UCS2), 8) == text


@given(st.binary(max_size=160), st.integers(0, 255), st.sampled_from(Alphabet))
def test_decoding_is_total(data: bytes, data_coding: int, default: Alphabet) -> None:
    """Any octets in any data_coding become a text without surrogates."""
    decode(data, data_coding, default).encode()


@pytest.mark.parametrize(
    ("data", "data_coding", "text"),
    [
        (b"CXMYD", 0, "CXMYD"),
        (b"CXMYD\x00", 0, "CXMYD@"),
        (b"\x1be\x1b<", 0, "€["),
        (b"a\x1bAb", 0, "aAb"),
        (b"a\x1b\x1bb", 0, "a b"),
        (b"a\x1b", 0, "a "),
        (b"\xe4", 0, "\ufffd"),
        (b"CXMYD\xff", 1, "CXMYD\ufffd"),
        (b"CXMYD\xe9", 3, "CXMYDé"),
        (b"CXMYD", 2, "CXMYD"),
        (b"CXMYD", 4, "CXMYD"),
        ("查询😀".encode("utf-16-be"), 8, "查询😀"),
        (b"\xff\xfe" + "查".encode("utf-16-le"), 8, "查"),
        (b"\xfe\xff" + "查".encode("utf-16-be"), 8, "查"),
        (b"\x00A\xd8\x3d", 8, "A\ufffd"),
        (b"\x00A\x00", 8, "A\ufffd"),
        ("я".encode("iso8859-5"), 6, "я"),
        ("한".encode("euc_kr"), 14, "한"),
        (b"\x00", 0xF0, "@"),
        (b"\x00", 0xF1, "@"),
        (b"\xe9", 0xF5, "é"),
        (b"\x00A", 0x18, "A"),
        (b"\x00A", 0xE0, "A"),
        (b"\x00", 0xC8, "@"),
        (b"\xe9", 0x14, "é"),
        (b"\x00", 0x10, "@"),
    ],
)
def test_data_codings(data: bytes, data_coding: int, text: str) -> None:
    """Each data_coding that a subscriber's text may come in, GSM's classes and groups among them."""
    assert decode(data, data_coding) == text


def test_the_default_alphabet_is_the_smscs() -> None:
    """The same octets in data_coding 0 are three texts."""
    assert decode(b"\x40\x11", 0, Alphabet.GSM) == "¡_"
    assert decode(b"\x40\x11", 0, Alphabet.ASCII) == "@\x11"
    assert decode(b"\xe9", 0, Alphabet.LATIN1) == "é"
    assert decode_alphabet(b"\x00A", Alphabet.UCS2) == "A"


@pytest.mark.parametrize(
    ("text", "alphabet"),
    [
        ("查", Alphabet.GSM),
        ("\x1b", Alphabet.GSM),
        ("a\x1be", Alphabet.GSM),
        ("é", Alphabet.ASCII),
        ("€", Alphabet.LATIN1),
    ],
)
def test_what_an_alphabet_has_not(text: str, alphabet: Alphabet) -> None:
    """Encoding never replaces a character in silence."""
    with pytest.raises(UnicodeEncodeError):
        encode(text, alphabet)
