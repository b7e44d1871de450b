"""Answered or parked, before it is acknowledged: the pipeline on a real Redis, the SMSC scripted."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.flow.attempt import Parked
from gateway.flow.messages import Outcome, Result, Sending, Verdict
from gateway.flow.pipeline import MAX_WAITING
from tests.flow.harness import PROMPT, Process, mo, process, until

Scenario = Callable[[Process], Awaitable[None]]


@pytest.fixture
def run(redis_url: str, tmp_path: Path) -> Callable[..., None]:
    def go(scenario: Scenario, **settings: Any) -> None:
        async def main() -> None:
            async with process(redis_url, tmp_path, **settings) as p:
                await scenario(p)

        asyncio.run(main())

    return go


def test_acknowledged_only_after_the_answer_was_accepted(run: Callable[..., None]) -> None:
    """While the response to the answer is out, the SMSC is told nothing."""

    async def scenario(p: Process) -> None:
        p.smsc.gate = asyncio.Event()
        told = asyncio.ensure_future(p.deliver(mo()))
        await until(lambda: p.smsc.sent)
        assert not told.done()
        p.smsc.gate.set()
        assert await told is Verdict.ACK
        assert await p.waiting() == 0

    run(scenario, after_s=5.0)


def test_an_answer_goes_back_to_its_sender(run: Callable[..., None]) -> None:
    """A number without history is told so, in words that are no failure."""

    async def scenario(p: Process) -> None:
        assert await p.deliver(mo()) is Verdict.ACK
        ((to, text),) = p.smsc.sent
        assert to == "8613800000001"
        assert text.startswith("查询成功")

    run(scenario)


def test_a_redelivery_is_acknowledged_and_not_answered_again(run: Callable[..., None]) -> None:
    async def scenario(p: Process) -> None:
        message = mo()
        assert await p.deliver(message) is Verdict.ACK
        assert await p.deliver(message) is Verdict.ACK
        assert len(p.smsc.sent) == 1

    run(scenario)


def test_a_redelivery_while_the_answer_is_under_way_waits_for_it(
    run: Callable[..., None], redis_url: str, tmp_path: Path
) -> None:
    """On the same bind, and in another process: one answer, both acknowledged."""

    async def scenario(p: Process) -> None:
        p.smsc.gate = asyncio.Event()
        message = mo()
        async with process(redis_url, tmp_path, after_s=5.0) as other:
            first = asyncio.ensure_future(p.deliver(message))
            await until(lambda: p.smsc.sent)
            again = asyncio.ensure_future(p.deliver(message))
            elsewhere = asyncio.ensure_future(other.deliver(message))
            await asyncio.sleep(0.1)
            p.smsc.gate.set()
            assert [await t for t in (first, again, elsewhere)] == [Verdict.ACK] * 3
            assert len(p.smsc.sent) == 1
            assert other.smsc.sent == []

    run(scenario, after_s=5.0)


def test_without_a_link_it_is_parked_and_answered_later(run: Callable[..., None]) -> None:
    async def scenario(p: Process) -> None:
        p.smsc.outcomes = [Outcome(Sending.LATER, "no_link")]
        assert await p.deliver(mo()) is Verdict.ACK
        assert await p.waiting() == 1
        p.worker.start()
        await until(lambda: len(p.smsc.sent) == 2)
        await until(lambda: _is_empty(p))

    run(scenario)


def test_a_slow_answer_is_parked_and_not_sent_twice(run: Callable[..., None]) -> None:
    """ESME_ROK after `after_s`; the first attempt goes on, and nobody else begins a second."""

    async def scenario(p: Process) -> None:
        p.worker.start()
        p.smsc.gate = asyncio.Event()
        assert await p.deliver(mo()) is Verdict.ACK
        assert await p.waiting() == 1
        await asyncio.sleep(0.1)
        p.smsc.gate.set()
        await until(lambda: _is_empty(p))
        assert len(p.smsc.sent) == 1

    run(scenario, after_s=0.05)


def test_a_refusal_for_good_is_recorded_and_not_tried_again(run: Callable[..., None]) -> None:
    async def scenario(p: Process) -> None:
        p.smsc.outcomes = [Outcome(Sending.REFUSED, "ESME_RINVDSTADR")]
        message = mo()
        assert await p.deliver(message) is Verdict.ACK
        assert await p.dead() == ["ESME_RINVDSTADR"]
        assert await p.deliver(message) is Verdict.ACK
        assert len(p.smsc.sent) == 1

    run(scenario)


def test_a_message_whose_handling_raises_dies_and_its_neighbours_flow(run: Callable[..., None]) -> None:
    async def scenario(p: Process) -> None:
        p.smsc.outcomes = [RuntimeError("broken")] * 6
        assert await p.deliver(mo(msisdn="8613800000009")) is Verdict.ACK
        p.worker.start()
        await until(lambda: _died(p))
        assert await p.dead() == ["RuntimeError"]
        assert await p.deliver(mo()) is Verdict.ACK
        assert p.smsc.sent[-1][0] == "8613800000001"

    run(scenario, lease_s=0.05)


@pytest.mark.parametrize("after_lease", [False, True])
def test_an_end_that_cannot_be_told_is_no_second_end(run: Callable[..., None], after_lease: bool) -> None:
    """It is recorded, reaches no other's reply, and the subscriber's next message has its turn."""
    ends: list[str] = []

    def then(result: Result) -> None:
        ends.append(result.reason)
        raise RuntimeError("broken")

    async def scenario(p: Process) -> None:
        message, pipeline = mo(), p.pipeline
        attempt = Parked(pipeline, message, pipeline.pseudonyms.of("8613800000001"), then)
        if after_lease:
            pipeline.clock.monotonic = lambda: time.monotonic() + 3600  # type: ignore[method-assign]
        else:
            p.calls._single.up = False
        pipeline._line_up(attempt)
        await until(lambda: ends)
        p.calls._single.up = True
        pipeline.clock.monotonic = time.monotonic  # type: ignore[method-assign]
        assert await p.deliver(mo()) is Verdict.ACK
        assert ends == ["lease_ended" if after_lease else "store"]
        assert p.metrics.failures.labels("message", "RuntimeError")._value.get() == 1

    run(scenario)


def test_an_smsc_that_never_responds_is_tried_six_times(run: Callable[..., None]) -> None:
    """Once when the message comes, five times from the park; then it is dead, and no more is sent."""

    async def scenario(p: Process) -> None:
        p.smsc.outcomes = [Outcome(Sending.LATER, "no_response")] * 9
        assert await p.deliver(mo()) is Verdict.ACK
        p.worker.start()
        await until(lambda: _died(p), timeout_s=30)
        assert await p.dead() == ["no_response"]
        assert len(p.smsc.sent) == 6

    run(scenario)


def test_an_answer_past_its_time_to_live_is_never_sent(run: Callable[..., None]) -> None:
    async def scenario(p: Process) -> None:
        p.smsc.outcomes = [Outcome(Sending.LATER, "no_link")]
        assert await p.deliver(mo()) is Verdict.ACK
        p.worker.start()
        await until(lambda: _died(p))
        assert await p.dead() == ["expired"]
        assert len(p.smsc.sent) == 1

    run(scenario, answer_ttl_s=0.0)


def test_the_texts_of_one_subscriber_are_answered_in_their_order(run: Callable[..., None]) -> None:
    async def scenario(p: Process) -> None:
        p.smsc.gate = asyncio.Event()
        texts = ["CXMYD", "1234", "0000"]
        told = [asyncio.ensure_future(p.deliver(mo(text, carrier=PROMPT))) for text in texts]
        await until(lambda: p.smsc.sent)
        p.smsc.gate.set()
        assert [await t for t in told] == [Verdict.ACK] * 3
        answers = [text for _, text in p.smsc.sent]
        assert "请在10分钟内回复" in answers[0]
        assert "今天还可试2次" in answers[1]
        assert "今天还可试1次" in answers[2]

    run(scenario, after_s=5.0)


def test_a_dialog_goes_on_in_another_process(
    run: Callable[..., None], redis_url: str, tmp_path: Path
) -> None:
    async def scenario(p: Process) -> None:
        assert await p.deliver(mo(carrier=PROMPT)) is Verdict.ACK
        async with process(redis_url, tmp_path) as other:
            assert await other.deliver(mo("1234", carrier=PROMPT)) is Verdict.ACK
            assert "今天还可试2次" in other.smsc.sent[0][1]

    run(scenario)


def test_a_question_that_left_is_remembered_after_kill_9(
    run: Callable[..., None], redis_url: str, tmp_path: Path
) -> None:
    """The process dies between the prompt and the end of its turn: the digits are understood all the same."""

    async def scenario(p: Process) -> None:
        p.smsc.gate = asyncio.Event()
        dying = asyncio.ensure_future(p.deliver(mo(carrier=PROMPT)))
        await until(lambda: p.smsc.sent)
        async with process(redis_url, tmp_path, after_s=3.0) as other:
            assert await other.deliver(mo("1234", carrier=PROMPT)) is Verdict.ACK
            assert "今天还可试2次" in other.smsc.sent[0][1]
        p.smsc.gate.set()
        await dying

    run(scenario, after_s=10.0, lease_s=0.3)


def test_a_prompt_that_could_not_leave_is_no_query(run: Callable[..., None]) -> None:
    """However often it is tried: the subscriber's day has as many queries left as before."""

    async def scenario(p: Process) -> None:
        p.smsc.outcomes = [Outcome(Sending.LATER, "no_link")] * 7
        assert await p.deliver(mo(carrier=PROMPT)) is Verdict.ACK
        p.worker.start()
        await until(lambda: _is_empty(p), 10)
        assert "请在10分钟内回复" in p.smsc.sent[-1][1]

    run(scenario)


