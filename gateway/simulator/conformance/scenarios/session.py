"""Life and end of a session: enquire_link, unbind, half-open and stalled connections (SMPP 3.4, 2.2, 4.2,
4.11 and 7.2).
"""

import asyncio

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.judging import expect_answer, require, still_bound
from gateway.simulator.conformance.lab import GRACE_S, Lab
from gateway.simulator.conformance.scenario import scenario
from gateway.simulator.conformance.verdicts import Failed, Level

GROUP = "session"
_ENQUIRY = "SMPP 3.4, 4.11"
_TIMER = "SMPP 3.4, 7.2 (enquire_link_timer)"
_UNBIND = "SMPP 3.4, 4.2"


@scenario(GROUP, _ENQUIRY)
async def enquire_link_answered(lab: Lab) -> None:
    """An enquire_link is answered by enquire_link_resp with ESME_ROK and the same sequence_number."""
    peer = await lab.bound()
    expect_answer(await peer.ask("enquire_link"), "enquire_link_resp", wire.ROK)


@scenario(GROUP, _ENQUIRY)
async def storm_of_enquire_links(lab: Lab) -> None:
    """A thousand enquire_links at once are all answered, in time."""
    peer = await lab.bound()
    numbers = [peer.next_sequence() for _ in range(1_000)]
    peer.put(*(wire.pdu("enquire_link", number) for number in numbers))
    await peer.answer_to(numbers[-1])
    answered = {answer.sequence for answer in peer.got("enquire_link_resp")}
    missing = [number for number in numbers if number not in answered]
    require(not missing, "1,000 enquire_link_resp", f"{len(missing)} are missing, the first #{missing[:1]}")


@scenario(GROUP, "SMPP 3.4, 2.6.1", level=Level.SHOULD)
async def answers_in_order(lab: Lab) -> None:
    """Responses come in the order of the requests."""
    peer = await lab.bound()
    numbers = [peer.next_sequence() for _ in range(100)]
    peer.put(*(wire.pdu("enquire_link", number) for number in numbers))
    await peer.answer_to(numbers[-1])
    came = [answer.sequence for answer in peer.got("enquire_link_resp") if answer.sequence in set(numbers)]
    require(came == numbers, "the responses in the order of the requests", f"{came[:10]}… came")


@scenario(GROUP, _TIMER, level=Level.SHOULD)
async def enquire_link_on_silence(lab: Lab) -> None:
    """An ESME that hears nothing asks with enquire_link whether the SMSC is still there."""
    peer = await lab.bound()
    peer.auto.discard("enquire_link")
    question = await peer.expect("enquire_link", within_s=lab.timing.enquire_link_s + GRACE_S)
    peer.respond(question)
    await still_bound(peer)


@scenario(GROUP, _TIMER)
async def slow_enquire_link_resp(lab: Lab) -> None:
    """An enquire_link_resp that comes late, but within the ESME's time limit, is in time."""
    peer = await lab.bound()
    peer.auto.discard("enquire_link")
    question = await peer.expect("enquire_link", within_s=lab.timing.enquire_link_s + GRACE_S)
    await asyncio.sleep(lab.timing.enquire_timeout_s / 2)
    peer.respond(question)
    await asyncio.sleep(lab.timing.enquire_timeout_s)
    await still_bound(peer)


@scenario(GROUP, _TIMER, level=Level.SHOULD)
async def half_open(lab: Lab) -> None:
    """A connection on which nobody answers any more is given up once an enquire_link stayed without
    response, and the ESME binds again.
    """
    peer = await lab.bound()
    peer.mute = True
    await peer.ended(lab.timing.dead_link_s + GRACE_S)


@scenario(GROUP, _TIMER, level=Level.SHOULD)
async def stalled_for_ever(lab: Lab) -> None:
    """An SMSC that stops reading for good is given up as a silent one is, although its TCP connection
    stands; the ESME binds again.
    """
    await lab.all_bound()
    for peer in lab.open_peers:
        peer.mute = True
        peer.stall()
    await lab.next_connection(within_s=lab.timing.dead_link_s + lab.timing.reconnect_s + GRACE_S)


@scenario(GROUP, "SMPP 3.4, 2.4")
async def stalled_for_a_while(lab: Lab) -> None:
    """An SMSC that stops reading for a moment, and then reads on, has missed nothing: what it asked in the
    meantime is answered completely.
    """
    peer = await lab.bound()
    numbers = [peer.next_sequence() for _ in range(5_000)]
    peer.stall()
    peer.put(*(wire.pdu("enquire_link", number) for number in numbers))
    await asyncio.sleep(min(0.3, lab.timing.enquire_timeout_s / 2))
    peer.resume()
    await peer.answer_to(numbers[-1], within_s=lab.timing.response_s * 3)
    answered = {answer.sequence for answer in peer.got("enquire_link_resp")}
    missing = sum(number not in answered for number in numbers)
    require(not missing, f"{len(numbers)} enquire_link_resp", f"{missing} are missing")


