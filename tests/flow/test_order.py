"""A subscriber's texts are answered in the order in which they came, in whatever processes they wait."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from gateway.flow.attempt import BUSY_PAUSE_S
from gateway.flow.messages import Mo, Verdict
from gateway.flow.pipeline import MAX_WAITING
from gateway.redis.keys import line_key
from tests.flow.harness import PLAIN, Process, mo, until

UNLIMITED = replace(PLAIN, queries_per_day=0)
FIRST, SECOND, THIRD = "CXMYD", "CXMYD EN", "cxmyd"


def _answers_of_both(one: Process, other: Process) -> list[tuple[str, str]]:
    other.smsc.sent = one.smsc.sent
    return one.smsc.sent


async def _waits(p: Process, message: Mo) -> bool:
    assert message.msisdn is not None
    key = line_key(p.pipeline.pseudonyms.of(message.msisdn))
    return bool(await p.calls.call(key, b"EXISTS", key))


def test_who_waits_in_another_process_is_not_overtaken(run_two: Callable[..., None]) -> None:
    """The third comes to the process that has just ended the first, most often before the other has asked
    again.
    """

    async def scenario(one: Process, other: Process) -> None:
        sent = _answers_of_both(one, other)
        one.smsc.gate = asyncio.Event()
        told = [asyncio.ensure_future(one.deliver(mo(FIRST)))]
        await until(lambda: sent)
        second = mo(SECOND)
        told.append(asyncio.ensure_future(other.deliver(second)))
        await until(lambda: _waits(other, second))
        one.smsc.gate.set()
        assert await told[0] is Verdict.ACK
        told.append(asyncio.ensure_future(one.deliver(mo(THIRD))))
        assert [await each for each in told] == [Verdict.ACK] * 3
        assert ["您" not in text for _, text in sent] == [False, True, False]
        assert not await _waits(one, second)

    run_two(scenario, after_s=5.0)


def test_who_waits_in_its_own_process_has_a_place_among_all(run_two: Callable[..., None]) -> None:
    """The second waits behind the first in its process, the third in another, the fourth here again."""

    async def scenario(one: Process, other: Process) -> None:
        sent = _answers_of_both(one, other)
        one.smsc.gate = asyncio.Event()
        told = [asyncio.ensure_future(one.deliver(mo(FIRST)))]
        await until(lambda: sent)
        for p, message in ((one, mo(SECOND)), (other, mo(THIRD)), (one, mo("CXMYD。"))):
            told.append(asyncio.ensure_future(p.deliver(message)))
            await asyncio.sleep(0)
            assert await _waits(p, message)  # asked after it, by the same connection
        one.smsc.gate.set()
        assert [await each for each in told] == [Verdict.ACK] * 4
        assert ["您" not in text for _, text in sent] == [False, True, False, False]

    run_two(scenario, after_s=5.0)


def test_the_place_of_a_dead_process_lapses(run_two: Callable[..., None]) -> None:
    """Who waits behind it is parked in time, and answered."""

    async def scenario(one: Process, other: Process) -> None:
        one.worker.start()
        lost, message = mo(FIRST), mo(SECOND)
        assert lost.msisdn is not None
        other.pipeline.turns.wait(other.pipeline.pseudonyms.of(lost.msisdn), lost.digest)
        await until(lambda: _waits(one, lost))
        assert await one.deliver(message) is Verdict.ACK
        await until(lambda: one.smsc.sent)
        assert await one.deliver(mo(THIRD)) is Verdict.ACK
        await until(lambda: len(one.smsc.sent) == 2)

    run_two(scenario, after_s=0.2)


def test_a_flood_of_one_subscriber_goes_on_without_a_pause(run_two: Callable[..., None]) -> None:
    """Who comes in the very moment in which a turn ends does not wait behind those that come after him, which
    would cost a pause for each.
    """

    async def scenario(one: Process, _other: Process) -> None:
        told: list[asyncio.Future[Verdict]] = []
        async with asyncio.timeout(100 * BUSY_PAUSE_S / 2):
            while len(told) < 100:  # while a turn ends, and while one begins
                over = sum(each.done() for each in told) if len(told) % 2 else len(one.smsc.sent)
                if len(told) - over < MAX_WAITING:
                    told.append(asyncio.ensure_future(one.deliver(mo(carrier=UNLIMITED))))
                await asyncio.sleep(0)
            await until(lambda: len(one.smsc.sent) == 100)
        assert [await each for each in told] == [Verdict.ACK] * 100

    run_two(scenario, after_s=5.0)
