"""What is remembered of accepted parts: on a real server, and on a real cluster."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis

from gateway.redis.calls import Calls
from gateway.redis.deliveries import DAY_S, MAX_SUMS, SHARDS, RedisLedger
from gateway.redis.library import LIBRARY
from gateway.smpp.receipts import FOLLOWS, MessageState
from tests.cluster import cluster, url_of  # noqa: F401 - a fixture
from tests.conftest import RedisServer

NOON = 1_000_000_000.0 // DAY_S * DAY_S + DAY_S // 2
S = MessageState


def with_ledger(url: str, main: Callable[[RedisLedger], Awaitable[None]]) -> None:
    async def run() -> None:
        calls = Calls(url, library=LIBRARY)
        assert await calls.wait_up(60)
        try:
            await main(RedisLedger(calls))
        finally:
            await calls.close()

    asyncio.run(run())


def test_found_again(redis_url: str) -> None:
    """By the very id, with its acceptance to the second; not on another link, not under another id."""

    async def main(ledger: RedisLedger) -> None:
        await ledger.note("a", ["12", "13"], NOON)
        settled = await ledger.settle("a", "12", S.DELIVERED, "", NOON + 7)
        assert settled == (None, True, NOON)
        assert await ledger.settle("b", "13", S.DELIVERED, "", NOON + 7) is None
        assert await ledger.settle("a", "14", S.DELIVERED, "", NOON + 7) is None

    with_ledger(redis_url, main)


def test_states_only_move_forward(redis_url: str) -> None:
    """Of every pair: the later one stands, if it may follow, and whoever comes again is told what stands."""

    async def main(ledger: RedisLedger) -> None:
        for first in MessageState:
            for second in MessageState:
                message_id = f"{first}-{second}"
                await ledger.note("a", [message_id], NOON)
                await ledger.settle("a", message_id, first, "", NOON)
                settled = await ledger.settle("a", message_id, second, "", NOON)
                assert settled is not None
                assert settled[:2] == (first, first in FOLLOWS[second])
                again = await ledger.settle("a", message_id, second, "", NOON)
                assert again is not None
                assert again[:2] == (second if settled.moved else first, False)

    with_ledger(redis_url, main)


def test_one_of_many_processes_counts(redis_url: str) -> None:
    """The same receipt over many binds at once moves its message on once."""

    async def main(ledger: RedisLedger) -> None:
        await ledger.note("a", ["12"], NOON)
        settled = await asyncio.gather(*(ledger.settle("a", "12", S.DELIVERED, "", NOON) for _ in range(20)))
        assert sum(one is not None and one.moved for one in settled) == 1

    with_ledger(redis_url, main)


@pytest.mark.parametrize(
    ("later_s", "found"),
    [(-DAY_S, True), (DAY_S, True), (2 * DAY_S, True), (3 * DAY_S, False)],
)
def test_remembered_for_two_days(redis_url: str, later_s: float, found: bool) -> None:
    """Two days long, and also for a process whose clock is behind by a day."""

    async def main(ledger: RedisLedger) -> None:
        await ledger.note("a", ["12"], NOON)
        settled = await ledger.settle("a", "12", S.DELIVERED, "", NOON + later_s)
        assert (settled is not None) is found
        if settled is not None:
            assert settled.accepted_s == NOON

    with_ledger(redis_url, main)


def test_an_id_used_again(redis_url: str) -> None:
    """A receipt belongs to the newest message of its id, in the same period and in a later one."""

    async def main(ledger: RedisLedger) -> None:
        for at_s in (NOON, NOON + 60, NOON + DAY_S):
            await ledger.note("a", ["12"], at_s)
            settled = await ledger.settle("a", "12", S.DELIVERED, "", at_s)
            assert settled is not None
            assert settled == (None, True, at_s)

    with_ledger(redis_url, main)


def test_everything_expires(redis_url: str, redis_server: RedisServer) -> None:
    """Records and sums are gone three days after its day at the latest, and hold no id."""

    async def main(ledger: RedisLedger) -> None:
        await ledger.note("a", [f"message-{n}" for n in range(2000)], NOON)
        await ledger.unmatched("a", NOON)

    with_ledger(redis_url, main)
    with redis_server.client() as client:
        keys: Any = client.keys()
        assert len(keys) > 1500
        assert all(0 < int(client.ttl(key)) <= 3.5 * DAY_S for key in keys)
        assert not any(b"message" in key or b"message" in str(client.hgetall(key)).encode() for key in keys)


def test_packed(redis_url: str, redis_server: RedisServer) -> None:
    """A record is 9 octets in a packed hash."""

    async def main(ledger: RedisLedger) -> None:
        await ledger.note("a", ["12"], NOON)
        await ledger.settle("a", "12", S.DELIVERED, "", NOON)

    with_ledger(redis_url, main)
    with redis_server.client() as client:
        (key,) = client.keys("dr:*")
        assert client.object("encoding", key) == b"listpack"
        fields: Any = client.hgetall(key)
        assert [(len(field), len(value)) for field, value in fields.items()] == [(6, 3)]


def test_sums(redis_url: str) -> None:
    """Each part is counted once, by its state, with the parts of the days that are remembered."""

    async def main(ledger: RedisLedger) -> None:
        for days in range(10):
            await ledger.note("a", [f"{days}-{n}" for n in range(30)], NOON - days * DAY_S)
        assert await ledger.sums("a", NOON) == {"no_word": 90}
        assert await ledger.sums("b", NOON) == {}
        for n in range(20):
            for state in (S.ENROUTE, S.UNKNOWN, S.DELIVERED if n < 15 else S.EXPIRED, S.DELIVERED):
                await ledger.settle("a", f"1-{n}", state, "007", NOON)
        await ledger.unmatched("a", NOON)
        sums = {name: count for name, count in (await ledger.sums("a", NOON)).items() if count}
        assert sums == {"no_word": 70, "DELIVERED": 15, "EXPIRED": 5, "failed:EXPIRED:007": 5, "unmatched": 1}

    with_ledger(redis_url, main)


def test_reasons_are_bounded(redis_url: str) -> None:
    """An SMSC that has another word for every failure fills no store."""

    async def main(ledger: RedisLedger) -> None:
        ids = [f"{n}" for n in range(MAX_SUMS * SHARDS * 2)]
        await ledger.note("a", ids, NOON)
        for message_id in ids:
            await ledger.settle("a", message_id, S.EXPIRED, message_id, NOON)
        sums = await ledger.sums("a", NOON)
        assert sums["EXPIRED"] == len(ids)
        assert sums["failed:EXPIRED:other"] > len(ids) / 3
        assert sum(count for name, count in sums.items() if name.startswith("failed:")) == len(ids)
        assert len(sums) <= (MAX_SUMS + 1) * SHARDS

    with_ledger(redis_url, main)


def test_on_a_cluster(cluster: list[RedisServer]) -> None:  # noqa: F811 - a fixture
    """The records are spread over the nodes, and each is found."""

    async def main(ledger: RedisLedger) -> None:
        links = [f"smsc-{n}" for n in range(4)]
        ids = [f"{n}" for n in range(300)]
        for link in links:
            await ledger.note(link, ids, NOON)
            for message_id in ids:
                settled = await ledger.settle(link, message_id, S.EXPIRED, "1", NOON + 1)
                assert settled is not None
                assert settled.moved
            sums = await ledger.sums(link, NOON)
            assert sums == {"no_word": 0, "EXPIRED": 300, "failed:EXPIRED:1": 300}

    with_ledger(url_of(cluster), main)
    for server in cluster:
        with server.client() as client:
            assert isinstance(client, redis.Redis)
            assert client.dbsize()
