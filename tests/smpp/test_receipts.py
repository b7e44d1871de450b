"""Receipts: told apart by esm_class, read in every shape, states that only move forward."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp import pdu as p
from gateway.smpp.constants import EsmClass, Tlv
from gateway.smpp.receipts import (
    FINAL,
    FOLLOWS,
    Kind,
    MessageState,
    Receipt,
    candidates,
    canonical,
    kind_of,
    parse,
)

STANDARD = (
    b"id:0123456789 sub:001 dlvrd:001 submit date:2002151200 done date:2002151201 "
    b"stat:DELIVRD err:000 text:CXMYD"
)
UDH = b"\x05\x00\x03\x41\x01\x01"
S = MessageState


def receipt(text: bytes = b"", **fields: object) -> p.DeliverSm:
    return p.DeliverSm(**{"esm_class": EsmClass.DELIVERY_RECEIPT, "short_message": text} | fields)  # type: ignore[arg-type] # test shorthand


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
    ("text", "message_id", "state", "error"),
    [
        (STANDARD, "0123456789", S.DELIVERED, "000"),
        (b"id:ab12 stat:UNDELIV", "ab12", S.UNDELIVERABLE, ""),
        (b"ID: 7 STAT: expired ERR: 005", "7", S.EXPIRED, "005"),
        (b"stat:REJECTD id:9", "9", S.REJECTED, ""),
        (b"id:9 stat:ODD", "9", None, ""),
        (b"id:9", "9", None, ""),
        (b"id:9 text:id:8 stat:DELIVRD", "9", None, ""),
        (b"id:9 dlvrd:001 stat:DELIVRD err:0 Text:", "9", S.DELIVERED, "0"),  # jsmpp 62: no sub
        (b"id:9,sub:001,dlvrd:001,stat:DELIVRD,err:7", "9", S.DELIVERED, "7"),
        (b"id:9;stat:DELETED;err:7;", "9", S.DELETED, "7"),
        (b"id:9|stat:UNKNOWN|err:7|", "9", S.UNKNOWN, "7"),
        (b"id=9 stat=DELIVRD err=7", "9", S.DELIVERED, "7"),
        (b'id:"9" stat:<DELIVERED>', "9", S.DELIVERED, ""),
        (b"id:\t9\r\nstat:\tUNDELIVERED\r\n", "9", S.UNDELIVERABLE, ""),
        (
            b"id:123sub:001dlvrd:001submit date:2002151200done date:2002151201stat:DELIVRD",
            "123",
            S.DELIVERED,
            "",
        ),
        (b"message_id:9 status:EXPIRED error:9", "9", S.EXPIRED, "9"),
        (b"MessageId: 9 state: ACCEPTED", "9", S.ACCEPTED, ""),
        (b"msgid:9 stat:ACCEPTD", "9", S.ACCEPTED, ""),
        (b"id:9 stat:ENROUTE", "9", S.ENROUTE, ""),
        (b"id:9 stat:EN ROUTE err:1", "9", S.ENROUTE, "1"),
        (b"id:9 stat:BUFFRED", "9", S.ENROUTE, ""),
        (b"id:9 stat:SCHEDULED", "9", S.SCHEDULED, ""),
        (b"id:9 stat:SKIPPED", "9", S.SKIPPED, ""),
        (b"id:9 stat:FAILED", "9", S.UNDELIVERABLE, ""),
        (b"id:9 stat:2", "9", S.DELIVERED, ""),
        (b"id:9 stat:MK:0012 err:000", "9", S.UNDELIVERABLE, "MK:0012"),
        (b"stat:ID:0076 id:9", "9", S.UNDELIVERABLE, "ID:0076"),
        (b"id:9 stat:UNDELIV err:a b c", "9", S.UNDELIVERABLE, "a"),
        (b"id:9 stat:UNDELIV err:" + b"\xe9" * 20, "9", S.UNDELIVERABLE, ""),
        (b"id:9 stat:UNDELIV err:" + b"1" * 20, "9", S.UNDELIVERABLE, ""),
        (b"id:3f2a-77:b.1_x stat:DELIVRD", "3f2a-77:b.1_x", S.DELIVERED, ""),
        (b"paid:8 id:9 stat:DELIVRD", "9", S.DELIVERED, ""),
        (b"id:9 id:8 stat:DELIVRD stat:EXPIRED", "9", S.DELIVERED, ""),
    ],
)
def test_text(text: bytes, message_id: str, state: MessageState | None, error: str) -> None:
    """Parts may be missing, in another order, case or spelling, with any separators; what stands behind
    text: is ours. The same in UCS2 and in message_payload.
    """
    expected = Receipt((message_id,), state, error)
    assert parse(receipt(text)) == expected
    assert parse(receipt(tlvs=((Tlv.MESSAGE_PAYLOAD, text),))) == expected
    assert parse(receipt(UDH + text, esm_class=0x44)) == expected
    assert parse(receipt(text.decode("latin-1").encode("utf-16-be"), data_coding=8)) == expected


@pytest.mark.parametrize("text", [b"", b"delivered", b"paid:9 stat:DELIVRD", b"id: stat:DELIVRD", b"id:"])
def test_no_id(text: bytes) -> None:
    """A receipt that names no message says nothing."""
    assert parse(receipt(text)) is None


@pytest.mark.parametrize(
    ("tlvs", "expected"),
    [
        (
            {0x1E: b"tlv\0", 0x427: b"\x05", 0x423: b"\x03\x00\x1b"},
            (("tlv", "0123456789"), S.UNDELIVERABLE, "3/27"),
        ),
        ({0x1E: b"0123456789\0"}, (("0123456789",), S.DELIVERED, "000")),
        ({0x1E: b"\0"}, (("0123456789",), S.DELIVERED, "000")),
        ({0x1E: b""}, (("0123456789",), S.DELIVERED, "000")),
        ({0x1E: b"no NUL"}, (("no NUL", "0123456789"), S.DELIVERED, "000")),
        ({0x427: b"\0"}, (("0123456789",), S.SCHEDULED, "000")),
        ({0x427: b"\x09"}, (("0123456789",), S.SKIPPED, "000")),
        ({0x427: b"\x63"}, (("0123456789",), S.DELIVERED, "000")),
        ({0x427: b""}, (("0123456789",), S.DELIVERED, "000")),
        ({0x423: b"\x03"}, (("0123456789",), S.DELIVERED, "000")),
    ],
)
def test_tlvs_first(tlvs: dict[int, bytes], expected: tuple[tuple[str, ...], MessageState, str]) -> None:
    """The TLVs win over the text where they mean something; an id that differs in both is kept twice."""
    assert parse(receipt(STANDARD, tlvs=tuple(tlvs.items()))) == Receipt(*expected)


def test_tlvs_alone() -> None:
    """data_sm has nothing else."""
    tlvs = ((Tlv.RECEIPTED_MESSAGE_ID, b"7\0"), (Tlv.MESSAGE_STATE, b"\x02"))
    assert parse(p.DataSm(esm_class=4, tlvs=tlvs)) == Receipt(("7",), S.DELIVERED, "")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (b"ENROUTE", S.ENROUTE),
        (b"ACCEPTD", S.ACCEPTED),
        (b"UNDELIV", S.ENROUTE),
        (b"UNKNOWN", S.ENROUTE),
        (b"ODD", None),
    ],
)
def test_intermediate_notification(said: bytes, meant: MessageState | None) -> None:
    """An intermediate notification ends nothing: a failure in it is one try's."""
    told = parse(receipt(b"id:9 stat:" + said, esm_class=EsmClass.INTERMEDIATE_NOTIFICATION))
    assert told == Receipt(("9",), meant, "")


