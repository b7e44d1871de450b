"""Every trouble a store can be in, made by a real redis-server: the SMSC keeps the message, nobody is told
anything wrong, and the flow goes on by itself within a second of the store's return.
"""

import asyncio
import gc
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.flow.messages import Mo, Outcome, Sending, Verdict
from tests.cluster import OwnRedis, cluster, command, replica, url_of  # noqa: F401 - a fixture
from tests.conftest import RedisServer, free_port
from tests.flow.harness import Process, mo, process, until
from tests.redis.proxy import Proxy, proxy

USER = ("--user", "gateway", "on", ">secret", "~*", "&*", "+@all")


class Trouble(NamedTuple):
    """How it begins and ends, and what the operator is told; a server with `options`."""

    begin: Callable[[RedisServer], None]
    end: Callable[[RedisServer], None]
    why: str
    options: tuple[str, ...] = ()


def order(server: RedisServer, *words: Any) -> Any:
    with server.client() as client:
        execute: Any = client.execute_command
        return execute(*words)


def ordered(*words: Any) -> Callable[[RedisServer], None]:
    return lambda server: order(server, *words)


def fail_to_save(server: RedisServer) -> None:
    """A snapshot that cannot be written, as on a full disk: MISCONF from then on."""
    (server.folder / "data").mkdir()
    order(server, "CONFIG", "SET", "dir", str(server.folder / "data"))
    shutil.rmtree(server.folder / "data")
    order(server, "BGSAVE")
    wait(lambda: order(server, "INFO", "persistence")["rdb_last_bgsave_status"] == "err")


def save_again(server: RedisServer) -> None:
    order(server, "CONFIG", "SET", "dir", str(server.folder))
    order(server, "BGSAVE")
    wait(lambda: order(server, "INFO", "persistence")["rdb_last_bgsave_status"] == "ok")


def revoke(server: RedisServer) -> None:
    """The user may not log in any more, and is thrown out."""
    order(server, "ACL", "SETUSER", "gateway", "off")
    order(server, "CLIENT", "KILL", "USER", "gateway")


