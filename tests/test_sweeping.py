"""gateway.sweeping: a gateway sees to the sweep by itself."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.config import load
from gateway.redis.calls import Calls
from gateway.redis.library import LIBRARY
from gateway.sweeping import Sweeping
from location_store.keys import KeyFile
from location_store.lease import turn_key
from location_store.sweep import SWEPT_KEY

START_S = 30.0


@pytest.fixture
def config(tmp_path: Path, redis_url: str) -> Path:
    """A configuration with a key file, of a store with four partitions."""
    path = tmp_path / "gateway.toml"
    path.write_text(f'[redis]\nurl = "{redis_url}"\n[store]\npartitions = 4\n')
    KeyFile.create(load(path).keys.file)
    return path


def watched(config: Path, until: Callable[[Sweeping, list[Any]], bool], *, starts: bool = True) -> Sweeping:
    """A gateway's look at the sweep, again and again until it is as wanted."""
    settings = load(config)

    async def looking() -> Sweeping:
        calls = Calls(settings.redis.url, library=LIBRARY)
        await calls.wait_up(60)
        sweeping = Sweeping(calls, config, settings.layout, starts=starts, start_after_s=0, look_s=0)
        try:
            with capture_logs() as logs:
                deadline_s = time.monotonic() + START_S
                while not until(sweeping, logs):
                    assert time.monotonic() < deadline_s, logs
                    await sweeping.look()
                    await asyncio.sleep(0.01)
        finally:
            sweeping.stop()
            await calls.close()
        return sweeping

    return asyncio.run(looking())


def events(logs: list[Any]) -> list[str]:
    return [each["event"] for each in logs]


def test_what_is_due_is_swept(config: Path) -> None:
    """A store that was never swept is; then nothing is due, and it is known when it was swept."""
    done = watched(config, lambda sweeping, logs: "sweep.done" in events(logs) and bool(sweeping.oldest_s))
    assert done.status() == {"hours_ago": 0.0, "overdue": False, "running": False}
    looks = 0

    def some_looks(_sweeping: Sweeping, logs: list[Any]) -> bool:
        nonlocal looks
        looks += 1
        assert not logs
        return looks > 20

    watched(config, some_looks)


def test_it_is_one_gateway_that_sweeps(config: Path, redis_url: str) -> None:
    """Where another is at it, and in all processes but one, nothing is started."""
    looks = 0

    def some_looks(_sweeping: Sweeping, logs: list[Any]) -> bool:
        nonlocal looks
        looks += 1
        assert not logs
        return looks > 20

    watched(config, some_looks, starts=False)
    looks = 0

    async def hold() -> None:
        calls = Calls(redis_url, library=LIBRARY)
        await calls.wait_up(60)
        await calls.call(b"", "SET", turn_key("sweep/0-3"), "another")
        await calls.close()

    asyncio.run(hold())
    watched(config, some_looks)


def test_a_sweep_that_fails_is_told(config: Path) -> None:
    """With the line that the command ended with."""
    load(config).keys.file.unlink()
    found: list[Any] = []

    def failed(_sweeping: Sweeping, logs: list[Any]) -> bool:
        found[:] = logs
        return "sweep.failed" in events(logs)

    watched(config, failed)
    assert "no key file" in next(each["why"] for each in found if each["event"] == "sweep.failed")


def test_a_day_without_a_sweep_is_overdue(config: Path, redis_url: str) -> None:
    """By the partition that waits longest; for a store that was never swept, from our start on."""
    now_s = time.time()

    async def at(hours: float, *marks: float) -> bool:
        calls = Calls(redis_url, library=LIBRARY)
        await calls.wait_up(60)
        now = [now_s]
        sweeping = Sweeping(calls, config, load(config).layout, starts=False, wall=lambda: now[0])
        for partition, ago_h in enumerate(marks):
            await calls.call(SWEPT_KEY, "HSET", SWEPT_KEY, partition, int(now_s - 3600 * ago_h))
        await sweeping.look()
        now[0] += 3600 * hours
        await calls.close()
        return sweeping.overdue

    assert not asyncio.run(at(23))
    assert asyncio.run(at(25))
    assert not asyncio.run(at(0, 23, 1, 1, 1))
    assert asyncio.run(at(2, 23, 1, 1, 1))
