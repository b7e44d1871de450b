"""A deliver_sm that comes again: an SMSC that has not seen its deliver_sm_resp must deliver once more (SMPP
3.4, 2.9 and 7.2, response_timer).
"""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.judging import expect_answer, require
from gateway.simulator.conformance.lab import Lab, Mo
from gateway.simulator.conformance.scenario import scenario
from gateway.simulator.conformance.verdicts import Level

GROUP = "redelivery"
_REFERENCE = "SMPP 3.4, 2.9 and 7.2 (response_timer)"
_TAKEN = (wire.ROK, *wire.TEMPORARY)


async def _at_once(lab: Lab, mo: Mo) -> None:
    """Twice in one segment: the second before any response can have been sent."""
    peer = await lab.bound(receives=True)
    numbers = [peer.next_sequence() for _ in range(2)]
    peer.put(*(wire.pdu("deliver_sm", number, mo.body()) for number in numbers))
    for number in numbers:
        expect_answer(await peer.answer_to(number), "deliver_sm_resp", *_TAKEN)


async def _after_the_response(lab: Lab, mo: Mo) -> None:
    """Again after a response that the SMSC is taken to have lost."""
    peer = await lab.bound(receives=True)
    for _ in range(3):
        expect_answer(await peer.ask("deliver_sm", mo.body()), "deliver_sm_resp", *_TAKEN)


async def _over_a_new_connection(lab: Lab, mo: Mo) -> None:
    """The connection is lost before the response is seen; the SMSC delivers again once the ESME is back."""
    peer = await lab.bound(receives=True)
    peer.request("deliver_sm", mo.body())
    await asyncio.sleep(lab.timing.quiet_s / 3)
    peer.reset()
    await lab.all_bound()
    answer = await (await lab.bound(receives=True)).ask("deliver_sm", mo.body())
    expect_answer(answer, "deliver_sm_resp", *_TAKEN)


_WAYS = {
    "at-once": _at_once,
    "after-the-response": _after_the_response,
    "over-a-new-connection": _over_a_new_connection,
}
_Way = Callable[[Lab, Mo], Awaitable[None]]


@scenario(
    GROUP, _REFERENCE, needs=["receiver"], cases={f"{name}-acknowledged": way for name, way in _WAYS.items()}
)
async def acknowledged(lab: Lab, case: _Way) -> None:
    """Every delivery of a text gets its own deliver_sm_resp, and no refusal for good: an SMSC goes on
    delivering what is not acknowledged.
    """
    await case(lab, lab.mo())


@scenario(
    GROUP,
    _REFERENCE,
    level=Level.SHOULD,
    needs=["answer", "receiver", "transmitter"],
    cases={f"{name}-answered-once": way for name, way in _WAYS.items()},
)
async def answered_once(lab: Lab, case: _Way) -> None:
    """A text that is delivered again is one text, and the phone gets one answer. How an ESME knows it again
    is left to it: the same phone, service and octets within a second are no new question.
    """
    mo = lab.mo()
    await case(lab, mo)
    await lab.answer_to(mo)
    await asyncio.sleep(lab.timing.response_timeout_s + lab.timing.quiet_s)
    came = len(lab.answers_to(mo))
    # What was in flight when a connection was lost may have to be submitted once more: that cannot be known.
    most = 2 if case is _over_a_new_connection else 1
    require(came <= most, f"{most} submit_sm at most", f"{came} came")