def wait(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


TROUBLES = {
    "down": Trouble(RedisServer.stop, RedisServer.start, "", ("--appendonly", "yes")),
    "stalled": Trouble(RedisServer.pause, RedisServer.resume, "no answer"),
    "slow": Trouble(ordered("CLIENT", "PAUSE", 1500, "ALL"), lambda _: time.sleep(0), "no answer"),
    "READONLY": Trouble(
        ordered("REPLICAOF", "127.0.0.1", free_port()), ordered("REPLICAOF", "NO", "ONE"), "READONLY"
    ),
    "OOM": Trouble(
        ordered("CONFIG", "SET", "maxmemory", "1mb", "maxmemory-policy", "noeviction"),
        ordered("CONFIG", "SET", "maxmemory", "0"),
        "OOM",
    ),
    "NOREPLICAS": Trouble(
        ordered("CONFIG", "SET", "min-replicas-to-write", "1"),
        ordered("CONFIG", "SET", "min-replicas-to-write", "0"),
        "NOREPLICAS",
    ),
    "MISCONF": Trouble(
        fail_to_save,
        save_again,
        "MISCONF",
        ("--save", "3600", "1000000", "--enable-protected-configs", "yes"),
    ),
    "no permission": Trouble(
        ordered("ACL", "SETUSER", "gateway", "-@all"), ordered("ACL", "SETUSER", "gateway", "+@all"), "NOPERM"
    ),
    "no rights on its keys": Trouble(
        ordered("ACL", "SETUSER", "gateway", "-fcall"),
        ordered("ACL", "SETUSER", "gateway", "+fcall"),
        "NOPERM",
    ),
    "user revoked": Trouble(revoke, ordered("ACL", "SETUSER", "gateway", "on"), "WRONGPASS"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_the_smsc_keeps_the_message_until_the_store_is_back(
    name: str, own_redis: OwnRedis, tmp_path: Path
) -> None:
    """Nothing is sent or acknowledged meanwhile, the operator is told why, and calls fail at once."""
    trouble = TROUBLES[name]
    server = own_redis(*USER, *trouble.options)

    async def main() -> None:
        url = f"redis://gateway:secret@127.0.0.1:{server.port}/0"
        async with process(url, tmp_path) as p:
            assert await p.deliver(mo()) is Verdict.ACK
            p.worker.start()
            await asyncio.to_thread(trouble.begin, server)
            messages = [mo(msisdn=f"86138000010{n:02}") for n in range(20)]
            assert await asyncio.gather(*map(p.deliver, messages)) == [Verdict.TEMPORARY] * 20
            await until(lambda: not p.calls.up and trouble.why in p.calls._single.why_down)
            started_s = time.monotonic()
            assert await asyncio.gather(*map(p.deliver, messages)) == [Verdict.TEMPORARY] * 20
            assert time.monotonic() - started_s < 0.5
            assert len(p.smsc.sent) == 1
            await asyncio.to_thread(trouble.end, server)
            assert await p.calls.wait_up(5.0)
            assert await asyncio.gather(*map(p.deliver, messages)) == [Verdict.ACK] * 20
            await until(lambda: len(p.smsc.sent) == 21)
            await until(lambda: _empty(p))
            assert sorted(to for to, _ in p.smsc.sent[1:]) == [m.msisdn for m in messages]

    asyncio.run(main())


def test_while_it_loads_its_data_it_is_away(own_redis: OwnRedis, tmp_path: Path) -> None:
    """LOADING, as after a start with much data."""
    server = own_redis("--appendonly", "no", "--loading-process-events-interval-bytes", "1024")
    with server.client() as client:
        client.mset({f"key-{n}": "x" * 200 for n in range(1000)})
        client.save()
    server.arguments += ("--key-load-delay", "1000")

    async def main() -> None:
        async with process(server.url, tmp_path) as p:
            server.stop()
            starting = asyncio.ensure_future(asyncio.to_thread(server.start))
            await until(lambda: "LOADING" in p.calls._single.why_down)
            assert await p.deliver(mo()) is Verdict.TEMPORARY
            await starting
            assert await p.calls.wait_up(5.0)
            assert await p.deliver(mo()) is Verdict.ACK
            assert len(p.smsc.sent) == 1

    asyncio.run(main())


def halved() -> Callable[[bytes], bytes]:
    """Half of what comes first, and then nothing more."""
    pieces = count()
    return lambda piece: b"" if next(pieces) else piece[: len(piece) // 2]


def reset() -> Callable[[bytes], None]:
    return lambda _piece: None


def nonsense() -> Callable[[bytes], bytes]:
    return lambda _piece: b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize("fault", [halved, reset, nonsense], ids=["half a reply", "reset", "no Redis"])
def test_answers_that_break_off(
    fault: Callable[[], Callable[[bytes], bytes | None]],
    redis_server: RedisServer,
    redis_url: str,
    tmp_path: Path,
) -> None:
    """In the middle of a pipeline: whatever took effect, the redelivery gets each subscriber one answer."""

    async def scenario(p: Process, between: Proxy) -> None:
        between.answers = fault()
        messages = [mo(msisdn=f"86138000020{n:02}") for n in range(20)]
        assert Verdict.TEMPORARY in await asyncio.gather(*map(p.deliver, messages))
        between.answers = lambda piece: piece
        between.reset()
        await until(lambda: p.calls.up)
        assert await asyncio.gather(*map(p.deliver, messages)) == [Verdict.ACK] * 20
        p.worker.start()
        await until(lambda: len(p.smsc.sent) == 20)
        await until(lambda: _empty(p))
        assert sorted(to for to, _ in p.smsc.sent) == [m.msisdn for m in messages]

    asyncio.run(_through(redis_server, tmp_path, scenario))


def test_an_answer_that_left_while_the_store_went_away_is_not_repeated(
    own_redis: OwnRedis, tmp_path: Path
) -> None:
    """Acknowledged although the store cannot be told; once it is back, every process knows a redelivery."""
    server = own_redis("--appendonly", "yes", "--appendfsync", "always")

    async def main() -> None:
        async with process(server.url, tmp_path, lease_s=0.5) as p, process(server.url, tmp_path) as other:
            messages = [mo(msisdn=f"86138000070{n:02}") for n in range(3)]
            p.smsc.gate = asyncio.Event()
            told = [asyncio.ensure_future(p.deliver(message)) for message in messages]
            await until(lambda: len(p.smsc.sent) == 3)
            server.stop()
            p.smsc.gate.set()
            assert await asyncio.gather(*told) == [Verdict.ACK] * 3
            assert await p.deliver(messages[0]) is Verdict.ACK
            await asyncio.sleep(0.6)  # the turns' leases have ended
            assert await p.deliver(messages[1]) is Verdict.ACK
            await asyncio.to_thread(server.start)
            await until(lambda: p.calls.up and other.calls.up)
            await until(lambda: messages[2].digest not in p.pipeline.unmarked)
            assert await other.deliver(messages[2]) is Verdict.ACK
            assert len(p.smsc.sent) + len(other.smsc.sent) == 3

    asyncio.run(main())


def test_an_entry_whose_parking_was_not_answered_is_taken_back(
    redis_server: RedisServer, redis_url: str, tmp_path: Path
) -> None:
    """It is in the store, the SMSC keeps the message, and once the store is back one of both is answered."""

    async def scenario(p: Process, between: Proxy) -> None:
        p.smsc.outcomes = [Outcome(Sending.LATER, "no_link")]
        p.smsc.gate = asyncio.Event()
        message = mo()
        told = asyncio.ensure_future(p.deliver(message))
        await until(lambda: p.smsc.sent)
        between.answers = lambda piece: None if b"-0\r\n" in piece else piece  # the id of its entry
        p.smsc.gate.set()
        assert await told is Verdict.TEMPORARY
        assert p.metrics.not_parked.counts == {("smsc-1", "unknown"): 1}
        between.answers = lambda piece: piece
        await until(lambda: p.calls.up)
        assert await p.waiting() == 1
        p.smsc.up = False  # the worker tidies all the same
        p.worker.start()
        await until(lambda: _empty(p))
        p.smsc.up, p.smsc.gate = True, None
        assert await p.deliver(message) is Verdict.ACK
        assert len(p.smsc.sent) == 2

    asyncio.run(_through(redis_server, tmp_path, scenario))


def test_a_failover_in_the_middle_of_a_pipeline(
    cluster: list[RedisServer],  # noqa: F811
    own_redis: OwnRedis,
    tmp_path: Path,
) -> None:
    """A primary dies under load and its replica takes over: what was on its way is refused for now, the other
    primary's go on, and with the SMSC's retries everybody is answered once.
    """
    heir = replica(cluster, own_redis)
    told: Counter[Verdict] = Counter()

    async def main() -> None:
        async with process(url_of(cluster), tmp_path, timeout_s=2.0) as p:
            p.worker.start()

            async def keep_asking(message: Mo) -> None:
                while (verdict := await p.deliver(message)) is not Verdict.ACK:
                    told[verdict] += 1
                    await asyncio.sleep(0.1)
                told[verdict] += 1

            async def ask_all() -> None:
                for n in range(60):
                    messages = [mo(msisdn=f"8613800{n:02}00{k:02}") for k in range(20)]
                    asked.extend(asyncio.ensure_future(keep_asking(each)) for each in messages)
                    await asyncio.sleep(0.03)

            asked: list[asyncio.Task[None]] = []
            asking = asyncio.ensure_future(ask_all())
            await until(lambda: told[Verdict.ACK] > 200)
            cluster[0].stop()
            await asyncio.sleep(0.5)
            await asyncio.to_thread(command, heir, "CLUSTER", "FAILOVER", "TAKEOVER")
            await asking
            await asyncio.wait_for(asyncio.gather(*asked), 20)
            await until(lambda: _empty(p), 20)
            assert told[Verdict.ACK] == 1200
            assert told[Verdict.TEMPORARY] > 0
            assert max(Counter(to for to, _ in p.smsc.sent).values()) == 1
            assert len(p.smsc.sent) == 1200

    asyncio.run(main())


def test_thousands_in_flight_do_not_stop_the_loop(own_redis: OwnRedis, tmp_path: Path) -> None:
    """The store stalls with 3,000 messages on their way: all are refused while the loop goes on turning."""
    server = own_redis()

    async def main() -> None:
        async with process(server.url, tmp_path, timeout_s=1.0, after_s=0.8) as p:
            await p.deliver(mo())
            gc.collect()  # as `serve` does: else the collector walks over all that pytest holds
            gc.freeze()
            server.pause()
            told = [asyncio.ensure_future(p.deliver(mo(msisdn=f"8613900{n:06}"))) for n in range(3000)]
            await asyncio.sleep(0)
            turns = [time.thread_time()]
            started_s = time.monotonic()
            while not all(each.done() for each in told):
                await asyncio.sleep(0.001)
                turns.append(time.thread_time())
            busy_s = [after - before for before, after in pairwise(turns)]
            assert {each.result() for each in told} == {Verdict.TEMPORARY}
            assert time.monotonic() - started_s < 3.0
            assert max(busy_s[10:]) < 0.05, sorted(busy_s)[-5:]
            server.resume()
            assert await p.calls.wait_up(5.0)

    try:
        asyncio.run(main())
    finally:
        gc.unfreeze()


def test_what_fails_leaves_nothing_to_the_collector(own_redis: OwnRedis, tmp_path: Path) -> None:
    """Circles of errors and frames: those of thousands of messages would hold the loop up for longer than the
    messages themselves. Of 50 whose answer left as the store went away, 50 that came then, and 50 later.
    """
    server = own_redis()

    async def main() -> None:
        async with process(server.url, tmp_path, timeout_s=0.5, after_s=0.2, lease_s=1.0) as p:
            p.smsc.gate = asyncio.Event()
            told = [asyncio.ensure_future(p.deliver(mo(msisdn=f"8613900{n:06}"))) for n in range(50)]
            await until(lambda: len(p.smsc.sent) == 50)
            gc.collect()
            gc.disable()
            server.pause()
            p.smsc.gate.set()
            told += [asyncio.ensure_future(p.deliver(mo(msisdn=f"8613901{n:06}"))) for n in range(50)]
            await until(lambda: not p.calls.up)
            told += [asyncio.ensure_future(p.deliver(mo(msisdn=f"8613902{n:06}"))) for n in range(50)]
            await asyncio.gather(*told)
            await until(lambda: not p.pipeline._under_way)  # the leases of the first have ended
            told.clear()
            assert gc.collect() < 50  # of the connection that was dropped
            server.resume()
            assert await p.calls.wait_up(5.0)

    try:
        asyncio.run(main())
    finally:
        gc.enable()


async def _through(
    server: RedisServer, folder: Path, scenario: Callable[[Process, Proxy], Awaitable[None]]
) -> None:
    async with proxy(server.port) as between, process(between.url, folder) as p:
        await scenario(p, between)


def _empty(p: Process) -> Coroutine[Any, Any, bool]:
    async def look() -> bool:
        return await p.waiting() == 0

    return look()
