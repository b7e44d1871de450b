"""Delivery receipts and other notices of the SMSC: what tells them from a phone's text is esm_class alone
(SMPP 3.4, 2.11, 5.2.12 and appendix B).
"""

import asyncio

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.judging import expect_answer, require, still_bound
from gateway.simulator.conformance.lab import Lab, Mo
from gateway.simulator.conformance.scenario import scenario
from gateway.simulator.conformance.verdicts import Level

GROUP = "receipts"
_RECEIVER = ("receiver",)
_ESM_CLASS = "SMPP 3.4, 2.11, 5.2.12 and appendix B"
_RECEIPT, _DELIVERY_ACK, _USER_ACK, _ABORT, _INTERMEDIATE = 0x04, 0x08, 0x10, 0x18, 0x20
_TEXT = (
    b"id:1a2b3c4d sub:001 dlvrd:001 submit date:2501011200 done date:2501011201 stat:DELIVRD err:000 text:Hi"
)


def _named(message_id: bytes, state: int = 2) -> bytes:
    return wire.tlv(wire.RECEIPTED_MESSAGE_ID, message_id) + wire.tlv(wire.MESSAGE_STATE, bytes((state,)))


@scenario(
    GROUP,
    _ESM_CLASS,
    needs=_RECEIVER,
    cases={
        "as-in-appendix-b": (_TEXT, b""),
        "by-tlvs-only": (b"", _named(b"1a2b3c4d\0")),
        "by-text-and-tlvs": (_TEXT, _named(b"1a2b3c4d\0")),
        "without-counts-and-dates": (b"id:42 stat:UNDELIV", b""),
        "in-lower-case": (b"id:abc STAT:delivrd ERR:0", b""),
        "of-an-unknown-state": (b"id:42 stat:QUEUED err:xyz", _named(b"42\0", 99)),
        "without-an-id": (b"stat:DELIVRD", b""),
        "with-an-empty-id": (b"id: stat:DELIVRD", _named(b"\0")),
        "with-an-id-of-64-characters": (b"id:" + b"f" * 64 + b" stat:DELIVRD", _named(b"f" * 64 + b"\0")),
        "with-an-id-without-its-nul": (_TEXT, _named(b"1a2b3c4d")),
        "that-is-no-receipt-at-all": (b"\x00\xff binary", b""),
    },
)
async def receipt(lab: Lab, case: tuple[bytes, bytes]) -> None:
    """A delivery receipt is acknowledged with ESME_ROK, in whatever form its text is (the specification
    leaves it to the SMSC) and whether the message is known or not; the session lives.
    """
    text, tlvs = case
    peer = await lab.bound(receives=True)
    body = lab.mo().body(text, esm_class=_RECEIPT, tlvs=tlvs)
    expect_answer(await peer.ask("deliver_sm", body), "deliver_sm_resp", wire.ROK)
    await still_bound(peer)


@scenario(
    GROUP,
    "SMPP 3.4, 5.2.12",
    needs=_RECEIVER,
    cases={
        "intermediate-notification": _INTERMEDIATE,
        "delivery-acknowledgement": _DELIVERY_ACK,
        "user-acknowledgement": _USER_ACK,
        "conversation-abort": _ABORT,
        "receipt-with-a-header": _RECEIPT | 0x40,
    },
)
async def notice(lab: Lab, case: int) -> None:
    """The other messages that esm_class knows get a deliver_sm_resp, and the session lives."""
    peer = await lab.bound(receives=True)
    text = b"\5\0\3\1\1\1" + _TEXT if case & 0x40 else _TEXT
    expect_answer(await peer.ask("deliver_sm", lab.mo().body(text, esm_class=case)), "deliver_sm_resp")
    await still_bound(peer)


@scenario(GROUP, "SMPP 3.4, 4.7.1 and 5.2.12", needs=_RECEIVER)
async def receipt_as_data_sm(lab: Lab) -> None:
    """A delivery receipt may come as data_sm, and is acknowledged by data_sm_resp."""
    mo = lab.mo()
    body = wire.data_body(mo.sender, mo.service, esm_class=_RECEIPT, tlvs=_named(b"1a2b3c4d\0"))
    expect_answer(await (await lab.bound(receives=True)).ask("data_sm", body), "data_sm_resp", wire.ROK)


@scenario(
    GROUP,
    _ESM_CLASS,
    level=Level.SHOULD,
    needs=("answer", "receiver", "transmitter"),
    cases={
        "receipt-that-quotes-the-text": _RECEIPT,
        "notification-that-quotes-the-text": _INTERMEDIATE,
        "user-acknowledgement-with-the-text": _USER_ACK,
    },
)
async def no_answer(lab: Lab, case: int) -> None:
    """What esm_class marks as a receipt or a notice is no phone's text and is not answered as one, although
    its short_message is the very text of --mo: else an answer to a receipt brings the next receipt.
    """
    mo = lab.mo()
    peer = await lab.bound(receives=True)
    expect_answer(await peer.ask("deliver_sm", mo.body(esm_class=case)), "deliver_sm_resp")
    await asyncio.sleep(2 * lab.timing.quiet_s)
    require(not lab.answers_to(mo), "no submit_sm in answer to it", "one came")


@scenario(GROUP, _ESM_CLASS, needs=_RECEIVER)
async def text_that_looks_like_a_receipt(lab: Lab) -> None:
    """A phone may write `id:1 stat:DELIVRD`: with an esm_class of 0 it is a text, and acknowledged."""
    peer = await lab.bound(receives=True)
    answer = await peer.ask("deliver_sm", lab.mo().body(b"id:1 stat:DELIVRD"))
    expect_answer(answer, "deliver_sm_resp", wire.ROK, *wire.TEMPORARY)
    await still_bound(peer)


@scenario(GROUP, "SMPP 3.4, 2.11", needs=("answer", "receiver", "transmitter"))
async def receipt_before_its_response(lab: Lab) -> None:
    """The receipt of a submit_sm may overtake the submit_sm_resp, with a message_id that the ESME does not
    know yet: both are taken, and the text is not submitted again.
    """
    mo, peer, submit = await lab.provoke_submit()
    receiver = await lab.bound(receives=True)
    again = Mo(mo.sender, mo.service, _TEXT.decode())
    number = receiver.request("deliver_sm", again.body(esm_class=_RECEIPT, tlvs=_named(b"1a2b3c4d\0")))
    expect_answer(await receiver.answer_to(number), "deliver_sm_resp", wire.ROK)
    peer.respond(submit, wire.cstring("1a2b3c4d"))
    await still_bound(peer)
    await asyncio.sleep(lab.timing.quiet_s)
    require(len(lab.answers_to(mo)) == 1, "no further submit_sm", "the ESME submitted the text again")
