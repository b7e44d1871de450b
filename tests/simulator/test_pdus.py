"""PDUs, alphabets and concatenation of the simulated SMSC."""

import contextlib
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from smpplib import consts

from gateway.simulator import alphabets, joining, pdus
from tests.simulator.simulated import SUBMIT


def submit(**fields: object) -> bytes:
    return pdus.encode("submit_sm", 1, **(SUBMIT | fields))


def patched(frame: bytes, old: bytes, new: bytes) -> bytes:
    """The frame with something replaced and its command_length made right again."""
    frame = frame.replace(old, new, 1)
    return struct.pack(">L", len(frame)) + frame[4:]


@pytest.mark.parametrize(
    ("frame", "status"),
    [
        (patched(submit(), b"8613800000000\0", b"8613800000000"), None),
        (patched(submit(), b"\x06answer", b"\x09answer"), consts.SMPP_ESME_RINVMSGLEN),
        (patched(submit(), b"\x06answer", b"\x06ans"), consts.SMPP_ESME_RINVMSGLEN),
        (patched(submit(), b"8613800000000", b"8" * 21), consts.SMPP_ESME_RINVPARLEN),
        (submit()[:30], consts.SMPP_ESME_RINVCMDLEN),
        (submit() + b"\x02\x0c\0\x09\0\0", None),
        (b"\0\0\0\x10\0\0\x77\x77" + bytes(8), consts.SMPP_ESME_RINVCMDID),
        (pdus.encode("enquire_link", 1)[:4] + b"\0\0\0\x21" + bytes(8), consts.SMPP_ESME_RINVCMDID),
    ],
)
def test_damaged_pdu_is_refused(frame: bytes, status: int | None) -> None:
    """A missing NUL, a lying length, a cut body: what smpplib lets pass is refused here."""
    with pytest.raises(pdus.PduError) as refusal:
        pdus.decode(frame)
    assert refusal.value.status == (status or refusal.value.status) != 0


def test_unknown_tlv_is_ignored() -> None:
    """A vendor's TLV does not keep a PDU from being understood."""
    frame = submit() + b"\x14\x01\0\x02hi"
    assert pdus.decode(frame).short_message == b"answer"


@given(st.binary(max_size=120), st.sampled_from([4, 5, 9, 1, 0x103, 0x80000004, 0x80000005, 0x80000009]))
@example(b"\0" * 17 + b"\x05\0\x0a", 4)
def test_decode_never_raises_anything_else(body: bytes, command_id: int) -> None:
    """Whatever comes, decode gives a PDU or PduError, and `fields` something to read."""
    frame = struct.pack(">LLLL", 16 + len(body), command_id, 0, 1) + body
    assert pdus.fields(frame)
    assert len(pdus.redact(frame)) == len(frame)
    with contextlib.suppress(pdus.PduError):
        pdus.decode(frame)


def test_error_response_has_no_body() -> None:
    """A response with a status that is not zero is its header alone."""
    assert len(pdus.encode("submit_sm_resp", 7, consts.SMPP_ESME_RTHROTTLED, message_id="1")) == 16
    assert pdus.decode(pdus.encode("submit_sm_resp", 7, message_id="1")).message_id == "1"


def test_passwords_are_masked() -> None:
    """Neither the octets nor the fields of a trace hold a password."""
    for name in ("bind_transceiver", "bind_receiver", "outbind"):
        frame = pdus.redact(pdus.encode(name, 1, system_id="me", password="hunter2"))
        assert b"hunter2" not in frame
        assert ("password", "*******") in pdus.fields(frame)
        assert b"hunter" not in pdus.redact(frame.replace(b"*******\0", b"hunter2"))


def test_fields_are_readable() -> None:
    """Numbers come with their meaning, texts decoded, the UDH apart."""
    frame = submit(
        esm_class=0x40, data_coding=8, short_message=b"\x05\0\x03\x01\x02\x01" + "你好".encode("utf-16-be")
    )
    fields = dict(pdus.fields(frame))
    assert fields["esm_class"] == "0x40 UDHI"
    assert fields["data_coding"] == "0x08 UCS2"
    assert fields["dest_addr_ton"] == "1 international"
    assert fields["short_message"] == "UDH 05 00 03 01 02 01 | 你好"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400), st.integers(0, 255))
