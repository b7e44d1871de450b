"""From a PDU to a whole message: who wrote, to which carrier, what, and whether it is a redelivery."""

from pathlib import Path
from typing import Any

import pytest

from gateway.flow.deciding import carrier_of
from gateway.flow.intake import Intake, Line
from gateway.flow.messages import Mo
from gateway.smpp.constants import Tlv
from gateway.smpp.pdu import Address, DeliverSm
from gateway.sms.alphabets import Codings
from tests.flow.harness import PLAIN, PROMPT, pseudonyms

LINE = Line("smsc-1", PLAIN, Codings())


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    """An intake without a store, which messages of one part do not need."""
    names = pseudonyms(tmp_path)
    nowhere: Any = None
    return Intake(parts=nowhere, pseudonyms=names, numbers={"10086": PROMPT}, default_country="CN")


def deliver(text: bytes = b"CXMYD", **fields: object) -> DeliverSm:
    pdu = DeliverSm(
        source=Address(1, 1, "8613800000001"), destination=Address(0, 1, "10086"), short_message=text
    )
    for name, value in fields.items():
        setattr(pdu, name, value)
    return pdu


def whole(intake: Intake, pdu: DeliverSm, line: Line = LINE) -> Mo:
    mo = intake.whole(pdu, line, 0.0)
    assert mo is not None
    return mo


@pytest.mark.parametrize(
    ("source", "msisdn"),
    [
        (Address(1, 1, "8613800000001"), "8613800000001"),
        (Address(1, 1, "+8613800000001"), "8613800000001"),
        (Address(2, 1, "13800000001"), "8613800000001"),
        (Address(0, 0, "13800000001"), "8613800000001"),
        (Address(0, 0, "008613800000001"), "8613800000001"),
        (Address(1, 1, "85261234567"), "85261234567"),
        (Address(5, 0, "Bank"), None),
        (Address(0, 0, "10086"), None),
        (Address(0, 0, ""), None),
        (Address(0, 0, "\xff\x00\x1b"), None),
    ],
)
def test_who_wrote(intake: Intake, source: Address, msisdn: str | None) -> None:
    """One person is one history, however his number was written; who has no number has none."""
    assert whole(intake, deliver(source=source)).msisdn == msisdn


@pytest.mark.parametrize(
    ("coding", "octets"),
    [(0, b"CXMYD"), (1, b"CXMYD"), (3, b"CXMYD"), (8, "CXMYD".encode("utf-16-be")), (4, b"CXMYD")],
)
def test_the_text_in_each_data_coding(intake: Intake, coding: int, octets: bytes) -> None:
    assert whole(intake, deliver(octets, data_coding=coding)).text.startswith("CXMYD")


def test_the_number_texted_decides_the_carrier() -> None:
    """Its own number, an extension of it, with or without a plus; else the link's own carrier."""
    numbers = {"10086": PROMPT}
    for number in ("10086", "10086123", "+10086"):
        assert carrier_of(number, numbers, PLAIN) is PROMPT
    for number in ("10010", "1008", ""):
        assert carrier_of(number, numbers, PLAIN) is PLAIN


def test_a_redelivery_has_the_same_digest_and_nothing_else_has(intake: Intake) -> None:
    first = whole(intake, deliver(sequence_number=1)).digest
    assert whole(intake, deliver(sequence_number=2)).digest == first
    others = [
        deliver(b"CXMYE"),
        deliver(source=Address(1, 1, "8613800000002")),
        deliver(destination=Address(0, 1, "10010")),
        deliver(data_coding=1),
        deliver(tlvs=((Tlv.RECEIPTED_MESSAGE_ID, b"1\0"),)),
        deliver(tlvs=((Tlv.RECEIPTED_MESSAGE_ID, b"2\0"),)),
    ]
    digests = {whole(intake, pdu).digest for pdu in others}
    assert first not in digests
    assert len(digests) == len(others)


def test_the_smscs_own_id_decides_where_it_sends_one(intake: Intake) -> None:
    """One text with two ids is two messages; the same id is a redelivery, whatever else changed."""
    one, again, two = (((Tlv.RECEIPTED_MESSAGE_ID, n),) for n in (b"1\0", b"1\0", b"2\0"))
    digest = whole(intake, deliver(tlvs=one)).digest
    assert whole(intake, deliver(tlvs=again, data_coding=1)).digest == digest
    assert whole(intake, deliver(tlvs=two)).digest != digest
