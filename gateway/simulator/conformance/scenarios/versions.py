"""SMSCs of other versions: 3.3, that knows no optional parameters, and 5.0, that knows more (SMPP 3.4, 3.4;
5.0, 2.12).
"""

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.judging import expect_answer, require, still_bound
from gateway.simulator.conformance.lab import Lab
from gateway.simulator.conformance.peer import Peer
from gateway.simulator.conformance.scenario import scenario
from gateway.simulator.conformance.verdicts import Failed, NotApplicable

GROUP = "versions"
_NAME = wire.cstring("conformance")


def _version(number: int) -> bytes:
    return _NAME + wire.tlv(wire.SC_INTERFACE_VERSION, bytes((number,)))


async def _bound_to(lab: Lab, body: bytes) -> Peer:
    """The ESME's connection that receives, bound by this body of a bind_resp."""
    peer, bind = await lab.knock(receives=True)
    peer.accept_bind(bind, body)
    peer.held = False
    return peer


@scenario(
    GROUP,
    "SMPP 3.4, 3.3",
    needs=["answer", "receiver", "transmitter"],
    cases={"no-tlvs-without-a-version": _NAME, "no-tlvs-to-version-3.3": _version(0x33)},
)
async def no_tlvs(lab: Lab, case: bytes) -> None:
    """To an SMSC whose bind_resp has no sc_interface_version, or one below 3.4, the ESME sends no optional
    parameters, and no data_sm.
    """
    peer = await _bound_to(lab, case)
    if not peer.transmits:
        raise NotApplicable("the ESME receives and transmits on different binds")
    mo, response = await lab.deliver(peer)
    require(len(response.frame) == wire.HEADER_OCTETS + 1, "a deliver_sm_resp without TLVs", "it has some")
    answer = await lab.answer_to(mo)
    if answer.name != "submit_sm":
        raise Failed("a submit_sm", f"{answer} came")
    if _tlvs(answer):
        raise Failed("a submit_sm without TLVs", f"it has {len(_tlvs(answer))} octets of them")


@scenario(GROUP, "SMPP 3.4, 3.3 and 4.6.1; field practice", needs=["receiver"])
async def tlvs_from_version_3_3(lab: Lab) -> None:
    """An SMSC that says 3.3 and sends optional parameters all the same is understood: they are ignored or
    used.
    """
    peer = await _bound_to(lab, _version(0x33))
    tlvs = wire.tlv(wire.USER_MESSAGE_REFERENCE, b"\0\1")
    expect_answer(await peer.ask("deliver_sm", lab.mo().body(tlvs=tlvs)), "deliver_sm_resp")
    await still_bound(peer)


@scenario(GROUP, "SMPP 5.0, 4.8.4.18; 3.4, 3.3", needs=["answer", "receiver", "transmitter"])
async def congestion_state_at_every_turn(lab: Lab) -> None:
    """An SMSC of 5.0 may put congestion_state into every response; whether the ESME heeds it or not, its
    binds and texts go through.
    """
    congested = wire.tlv(wire.CONGESTION_STATE, bytes((80,)))
    await _bound_to(lab, _version(0x50) + congested)
    for _ in range(3):
        mo, peer, submit = await lab.provoke_submit()
        peer.respond(submit, wire.cstring("5.0") + congested)
        await still_bound(peer)
        require(len(lab.answers_to(mo)) == 1, "no further submit_sm", "the ESME submitted the text again")


def _tlvs(submit: wire.Received) -> bytes:
    """What stands behind the short_message of a submit_sm, by position."""
    body, at = submit.frame[wire.HEADER_OCTETS :], 0

    def after_string(start: int) -> int:
        return body.index(b"\0", start) + 1

    at = after_string(at)  # service_type
    at = after_string(at + 2)  # source_addr
    at = after_string(at + 2)  # destination_addr
    at = after_string(after_string(at + 3))  # schedule_delivery_time, validity_period
    return body[at + 5 + body[at + 4] :]