def test_behind_a_parked_message_nothing_overtakes(
    run: Callable[..., None], redis_url: str, tmp_path: Path
) -> None:
    """In any process: the digits wait until the keyword before them was answered."""

    async def scenario(p: Process) -> None:
        p.smsc.outcomes = [Outcome(Sending.LATER, "no_link")]
        assert await p.deliver(mo(carrier=PROMPT)) is Verdict.ACK
        async with process(redis_url, tmp_path) as other:
            assert await other.deliver(mo("1234", carrier=PROMPT)) is Verdict.ACK
            assert other.smsc.sent == []
            assert await p.waiting() == 2
            other.worker.start()
            await until(lambda: len(other.smsc.sent) == 2)
            assert "请在10分钟内回复" in other.smsc.sent[0][1]
            assert "今天还可试2次" in other.smsc.sent[1][1]
            await until(lambda: _is_empty(p))
            assert await other.deliver(mo("0000", carrier=PROMPT)) is Verdict.ACK
            assert "今天还可试1次" in other.smsc.sent[2][1]

    run(scenario)


def test_a_turn_left_by_a_dead_process_is_taken_over(
    run: Callable[..., None], redis_url: str, tmp_path: Path
) -> None:
    """kill -9 between the turn's begin and its end: the redelivery is answered once the lease has ended."""

    async def scenario(p: Process) -> None:
        message = mo()
        p.smsc.gate = asyncio.Event()
        dying = asyncio.ensure_future(p.deliver(message))
        await until(lambda: p.smsc.sent)
        async with process(redis_url, tmp_path, after_s=3.0) as other:
            assert await other.deliver(message) is Verdict.ACK
            assert len(other.smsc.sent) == 1
        p.smsc.gate.set()
        await dying

    run(scenario, after_s=10.0, lease_s=0.3)


