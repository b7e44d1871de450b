"""Bodies of deliver_sm and data_sm: damaged ones are refused and the session lives; what is merely unusual
is taken.
"""

from typing import Any

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.judging import (
    expect_answer,
    expect_not_acknowledged,
    expect_refusal,
    still_bound,
)
from gateway.simulator.conformance.lab import Lab
from gateway.simulator.conformance.scenario import scenario
from gateway.simulator.conformance.verdicts import Failed, Level

GROUP = "pdu"
_RECEIVER = ("receiver",)
_REFUSALS = ("deliver_sm_resp", "generic_nack")


def _plain(*, sm_length: int | None = None, tail: bytes = b"") -> bytes:
    return wire.message_body("8613900000000", "10086", b"conformance", sm_length=sm_length, tlvs=tail)


_WITHOUT_NUL = wire.cstring("") + b"\1\1" + wire.cstring("8613900000000") + b"\0\1" + b"10086" * 6


@scenario(
    GROUP,
    "SMPP 3.4, 3.1, 3.2.4 and 5.2.21",
    needs=_RECEIVER,
    cases={
        "empty-deliver-sm": b"",
        "string-without-its-nul": _WITHOUT_NUL,
        "body-cut-in-the-middle": _plain()[:25],
        "sm-length-too-large": _plain(sm_length=200),
        "tlv-length-too-large": _plain(tail=wire.tlv(wire.USER_MESSAGE_REFERENCE, b"\0\1", length=200)),
        "tlv-length-of-64-kilobytes": _plain(tail=wire.tlv(wire.MESSAGE_PAYLOAD, b"x", length=0xFFFF)),
    },
)
async def damaged(lab: Lab, case: bytes) -> None:
    """A deliver_sm whose fields do not fit into it is not acknowledged: it gets an error status (in
    deliver_sm_resp or generic_nack, with its sequence_number). Nothing was framed wrongly, so the session
    lives.
    """
    peer = await lab.bound(receives=True)
    answer = await peer.ask("deliver_sm", case)
    expect_refusal(answer, *_REFUSALS)
    await still_bound(peer)


@scenario(
    GROUP,
    "SMPP 3.4, 3.2.4 and 5.3.2",
    level=Level.SHOULD,
    needs=_RECEIVER,
    cases={
        "sm-length-too-small": _plain(sm_length=4),
        "tlv-cut-in-its-header": _plain(tail=b"\x02\x04\x01"),
        "source-addr-too-long": wire.message_body("8" * 40, "10086", b"conformance"),
        "short-message-and-message-payload": _plain(tail=wire.tlv(wire.MESSAGE_PAYLOAD, b"another")),
    },
)
async def contradictory(lab: Lab, case: bytes) -> None:
    """A deliver_sm that contradicts itself or the sizes of its fields is better refused than guessed at;
    the session lives either way.
    """
    peer = await lab.bound(receives=True)
    answer = await peer.ask("deliver_sm", case)
    await still_bound(peer)
    expect_refusal(answer, *_REFUSALS)


async def _is_taken(lab: Lab, body: bytes, *, command: str = "deliver_sm", status: int = 0) -> None:
    """It is answered by its response; without an error where the ESME is known to like such texts."""
    peer = await lab.bound(receives=True)
    number = peer.next_sequence()
    peer.put(wire.pdu(command, number, body, status=status))
    expected = (wire.ROK,) if lab.options.mo.answers else ()
    expect_answer(await peer.answer_to(number), f"{command}_resp", *expected)


@scenario(
    GROUP,
    "SMPP 3.4, 3.3 and 5.3.1",
    needs=_RECEIVER,
    cases={
        "unknown-tlv": wire.tlv(0x0F0F, b"unknown"),
        "unknown-tlv-without-a-value": wire.tlv(0x0F0F, b""),
        "vendor-tlv": wire.tlv(0x1401, b"\0\1\2\3"),
        "reserved-tlv": wire.tlv(0xFFFF, b"reserved"),
        "many-unknown-tlvs": b"".join(wire.tlv(0x1500 + i, bytes((i,))) for i in range(200)),
    },
)
async def unknown_tlvs(lab: Lab, case: bytes) -> None:
    """Optional parameters that the ESME does not know are ignored, and the message is taken: this is how
    later versions of the protocol stay compatible.
    """
    await _is_taken(lab, lab.mo().body(tlvs=case))


_STANDARD_TLVS = b"".join(
    wire.tlv(tag, value)
    for tag, value in (
        (0x0204, b"\0\7"),  # user_message_reference
        (0x020A, b"\x15\xb3"),  # source_port
        (0x020B, b"\x15\xb3"),  # destination_port
        (0x0201, b"\0"),  # privacy_indicator
        (0x0202, b"\x80\x01"),  # source_subaddress
        (0x0019, b"\0"),  # payload_type
        (0x020D, b"\0"),  # language_indicator
        (0x0205, b"\0"),  # user_response_code
        (0x1383, b"\0\0"),  # its_session_info
        (0x0381, b"\1\1\1" + b"861390000000"),  # callback_num
    )
)


@scenario(GROUP, "SMPP 3.4, 4.6.1", needs=_RECEIVER)
async def standard_tlvs(lab: Lab) -> None:
    """All optional parameters that the specification allows in a deliver_sm may come at once."""
    await _is_taken(lab, lab.mo().body(tlvs=_STANDARD_TLVS))


@scenario(GROUP, "SMPP 3.4, 4.6.1 and 5.3.2.32", needs=_RECEIVER)
async def message_payload(lab: Lab) -> None:
    """A text may come in message_payload, sm_length being 0."""
    mo = lab.mo()
    await _is_taken(lab, mo.body(b"", tlvs=wire.tlv(wire.MESSAGE_PAYLOAD, mo.text.encode("ascii"))))
    if lab.options.mo.answers:
        await lab.answer_to(mo)


