"""Segmentation: parts that decode by themselves, join to the text, and cut through nothing."""

import pytest
import regex  # type: ignore[import-untyped] # it ships no types
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.smpp import pdu as p
from gateway.smpp.codec import encode
from gateway.sms.alphabets import Alphabet, Codings
from gateway.sms.concat import Concat, content
from gateway.sms.joining import Piece, text_of
from gateway.sms.national import GSM_BASIC, GSM_EXTENSION
from gateway.sms.segments import MAX_PARTS, Method, Part, Style, segment

GSM_CHARACTERS = sorted(set(GSM_BASIC) - {"\x1b"} | set(GSM_EXTENSION.values()))
CLUSTERS = ["👍🏽", "👨‍👩‍👧‍👦", "🇨🇳", "e\u0301", "\r\n", "각", "नि", "查", "a", "€", "𝄞", " "]
texts = st.one_of(
    st.text(st.sampled_from(GSM_CHARACTERS), max_size=400),
    st.lists(st.sampled_from(CLUSTERS), max_size=200).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
)
styles = st.builds(Style, st.sampled_from(Alphabet), st.sampled_from(Method))


def read(part: Part, default: Alphabet = Alphabet.GSM) -> tuple[Piece, Concat | None]:
    """What a receiver makes of one part."""
    what = content(
        p.DeliverSm(
            esm_class=part.esm_class,
            data_coding=part.data_coding,
            short_message=part.short_message,
            tlvs=part.tlvs,
        )
    )
    alphabet = Codings(default).of(part.data_coding)
    return Piece(what.data, alphabet, what.shifts, what.header_length), what.concat


def text_alone(part: Part, default: Alphabet = Alphabet.GSM) -> str:
    return text_of((read(part, default)[0],))


def graphemes(text: str) -> list[str]:
    return regex.findall(r"\X", text)  # type: ignore[no-any-return] # untyped library


def means_something_else(text: str, style: Style, parts: tuple[Part, ...]) -> bool:
    """What no receiver can tell apart: a byte order mark, and padding, from text."""
    if text.startswith(("\ufeff", "\ufffe")):
        return True
    return style.default is Alphabet.GSM_PACKED and parts[0].data_coding == 0 and text.endswith(("@", "\r"))


@given(texts, st.integers(0, 0x1FFFF), styles)
@example("€" * 81, 7, Style())
@example("a" * 152 + "€" + "b" * 20, 7, Style())
@example("a" * 152 + "€" + "b" * 20, 7, Style(Alphabet.GSM_PACKED))
@example("a" * 152 + "€" + "b" * 20, 7, Style(Alphabet.GSM_PACKED, Method.UDH_16))
@example("查" * 66 + "😀" * 5, 7, Style())
@example("a" * 151 + "@" + "b" * 20, 7, Style(Alphabet.GSM_PACKED, Method.SAR))
@example("€" * 400, 7, Style(Alphabet.UTF8, Method.SAR))
def test_parts_join_to_the_text(text: str, reference: int, style: Style) -> None:
    """For every alphabet and method: each part can be encoded, fits on the air, and all in order are the
    text.
    """
    parts = segment(text, reference, style)
    pieces = [read(part, style.default) for part in parts]
    joined = text_of([piece for piece, _ in pieces])
    if not means_something_else(text, style, parts):
        assert joined == text
    unpacked = style.default not in (Alphabet.GSM_PACKED, Alphabet.GBK, Alphabet.UTF8)
    for part in parts:
        encode(p.SubmitSm(short_message=part.short_message, esm_class=part.esm_class, tlvs=part.tlvs))
        limit = 160 if part.data_coding == 0 and unpacked else 140
        assert len(part.short_message) <= limit
    if len(parts) == 1:
        assert parts[0].esm_class == 0
        return
    width = 8 if style.method is Method.UDH_8 else 16
    expected = [Concat(reference & (1 << width) - 1, len(parts), i + 1, width) for i in range(len(parts))]
    assert [concat for _, concat in pieces] == expected


@given(texts, styles)
def test_each_part_decodes_by_itself(text: str, style: Style) -> None:
    """A phone that shows parts as they come shows whole characters."""
    parts = segment(text, 1, style)
    if style.default is Alphabet.GSM_PACKED and parts[0].data_coding == 0:
        text = text.replace("@", "a").replace("\r", "b")  # see `means_something_else`
        parts = segment(text, 1, style)
    if not any(mark in text for mark in "\ufeff\ufffe"):
        assert "".join(text_alone(part, style.default) for part in parts) == text


@given(st.lists(st.sampled_from(CLUSTERS), min_size=70, max_size=200).map("".join), st.sampled_from(Method))
def test_no_cut_through_a_grapheme(text: str, method: Method) -> None:
    """Family emoji, flags, skin tones and accents stay whole."""
    pieces = [text_alone(part) for part in segment(text, 1, Style(method=method))]
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


