"""An SMSC that takes fewer texts than the ESME would like to submit (SMPP 3.4, 2.7, 4.4.2 and 5.1.3)."""

import asyncio
from collections.abc import Callable

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.desk import Desk
from gateway.simulator.conformance.judging import require, still_bound
from gateway.simulator.conformance.lab import Lab
from gateway.simulator.conformance.scenario import scenario
from gateway.simulator.conformance.verdicts import Inconclusive, Level
from gateway.simulator.conformance.wire import Received

GROUP = "throttling"
_STATUSES = "SMPP 3.4, 5.1.3 (ESME_RTHROTTLED, ESME_RMSGQFUL)"
_NEEDS = ("answer", "receiver", "transmitter")
# An ESME may wait before it tries again, and longer each time; how long, the specification leaves open.
_PATIENCE_S = 20.0
_TRIES = 4


@scenario(GROUP, "SMPP 3.4, 2.7", needs=[*_NEEDS, "window"])
async def window_is_kept(lab: Lab) -> None:
    """No more submit_sm are without response than the ESME's window says, however many texts wait. One that
    had no response within the ESME's response timeout is in its window no more.
    """
    desk = Desk(lab)
    window = lab.options.window

    def in_window() -> int:
        since_s = lab.record.now_s() - 0.9 * lab.timing.response_timeout_s
        return sum(submit.at_s > since_s for submit in desk.waiting())

    for _ in range(_TRIES):
        mos = await desk.ask(3 * window)
        if await lab.wait_for(lambda: in_window() >= window or None, lab.timing.response_s):
            break
        # What went before has slowed it down: texts that go through let it recover.
        await desk.serve(mos, lambda submit: wire.ROK, _PATIENCE_S)
    else:
        raise Inconclusive("the ESME did not fill its window")
    await asyncio.sleep(min(lab.timing.quiet_s, lab.timing.response_timeout_s / 2))
    most = in_window()
    await desk.serve(mos, lambda submit: wire.ROK, _PATIENCE_S)
    require(most <= window, f"at most {window} submit_sm without response", f"{most} came")
    desk.expect_once(mos, within=f"within {_PATIENCE_S:g} s")


@scenario(
    GROUP,
    _STATUSES,
    level=Level.SHOULD,
    needs=_NEEDS,
    cases={
        "throttled-once": wire.RTHROTTLED,
        "queue-full-once": wire.RMSGQFUL,
    },
)
async def refused_once(lab: Lab, case: int) -> None:
    """ESME_RTHROTTLED and ESME_RMSGQFUL mean "not now": the same text comes again a little later."""
    desk = Desk(lab)
    mos = await desk.ask(1)
    statuses = iter([case])
    await desk.serve(mos, lambda submit: next(statuses, wire.ROK), _PATIENCE_S)
    desk.expect_once(mos, within=f"within {_PATIENCE_S:g} s")


@scenario(
    GROUP,
    _STATUSES,
    level=Level.SHOULD,
    needs=_NEEDS,
    cases={
        "first-five-refused": lambda number: number < 5,
        "every-second-refused": lambda number: number % 2 == 0,
        "three-of-six-refused": lambda number: number % 6 < 3,
    },
)
async def pattern(lab: Lab, case: Callable[[int], bool]) -> None:
    """However refusals and acceptances alternate, every text is accepted in the end, and none that was
    accepted comes again.
    """
    desk = Desk(lab)
    mos = await desk.ask(10)
    number = -1

    def policy(submit: Received) -> int:
        nonlocal number
        number += 1
        return wire.RTHROTTLED if case(number) else wire.ROK

    await desk.serve(mos, policy, _PATIENCE_S)
    await asyncio.sleep(lab.timing.quiet_s)
    desk.expect_once(mos, within=f"within {_PATIENCE_S:g} s")