@given(st.binary(max_size=254), st.binary(max_size=5), st.binary(max_size=5), st.integers(0, 255))
def test_total(text: bytes, message_id: bytes, state: bytes, esm_class: int) -> None:
    """Whatever a receipt holds, it is read or not read, but never raises."""
    tlvs = (
        (Tlv.RECEIPTED_MESSAGE_ID, message_id),
        (Tlv.MESSAGE_STATE, state),
        (Tlv.NETWORK_ERROR_CODE, state),
    )
    told = parse(receipt(text, tlvs=tlvs, esm_class=esm_class))
    assert told is None or list(candidates(told.message_ids))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["1A2B"], ("1a2b", "6699")),
        (["0000012"], ("12", "c", "18")),
        (["123456789"], ("123456789", "75bcd15", "4886718345")),
        (["msg-7"], ("msg-7",)),
        (["MSG-7 "], ("msg-7",)),
        (["0000"], ("0",)),
        (["f" * 17], ("f" * 17,)),
        (["9" * 21], ("9" * 21,)),
        (["75BCD15", "123456789"], ("75bcd15", "123456789", "4886718345")),
    ],
)
def test_forms_of_an_id(written: list[str], expected: tuple[str, ...]) -> None:
    """As written first, then hex for decimal, then decimal for hex; zeros and case make no difference."""
    assert tuple(dict.fromkeys(candidates(written))) == expected


@given(st.integers(0, 2**63 - 1), st.sampled_from(["{:x}", "{:X}", "{:d}", "{:08X}", "{:020d}", "0x{:x}"]))
def test_forms_meet(number: int, answered: str) -> None:
    """However the answer to submit_sm and the receipt write the number of a message, they meet."""
    for receipted in ("{:x}", "{:X}", "{:d}", "{:010d}", "0x{:X}"):
        assert canonical(answered.format(number)) in candidates([receipted.format(number)])


ORDER: list[MessageState | None] = [None, S.SCHEDULED, S.ENROUTE, S.ACCEPTED, S.UNKNOWN]


@pytest.mark.parametrize("after", list(MessageState))
@pytest.mark.parametrize("before", [None, *MessageState])
def test_every_pair_of_states(before: MessageState | None, after: MessageState) -> None:
    """Forward only: nothing follows an end, nothing follows itself, UNKNOWN yields to an end."""
    if before in FINAL:
        forward = False
    elif after in FINAL:
        forward = True
    else:
        forward = ORDER.index(before) < ORDER.index(after)
    assert (before in FOLLOWS[after]) is forward