@pytest.mark.parametrize(
    ("text", "style", "lengths"),
    [
        ("a" * 160, Style(Alphabet.GSM_PACKED), [140]),
        ("a" * 161, Style(Alphabet.GSM_PACKED), [140, 14]),
        ("a" * 152 + "€b", Style(Alphabet.GSM_PACKED), [136]),
        ("a" * 152 + "€" * 10, Style(Alphabet.GSM_PACKED), [139, 25]),  # 151: no septet left over
        ("a" * 305, Style(method=Method.UDH_16), [159, 159, 8]),
        ("查" * 133, Style(method=Method.UDH_16), [139, 139, 9]),
        ("a" * 305, Style(method=Method.SAR), [152, 152, 1]),
        ("查" * 67, Style(Alphabet.GBK), [134]),
        ("查" * 71, Style(Alphabet.GBK), [140, 14]),
        ("查" * 47, Style(Alphabet.UTF8), [138, 15]),
        ("a" * 1000, Style(method=Method.PAYLOAD), [0]),
    ],
)
def test_lengths_in_each_style(text: str, style: Style, lengths: list[int]) -> None:
    """Packed septets, the longer header, none with TLVs, octets for what is no alphabet of the air."""
    assert [len(part.short_message) for part in segment(text, 1, style)] == lengths


def test_headers() -> None:
    """3GPP TS 23.040, 9.2.3.24.1 and 9.2.3.24.8: reference, total, index, and UDHI in esm_class."""
    first, second = segment("查" * 71, 0x1A7, Style())
    assert (first.esm_class, first.data_coding) == (0x40, 8)
    assert first.short_message[:6] == bytes([5, 0, 3, 0xA7, 2, 1])
    assert second.short_message[:6] == bytes([5, 0, 3, 0xA7, 2, 2])
    first, second = segment("查" * 71, 0x1A7, Style(method=Method.UDH_16))
    assert first.short_message[:7] == bytes([6, 8, 4, 1, 0xA7, 2, 1])


def test_tlvs() -> None:
    """SMPP 3.4, 5.3.2.22 to 24 and 32: no header and no UDHI, each part whole in short_message; or none."""
    _, second = segment("查" * 71, 0x1A7, Style(method=Method.SAR))
    assert second.esm_class == 0
    assert second.tlvs == ((0x20C, b"\x01\xa7"), (0x20E, b"\x02"), (0x20F, b"\x02"))
    assert second.short_message == ("查" * 5).encode("utf-16-be")
    (whole,) = segment("查" * 71, 7, Style(method=Method.PAYLOAD))
    assert whole == Part(0, 8, b"", ((0x424, ("查" * 71).encode("utf-16-be")),))


def test_short_texts_are_the_same_in_every_method() -> None:
    """Also towards peers without TLVs."""
    assert len({segment("查", 7, Style(method=method)) for method in Method}) == 1


def test_without_tlvs() -> None:
    """SMPP 3.3 has none: their methods give way to the one that every SMSC knows."""
    for method in Method:
        style = Style(Alphabet.GBK, method).without_tlvs
        assert all(not part.tlvs for part in segment("查" * 300, 7, style))
    assert Style(method=Method.UDH_16).without_tlvs.method is Method.UDH_16


def test_a_cluster_longer_than_a_part() -> None:
    """A letter with 200 accents is cut between its characters, and nothing is lost."""
    text = "e" + "\u0301" * 200
    parts = segment(text, 1, Style())
    assert len(parts) == 3
    assert "".join(map(text_alone, parts)) == text


@pytest.mark.parametrize(
    ("text", "default", "data_coding"),
    [
        ("Shanghai", Alphabet.GSM, 0),
        ("Shanghai", Alphabet.GSM_PACKED, 0),
        ("Shanghai", Alphabet.ASCII, 0),
        ("Zürich", Alphabet.LATIN1, 0),
        ("Zürich", Alphabet.ASCII, 8),
        ("`", Alphabet.ASCII, 8),
        ("€", Alphabet.LATIN1, 8),
        ("Shanghai", Alphabet.UCS2, 8),
        ("上海", Alphabet.GSM, 8),
        ("上海", Alphabet.GBK, 0),
        ("上海😀", Alphabet.GBK, 8),
        ("上海😀", Alphabet.UTF8, 0),
    ],
)
def test_data_coding_0_only_when_it_carries_the_text(text: str, default: Alphabet, data_coding: int) -> None:
    """It needs every character in the SMSC's default alphabet and, unless that is GBK or UTF-8, in GSM's;
    else UCS2.
    """
    (part,) = segment(text, 1, Style(default))
    assert part.data_coding == data_coding
    assert text_alone(part, default) == text


def test_too_long() -> None:
    """A text beyond 255 parts cannot be numbered, one beyond 65,535 octets stands in no TLV."""
    assert len(segment("a" * 153 * MAX_PARTS, 1, Style())) == MAX_PARTS
    with pytest.raises(ValueError, match="256 parts"):
        segment("a" * (153 * MAX_PARTS + 1), 1, Style())
    with pytest.raises(ValueError, match="at most 65535"):
        segment("a" * 65_536, 1, Style(method=Method.PAYLOAD))
