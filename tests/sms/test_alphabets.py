"""Alphabets: what the tables say, both ways, and that decoding never raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sms import alphabets
from gateway.sms.alphabets import (
    Alphabet,
    Codings,
    Shifts,
    encode,
    is_gsm,
    pack,
    padded,
    septets,
    spare_bits,
    unpack,
)
from gateway.sms.joining import Piece, text_of
from gateway.sms.national import GSM_BASIC, GSM_EXTENSION, LOCKING_SHIFT, SINGLE_SHIFT

GSM_CHARACTERS = sorted(set(GSM_BASIC) - {"\x1b"} | set(GSM_EXTENSION.values()))
gsm_texts = st.text(st.sampled_from(GSM_CHARACTERS), max_size=60)


def decode(data: bytes, data_coding: int, default: Alphabet = Alphabet.GSM, **others: Alphabet) -> str:
    """The text of a message without header; `others` as `_15=Alphabet.GBK`."""
    codings = Codings(default, tuple((int(value[1:]), alphabet) for value, alphabet in others.items()))
    return text_of((Piece(data, codings.of(data_coding), Shifts(), 0),))


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
    assert decode(b"\x00A", 0, Alphabet.UCS2) == "A"
    assert decode("查询".encode("gbk"), 0, Alphabet.GBK) == "查询"
    assert decode("查询".encode(), 0, Alphabet.UTF8) == "查询"
    assert decode(bytes.fromhex("e8329bfd4697d9ec37"), 0, Alphabet.GSM_PACKED) == "hellohello"


def test_other_data_codings_are_the_smscs() -> None:
    """`data_codings` goes before what the specifications say; other values keep their meaning."""
    assert decode("查询".encode("gbk"), 15, _15=Alphabet.GBK) == "查询"
    assert decode(b"\x00A", 8, _15=Alphabet.GBK) == "A"
    assert decode("查询".encode(), 8, _8=Alphabet.UTF8) == "查询"
    assert decode(b"\x00", 15) == "@"


def test_an_smsc_that_packs_packs_every_gsm_text() -> None:
    """Data_coding 0xF0 (GSM, class 0) is packed where 0 is; what is not GSM never is."""
    assert decode(pack(b"CXMYD"), 0xF0, Alphabet.GSM_PACKED) == "CXMYD"
    assert decode(b"CXMYD", 1, Alphabet.GSM_PACKED) == "CXMYD"


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


def test_packing() -> None:
    """3GPP TS 23.038, 6.1.2.1: "hellohello" is the example of every textbook."""
    assert pack(b"hellohello").hex() == "e8329bfd4697d9ec37"
    assert unpack(bytes.fromhex("e8329bfd4697d9ec37")) == b"hellohello"
    # behind a header of 6 octets a fill bit, of 7 none (23.040, 9.2.3.24)
    assert pack(b"a", 6) == bytes([ord("a") << 1])
    assert pack(b"a", 7) == b"a"


@given(st.binary(max_size=170).map(lambda data: bytes(octet & 0x7F for octet in data)), st.integers(0, 20))
def test_packed_septets_come_back(data: bytes, header_length: int) -> None:
    """Behind a header of any length; seven spare bits are a carriage return and known as padding."""
    packed = pack(data, header_length)
    back = unpack(packed, header_length)
    if spare_bits(len(data), header_length) == 7:
        assert back == data + b"\r"
        assert padded(packed, header_length) or len(packed) == 1
    else:
        assert back == data


@pytest.mark.parametrize("ends", [b"\r", b"\0"])
def test_padding_at_the_end_is_no_text(ends: bytes) -> None:
    """Seven spare bits that an SMSC filled with a carriage return or noughts."""
    assert decode(pack(b"CXMYD 1" + ends), 0, Alphabet.GSM_PACKED) == "CXMYD 1"


def test_the_national_tables() -> None:
    """23.038, annex A: 128 codes or fewer, the digits and ASCII letters at their places, no code twice."""
    assert set(LOCKING_SHIFT) == {1, *range(3, 14)}
    assert set(SINGLE_SHIFT) == set(range(1, 14))
    for table in LOCKING_SHIFT.values():
        assert len(table) == 128
        assert (table[0x0A], table[0x0D], table[0x1B], table[0x20]) == ("\n", "\r", "\x1b", " ")
        assert table[0x30:0x3A] == "0123456789"
        assert table[0x61:0x7B] == "abcdefghijklmnopqrstuvwxyz"
        held = [char for char in table if char != "\ufffe"]
        assert len(held) == len(set(held))
    for extension in SINGLE_SHIFT.values():
        assert GSM_EXTENSION.items() <= extension.items()
        assert not {0x0D, 0x1B} & extension.keys()


@pytest.mark.parametrize(
    ("data", "locking", "single", "text"),
    [
        (b"\x1bS\x1bs\x1bi", 0, 1, "Şşı"),
        (b"\x0b\x07", 1, 0, "Ğı"),
        (b"\x1bA\x1b\x09", 0, 2, "Áç"),
        (b"\x60\x1b\x7f", 3, 3, "~â"),
        (b"\x15\x1b\x1c", 4, 4, "ক২"),
        (b"\x15", 5, 0, "ક"),
        (b"\x15\x1bA", 6, 6, "कA"),
        (b"\x24", 7, 0, "ಡ"),
        (b"\x15", 8, 0, "ക"),
        (b"\x15", 9, 0, "କ"),
        (b"\x15", 10, 0, "ਕ"),
        (b"\x15\x1b\x24", 11, 11, "க௮"),
        (b"\x1b\x22", 0, 12, "౬"),
        (b"\x00", 13, 0, "ا"),
        (b"a\x1b\x02b", 0, 1, "a$b"),
        (b"\x00", 2, 0, "@"),
        (b"\x00\x1be", 99, 99, "@€"),
        (b"\x1b\x1ba\x1b", 6, 6, " a "),
        (b"\x0c", 4, 0, "\ufffd"),
    ],
)
def test_national_texts(data: bytes, locking: int, single: int, text: str) -> None:
    """Each language; a code without a character behind the escape shows the main table's (6.2.1.1)."""
    assert alphabets.decode(data, Alphabet.GSM, Shifts(locking, single)) == text
    assert text_of((Piece(data, Alphabet.GSM, Shifts(locking, single), 0),)) == text
