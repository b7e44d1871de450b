"""Look-ups a second in one process: number, pseudonym, one call, unpacking, rules, places.

Over the gateway's own connection (`gateway.redis.calls`): the calls of one turn of the event loop leave
together, and the records that come in one turn are looked at together (`location_store.lookup_columns`).
Beside redis-benchmark in the same run, with as many commands at a time as the server saw of us. Latency is
that of an open loop at half the rate, from the scheduled time of each look-up. Records are those of
`histories`, the same 65,536 people again and again under other numbers. `make bench-store-query` calls it.
"""

import asyncio
import gc
import random
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import click
import numpy as np
import uvloop

from bench.store import engines, results
from bench.store.engines import Engine, Pipe
from bench.store.histories import START_S, WINDOW_DAYS, Plan, build, imported
from bench.store.people import BLOCK
from gateway.redis.calls import Calls
from gateway.redis.library import LIBRARY
from gateway.redis.turns import RedisTurns
from location_store.errors import RecordError
from location_store.lookup_columns import places_of_many
from location_store.places import Places
from location_store.pseudonyms import Pseudonyms, bucket_key
from location_store.record import History, Segment, pack_history
from location_store.stays import StayRules
from location_store.window import Window

IN_FLIGHT: Final = 200
CLOSED_S, OPEN_S = 4.0, 4.0
LOAD_AT_ONCE: Final = 1_000_000
SEGMENTS: Final = (1, 5, 20, 60)
BENCHMARK_BUCKETS: Final = 8192
BENCHMARK_TRIES: Final = 3
BENCHMARK_FIELD: Final = b"0000000"
WINDOW: Final = Window(START_S // 60, START_S // 60 + WINDOW_DAYS * 1440)
CHINA: Final = ZoneInfo("Asia/Shanghai")


class Bench(NamedTuple):
    """A filled engine and what is asked of it. places: of a number, by one call."""

    engine: Engine
    pseudonyms: Pseudonyms
    numbers: Sequence[str]


class Turn:
    """Records whose answers came in one turn of the event loop, looked at together."""

    def __init__(self, look: Callable[[Sequence[bytes | None]], list[tuple[int, ...] | RecordError]]) -> None:
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[bytes | None, asyncio.Future[tuple[int, ...]]]] = []

    def places(self, record: bytes | None) -> asyncio.Future[tuple[int, ...]]:
        """The places of one record, at the end of this turn."""
        future: asyncio.Future[tuple[int, ...]] = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._end)
        self._waiting.append((record, future))
        return future

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        for places, (_, future) in zip(self._look([record for record, _ in waiting]), waiting, strict=True):
            if isinstance(places, RecordError):
                future.set_exception(places)
            else:
                future.set_result(places)


@click.command()
@click.option("--quick", is_flag=True, help="Up to 10^5 subscribers.")
@click.option("--most", default=7, help="Up to 10 to this many subscribers.")
def main(quick: bool, most: int) -> None:
    """Look-ups, by number of subscribers and by length of history."""
    blocks = 1 if quick else 4
    blobs = [
        blob or b"\0\x80" for each in build(Plan(blocks * BLOCK), blocks, range(WINDOW_DAYS)) for blob in each
    ]
    values = [imported(number) + blob[2:] for number, blob in enumerate(blobs)]
    curve = [measure(10**power, values) for power in range(4, (5 if quick else most) + 1)]
    lengths = [
        measure(100_000, [imported(0) + pack_history(_of_segments(count))]) | {"segments": count}
        for count in SEGMENTS
    ]
    show(curve, lengths)
    results.save("query", {"curve": curve, "lengths": lengths}, quick=quick)


def _of_segments(count: int) -> History:
    """A window at home and next door in turns, in so many segments without silences between."""
    length = (WINDOW.end_min - WINDOW.start_min) // count
    places = (3101, 3205)
    starts = range(WINDOW.start_min, WINDOW.start_min + count * length, length)
    return History(tuple(Segment(places[n % 2], at, at + length - 60) for n, at in enumerate(starts)), ())


def measure(subscribers: int, values: Sequence[bytes]) -> dict[str, Any]:
    """Fill an engine, ask it, and let redis-benchmark ask it."""
    with (
        engines.engine("redis") as engine,
        engines.store_of(engine, engines.layout(subscribers)) as (_, names),
    ):
        empty = engine.memory()
        numbers = Plan(subscribers).population().msisdns()
        for start in range(0, subscribers, LOAD_AT_ONCE):
            part = [names.of(str(number)) for number in numbers[start : start + LOAD_AT_ONCE].tolist()]
            engine.load(part, [values[number % len(values)] for number in range(start, start + len(part))])
            del part
        bytes_each = (engine.memory().used - empty.used) / subscribers
        chosen = np.random.default_rng(1).choice(numbers, min(subscribers, 500_000))
        bench = Bench(engine, names, [str(number) for number in chosen.tolist()])
        found = uvloop.run(_ask(bench))
        found |= {"subscribers": subscribers, "bytes": bytes_each}
        found["benchmark_per_s"] = _redis_benchmark(engine, round(found["together"]))
        found["ratio"] = found["per_s"] / found["benchmark_per_s"]
    results.console.print(
        f"{subscribers:>10,}: {found['per_s']:,.0f} look-ups/s, p99 {found['p99_ms']:.2f} ms at half of it, "
        f"redis-benchmark {found['benchmark_per_s']:,.0f}/s"
    )
    return found


