"""Many messages at once: all are answered, and nothing else is forgotten meanwhile (SMPP 3.4, 2.7)."""

import asyncio

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.desk import Desk
from gateway.simulator.conformance.judging import expect_answer, require
from gateway.simulator.conformance.lab import Lab
from gateway.simulator.conformance.peer import Peer
from gateway.simulator.conformance.scenario import scenario
from gateway.simulator.conformance.verdicts import Failed, Level

GROUP = "load"
_WINDOWS = "SMPP 3.4, 2.7"
_LONGEST_S = 60.0
_TAKEN = frozenset((wire.ROK, *wire.TEMPORARY))


async def _burst(lab: Lab, peer: Peer, count: int) -> None:
    """So many texts in one write; each gets one response."""
    numbers = {peer.next_sequence() for _ in range(count)}
    seen = len(peer.inbox)
    peer.put(*(wire.pdu("deliver_sm", number, lab.mo().body()) for number in sorted(numbers)))
    await lab.wait_for(
        lambda: (
            sum(one.name == "deliver_sm_resp" for one in peer.inbox[seen:]) >= count or peer.closed or None
        ),
        _LONGEST_S,
    )
    responses = [one for one in peer.inbox[seen:] if one.name == "deliver_sm_resp"]
    for response in responses:
        response.claimed = True
        if response.status not in _TAKEN:
            raise Failed("ESME_ROK, or a status that asks to try again", f"{response} came")
    answered = {response.sequence for response in responses}
    require(answered == numbers, f"{count} responses", f"{len(answered & numbers)} texts got theirs")
    require(len(responses) == count, "one response to each text", f"{len(responses)} came")


async def _answers_are_over(lab: Lab) -> None:
    """Wait until the ESME has submitted what it has to say to all those texts: it is not judged by how long
    that takes, and is to be well afterwards.
    """
    until_s = lab.record.now_s() + _LONGEST_S
    before = -1
    while before != (now := len(lab.record.pdus)) and lab.record.now_s() < until_s:
        before = now
        await asyncio.sleep(2 * lab.timing.quiet_s)


@scenario(GROUP, _WINDOWS, needs=["receiver"])
async def ten_thousand_texts(lab: Lab) -> None:
    """Ten thousand deliver_sm in one go are each answered exactly once, within a minute: accepted, or refused
    for the time being with ESME_RMSGQFUL, ESME_RTHROTTLED or ESME_RX_T_APPN.
    """
    peer = await lab.bound(receives=True)
    await _burst(lab, peer, 10_000)
    await _answers_are_over(lab)
    await lab.all_bound()


@scenario(GROUP, "SMPP 3.4, 4.11 and 7.2", level=Level.SHOULD, needs=["receiver"])
async def enquire_link_amid_texts(lab: Lab) -> None:
    """An enquire_link behind two thousand deliver_sm is answered in time: who asks so takes a slow ESME for a
    dead one.
    """
    peer = await lab.bound(receives=True)
    texts = [wire.pdu("deliver_sm", peer.next_sequence(), lab.mo().body()) for _ in range(2_000)]
    number = peer.next_sequence()
    peer.put(*texts, wire.pdu("enquire_link", number))
    answer = await peer.answer_to(number, within_s=lab.timing.response_s)
    expect_answer(answer, "enquire_link_resp", wire.ROK)
    count = len(texts)
    await lab.wait_for(lambda: len(peer.got("deliver_sm_resp")) >= count or None, _LONGEST_S)
    await _answers_are_over(lab)


@scenario(GROUP, _WINDOWS, level=Level.SHOULD, needs=["answer", "receiver", "transmitter"])
async def every_text_is_answered_once(lab: Lab) -> None:
    """Two hundred phones ask at once: each gets one answer, however small the window is."""
    desk = Desk(lab)
    mos = await desk.ask(200)
    await desk.serve(mos, lambda submit: wire.ROK, _LONGEST_S)
    desk.expect_once(mos, within=f"within {_LONGEST_S:g} s")