@scenario(GROUP, _STATUSES, level=Level.SHOULD, needs=_NEEDS)
async def throttled_for_two_seconds(lab: Lab) -> None:
    """While the SMSC refuses everything as too much, the ESME slows down instead of asking again at once:
    fewer submit_sm in the second second than in the first, and nothing is lost when the SMSC takes again.
    """
    desk = Desk(lab)
    mos = await desk.ask(20)
    began_s = lab.record.now_s()

    def policy(submit: Received) -> int:
        return wire.RTHROTTLED if submit.at_s < began_s + 2 else wire.ROK

    await desk.serve(mos, policy, 2 + _PATIENCE_S)
    desk.expect_once(mos, within=f"within {2 + _PATIENCE_S:g} s")
    first = sum(at_s < began_s + 1 for at_s in desk.times_s())
    second = sum(began_s + 1 <= at_s < began_s + 2 for at_s in desk.times_s())
    slow = second < first or second <= 2  # it may have learnt to be slow before
    require(slow, "fewer submit_sm in the second second", f"{first}, then {second} came")


@scenario(GROUP, "SMPP 3.4, 2.7 and 5.1.3", level=Level.SHOULD, needs=_NEEDS)
async def one_at_a_time(lab: Lab) -> None:
    """Some SMSCs have a window of 1: they refuse a submit_sm while they work on another. The ESME gets all
    its texts through.
    """
    desk = Desk(lab)
    mos = await desk.ask(10)
    works_on: list[Received] = []
    loop = asyncio.get_running_loop()

    def policy(submit: Received) -> int | None:
        if submit in works_on:
            return None
        if works_on:
            return wire.RTHROTTLED
        works_on.append(submit)
        loop.call_later(0.03, done)
        return None

    def done() -> None:
        submit = works_on.pop()
        if submit in desk.waiting():
            desk.answer(submit, wire.ROK)

    await desk.serve(mos, policy, _PATIENCE_S)
    desk.expect_once(mos, within=f"within {_PATIENCE_S:g} s")


@scenario(
    GROUP,
    "SMPP 3.4, 5.1.3",
    needs=_NEEDS,
    cases={
        "system-error": wire.RSYSERR,
        "invalid-destination": 0x0B,
        "invalid-source": 0x0A,
        "submit-failed": 0x45,
        "permanent-application-error": wire.RX_P_APPN,
        "bind-status": wire.RINVBNDSTS,
        "reserved-status": 0x0000_0300,
        "vendor-status": 0x0000_0488,
        "largest-status": 0xFFFF_FFFF,
    },
)
async def refused_with(lab: Lab, case: int) -> None:
    """A submit_sm that is refused for whatever reason concerns that text only: the session lives."""
    desk = Desk(lab)
    mos = await desk.ask(1)
    await lab.wait_for(lambda: desk.waiting() or None, lab.timing.response_s)
    if not desk.waiting():
        raise Inconclusive("the ESME did not answer the text of --mo")
    submit = desk.waiting()[0]
    peer = next(peer for peer in lab.open_peers if submit in peer.inbox)
    desk.answer(submit, case)
    await still_bound(peer)
    require(desk.attempts(mos[0]) <= 2, "no submit_sm again at once", f"{desk.attempts(mos[0])} came")


@scenario(
    GROUP,
    "SMPP 3.4, 5.1.3",
    level=Level.SHOULD,
    needs=_NEEDS,
    cases={
        "invalid-destination-for-ever": 0x0B,
        "submit-failed-for-ever": 0x45,
        "system-error-for-ever": 0x08,
    },
)
async def refused_for_ever(lab: Lab, case: int) -> None:
    """A text that is refused again and again is not submitted in a tight loop: at most three times in two
    seconds.
    """
    desk = Desk(lab)
    mos = await desk.ask(1)
    await desk.serve(mos, lambda submit: case, 2.0)
    attempts = desk.attempts(mos[0])
    if not attempts:
        raise Inconclusive("the ESME did not answer the text of --mo")
    require(attempts <= 3, "at most three attempts in two seconds", f"{attempts} came")
