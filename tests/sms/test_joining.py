"""Parts that become a text: octets joined where the alphabet is one, else decoded each by itself."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.sms.alphabets import Alphabet, Codings, Shifts, pack
from gateway.sms.joining import Piece, text_of

codings = st.builds(
    Codings,
    st.sampled_from(Alphabet),
    st.lists(st.tuples(st.integers(1, 255), st.sampled_from(Alphabet)), max_size=3).map(tuple),
)
pieces = st.builds(
    Piece,
    st.binary(max_size=140),
    st.builds(Codings.of, codings, st.integers(0, 255)),
    st.builds(Shifts, st.integers(0, 15), st.integers(0, 15)),
    st.integers(0, 255),
)


def piece(data: bytes, alphabet: Alphabet = Alphabet.GSM, header_length: int = 6) -> Piece:
    return Piece(data, alphabet, Shifts(), header_length)


@given(st.lists(pieces, min_size=1, max_size=5))
def test_joining_is_total(parts: list[Piece]) -> None:
    """Any octets in any codings become a text without surrogates; a piece can be put away and had back."""
    text_of(parts).encode()
    assert [Piece.of(part.sealable()) for part in parts] == parts


@given(st.text(min_size=1, max_size=50), st.data())
def test_a_cut_anywhere_is_mended(text: str, data: st.DataObject) -> None:
    """A careless sender cuts through a surrogate pair, a UTF-16 unit or a character of GBK or UTF-8."""
    for alphabet, octets in (
        (Alphabet.UCS2, text.encode("utf-16-be", "replace")),
        (Alphabet.GBK, text.encode("gbk", "replace")),
        (Alphabet.UTF8, text.encode("utf-8", "replace")),
    ):
        at = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=3)))
        parts = [piece(octets[i:j], alphabet) for i, j in pairwise([0, *at, len(octets)])]
        whole = text_of((piece(octets, alphabet),))
        if not text.startswith(("\ufeff", "\ufffe")):
            assert text_of(parts) == whole


def test_an_escape_pair_over_two_parts() -> None:
    """Unpacked and packed."""
    assert text_of((piece(b"1 \x1b"), piece(b"e"))) == "1 €"
    packed = [piece(pack(septets, 6), Alphabet.GSM_PACKED) for septets in (b"1 \x1b", b"e")]
    assert text_of(packed) == "1 €"


def test_parts_of_different_codings() -> None:
    """Each is read in its own, whatever the others have."""
    parts = (
        piece(b"CX"),
        piece("查询".encode("utf-16-be"), Alphabet.UCS2),
        piece(b"\xe9", Alphabet.LATIN1),
        piece(b"\x00"),
        piece(pack(b"YD", 6), Alphabet.GSM_PACKED),
    )
    assert text_of(parts) == "CX查询é@YD"


def test_a_byte_order_mark_in_each_part() -> None:
    """Counts once, and for all."""
    parts = [piece(b"\xff\xfe" + text.encode("utf-16-le"), Alphabet.UCS2) for text in ("查", "询")]
    assert text_of(parts) == "查询"
    parts[1] = piece("询".encode("utf-16-le"), Alphabet.UCS2)
    assert text_of(parts) == "查询"


def test_what_a_full_packed_part_ends_in_is_text() -> None:
    """153 septets and a fill bit end with the last octet; only the last part may be padded."""
    full = piece(pack(b"a" * 152 + b"\x00", 6), Alphabet.GSM_PACKED)
    last = piece(pack(b"1234567\r", 7), Alphabet.GSM_PACKED, header_length=7)
    assert text_of((full, last)) == "a" * 152 + "@1234567"
