"""Our texts read by the simulated SMSC's phones, and theirs by us: two implementations that share no code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator import alphabets, joining, pdus
from gateway.smpp import pdu as p
from gateway.smpp.codec import encode
from gateway.sms.alphabets import Alphabet, Codings
from gateway.sms.concat import content
from gateway.sms.joining import Piece, text_of
from gateway.sms.segments import Method, Style, segment

SERVICE, PHONE = p.Address(0, 1, "10086"), p.Address(1, 1, "8613800000001")
texts = st.one_of(
    st.text(st.sampled_from("abcXYZ 0189àÄ€[]^\\\n"), min_size=1, max_size=500),
    st.text(st.sampled_from("今天 a查询上海😀€"), min_size=1, max_size=300),
)


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("default", Alphabet)
@given(text=texts)
def test_a_phone_shows_what_we_send(default: Alphabet, method: Method, text: str) -> None:
    """In every alphabet and by every method, whatever order the parts come in."""
    parts = segment(text, 300, Style(default, method))
    unfinished = joining.Unfinished()
    shown = []
    for part in reversed(parts):
        pdu = p.SubmitSm(source=SERVICE, destination=PHONE, sequence_number=1, **part._asdict())
        piece = joining.piece_of(pdus.decode(encode(pdu)), default.value)
        shown.append(unfinished.add(SERVICE.digits, PHONE.digits, piece)[1])
    assert shown == [None] * (len(parts) - 1) + [text]


@pytest.mark.parametrize("default", Alphabet)
@given(text=texts)
def test_we_read_what_a_phone_sends(default: Alphabet, text: str) -> None:
    """The other way round; a phone that packs an escape pair away leaves a septet that nobody can tell."""
    if default is Alphabet.GSM_PACKED:
        text = text.translate(dict.fromkeys(map(ord, "€[]^\\"), "x"))
    pieces = []
    for part in alphabets.parts_of(text, 7, default=default.value):
        what = content(p.DeliverSm(**part._asdict()))
        pieces.append(
            Piece(what.data, Codings(default).of(part.data_coding), what.shifts, what.header_length)
        )
    assert text_of(pieces) == text
