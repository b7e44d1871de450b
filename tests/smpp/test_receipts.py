"""Receipts: told apart by esm_class, read in every shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp import pdu as p
from gateway.smpp.constants import EsmClass, Tlv
from gateway.smpp.receipts import Kind, MessageState, Receipt, kind_of, parse, same_message_id

STANDARD = (
    b"id:0123456789 sub:001 dlvrd:001 submit date:2002151200 done date:2002151201 "
    b"stat:DELIVRD err:000 text:CXMYD"
)


def receipt(text: bytes = b"", **fields: object) -> p.DeliverSm:
    return p.DeliverSm(esm_class=EsmClass.DELIVERY_RECEIPT, short_message=text, **fields)  # type: ignore[arg-type] # test shorthand


@pytest.mark.parametrize(
    ("esm_class", "kind"),
    [
        (0x00, Kind.QUERY),
        (0x03, Kind.QUERY),
        (0x40, Kind.QUERY),
        (0x80, Kind.QUERY),
        (0x04, Kind.RECEIPT),
        (0x44, Kind.RECEIPT),
        (0x20, Kind.RECEIPT),
        (0x08, Kind.OTHER),
        (0x10, Kind.OTHER),
        (0x18, Kind.OTHER),
        (0x3C, Kind.OTHER),
    ],
)
def test_esm_class_decides(esm_class: int, kind: Kind) -> None:
    """A subscriber who types a receipt's text has still sent a query, and a receipt may have any text."""
    assert kind_of(p.DeliverSm(esm_class=esm_class, short_message=STANDARD)) is kind
    assert kind_of(p.DataSm(esm_class=esm_class)) is kind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (STANDARD, Receipt("0123456789", MessageState.DELIVERED, "000")),
        (b"id:ab12 stat:UNDELIV", Receipt("ab12", MessageState.UNDELIVERABLE, "")),
        (b"ID: 7 STAT: expired ERR: 005", Receipt("7", MessageState.EXPIRED, "005")),
        (b"stat:REJECTD id:9", Receipt("9", MessageState.REJECTED, "")),
        (b"id:9 stat:ODD", Receipt("9", MessageState.UNKNOWN, "")),
        (b"id:9 text:id:8 stat:DELIVRD", Receipt("9", MessageState.UNKNOWN, "")),
        (b"messageid:9 stat:DELIVRD", None),
        (b"delivered", None),
        (b"", None),
    ],
)
def test_text(text: bytes, expected: Receipt | None) -> None:
    """Parts may be missing, in another order, in another case; what stands behind text: is ours."""
    assert parse(receipt(text)) == expected


def test_tlvs_first() -> None:
    """The TLVs win over the text, which may stand in short_message or in message_payload."""
    tlvs = (
        (Tlv.RECEIPTED_MESSAGE_ID, b"tlv\0"),
        (Tlv.MESSAGE_STATE, b"\x05"),
        (Tlv.NETWORK_ERROR_CODE, b"\x03\x00\x1b"),
    )
    assert parse(receipt(STANDARD, tlvs=tlvs)) == Receipt("tlv", MessageState.UNDELIVERABLE, "03001b")
    assert parse(receipt(tlvs=((Tlv.MESSAGE_PAYLOAD, STANDARD),))) == parse(receipt(STANDARD))
    unknown = parse(receipt(tlvs=((Tlv.RECEIPTED_MESSAGE_ID, b"x"), (Tlv.MESSAGE_STATE, b"\x63"))))
    assert unknown == Receipt("x", MessageState.UNKNOWN, "")


@given(st.binary(max_size=254), st.binary(max_size=5), st.binary(max_size=5))
def test_total(text: bytes, message_id: bytes, state: bytes) -> None:
    """Whatever a receipt holds, it is read or not read, but never raises."""
    parse(receipt(text, tlvs=((Tlv.RECEIPTED_MESSAGE_ID, message_id), (Tlv.MESSAGE_STATE, state))))


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ("1A2B", "1a2b", True),
        ("0000012", "12", True),
        ("75bcd15", "123456789", True),
        ("123456789", "75BCD15", True),
        ("msg-7", "MSG-7", True),
        ("msg-7", "msg-8", False),
        ("13", "12", False),
        ("", "", False),
        ("", "0", False),
    ],
)
def test_message_ids(ours: str, theirs: str, same: bool) -> None:
    """Hex or decimal, zeros and case make no difference."""
    assert same_message_id(ours, theirs) is same
