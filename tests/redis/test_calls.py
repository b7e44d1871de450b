"""The batching connection and the routing of calls, on real servers."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.redis.calls import Calls, addresses_of
from gateway.redis.library import LIBRARY, function
from location_store.errors import StoreError, StoreRefused, StoreUnavailable
from location_store.replies import AccessError, FunctionMissingError, RedirectError, SlotMovingError, error_of
from tests.conftest import RedisServer
from tests.flow.harness import until

OwnRedis = Callable[..., RedisServer]


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "cluster", "shown"),
    [
        ("redis://10.0.0.1:7000/3", False, ["10.0.0.1:7000"]),
        ("redis://localhost", False, ["localhost:6379"]),
        ("unix:///run/redis%20x.sock", False, ["/run/redis x.sock"]),
        ("redis+cluster://a:1,b:2", True, ["a:1", "b:2"]),
        ("redis+cluster://user:p%40w@a:1,b:2", True, ["a:1", "b:2"]),
    ],
)
def test_every_form_of_url(url: str, cluster: bool, shown: list[str]) -> None:
    is_cluster, addresses = addresses_of(url)
    assert (is_cluster, [str(address) for address in addresses]) == (cluster, shown)


def test_credentials_are_unquoted() -> None:
    _, (address,) = addresses_of("redis://u%3A:p%40w@host:1/5")
    assert (address.username, address.password, address.db) == ("u:", "p@w", 5)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("LOADING Redis is loading the dataset in memory", StoreUnavailable),
        ("READONLY You can't write against a read only replica.", StoreUnavailable),
        ("OOM command not allowed when used memory > 'maxmemory'.", StoreUnavailable),
        ("NOREPLICAS Not enough good replicas to write.", StoreUnavailable),
        ("ERR Error running script: -NOREPLICAS Not enough good replicas to write.", StoreUnavailable),
        ("MISCONF Redis is configured to save RDB snapshots", StoreUnavailable),
        ("CLUSTERDOWN Hash slot not served", StoreUnavailable),
        ("NOAUTH Authentication required.", AccessError),
        ("NOPERM this user has no permissions", AccessError),
        ("MOVED 3999 127.0.0.1:6381", RedirectError),
        ("ASK 3999 127.0.0.1:6381", RedirectError),
        ("ERR Function not found", FunctionMissingError),
        ("TRYAGAIN Multiple keys request during rehashing of slot", SlotMovingError),
        ("MASTERDOWN Link with MASTER is down", StoreUnavailable),
        ("ERR Error: -READONLY You can't write against a read only replica. script: x", StoreUnavailable),
        ("WRONGTYPE Operation against a key", StoreRefused),
    ],
)
def test_error_replies_by_what_can_be_done_about_them(reply: str, kind: type[StoreError]) -> None:
    assert type(error_of(Exception(reply))) is kind


def test_calls_of_one_turn_leave_in_one_write_and_are_answered_in_order(redis_url: str) -> None:
    async def main() -> None:
        calls = Calls(redis_url, library=LIBRARY)
        assert await calls.wait_up(60)
        replies = await asyncio.gather(*(calls.call(b"k", "ECHO", str(n)) for n in range(1000)))
        assert replies == [str(n).encode() for n in range(1000)]
        await calls.close()

    run(main)


def test_a_cancelled_call_does_not_shift_the_answers_of_others(redis_url: str) -> None:
    async def main() -> None:
        calls = Calls(redis_url, library=LIBRARY)
        assert await calls.wait_up(60)
        first = asyncio.ensure_future(calls.call(b"k", "ECHO", "first"))
        second = asyncio.ensure_future(calls.call(b"k", "ECHO", "second"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == b"second"
        await calls.close()

    run(main)


def test_a_library_that_was_flushed_is_loaded_again(redis_url: str) -> None:
    async def main() -> None:
        calls = Calls(redis_url, library=LIBRARY)
        assert await calls.wait_up(60)
        await calls.call(b"k", "FUNCTION", "FLUSH")
        assert await calls.call(b"k", "FCALL", function("alive"), 0) == 1
        await calls.close()

    run(main)


def test_a_killed_server_fails_fast_and_is_back_within_a_second_of_its_return(own_redis: OwnRedis) -> None:
    server = own_redis()

    async def main() -> None:
        calls = Calls(server.url, library=LIBRARY, timeout_s=1.0)
        assert await calls.wait_up(60)
        server.stop()
        await asyncio.sleep(0.1)
        with pytest.raises(StoreUnavailable):
            await calls.call(b"k", "GET", "k")
        await asyncio.sleep(1.0)
        server.start()
        assert await calls.wait_up(5.0)
        await calls.close()

    run(main)


def test_a_stalled_server_costs_its_timeout_and_nothing_else_waits(own_redis: OwnRedis) -> None:
    """The loop goes on meanwhile, and a late answer is never taken for another call's."""
    server = own_redis()

    async def main() -> None:
        calls = Calls(server.url, library=LIBRARY, timeout_s=0.3)
        assert await calls.wait_up(60)
        server.pause()
        started_s = time.monotonic()
        pending = asyncio.ensure_future(calls.call(b"k", "ECHO", "late"))
        lag_s = 0.0
        while not pending.done():
            before_s = time.monotonic()
            await asyncio.sleep(0.01)
            lag_s = max(lag_s, time.monotonic() - before_s - 0.01)
        with pytest.raises(StoreUnavailable):
            await pending
        assert 0.2 < time.monotonic() - started_s < 2.0
        server.resume()
        assert await calls.wait_up(60)
        assert await calls.call(b"k", "ECHO", "fresh") == b"fresh"
        await calls.close()

    run(main)


def test_a_slow_server_is_waited_for_by_nobody_else(own_redis: OwnRedis) -> None:
    """After half a second other calls fail at once; those on their way are answered when it answers, and then
    it is up again, over the same connection.
    """
    server = own_redis()

    async def main() -> None:
        told: list[tuple[bool, str]] = []
        calls = Calls(server.url, library=LIBRARY, timeout_s=5, on_state=lambda *state: told.append(state))
        assert await calls.wait_up(5)
        server.pause()
        pending = [asyncio.ensure_future(calls.call(b"k", "ECHO", str(n))) for n in range(300)]
        while calls.up:
            await asyncio.sleep(0.01)
        started_s = time.monotonic()
        with pytest.raises(StoreUnavailable, match="no answer for"):
            await calls.call(b"k", "ECHO", "late")
        assert time.monotonic() - started_s < 0.1
        server.resume()
        assert await asyncio.gather(*pending) == [str(n).encode() for n in range(300)]
        assert await calls.wait_up(1.0)
        assert told == [(True, ""), (False, "no answer for 0.5 s"), (True, "")]
        await calls.close()

    run(main)


def test_a_wrong_password_is_told(own_redis: OwnRedis) -> None:
    server = own_redis("--requirepass", "right")

    async def main() -> None:
        calls = Calls(f"redis://:wrong@127.0.0.1:{server.port}/0", library=LIBRARY)
        await until(lambda: "WRONGPASS" in calls._single.why_down)
        assert not calls.up
        with pytest.raises(StoreUnavailable, match="WRONGPASS"):
            await calls.call(b"k", "GET", "k")
        await calls.close()

    run(main)