async def _ask(bench: Bench) -> dict[str, Any]:
    calls = Calls(bench.engine.url, library=LIBRARY)
    if not await calls.wait_up(10):
        raise SystemExit("the engine does not answer")
    neighbours = Places.load().neighbours
    of = bench.pseudonyms.of
    rules = StayRules()

    turn = Turn(lambda records: places_of_many(records, rules, neighbours, WINDOW, CHINA))

    async def visited(number: str) -> tuple[int, ...]:
        who = of(number)
        key = bucket_key(who)
        return await turn.places(await calls.call(key, b"HGET", key, who.field))

    turns = RedisTurns(calls, dedup_window_s=30, lease_s=0.5, after_s=1.0, monotonic=time.monotonic)

    async def turn_of(number: str) -> object:
        return await turns.begin(of(number), random.randbytes(8), fresh=True)

    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # as the gateway does
    await _closed(visited, bench.numbers, 0.5)
    before, ours_s, server_s = _seen(bench.engine), time.process_time(), bench.engine.cpu_s()
    per_s, done = await _closed(visited, bench.numbers, CLOSED_S)
    after = _seen(bench.engine)
    used_s, server_s = time.process_time() - ours_s, bench.engine.cpu_s() - server_s
    latencies = await _open(visited, bench.numbers, per_s / 2, OPEN_S)
    begins_per_s, _ = await _closed(turn_of, bench.numbers, 2.0)
    await calls.close()
    p50, p99 = np.percentile(latencies, [50, 99])
    return {
        "per_s": per_s,
        "our_us": 1e6 * used_s / done,
        "server_us": 1e6 * server_s / done,
        "together": (after[0] - before[0]) / (after[1] - before[1]),
        "p50_ms": 1e3 * float(p50),
        "p99_ms": 1e3 * float(p99),
        "begins_per_s": begins_per_s,
    }


async def _closed(ask: Callable[[str], Any], numbers: Sequence[str], for_s: float) -> tuple[float, int]:
    """So many asked at a time, the next one as soon as one is answered: answers a second, and how many."""
    began = time.perf_counter()
    until = began + for_s
    upcoming = iter(range(1 << 62))

    async def one_after_another() -> int:
        done = 0
        while time.perf_counter() < until:
            await ask(numbers[next(upcoming) % len(numbers)])
            done += 1
        return done

    done = sum(await asyncio.gather(*(one_after_another() for _ in range(IN_FLIGHT))))
    return done / (time.perf_counter() - began), done


async def _open(ask: Callable[[str], Any], numbers: Sequence[str], rate: float, for_s: float) -> list[float]:
    """Asked at fixed times whatever becomes of those before: seconds from the time to the answer."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []

    async def timed(number: str, at: float) -> None:
        await ask(number)
        latencies.append(loop.time() - at)

    began, total, sent = loop.time(), int(rate * for_s), 0
    tasks: set[asyncio.Task[None]] = set()
    while sent < total:
        due = min(int((loop.time() - began) * rate), total)
        while sent < due:
            task = loop.create_task(timed(numbers[sent % len(numbers)], began + sent / rate))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.0005)
    await asyncio.gather(*tasks)
    return latencies


def _seen(engine: Engine) -> tuple[int, int]:
    """Commands and reads of the server so far."""
    said: dict[str, Any] = engine.client.info("stats")  # type: ignore[assignment]  # not asynchronous
    return said["total_commands_processed"], said["total_reads_processed"]


def _redis_benchmark(engine: Engine, together: int) -> float:
    """HGET by redis-benchmark, one connection, `together` commands at a time, of random buckets of ours.

    It can make up keys of twelve digits only, and no fields: so it asks copies of our buckets, each with a
    field of its own in the middle, where a random one is on average.
    """
    copied = 0
    for key in engine.client.scan_iter(match="b:*", count=1000):
        items = [part for pair in engine.client.hgetall(key).items() for part in pair]  # type: ignore[union-attr]
        middle = len(items) // 4 * 2
        with Pipe(engine) as pipe:
            pipe.add(
                b"HSET", b"x:%012d" % copied, *items[:middle], BENCHMARK_FIELD, items[1], *items[middle:]
            )
        copied += 1
        if copied == BENCHMARK_BUCKETS:
            break
    command = ["redis-benchmark", "-s", str(engine.path), "-c", "1", "-P", str(together), "--csv"]
    command += ["-n", "1000000", "-r", str(copied), "HGET", "x:__rand_int__", BENCHMARK_FIELD.decode()]
    for _ in range(BENCHMARK_TRIES):
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        if not said.returncode:
            return float(said.stdout.strip().splitlines()[-1].split('","')[1].strip('"'))
    raise SystemExit(f"redis-benchmark ends with {said.returncode}: {said.stderr or said.stdout}")


def show(curve: Sequence[dict[str, Any]], lengths: Sequence[dict[str, Any]]) -> None:
    """The curves as tables."""
    for title, first, rows in (
        ("Look-ups by number of subscribers", "subscribers", curve),
        ("Look-ups by segments of each history, 100,000 subscribers", "segments", lengths),
    ):
        results.table(
            title,
            (
                first,
                "look-ups/s",
                "p50 ms",
                "p99 ms",
                "our CPU µs",
                "Redis' µs",
                "redis-benchmark/s",
                "ratio",
                "bytes each",
            ),
            (
                (
                    f"{each[first]:,}",
                    f"{each['per_s']:,.0f}",
                    f"{each['p50_ms']:.2f}",
                    f"{each['p99_ms']:.2f}",
                    f"{each['our_us']:.1f}",
                    f"{each['server_us']:.1f}",
                    f"{each['benchmark_per_s']:,.0f}",
                    f"{each['ratio']:.2f}",
                    f"{each['bytes']:.1f}",
                )
                for each in rows
            ),
        )


if __name__ == "__main__":
    main()
