"""Segmentation: parts that decode by themselves, join to the text, and cut through nothing."""

import pytest
import regex  # type: ignore[import-untyped] # it ships no types
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.smpp import pdu as p
from gateway.smpp.codec import encode
from gateway.sms.alphabets import GSM_BASIC, GSM_EXTENSION, Alphabet, decode
from gateway.sms.concat import Concat, content
from gateway.sms.segments import MAX_PARTS, Part, Style, segment

GSM_CHARACTERS = sorted(set(GSM_BASIC) - {"\x1b"} | set(GSM_EXTENSION))
CLUSTERS = ["👍🏽", "👨‍👩‍👧‍👦", "🇨🇳", "e\u0301", "\r\n", "각", "नि", "查", "a", "€", "𝄞", " "]
texts = st.one_of(
    st.text(st.sampled_from(GSM_CHARACTERS), max_size=400),
    st.lists(st.sampled_from(CLUSTERS), max_size=200).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
)


def read(part: Part, default: Alphabet = Alphabet.GSM) -> tuple[str, Concat | None]:
    """What a receiver makes of one part alone."""
    data, concat = content(p.DeliverSm(esm_class=part.esm_class, short_message=part.short_message))
    return decode(data, part.data_coding, default), concat


def graphemes(text: str) -> list[str]:
    return regex.findall(r"\X", text)  # type: ignore[no-any-return] # untyped library


@given(texts, st.integers(0, 0x1FFFF), st.sampled_from([Alphabet.GSM, Alphabet.ASCII, Alphabet.LATIN1]))
@example("€" * 81, 7, Alphabet.GSM)
@example("a" * 152 + "€" + "b" * 20, 7, Alphabet.GSM)
@example("查" * 66 + "😀" * 5, 7, Alphabet.GSM)
def test_parts_join_to_the_text(text: str, reference: int, default: Alphabet) -> None:
    """Each part decodes by itself, is no longer than the air takes, and the parts in order are the text."""
    parts = segment(text, reference, Style(default))
    pieces = [read(part, default) for part in parts]
    if not text.startswith(("\ufeff", "\ufffe")):
        assert "".join(piece for piece, _ in pieces) == text
    for part in parts:
        encode(p.SubmitSm(short_message=part.short_message, esm_class=part.esm_class))
        if part.data_coding == 8:
            assert len(part.short_message) <= 140
    if len(parts) == 1:
        assert parts[0].esm_class == 0
    else:
        expected = [Concat(reference & 0xFF, len(parts), i + 1, 8) for i in range(len(parts))]
        assert [concat for _, concat in pieces] == expected


@given(st.lists(st.sampled_from(CLUSTERS), min_size=70, max_size=200).map("".join))
def test_no_cut_through_a_grapheme(text: str) -> None:
    """Family emoji, flags, skin tones and accents stay whole."""
    pieces = [read(part)[0] for part in segment(text, 1, Style())]
    assert [cluster for piece in pieces for cluster in graphemes(piece)] == graphemes(text)


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("", [0]),
        ("a" * 160, [160]),
        ("a" * 161, [159, 14]),
        ("a" * 306, [159, 159]),
        ("a" * 307, [159, 159, 7]),
        ("€" * 80, [160]),
        ("€" * 81, [158, 16]),
        ("查" * 70, [140]),
        ("查" * 71, [140, 14]),
        ("查" * 134, [140, 140]),
        ("😀" * 35, [140]),
        ("😀" * 36, [138, 18]),
    ],
)
def test_lengths(text: str, lengths: list[int]) -> None:
    """160 or 153 septets, 70 or 67 UTF-16 units; a text that fits is one message without header."""
    assert [len(part.short_message) for part in segment(text, 1, Style())] == lengths


def test_header() -> None:
    """3GPP TS 23.040, 9.2.3.24.1: 05 00 03, reference, total, index, and UDHI in esm_class."""
    first, second = segment("查" * 71, 0x1A7, Style())
    assert (first.esm_class, first.data_coding) == (0x40, 8)
    assert first.short_message[:6] == bytes([5, 0, 3, 0xA7, 2, 1])
    assert second.short_message[:6] == bytes([5, 0, 3, 0xA7, 2, 2])


def test_a_cluster_longer_than_a_part() -> None:
    """A letter with 200 accents is cut between its characters, and nothing is lost."""
    text = "e" + "\u0301" * 200
    parts = segment(text, 1, Style())
    assert len(parts) == 3
    assert "".join(read(part)[0] for part in parts) == text


@pytest.mark.parametrize(
    ("text", "default", "data_coding"),
    [
        ("Shanghai", Alphabet.GSM, 0),
        ("Shanghai", Alphabet.ASCII, 0),
        ("Zürich", Alphabet.LATIN1, 0),
        ("Zürich", Alphabet.ASCII, 8),
        ("`", Alphabet.ASCII, 8),
        ("€", Alphabet.LATIN1, 8),
        ("Shanghai", Alphabet.UCS2, 8),
        ("上海", Alphabet.GSM, 8),
    ],
)
def test_data_coding_0_only_when_it_carries_the_text(text: str, default: Alphabet, data_coding: int) -> None:
    """data_coding 0 needs every character both in the SMSC's default alphabet and in GSM's; else UCS2."""
    (part,) = segment(text, 1, Style(default))
    assert part.data_coding == data_coding
    assert read(part, default)[0] == text


def test_too_long() -> None:
    """A text beyond 255 parts cannot be numbered."""
    assert len(segment("a" * 153 * MAX_PARTS, 1, Style())) == MAX_PARTS
    with pytest.raises(ValueError, match="256 parts"):
        segment("a" * (153 * MAX_PARTS + 1), 1, Style())
