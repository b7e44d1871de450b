"""The gateway's calls on a real cluster: by slot, redirections followed, a function library on every node."""

import asyncio
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

import pytest
from redis.crc import key_slot

from gateway.redis.calls import Calls
from gateway.redis.library import LIBRARY, function
from location_store.errors import StoreRefused, StoreUnavailable
from tests.cluster import (
    OwnRedis,
    begin_move,
    cluster,  # noqa: F401 - a fixture
    command,
    end_move,
    move_a_slot,
    move_keys,
    replica,
    until,
    url_of,
)
from tests.conftest import RedisServer, free_port

KEYS = [b"l:{%d}:x" % partition for partition in range(100)]


def connected(url: str, main: Callable[[Calls], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        calls = Calls(url, library=LIBRARY, timeout_s=2.0)
        assert await calls.wait_up(60)
        await main(calls)
        await calls.close()

    asyncio.run(run())


def test_calls_find_their_node_and_follow_a_slot_that_moves(cluster: list[RedisServer]) -> None:  # noqa: F811
    """Whatever node a key is on: the turn of every partition can be taken, before and after a resharding."""
    one, two = cluster

    async def main() -> None:
        url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{two.port}"
        calls = Calls(url, library=LIBRARY, timeout_s=2.0)
        assert await calls.wait_up(60)
        tokens = count()

        async def take_all() -> None:
            keys = [b"l:{%d}:x" % partition for partition in range(200)]
            token = f"t{next(tokens)}"
            taken = [
                calls.call(key, "FCALL", function("own"), 2, key, key + b"v", token, 60_000) for key in keys
            ]
            assert await asyncio.gather(*taken) == [[1, 0]] * len(keys)
            for key in keys:
                await calls.call(key, "DEL", key)

        await take_all()
        keys = [b"l:{%d}:x" % partition for partition in range(200)]
        for key in keys:
            await calls.call(key, "SET", key, "t")
        assert await asyncio.to_thread(move_a_slot, one, two) > 0
        for key in keys:
            assert await calls.call(key, "GET", key) == b"t"
            await calls.call(key, "DEL", key)
        await take_all()
        await calls.close()

    asyncio.run(main())


def test_a_slot_on_its_way_is_asked_for_at_both_ends(cluster: list[RedisServer]) -> None:  # noqa: F811
    """ASK for the key that has moved; a function whose keys are on both sides waits until all have."""
    one, two = cluster
    gone, there = b"{2}:gone", b"{2}:there"
    slot = key_slot(gone)

    async def main(calls: Calls) -> None:
        for key in (gone, there):
            await calls.call(key, "SET", key, "here")
        begin_move(one, two, slot)
        move_keys(one, two, [gone])
        asked = (calls.call(key, "GET", key) for key in (gone, there) * 50)
        assert await asyncio.gather(*asked) == [b"here"] * 100
        assert await calls.call(gone, "FCALL", function("lease"), 1, gone, "me", 1000) == 0

        both = (gone, "FCALL", function("keep"), 2, gone, there, "here", "x", 9)
        waiting = asyncio.create_task(calls.call(*both))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        move_keys(one, two, [there])
        assert await waiting == 1
        end_move(one, two, slot)
        assert await calls.call(gone, "GET", gone) == b"x"

    connected(url_of(cluster), main)


def test_after_a_failover_the_heir_answers_and_nobody_is_told_nothing(
    cluster: list[RedisServer],  # noqa: F811
    own_redis: OwnRedis,
) -> None:
    """Meanwhile the lost slots are a temporary error, the others go on; the heir has all there was."""
    one = cluster[0]
    heir = replica(cluster, own_redis)

    async def main(calls: Calls) -> None:
        async def ask(key: bytes) -> bytes | None:
            try:
                value = await calls.call(key, "GET", key)
            except StoreUnavailable:
                return None
            assert value == key
            return key

        for key in KEYS:
            await calls.call(key, "SET", key, key)
        until(lambda: command(heir, "DBSIZE") == command(one, "DBSIZE"))
        on_the_other = {key for key in KEYS if key_slot(key) >= 8192}
        one.stop()
        command(heir, "CLUSTER", "FAILOVER", "TAKEOVER")
        answered: set[bytes] = set()
        deadline_s = asyncio.get_running_loop().time() + 10
        while len(answered) < len(KEYS):
            answered = {key for key in await asyncio.gather(*map(ask, KEYS)) if key is not None}
            assert answered >= on_the_other
            assert asyncio.get_running_loop().time() < deadline_s
            await asyncio.sleep(0.01)
        command(heir, "FUNCTION", "FLUSH")
        assert await calls.call(b"{2}", "FCALL", function("own"), 2, b"{2}", b"{2}v", "me", 1000) == [1, 0]
        assert calls.up
        one.start()  # a replica now: it says MOVED
        assert set(await asyncio.gather(*map(ask, KEYS))) == set(KEYS)

    connected(url_of(cluster), main)


def test_a_node_of_a_cluster_is_refused_alone(cluster: list[RedisServer]) -> None:  # noqa: F811
    """By a redis:// URL most subscribers would seem unknown."""

    async def main(calls: Calls) -> None:
        with pytest.raises(StoreRefused, match=r"use redis\+cluster://"):
            await asyncio.gather(*(calls.call(key, "GET", key) for key in KEYS))

    connected(cluster[0].url, main)
