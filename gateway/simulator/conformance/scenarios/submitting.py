"""What an SMSC may answer to a submit_sm beside the plain submit_sm_resp (SMPP 3.4, 4.4.2; 5.0, 4.2.2)."""

import asyncio

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.desk import Desk
from gateway.simulator.conformance.judging import require, still_bound
from gateway.simulator.conformance.lab import Lab
from gateway.simulator.conformance.scenario import scenario
from gateway.simulator.conformance.verdicts import Failed, Inconclusive, Level

GROUP = "submitting"
_NEEDS = ("answer", "receiver", "transmitter")
_PATIENCE_S = 20.0  # an ESME may slow down after responses that did not come
_ID = wire.cstring("1a2b3c")
_ADDITIONAL_STATUS_INFO_TEXT, _DELIVERY_FAILURE_REASON, _NETWORK_ERROR_CODE = 0x001D, 0x0425, 0x0423


@scenario(
    GROUP,
    "SMPP 3.4, 4.4.2 and 5.2.23",
    needs=_NEEDS,
    cases={
        "empty-message-id": wire.cstring(""),
        "message-id-of-64-characters": wire.cstring("f" * 64),
        "message-id-with-odd-characters": wire.cstring("{1A-2b}:%s\\"),
        "standard-tlvs-in-the-response": _ID
        + wire.tlv(_ADDITIONAL_STATUS_INFO_TEXT, b"queued\0")
        + wire.tlv(_DELIVERY_FAILURE_REASON, b"\0")
        + wire.tlv(_NETWORK_ERROR_CODE, b"\3\0\0"),
        "vendor-tlv-in-the-response": _ID + wire.tlv(0x1501, b"octets"),
        "no-congestion": _ID + wire.tlv(wire.CONGESTION_STATE, b"\0"),
        "congestion-of-95": _ID + wire.tlv(wire.CONGESTION_STATE, b"\x5f"),
        "congestion-out-of-range": _ID + wire.tlv(wire.CONGESTION_STATE, b"\xff"),
    },
)
async def good_response(lab: Lab, case: bytes) -> None:
    """A submit_sm_resp with ESME_ROK accepts the text, whatever message_id and optional parameters it
    brings (unknown ones are ignored): the text is not submitted again, and the session lives.
    """
    mo, peer, submit = await lab.provoke_submit()
    peer.respond(submit, case)
    await still_bound(peer)
    await asyncio.sleep(lab.timing.quiet_s)
    require(len(lab.answers_to(mo)) == 1, "no further submit_sm", "the ESME submitted the text again")


@scenario(
    GROUP,
    "SMPP 3.4, 4.4.2; field practice",
    level=Level.SHOULD,
    needs=_NEEDS,
    cases={
        "message-id-too-long": wire.cstring("f" * 200),
        "message-id-without-its-nul": b"1a2b3c",
        "message-id-padded": _ID + b"\0\0\0",
    },
)
async def sloppy_response(lab: Lab, case: bytes) -> None:
    """A submit_sm_resp whose body is not quite right says ESME_ROK all the same: the session lives, and the
    text is not submitted again.
    """
    await good_response(lab, case)


@scenario(GROUP, "SMPP 3.4, 4.4.2", needs=_NEEDS)
async def error_with_a_body(lab: Lab) -> None:
    """A submit_sm_resp with an error has no body; some SMSCs send the message_id nevertheless. It is a
    refusal, and the session lives.
    """
    _, peer, submit = await lab.provoke_submit()
    peer.auto.add("submit_sm")
    peer.respond(submit, _ID, status=wire.RSYSERR)
    await still_bound(peer)


@scenario(
    GROUP,
    "SMPP 3.4, 2.5 and 2.7",
    needs=_NEEDS,
    cases={"in-order": False, "the-last-first": True},
)
async def responses_together(lab: Lab, case: bool) -> None:
    """Responses to several submit_sm in one segment, in any order, are matched by their sequence numbers:
    nothing is submitted again.
    """
    desk = Desk(lab)
    mos = await desk.ask(5)
    await lab.wait_for(lambda: all(map(desk.attempts, mos)) or None, lab.timing.response_s)
    for submit in sorted(desk.waiting(), key=lambda one: one.sequence, reverse=case):
        desk.answer(submit, wire.ROK)
    await desk.serve(mos, lambda submit: wire.ROK, lab.timing.response_s)  # a window of 1 sends the next now
    await asyncio.sleep(lab.timing.quiet_s)
    desk.expect_once(mos, within=f"within {lab.timing.response_s:g} s")


@scenario(GROUP, "SMPP 3.4, 2.4", needs=_NEEDS)
async def response_in_pieces(lab: Lab) -> None:
    """A submit_sm_resp that comes octet by octet is one."""
    mo, peer, submit = await lab.provoke_submit()
    octets = wire.pdu("submit_sm_resp", submit.sequence, _ID)
    await peer.put_pieces(octets[at : at + 1] for at in range(len(octets)))
    await still_bound(peer)
    await asyncio.sleep(lab.timing.quiet_s)
    require(len(lab.answers_to(mo)) == 1, "no further submit_sm", "the ESME submitted the text again")


@scenario(GROUP, "SMPP 3.4, 7.2 (response_timer)", level=Level.SHOULD, needs=_NEEDS)
async def never_answered(lab: Lab) -> None:
    """Responses that never come do not stop the ESME: after its time limit for them it submits other texts,
    here or on a new connection.
    """
    desk = Desk(lab)
    count = lab.options.window or 100
    silent = await desk.ask(count)
    await lab.wait_for(lambda: len(desk.waiting()) >= count or None, lab.timing.response_s)
    if not desk.waiting():
        raise Inconclusive("the ESME did not answer the text of --mo")
    unanswered = set(desk.waiting())
    await asyncio.sleep(lab.timing.response_timeout_s)
    await lab.all_bound()
    later = Desk(lab)
    mos = await later.ask(1)
    everything = [*silent, *mos]  # what stayed without a response may come again
    await later.serve(everything, lambda submit: None if submit in unanswered else wire.ROK, _PATIENCE_S)
    if not later.accepted(mos[0]):
        raise Failed(
            f"a submit_sm for a new text within {_PATIENCE_S:g} s",
            f"none came: {len(unanswered)} without response block it",
        )


@scenario(GROUP, "SMPP 3.4, 4.4.1 and 5.2.18", level=Level.SHOULD, needs=_NEEDS)
async def answer_comes_from_the_service(lab: Lab) -> None:
    """The answer goes to the phone that asked, from the number it wrote to."""
    mo, peer, submit = await lab.provoke_submit()
    peer.respond(submit, _ID)
    source = submit.decoded().source_addr
    require(source == mo.service, f"source_addr {mo.service}", f"{source!r} came")