def test_a_turn_whose_begin_was_never_answered_blocks_nobody(run: Callable[..., None]) -> None:
    """The store stalled after it had taken our claim: the redelivery goes on at once, in the same process."""

    async def scenario(p: Process) -> None:
        message = mo()
        assert message.msisdn is not None
        await p.pipeline.turns.begin(p.pipeline.pseudonyms.of(message.msisdn), message.digest, fresh=True)
        assert await p.deliver(message) is Verdict.ACK
        assert len(p.smsc.sent) == 1
        assert await p.waiting() == 0

    run(scenario, lease_s=30.0)


def test_of_one_subscriber_a_few_wait_and_the_smsc_keeps_the_rest(run: Callable[..., None]) -> None:
    """A flood of his fills no memory and does not reach the store; others are answered meanwhile."""

    async def scenario(p: Process) -> None:
        p.smsc.gate = asyncio.Event()
        flood = [asyncio.ensure_future(p.deliver(mo())) for _ in range(MAX_WAITING + 21)]
        told = [await each for each in flood[MAX_WAITING + 1 :]]
        assert told == [Verdict.FULL] * 20
        other = asyncio.ensure_future(p.deliver(mo(msisdn="8613800000002")))
        await until(lambda: len(p.smsc.sent) == 2)
        p.smsc.gate.set()
        taken = [await each for each in (other, *flood[: MAX_WAITING + 1])]
        assert taken == [Verdict.ACK] * (MAX_WAITING + 2)
        assert await p.deliver(mo()) is Verdict.ACK

    run(scenario, after_s=5.0)


def test_with_the_store_away_the_smsc_keeps_the_message(run: Callable[..., None]) -> None:
    async def scenario(p: Process) -> None:
        await p.calls.close()
        assert await p.deliver(mo()) is Verdict.TEMPORARY
        assert p.smsc.sent == []

    run(scenario)


async def _is_empty(p: Process) -> bool:
    return await p.waiting() == 0


async def _died(p: Process) -> bool:
    return bool(await p.dead())
