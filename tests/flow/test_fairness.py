"""Nobody takes the others' place: not by a flood into the park, nor by an SMSC that does not respond."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gateway.flow.messages import Mt, Outcome, Sending, Verdict
from gateway.flow.parkworker import AT_ONCE, ParkWorker
from gateway.redis.park import MOST_OF_ONE
from tests.flow.harness import ROUTE, ScriptedSmsc, mo, process, until

LATER = Outcome(Sending.LATER, "no_link")
OTHER_ROUTE = "smsc-2"


def test_of_one_subscriber_so_many_are_parked(redis_url: str, tmp_path: Path) -> None:
    """While the link is down: the SMSC keeps what is beyond, and so does a listener's client. Others are
    parked; and he again, when some of his were answered.
    """

    async def main() -> None:
        async with process(redis_url, tmp_path) as p:
            p.smsc.outcomes = [LATER] * (MOST_OF_ONE + 6)
            told = [await p.deliver(mo()) for _ in range(MOST_OF_ONE + 5)]
            assert told == [Verdict.ACK] * MOST_OF_ONE + [Verdict.TEMPORARY] * 5
            assert not await p.pipeline.accept(mo())
            assert await p.deliver(mo(msisdn="8613800000002")) is Verdict.ACK
            assert await p.waiting() == MOST_OF_ONE + 1
            p.smsc.outcomes.clear()
            p.worker.start()

            async def some_left() -> bool:
                return await p.waiting() < MOST_OF_ONE

            await until(some_left)
            assert await p.deliver(mo()) is Verdict.ACK

    asyncio.run(main())


class HalfMute(ScriptedSmsc):
    """Responds on one of its two routes only, until the gate is opened."""

    def send_then(self, route: str, mt: Mt, then: Callable[[Outcome], None]) -> None:
        if route == OTHER_ROUTE:
            then(Outcome(Sending.ACCEPTED))
        else:
            super().send_then(route, mt, then)


def test_a_mute_smsc_does_not_hold_up_what_is_parked_for_another(redis_url: str, tmp_path: Path) -> None:
    """More of its subscribers than are worked on at once; the other's message leaves the park meanwhile."""

    async def main() -> None:
        async with process(redis_url, tmp_path) as p:
            smsc = HalfMute(gate=asyncio.Event())
            p.pipeline.outbox = smsc
            worker = ParkWorker(
                park=p.park,
                pipeline=p.pipeline,
                outbox=smsc,
                clock=p.pipeline.clock,
                recorder=p.metrics,
                routes=[ROUTE, OTHER_ROUTE],
                on_error=lambda _error: None,
                idle_s=0.01,
            )
            for number in range(2 * AT_ONCE):
                assert await p.pipeline.accept(mo(msisdn=f"86138000040{number:02}"))
            worker.start()
            await until(lambda: len(smsc.sent) >= AT_ONCE)
            assert await p.pipeline.accept(replace(mo(msisdn="8613800000002"), route=OTHER_ROUTE))

            async def other_left() -> bool:
                shards = p.park.shards(OTHER_ROUTE)
                return not any([await p.park.entries(OTHER_ROUTE, shard, 1) for shard in shards])

            await until(other_left)
            assert len(smsc.sent) == AT_ONCE
            assert smsc.gate is not None
            smsc.gate.set()
            await worker.stop()

    asyncio.run(main())