@scenario(GROUP, _UNBIND)
async def unbind(lab: Lab) -> None:
    """An unbind is answered by unbind_resp with ESME_ROK; nothing follows it, and the ESME binds again on a
    new connection.
    """
    peer = await lab.bound()
    number = peer.request("unbind")
    expect_answer(await peer.answer_to(number), "unbind_resp", wire.ROK)
    peer.auto.clear()
    if not await lab.wait_for(lambda: peer.closed or None, 0.02):
        await peer.silence()
    peer.close()
    await lab.all_bound()


@scenario(GROUP, _UNBIND, level=Level.SHOULD)
async def unbind_and_left_open(lab: Lab) -> None:
    """After unbind and unbind_resp the session is over. When the SMSC does not close the connection, the
    ESME does, rather than to wait on it for ever.
    """
    peer = await lab.bound()
    expect_answer(await peer.ask("unbind"), "unbind_resp", wire.ROK)
    await peer.ended(lab.timing.dead_link_s + GRACE_S)


@scenario(GROUP, _UNBIND)
async def unbind_twice(lab: Lab) -> None:
    """A second unbind in the same segment does no harm: it is answered, or comes too late."""
    peer = await lab.bound()
    first, second = peer.next_sequence(), peer.next_sequence()
    peer.put(wire.pdu("unbind", first), wire.pdu("unbind", second))
    expect_answer(await peer.answer_to(first), "unbind_resp", wire.ROK)
    peer.close()


@scenario(GROUP, _UNBIND, level=Level.SHOULD, needs=["receiver"])
async def unbind_in_mid_flight(lab: Lab) -> None:
    """A deliver_sm right before an unbind is answered, too, before the unbind_resp ends the session: else
    the SMSC has to deliver it again.
    """
    peer = await lab.bound(receives=True)
    delivery, farewell = peer.next_sequence(), peer.next_sequence()
    peer.put(wire.pdu("deliver_sm", delivery, lab.mo().body()), wire.pdu("unbind", farewell))
    patience_s = lab.timing.response_s + lab.timing.response_timeout_s
    expect_answer(await peer.answer_to(farewell, within_s=patience_s), "unbind_resp", wire.ROK)
    before = [answer.sequence for answer in peer.inbox if answer.is_response]
    require(delivery in before, "deliver_sm_resp, then unbind_resp", "the deliver_sm was not answered")
    require(
        before.index(delivery) < before.index(farewell),
        "deliver_sm_resp, then unbind_resp",
        "unbind_resp came first",
    )
    peer.close()


@scenario(GROUP, _UNBIND, needs=["answer"])
async def unbind_with_a_submit_sm_open(lab: Lab) -> None:
    """An unbind while a submit_sm waits for its response: the ESME answers it, at the latest when the
    response has come or its time is up.
    """
    _, peer, submit = await lab.provoke_submit()
    number = peer.request("unbind")
    await asyncio.sleep(min(0.1, lab.timing.response_timeout_s / 2))
    peer.respond(submit, wire.cstring("late"))
    answer = await peer.answer_to(number, within_s=lab.timing.response_timeout_s + lab.timing.response_s)
    expect_answer(answer, "unbind_resp", wire.ROK)
    peer.close()


@scenario(GROUP, "SMPP 3.4, 2.2 and 4.2")
async def no_new_work_after_unbind(lab: Lab) -> None:
    """What comes after the unbind, in the same segment, belongs to no session any more: a deliver_sm
    there is refused or ignored, or answered before the unbind_resp; never acknowledged after it.
    """
    peer = await lab.bound()
    farewell, delivery = peer.next_sequence(), peer.next_sequence()
    peer.put(wire.pdu("unbind", farewell), wire.pdu("deliver_sm", delivery, lab.mo().body()))
    expect_answer(await peer.answer_to(farewell), "unbind_resp", wire.ROK)
    await lab.wait_for(lambda: peer.closed or None, lab.timing.quiet_s)
    ended = False
    for received in peer.inbox:
        if ended and received.sequence == delivery and received.status == wire.ROK:
            raise Failed("nothing acknowledged after unbind_resp", f"{received} came")
        ended = ended or received.name == "unbind_resp"
    peer.close()
