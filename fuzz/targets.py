"""What is fuzzed, as functions of octets: each lets through only what its subject is allowed to raise, and
asserts what must hold. Pure, and the same for atheris (`run`), hypothesis and the corpus (tests/fuzz).
"""

from collections.abc import Callable

from fuzz.conversation import Conversation
from fuzz.source import Source
from gateway.smpp import pdu as p
from gateway.smpp import receipts, tlvs
from gateway.smpp.codec import decode, encode
from gateway.smpp.constants import HEADER_LENGTH, Version
from gateway.smpp.errors import FramingError, PduError
from gateway.smpp.framing import Framer
from gateway.sms.alphabets import Alphabet, Codings
from gateway.sms.concat import content
from gateway.sms.joining import Piece, text_of
from gateway.sms.segments import Method, Style, segment

_ALPHABETS, _METHODS = list(Alphabet), list(Method)
_MAX_LENGTH, _BARE, _SHORT = 512, 32, 64


def codec(data: bytes) -> None:
    """Decode; what was decoded can be encoded, and that is the same PDU. Cut into any segments, a stream
    gives the same PDUs.
    """
    _decode_and_back(data)
    if len(data) >= HEADER_LENGTH:  # a true length, so that the fields are reached
        _decode_and_back(len(data).to_bytes(4, "big") + data[4:])
    at_once = _framed([data])
    if len(data) < _SHORT:
        assert at_once == _framed([data[i : i + 1] for i in range(len(data))])
    half = len(data) // 2
    assert at_once == _framed([data[:half], data[half:]])


def _decode_and_back(data: bytes) -> None:
    try:
        pdu = decode(data)
    except PduError:
        return
    tlvs.malformed(pdu.tlvs)
    repr(pdu)
    again = encode(pdu, Version.V5_0)
    same = decode(again)
    assert same == pdu or pdu.command_status  # with an error, what the body may not say is left out (4.1.2)
    assert encode(same, Version.V5_0) == again
    assert len(again) <= len(data) + _BARE  # a response that came without its body gets one
    if isinstance(pdu, p.Sm | p.DataSm):
        receipts.parse(pdu)


def _framed(segments: list[bytes]) -> tuple[list[bytes], bool]:
    """The PDUs in the stream, and whether it ended in an error."""
    framer = Framer(_MAX_LENGTH)
    frames: list[bytes] = []
    try:
        for octets in segments:
            frames += framer.frames(octets)
            assert framer.held <= _MAX_LENGTH
    except FramingError:
        return frames, True
    return frames, False


def session(data: bytes) -> None:
    """A session in either role: octets, times and the owner's acts as the input says."""
    Conversation(Source(data)).run()


def texts(data: bytes) -> None:
    """The parts of a message as they come: header, text, receipt; and the text out again in any style."""
    source = Source(data)
    codings = Codings(source.choice(_ALPHABETS), ((15, source.choice(_ALPHABETS)),))
    style = Style(source.choice(_ALPHABETS), source.choice(_METHODS))
    pieces = []
    for _ in range(1 + source.octet() % 3):
        pdu = p.DeliverSm(esm_class=source.octet(), data_coding=source.octet(), tlvs=_tlvs(source))
        pdu.short_message = source.octets(source.octet())
        found = receipts.parse(pdu)
        if found is not None:
            list(receipts.candidates(found.message_ids))
        what = content(pdu)
        assert len(what.data) <= max(len(pdu.short_message), 255)
        assert what.concat is None or 1 <= what.concat.index <= what.concat.total
        piece = Piece(what.data, codings.of(pdu.data_coding), what.shifts, what.header_length)
        kept = Piece.of(piece.sealable())
        assert text_of((kept,)) == text_of((piece,))
        pieces.append(kept)
    text = text_of(pieces)
    text.encode()  # no surrogates
    assert len(text) <= sum(2 * len(piece.data) + 1 for piece in pieces)
    _out_and_in(text, style)


def _out_and_in(text: str, style: Style) -> None:
    parts = segment(text, 7, style)
    pieces = []
    for part in parts:
        what = content(p.DeliverSm(**part._asdict()))
        assert (what.concat is None) == (len(parts) == 1)
        assert len(part.short_message) <= 160
        pieces.append(
            Piece(what.data, Codings(style.default).of(part.data_coding), what.shifts, what.header_length)
        )
    ambiguous = text.startswith(("\ufeff", "\ufffe")) or (
        style.default is Alphabet.GSM_PACKED and text.endswith(("@", "\r"))
    )
    assert ambiguous or text_of(pieces) == text


def _tlvs(source: Source) -> p.Tlvs:
    found = []
    for _ in range(source.octet() % 5):
        tag = source.choice(_TAGS)
        found.append((tag, source.octets(source.octet() % 32)))
    return tuple(found)


# receipted_message_id, message_state, network_error_code, message_payload, the three of SAR, an unknown one
_TAGS = (0x001E, 0x0427, 0x0423, 0x0424, 0x020C, 0x020E, 0x020F, 0x1400)

TARGETS: dict[str, Callable[[bytes], None]] = {"codec": codec, "session": session, "texts": texts}
