"""Content and concatenation of incoming messages, in every form and damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp import pdu as p
from gateway.smpp.constants import Tlv
from gateway.sms.alphabets import Shifts
from gateway.sms.concat import Concat, Content, content


def udh(*elements: tuple[int, bytes]) -> bytes:
    header = b"".join(bytes((identifier, len(value))) + value for identifier, value in elements)
    return bytes((len(header),)) + header


def sar(reference: bytes, total: bytes, index: bytes) -> p.Tlvs:
    return (
        (Tlv.SAR_MSG_REF_NUM, reference),
        (Tlv.SAR_TOTAL_SEGMENTS, total),
        (Tlv.SAR_SEGMENT_SEQNUM, index),
    )


PORTS = (0x05, b"\x0b\x84\x23\xf0")
EIGHT = (0x00, b"\xa7\x03\x02")
SIXTEEN = (0x08, b"\x12\xa7\x03\x02")


def test_plain() -> None:
    """A message without header is its octets."""
    assert content(p.DeliverSm(short_message=b"CXMYD")) == Content(b"CXMYD", None)


@pytest.mark.parametrize(
    ("header", "concat"),
    [
        (udh(EIGHT), Concat(0xA7, 3, 2, 8)),
        (udh(SIXTEEN), Concat(0x12A7, 3, 2, 16)),
        (udh(PORTS, EIGHT), Concat(0xA7, 3, 2, 8)),
        (udh(PORTS, (0x70, b""), SIXTEEN, (0x71, b"x")), Concat(0x12A7, 3, 2, 16)),
        (udh(EIGHT, (0x00, b"\xa8\x04\x01")), Concat(0xA8, 4, 1, 8)),
        (udh(PORTS), None),
        (udh((0x00, b"\xa7\x00\x01")), None),
        (udh((0x00, b"\xa7\x03\x00")), None),
        (udh((0x00, b"\xa7\x03\x04")), None),
        (udh((0x00, b"\xa7\x01\x01")), None),
        (udh((0x00, b"\xa7\x03")), None),
        (b"\x04\x00\x03\xa7\x03", None),
        (b"\x01\x00", None),
        (b"\x00", None),
    ],
)
def test_headers(header: bytes, concat: Concat | None) -> None:
    """The concatenation is found anywhere in the header; what is inconsistent is ignored."""
    message = p.DeliverSm(esm_class=0x40, short_message=header + b"CXMYD")
    assert content(message) == Content(b"CXMYD", concat, header=header)


def test_no_header_without_udhi() -> None:
    """The same octets without the indicator are text."""
    assert content(p.DeliverSm(short_message=udh(EIGHT))).data == udh(EIGHT)


def test_a_header_that_runs_past_the_end_is_none() -> None:
    """Some SMSCs set the indicator on everything: then the octets are the text."""
    assert content(p.DeliverSm(esm_class=0x40, short_message=b"CXMYD")) == Content(b"CXMYD", None)


def test_a_nought_before_a_latin_letter_of_ucs2_is_no_header() -> None:
    """UDHI set on everything, once more; an odd length tells a real header of no elements."""
    text = "CXMYD".encode("utf-16-be")
    assert content(p.DeliverSm(esm_class=0x40, data_coding=8, short_message=text)) == Content(text)
    assert content(p.DeliverSm(esm_class=0x40, data_coding=8, short_message=b"\0" + text)).data == text


def test_national_languages() -> None:
    """Their tables are named in the header, with a concatenation or without."""
    header = udh((0x24, b"\x01"), EIGHT, (0x25, b"\x03"))
    what = content(p.DeliverSm(esm_class=0x40, short_message=header + b"x"))
    assert what == Content(b"x", Concat(0xA7, 3, 2, 8), Shifts(3, 1), header)
    damaged = udh((0x24, b""), (0x25, b"\x03\x03"))
    assert content(p.DeliverSm(esm_class=0x40, short_message=damaged + b"x")).shifts == Shifts()


def test_payload_with_sar_tlvs() -> None:
    """The place of the octets and the place among the parts are told independently."""
    tlvs = ((Tlv.MESSAGE_PAYLOAD, b"CX"), *sar(b"\x00\x07", b"\x02", b"\x02"))
    assert content(p.DataSm(tlvs=tlvs)) == Content(b"CX", Concat(7, 2, 2, 16))


def test_sar_tlvs() -> None:
    """SAR parameters, a header first where there are both."""
    tlvs = sar(b"\x12\xa7", b"\x03", b"\x01")
    message = p.DeliverSm(short_message=b"CX", tlvs=tlvs)
    assert content(message) == Content(b"CX", Concat(0x12A7, 3, 1, 16))
    both = p.DeliverSm(esm_class=0x40, short_message=udh(EIGHT) + b"CX", tlvs=tlvs)
    assert content(both).concat == Concat(0xA7, 3, 2, 8)


@pytest.mark.parametrize(
    "tlvs",
    [
        sar(b"\x12", b"\x03", b"\x01"),
        sar(b"\x12\xa7", b"", b"\x01"),
        sar(b"\x12\xa7", b"\x03", b"\x04"),
        sar(b"\x12\xa7", b"\x00", b"\x00"),
        sar(b"\x12\xa7", b"\x03", b"\x01")[:2],
    ],
)
def test_inconsistent_sar_tlvs(tlvs: p.Tlvs) -> None:
    """They are ignored, and the message stands for itself."""
    assert content(p.DeliverSm(short_message=b"CX", tlvs=tlvs)) == Content(b"CX", None)


def test_message_payload() -> None:
    """The text may be in message_payload, with a header of its own; data_sm has no other place for it."""
    payload = ((Tlv.MESSAGE_PAYLOAD, udh(SIXTEEN) + b"CXMYD"),)
    for message in (p.DeliverSm(esm_class=0x40, tlvs=payload), p.DataSm(esm_class=0x40, tlvs=payload)):
        assert content(message)[:2] == (b"CXMYD", Concat(0x12A7, 3, 2, 16))


@given(st.binary(max_size=140), st.integers(0, 255))
def test_any_octets(octets: bytes, esm_class: int) -> None:
    """Whatever the header: no exception, no more octets than came, no senseless concatenation."""
    data, concat, _, header = content(p.DeliverSm(esm_class=esm_class, short_message=octets))
    assert header + data == octets
    assert concat is None or 1 <= concat.index <= concat.total