@example("€" * 80, 0)
@example("😀" * 35, 0)
@example("a" * 159 + "€", 0)
def test_text_survives_parts(text: str, reference: int) -> None:
    """Each part decodes by itself, fits a short message, and all joined are the text."""
    parts = alphabets.parts_of(text, reference)
    texts = []
    for part in parts:
        octets = part.short_message[6:] if part.esm_class else part.short_message
        assert len(octets) <= (160 if part.data_coding == alphabets.GSM else 140)
        texts.append(alphabets.decode(octets, part.data_coding))
    assert "".join(texts) == text
    assert not any("\ufffd" in piece for piece in texts) or "\ufffd" in text


@given(st.binary(max_size=50), st.integers(0, 255))
def test_any_octets_can_be_shown(octets: bytes, data_coding: int) -> None:
    """A phone shows something for every octet string under every data_coding."""
    assert isinstance(alphabets.decode(octets, data_coding), str)


@pytest.mark.parametrize(
    ("data_coding", "octets", "text"),
    [
        (0, b"\x00\x1b\x65 \x1b", "@€ \ufffd"),
        (1, b"CXMYD\xe9", "CXMYD\ufffd"),
        (3, b"\xe9", "é"),
        (4, b"\x01\x02", "01 02"),
        (8, b"\x4f\x60", "你"),
        (0x18, b"\x4f\x60", "你"),
        (0xF0, b"A", "A"),
        (0xF5, b"A", "41"),
    ],
)
def test_data_codings(data_coding: int, octets: bytes, text: str) -> None:
    """The alphabets an SMSC meets, message classes included."""
    assert alphabets.decode(octets, data_coding) == text


@pytest.mark.parametrize(
    ("fields", "piece"),
    [
        ({"short_message": b"hi"}, (None, 1, 1, "hi")),
        ({"short_message": b"\x05\0\x03\x07\x02\x01hi", "esm_class": 0x40}, (("udh8", 7), 2, 1, "hi")),
        (
            {"short_message": b"\x06\x08\x04\x01\x07\x02\x02hi", "esm_class": 0x40},
            (("udh16", 263), 2, 2, "hi"),
        ),
        (
            {"short_message": b"\x08\x01\x01\x00\0\x03\x07\x02\x01hi", "esm_class": 0x40},
            (("udh8", 7), 2, 1, "hi"),
        ),
        ({"short_message": b"\x03\x01\x01\x00hi", "esm_class": 0x40}, (None, 1, 1, "hi")),
        (
            {"short_message": b"hi", "sar_msg_ref_num": 9, "sar_total_segments": 3, "sar_segment_seqnum": 2},
            (("sar", 9), 3, 2, "hi"),
        ),
        ({"short_message": b"", "message_payload": b"payload"}, (None, 1, 1, "payload")),
    ],
)
def test_concatenation_is_found(fields: dict[str, object], piece: tuple[object, ...]) -> None:
    """UDH with 8 or 16 bits anywhere among its elements, SAR TLVs, message_payload."""
    assert joining.piece_of(pdus.decode(submit(**fields))) == piece


@pytest.mark.parametrize(
    "short_message",
    [
        b"",
        b"\x09\0\x03\x01\x02\x01",
        b"\x05\0\x09\x01\x02\x01",
        b"\x05\0\x03\x01\0\x01",
        b"\x05\0\x03\x01\x02\x03",
        b"\x05\0\x03\x01\x02\0",
    ],
)
def test_impossible_udh_is_refused(short_message: bytes) -> None:
    """A UDH that does not fit, or a part outside its total, is refused."""
    with pytest.raises(pdus.PduError):
        joining.piece_of(pdus.decode(submit(short_message=short_message, esm_class=0x40)))


def test_unfinished_texts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that never become a text do not fill the memory: the oldest are forgotten."""
    monkeypatch.setattr(joining, "_MAX_UNFINISHED", 3)
    unfinished = joining.Unfinished()
    for reference in range(4):
        unfinished.add("10086", "86138", joining.Piece(("udh8", reference), 2, 1, "a"))
    assert unfinished.add("10086", "86138", joining.Piece(("udh8", 0), 2, 2, "b")) == (1, None)
    assert unfinished.add("10086", "86138", joining.Piece(("udh8", 3), 2, 2, "b")) == (2, "ab")