@scenario(
    GROUP,
    "field practice: seen in the wild, kills strict parsers",
    level=Level.SHOULD,
    needs=_RECEIVER,
    cases={f"padding-of-{n}-nul{'s' * (n > 1)}": n for n in (1, 2, 3)},
)
async def padding(lab: Lab, case: int) -> None:
    """Some SMSCs pad a PDU with up to three NULs behind its last field, fewer than a TLV's header has. The
    message is whole, and is taken.
    """
    await _is_taken(lab, lab.mo().body(tlvs=b"\0" * case))


@scenario(GROUP, "SMPP 3.4, 5.1.3", needs=_RECEIVER)
async def command_status_in_a_request(lab: Lab) -> None:
    """command_status means nothing in a request; one that is not 0 changes nothing."""
    await _is_taken(lab, lab.mo().body(), status=0x45)


async def _is_answered(lab: Lab, body: bytes, command: str = "deliver_sm") -> None:
    """It is answered by its response or a generic_nack, with whatever status, and the session lives."""
    peer = await lab.bound(receives=True)
    answer = await peer.ask(command, body)
    if answer.name not in (f"{command}_resp", "generic_nack"):
        raise Failed(f"{command}_resp, whatever its status", f"{answer} came")
    await still_bound(peer)


_RESERVED: dict[str, dict[str, Any]] = {
    "reserved-esm-class": {"esm_class": 0x3F},
    "reserved-priority-flag": {"priority_flag": 255},
    "reserved-registered-delivery": {"registered_delivery": 255},
    "reserved-ton-and-npi": {"source_ton": 255, "source_npi": 255, "dest_ton": 255, "dest_npi": 255},
    "reserved-protocol-id": {"protocol_id": 255},
    "times-that-a-deliver-sm-has-not": {
        "schedule_delivery_time": "000000000100000R",
        "validity_period": "nonsense",
        "replace_if_present_flag": 7,
        "sm_default_msg_id": 255,
    },
    "empty-short-message": {"short_message": b""},
    "all-octets": {"short_message": bytes(range(254)), "data_coding": 4},
    "udh-that-lies": {"short_message": b"\xff\0\3\1\2\1text", "esm_class": 0x40},
    "udh-and-nothing-else": {"short_message": b"\5\0\3\1\2\1", "esm_class": 0x40},
    "udh-element-that-lies": {"short_message": b"\3\0\xc8\1text", "esm_class": 0x40},
    "half-a-ucs2-character": {"short_message": b"\x4e\x00\x4e", "data_coding": 8},
}


@scenario(GROUP, "SMPP 3.4, 5.2", needs=_RECEIVER, cases=_RESERVED)
async def odd(lab: Lab, case: dict[str, Any]) -> None:
    """Reserved values and odd contents in a well-formed deliver_sm are taken or refused, but always
    answered, and the session lives.
    """
    await _is_answered(lab, lab.mo().body(**case))


@scenario(GROUP, "SMPP 3.4, 4.6.1", needs=_RECEIVER, cases={"tlv-of-the-wrong-size": None})
async def wrong_size(lab: Lab, case: None) -> None:
    """A known optional parameter of a size that it cannot have: the message is refused, or taken without
    it, but answered, and the session lives.
    """
    await _is_answered(lab, lab.mo().body(tlvs=wire.tlv(wire.SAR_MSG_REF_NUM, b"\1")))


@scenario(GROUP, "SMPP 3.4, 5.2.19", needs=_RECEIVER)
async def every_data_coding(lab: Lab) -> None:
    """A deliver_sm is answered whatever its data_coding, known, reserved or private."""
    peer = await lab.bound(receives=True)
    for data_coding in range(256):
        mo = lab.mo()
        answer = await peer.ask("deliver_sm", mo.body(data_coding=data_coding))
        if answer.name not in _REFUSALS:
            raise Failed(f"deliver_sm_resp to data_coding 0x{data_coding:02X}", f"{answer} came")
    await still_bound(peer)


@scenario(GROUP, "SMPP 3.4, 4.7.1", needs=_RECEIVER)
async def data_sm(lab: Lab) -> None:
    """A data_sm, which an SMSC may send instead of a deliver_sm, is answered by data_sm_resp; an ESME that
    knows none says so with a generic_nack.
    """
    mo = lab.mo()
    payload = wire.tlv(wire.MESSAGE_PAYLOAD, mo.text.encode("ascii"))
    await _is_answered(lab, wire.data_body(mo.sender, mo.service, tlvs=payload), "data_sm")


@scenario(GROUP, "SMPP 3.4, 4.7.1", needs=_RECEIVER)
async def damaged_data_sm(lab: Lab) -> None:
    """A data_sm whose fields do not fit into it is not acknowledged, and the session lives."""
    peer = await lab.bound(receives=True)
    expect_not_acknowledged(await peer.ask("data_sm", b"\0\1\1" + b"8" * 60))
    await still_bound(peer)


@scenario(
    GROUP,
    "SMPP 3.4, 3.2, 4.3 and 5.1.2.1",
    cases={"unknown-command": 0x0000_0099, "vendor-command": 0x0001_0201, "reserved-command": 0x0000_0200},
)
async def unknown_command(lab: Lab, case: int) -> None:
    """A request whose command_id the ESME does not know is answered by generic_nack with
    ESME_RINVCMDID and its sequence_number, and the session lives.
    """
    peer = await lab.bound()
    answer = await peer.ask(case, b"some octets")
    expect_answer(answer, "generic_nack", wire.RINVCMDID)
    await still_bound(peer)
