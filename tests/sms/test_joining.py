"""Parts that become a text: octets joined where the alphabet is one, else decoded each by itself."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.sms.alphabets import Alphabet, Codings, Shifts, pack
from gateway.sms.joining import Piece, text_of

pieces = st.builds(
    Piece,
    st.binary(max_size=140),
    st.integers(0, 255),
    st.builds(Shifts, st.integers(0, 15), st.integers(0, 15)),
    st.integers(0, 255),
)
codings = st.builds(
    Codings,
    st.sampled_from(Alphabet),
    st.lists(st.tuples(st.integers(1, 255), st.sampled_from(Alphabet)), max_size=3).map(tuple),
)


def piece(data: bytes, data_coding: int = 0, header_length: int = 6) -> Piece:
    return Piece(data, data_coding, Shifts(), header_length)


@given(st.lists(pieces, min_size=1, max_size=5), codings)
def test_joining_is_total(parts: list[Piece], codings: Codings) -> None:
    """Any octets in any codings become a text without surrogates; a piece can be put away and had back."""
    text_of(parts, codings).encode()
    assert [Piece.of(part.sealable()) for part in parts] == parts


@given(st.text(min_size=1, max_size=50), st.data())
def test_a_cut_anywhere_is_mended(text: str, data: st.DataObject) -> None:
    """A careless sender cuts through a surrogate pair, a UTF-16 unit or a character of GBK or UTF-8."""
    for data_coding, octets in (
        (8, text.encode("utf-16-be", "replace")),
        (15, text.encode("gbk", "replace")),
        (16, text.encode("utf-8", "replace")),
    ):
        at = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=3)))
        parts = [piece(octets[i:j], data_coding) for i, j in pairwise([0, *at, len(octets)])]
        others = Codings(others=((15, Alphabet.GBK), (16, Alphabet.UTF8)))
        whole = text_of((piece(octets, data_coding),), others)
        if not text.startswith(("\ufeff", "\ufffe")):
            assert text_of(parts, others) == whole


def test_an_escape_pair_over_two_parts() -> None:
    """Unpacked and packed."""
    assert text_of((piece(b"1 \x1b"), piece(b"e")), Codings()) == "1 €"
    packed = (piece(pack(b"1 \x1b", 6)), piece(pack(b"e", 6)))
    assert text_of(packed, Codings(Alphabet.GSM_PACKED)) == "1 €"


def test_parts_of_different_codings() -> None:
    """Each is read in its own, whatever the others have."""
    parts = (piece(b"CX"), piece("查询".encode("utf-16-be"), 8), piece(b"\xe9", 3), piece(b"\x00"))
    assert text_of(parts, Codings()) == "CX查询é@"


def test_a_byte_order_mark_in_each_part() -> None:
    """Counts once, and for all."""
    parts = [piece(b"\xff\xfe" + text.encode("utf-16-le"), 8) for text in ("查", "询")]
    assert text_of(parts, Codings()) == "查询"
    parts[1] = piece("询".encode("utf-16-le"), 8)
    assert text_of(parts, Codings()) == "查询"


def test_what_a_full_packed_part_ends_in_is_text() -> None:
    """153 septets and a fill bit end with the last octet; only the last part may be padded."""
    full = piece(pack(b"a" * 152 + b"\x00", 6))
    last = piece(pack(b"1234567\r", 7), header_length=7)
    assert text_of((full, last), Codings(Alphabet.GSM_PACKED)) == "a" * 152 + "@1234567"
