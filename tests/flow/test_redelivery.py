"""The same message again: in another process, while it is parked, when it is dead, under a new key."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from gateway.flow.messages import Outcome, Sending, Verdict, Work
from location_store.keys import KeyFile
from tests.flow.harness import PROMPT, Process, mo, process, until

NO_LINK = Outcome(Sending.LATER, "no_link")
REFUSED = Outcome(Sending.REFUSED, "ESME_RINVDSTADR")


async def _is_empty(p: Process) -> bool:
    return await p.waiting() == 0


def test_of_a_parked_message_there_is_one_entry(run_two: Callable[..., None]) -> None:
    """Without a link, and with one again: acknowledged in both processes, parked once, answered once."""

    async def scenario(one: Process, other: Process) -> None:
        one.smsc.outcomes = [NO_LINK]
        message = mo()
        for p in (one, one, other):
            assert await p.deliver(message) is Verdict.ACK
        assert await one.waiting() == 1
        one.worker.start()
        await until(lambda: _is_empty(one))
        for p in (one, other):
            assert await p.deliver(message) is Verdict.ACK
        assert len(one.smsc.sent) == 2  # the first of them met no link
        assert other.smsc.sent == []

    run_two(scenario)


def test_while_a_slow_answer_is_under_way(run_two: Callable[..., None]) -> None:
    """It is parked with its attempt going on: a copy in another process is acknowledged at once and not
    parked, one in the same process waits for it, or is parked behind it.
    """

    async def scenario(one: Process, other: Process) -> None:
        one.smsc.gate = asyncio.Event()
        message = mo()
        assert await one.deliver(message) is Verdict.ACK
        assert await other.deliver(message) is Verdict.ACK
        assert await one.waiting() == 1
        one.worker.start()
        again = asyncio.ensure_future(one.deliver(message))
        await asyncio.sleep(0.05)
        one.smsc.gate.set()
        assert await again is Verdict.ACK
        await until(lambda: _is_empty(one))
        assert len(one.smsc.sent) == 1
        assert other.smsc.sent == []

    run_two(scenario, after_s=0.2)


def test_a_message_that_was_parked_in_the_queue_is_no_redelivery_of_itself(
    run_two: Callable[..., None],
) -> None:
    """Behind another of the same subscriber, in its process and in another, each took too long to begin."""

    async def scenario(one: Process, other: Process) -> None:
        one.worker.start()
        one.smsc.gate = asyncio.Event()
        first, second, third = mo("CXMYD"), mo("CXMYD EN"), mo("cxmyd")
        told = [asyncio.ensure_future(one.deliver(first))]
        await until(lambda: one.smsc.sent)
        told += [asyncio.ensure_future(p.deliver(m)) for p, m in ((one, second), (other, third))]
        assert [await each for each in told] == [Verdict.ACK] * 3
        await asyncio.sleep(0.1)
        one.smsc.gate.set()
        await until(lambda: _is_empty(one))
        await until(lambda: len(one.smsc.sent) == 3)
        assert other.smsc.sent == []

    run_two(scenario, after_s=0.1)


def test_what_was_refused_for_good_is_dead_once_and_may_be_tried_again(run_two: Callable[..., None]) -> None:
    """A redelivery is acknowledged, for the message's end is recorded. An operator's retry is none."""

    async def scenario(one: Process, other: Process) -> None:
        one.smsc.outcomes = [REFUSED]
        message = mo()
        for p in (one, other):
            assert await p.deliver(message) is Verdict.ACK
        assert await one.dead() == ["ESME_RINVDSTADR"]
        assert other.smsc.sent == []
        result = await other.pipeline.attempt(message)
        assert result.work is Work.DONE
        assert len(other.smsc.sent) == 1
        assert (await other.pipeline.attempt(message)).reason == "redelivered"

    run_two(scenario)


def test_what_expired_in_the_park_is_not_answered_by_its_copy(run_two: Callable[..., None]) -> None:
    async def scenario(one: Process, other: Process) -> None:
        one.smsc.outcomes = [NO_LINK]
        message = mo()
        assert await one.deliver(message) is Verdict.ACK
        one.worker.start()
        await until(lambda: _is_empty(one))
        assert await one.dead() == ["expired"]
        assert await other.deliver(message) is Verdict.ACK
        assert await one.dead() == ["expired"]
        assert other.smsc.sent == []

    run_two(scenario, answer_ttl_s=0.0)


def test_a_client_that_submits_again_is_given_the_same_entry(run_two: Callable[..., None]) -> None:
    """One that had no response in time, by any process: parked once, answered once, also afterwards."""

    async def scenario(one: Process, other: Process) -> None:
        message = mo()
        for p in (one, one, other):
            assert await p.pipeline.accept(message)
        assert await one.waiting() == 1
        one.worker.start()
        await until(lambda: _is_empty(one))
        assert await other.pipeline.accept(message)
        assert await other.waiting() == 0
        assert len(one.smsc.sent) == 1

    run_two(scenario)


def test_copies_that_were_parked_all_the_same_are_answered_once(run_two: Callable[..., None]) -> None:
    """The store took the entries and not the marks, so each copy was parked behind the first."""

    async def scenario(one: Process, other: Process) -> None:
        message = mo()
        assert message.msisdn is not None
        who = one.pipeline.pseudonyms.of(message.msisdn)
        for p in (one, other):
            await p.park.add(who, message, 0)
        assert await one.waiting() == 2
        one.worker.start()
        await until(lambda: _is_empty(one))
        assert len(one.smsc.sent) == 1

    run_two(scenario)


def test_one_prompt_and_no_wrong_try(run_two: Callable[..., None]) -> None:
    """A dialog whose messages all come twice, the copy in the other process, goes on as if they came once."""

    async def scenario(one: Process, other: Process) -> None:
        for text in ("CXMYD", "1234", "0000"):
            message = mo(text, carrier=PROMPT)
            for p in (one, other):
                assert await p.deliver(message) is Verdict.ACK
        assert other.smsc.sent == []
        prompt, first, second = [text for _, text in one.smsc.sent]
        assert "请在10分钟内回复" in prompt
        assert "今天还可试2次" in first
        assert "今天还可试1次" in second

    run_two(scenario)


def test_across_a_change_of_the_key(redis_url: str, tmp_path: Path) -> None:
    """Processes with the old key file and the new one: what either answered or parked the other knows."""
    older = tmp_path / "older"
    older.mkdir(mode=0o700)

    async def both() -> None:
        async with process(redis_url, tmp_path):
            pass  # which makes the key
        keys = KeyFile.load(tmp_path / "keys.json")
        (older / "keys.json").touch(mode=0o600)
        keys.replace(older / "keys.json")
        keys.rotated(b"", datetime.now(UTC)).replace(tmp_path / "keys.json")
        async with process(redis_url, tmp_path) as new, process(redis_url, older) as old:
            for first, second in ((new, old), (old, new)):
                message = mo()
                for p in (first, second):
                    assert await p.deliver(message) is Verdict.ACK
                assert len(first.smsc.sent) == 1
                assert second.smsc.sent == []
                first.smsc.outcomes = [REFUSED]
                message = mo()
                for p in (first, second):
                    assert await p.deliver(message) is Verdict.ACK
                assert second.smsc.sent == []
                first.smsc.sent.clear()
            message = mo(msisdn="8613800000002")
            for p in (new, old):
                assert await p.pipeline.accept(message)
            assert await new.waiting() == 1

    asyncio.run(both())


def test_a_message_that_was_parked_while_it_waited_is_answered(run_two: Callable[..., None]) -> None:
    """For the turn in another process, or in line in its own: its own mark is not that of a redelivery."""

    async def scenario(one: Process, other: Process) -> None:
        one.smsc.gate = asyncio.Event()
        first = asyncio.ensure_future(one.deliver(mo()))
        await until(lambda: one.smsc.sent)
        waiting = [asyncio.ensure_future(p.deliver(mo())) for p in (one, other)]
        assert [await verdict for verdict in (first, *waiting)] == [Verdict.ACK] * 3
        await asyncio.sleep(0.3)  # as long as it would have asked for the turn
        assert await one.waiting() == 3
        one.smsc.gate.set()
        other.worker.start()
        await until(lambda: _is_empty(one))
        assert len(one.smsc.sent) + len(other.smsc.sent) == 3

    run_two(scenario, after_s=0.2)
