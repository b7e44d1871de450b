"""The park on a real Redis: what is in it, what may be said twice, how full it gets."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot
from redis.exceptions import RedisError

from gateway.flow.messages import Mo, Outcome, Sending, Verdict
from gateway.redis import operator
from gateway.redis.keys import PARK_SHARDS, park_key, parked_key
from location_store.errors import StoreError, StoreUnavailable
from location_store.nodes import Nodes
from location_store.pseudonyms import Pseudonym
from tests.cluster import OwnRedis, cluster, command, replica, url_of  # noqa: F401 - a fixture
from tests.conftest import RedisServer
from tests.flow.harness import ROUTE, Process, mo, process, until

Scenario = Callable[[Process], Awaitable[None]]
LATER = Outcome(Sending.LATER, "no_link")


@pytest.fixture
def run(redis_url: str, tmp_path: Path) -> Callable[..., None]:
    def go(scenario: Scenario, **settings: Any) -> None:
        async def main() -> None:
            async with process(redis_url, tmp_path, **settings) as p:
                await scenario(p)

        asyncio.run(main())

    return go


def whose(p: Process, message: Mo) -> Pseudonym:
    assert message.msisdn is not None
    return p.pipeline.pseudonyms.of(message.msisdn)


async def listed(p: Process, message: Mo) -> int:
    """How many of his messages his list names."""
    key = parked_key(whose(p, message))
    length: int = await p.calls.call(key, "HLEN", key)
    return length


def test_a_full_park_refuses_for_the_time_being(run: Callable[..., None]) -> None:
    """The SMSC keeps what is beyond the limit, by whatever shard; nothing of it stays; counted. What leaves
    makes room.
    """

    async def scenario(p: Process) -> None:
        p.smsc.outcomes = [LATER] * 14
        messages = [mo(msisdn=f"86138000030{n:02}") for n in range(14)]
        told = [await p.deliver(message) for message in messages]
        assert told == [Verdict.ACK] * 10 + [Verdict.TEMPORARY] * 4
        assert await p.waiting() == 10
        assert [await listed(p, message) for message in messages] == [1] * 10 + [0] * 4
        assert not await p.pipeline.accept(mo())
        assert p.metrics.not_parked.counts == {(ROUTE, "full"): 5}
        failure = p.metrics.failures.labels("park", "ParkFullError")
        assert failure._value.get() == 5
        p.worker.start()
        await until(lambda: empty(p))
        p.smsc.outcomes = [LATER]
        await until(lambda: delivered(p, messages[-1]))

    run(scenario, limit=10)


def test_the_limit_holds_over_processes(run: Callable[..., None], redis_url: str, tmp_path: Path) -> None:
    """What another process parked counts, a second later at the latest."""

    async def scenario(p: Process) -> None:
        async with process(redis_url, tmp_path, limit=10) as other:
            p.smsc.outcomes, other.smsc.outcomes = [LATER] * 10, [LATER] * 2
            for n in range(10):
                assert await p.deliver(mo(msisdn=f"86138000031{n:02}")) is Verdict.ACK
            assert await other.deliver(mo(msisdn="8613800003200")) is Verdict.TEMPORARY

    run(scenario, limit=10)


def test_leaving_twice_takes_nobody_elses_place(run: Callable[..., None]) -> None:
    """The names of his other messages stay, so that nothing overtakes them."""

    async def scenario(p: Process) -> None:
        p.smsc.up = False
        first, second = mo(), mo()
        who = whose(p, first)
        one = await p.park.add(who, first, 0)
        await p.park.add(who, second, 0)
        for _ in range(3):
            await p.park.remove(who, first, one)
        assert await listed(p, first) == 1
        p.smsc.outcomes = [LATER]
        assert await p.deliver(mo()) is Verdict.ACK
        assert p.smsc.sent == []
        assert await p.waiting() == 2

    run(scenario)


def test_a_name_that_was_left_behind_blocks_for_its_time_to_live(run: Callable[..., None]) -> None:
    """As after a crash between name and entry: his messages go through the park, and then no longer."""

    async def scenario(p: Process) -> None:
        who = whose(p, mo())
        await p.park._list(who, b"crashed", (ends_s := time.time() + 1.0))
        assert await p.deliver(mo()) is Verdict.ACK
        assert p.smsc.sent == []
        p.worker.start()
        await until(lambda: p.smsc.sent)
        await until(lambda: empty(p))
        assert await listed(p, mo()) == 1
        await until(lambda: time.time() > ends_s)
        assert await p.deliver(mo()) is Verdict.ACK
        assert len(p.smsc.sent) == 2
        assert p.metrics.parked_total.labels("plain", "behind")._value.get() == 1

    run(scenario)


def test_an_entry_that_could_not_leave_is_not_answered_again(
    own_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    """The store stalls between an answer and the end of its entry, for longer than its mark may last."""
    server = own_redis()

    async def main() -> None:
        async with process(server.url, tmp_path) as p:
            message = mo()
            who = whose(p, message)
            entry_id = await p.park.add(who, message, 0)
            server.pause()
            with pytest.raises(StoreError):
                await p.park.remove(who, message, entry_id)
            server.resume()
            assert await p.calls.wait_up(60)
            p.worker.start()
            await until(lambda: empty(p))
            assert p.smsc.sent == []
            assert await listed(p, message) == 0

    asyncio.run(main())


def test_what_an_operator_puts_back_is_answered(run: Callable[..., None], redis_url: str) -> None:
    """Also at once, while the mark of its death would still call it a redelivery."""

    async def scenario(p: Process) -> None:
        p.smsc.outcomes = [Outcome(Sending.REFUSED, "ESME_RINVDSTADR")]
        message = mo()
        assert await p.deliver(message) is Verdict.ACK
        nodes = Nodes(redis_url, library="")
        (dead,) = operator.parked(nodes, [ROUTE])
        assert (dead.dead, dead.reason) == (True, "ESME_RINVDSTADR")
        operator.retry(nodes, dead.id, time.time(), 60)
        assert await listed(p, message) == 1
        p.worker.start()
        await until(lambda: len(p.smsc.sent) == 2)
        await until(lambda: empty(p))
        assert await listed(p, message) == 0
        assert list(operator.parked(nodes, [ROUTE])) == []

    run(scenario)


def test_what_expires_while_the_link_is_away_is_recorded(
    run: Callable[..., None], redis_url: str, tmp_path: Path
) -> None:
    """And makes room, though nothing can be sent."""

    async def scenario(p: Process) -> None:
        p.smsc.up = False
        late, in_time = replace(mo(msisdn="8613800007001"), received_s=time.time() - 61), mo()
        for message in (late, in_time):
            await p.park.add(whose(p, message), message, 0)
        p.worker.start()
        await until(lambda: died(p))
        assert await p.dead() == ["expired"]
        assert await p.waiting() == 1
        assert p.smsc.sent == []
        async with process(redis_url, tmp_path) as other:  # whose link is up, is not kept off
            other.worker.start()
            async with asyncio.timeout(2):
                await until(lambda: other.smsc.sent)

    run(scenario)


def test_what_expired_and_is_put_back_is_answered(run: Callable[..., None], redis_url: str) -> None:
    """Its time to live begins anew, for the answer as well."""

    async def scenario(p: Process) -> None:
        p.smsc.outcomes = [LATER]
        assert await p.deliver(replace(mo(), received_s=time.time() - 59.0)) is Verdict.ACK
        await asyncio.sleep(1.0)
        p.worker.start()
        await until(lambda: empty(p))
        nodes = Nodes(redis_url, library="")
        (dead,) = operator.parked(nodes, [ROUTE])
        assert dead.reason == "expired"
        operator.retry(nodes, dead.id, time.time(), 60)
        await until(lambda: len(p.smsc.sent) == 2)
        assert p.smsc.not_after_s[-1] > time.monotonic() + 50
        await until(lambda: empty(p))

    run(scenario)


def test_parked_messages_that_the_store_has_lost_are_reported(
    own_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    """A store that is back without its last writes, as after a failover: by those who knew of them, once."""
    server = own_redis()

    async def main() -> None:
        async with process(server.url, tmp_path) as p, process(server.url, tmp_path) as other:
            messages = [mo(msisdn=f"86138000050{n:02}") for n in range(8)]
            for message in messages[:5]:
                await p.park.add(whose(p, message), message, 0)
            with server.client() as client:
                client.save()
            for message in messages[5:]:
                await p.park.add(whose(p, message), message, 0)
            server.stop()
            server.start()
            await until(lambda: p.calls.up and other.calls.up)
            p.worker.start()
            other.worker.start()
            await until(lambda: sum(p.metrics.park_losses.counts.values()) == 3)
            await until(lambda: empty(p))
            assert len(p.smsc.sent) + len(other.smsc.sent) == 5
            assert sum(p.metrics.park_losses.counts.values()) == 3
            assert other.metrics.park_losses.counts == {}

    asyncio.run(main())


def test_a_failover_that_loses_the_tail_is_reported(
    cluster: list[RedisServer],  # noqa: F811
    own_redis: OwnRedis,
    tmp_path: Path,
) -> None:
    """The replica was cut off before the last messages were parked, and is promoted: how many of them are
    lost is told; all others are answered.
    """
    heir = replica(cluster, own_redis)

    async def main() -> None:
        async with process(url_of(cluster), tmp_path, timeout_s=2.0) as p:
            messages = [mo(msisdn=f"86138000060{n:02}") for n in range(16)]
            theirs = [whose(p, message).partition % PARK_SHARDS for message in messages]
            for message in messages[:8]:
                await p.park.add(whose(p, message), message, 0)
            until_all_have_it(cluster[0])
            heir.pause()
            command(cluster[0], "CLIENT", "KILL", "TYPE", "replica")
            for message in messages[8:]:
                await p.park.add(whose(p, message), message, 0)
            cluster[0].stop()
            heir.resume()
            await until(lambda: taken_over(heir), 20)
            on_the_lost = [key_slot(park_key(b"q", ROUTE, shard)) < 8192 for shard in range(PARK_SHARDS)]
            lost = sum(on_the_lost[shard] for shard in theirs[8:])
            assert 0 < lost < 8
            p.worker.start()
            await until(lambda: empty(p), 20)
            assert p.metrics.park_losses.counts == {(ROUTE,): lost}
            assert len(p.smsc.sent) == 16 - lost

    asyncio.run(main())


def until_all_have_it(primary: RedisServer) -> None:
    assert command(primary, "WAIT", 1, 5000) == 1


def taken_over(heir: RedisServer) -> bool:
    """The replica is told to take over, as soon as it listens again."""
    try:
        return bool(command(heir, "CLUSTER", "FAILOVER", "TAKEOVER"))
    except (RedisError, OSError):
        return False


def test_what_is_dropped_lets_later_ones_pass(run: Callable[..., None], redis_url: str) -> None:
    async def scenario(p: Process) -> None:
        p.smsc.outcomes = [LATER]
        assert await p.deliver(mo()) is Verdict.ACK
        nodes = Nodes(redis_url, library="")
        (waiting,) = operator.parked(nodes, [ROUTE])
        operator.drop(nodes, waiting.id)
        assert await listed(p, mo()) == 0
        assert await p.deliver(mo()) is Verdict.ACK
        assert len(p.smsc.sent) == 2

    run(scenario)


def test_a_link_that_is_away_uses_up_no_tries(run: Callable[..., None]) -> None:
    """Only what is the message's own fault counts; the pauses of entries that left are forgotten."""

    async def scenario(p: Process) -> None:
        p.smsc.outcomes = [*[LATER] * 5, *[Outcome(Sending.LATER, "no_response")] * 2]
        assert await p.deliver(mo()) is Verdict.ACK
        p.worker.start()
        await until(lambda: empty(p), 15)
        assert await p.dead() == []
        assert len(p.smsc.sent) == 8
        await until(lambda: not any(p.worker._not_before_s.values()))

    run(scenario)


def test_those_that_wait_for_their_next_try_hold_nobody_up(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of entries that are not due, and one behind them."""
    monkeypatch.setattr("gateway.flow.parkworker.BATCH", 3)

    async def scenario(p: Process) -> None:
        same_shard = same_shard_numbers(p, 7)
        for msisdn in same_shard:
            await p.park.add(
                whose(p, mo(msisdn=msisdn)), mo(msisdn=msisdn), 60 if msisdn != same_shard[-1] else 0
            )
        p.worker.start()
        await until(lambda: p.smsc.sent)
        assert [to for to, _ in p.smsc.sent] == [same_shard[-1]]

    run(scenario)


def same_shard_numbers(p: Process, count: int) -> list[str]:
    numbers = (f"86139000040{n:02}" for n in range(100))
    return [n for n in numbers if p.pipeline.pseudonyms.of(n).partition % 4 == 0][:count]


async def delivered(p: Process, message: Mo) -> bool:
    return await p.deliver(message) is Verdict.ACK


async def died(p: Process) -> bool:
    return bool(await p.dead())


async def empty(p: Process) -> bool:
    try:
        return await p.waiting() == 0
    except StoreUnavailable:
        return False
