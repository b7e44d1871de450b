"""Sightings a second that one process takes in from each feed: into the ingester's memory, and to the end,
into Redis.

The rows are those of the store's benches, some hours of all subscribers; the Redis holds no histories before.
One process reads, checks and writes; Redis and the mock of Kafka have processes of their own.
`make bench-feeds` calls it.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
import polars as pl

from bench.store import engines, results
from bench.store.histories import START_S, WINDOW_DAYS, Plan
from bench.store.people import DAY_S
from bench.store.population import Cells, write
from location_store import cells as cell_table
from location_store.feeds.feed import Feed
from location_store.feeds.folder import FolderFeed
from location_store.feeds.kafka import KafkaFeed, KafkaSettings
from location_store.feeds.run import Pace, State, run
from location_store.feeds.stream import StreamFeed
from location_store.ingest import Ingester, Settings
from location_store.nodes import Command
from location_store.places import Places
from location_store.sightings import SHAPE

NOW_S: Final = START_S + (WINDOW_DAYS + 2) * DAY_S
FIRST_HOUR: Final = 24 * WINDOW_DAYS + 9
KAFKA: Final = ("csv", "json", "csv x 100")
FEEDS: Final = ("folder", "stream", *(f"kafka, {kind}" for kind in KAFKA))


@click.command()
@click.option("--quick", is_flag=True, help="50,000 subscribers.")
@click.option("--subscribers", default=200_000)
@click.option("--hours", default=6)
def main(quick: bool, subscribers: int, hours: int) -> None:
    """Every feed in turn."""
    plan = Plan(50_000 if quick else subscribers, WINDOW_DAYS + 1, distinct=4)
    found = []
    with tempfile.TemporaryDirectory(prefix="cxmyd-bench-") as name:
        folder = Path(name)
        cells = Cells()
        cells.write(folder / "cells.csv")
        cell_table.import_files([folder / "cells.csv"], folder, cells.places)
        write(plan.population(), cells, folder / "csv", ["csv"], first=FIRST_HOUR, last=FIRST_HOUR + hours)
        files = sorted((folder / "csv").iterdir())
        for feed in FEEDS:
            found.append({"feed": feed, **rate(feed, files, folder, plan.subscribers)})
    columns = ("feed", "rows", "into memory, rows/s", "to the end, rows/s", "rows a CPU second")
    shown = ([each if isinstance(each, str) else f"{each:,}" for each in row.values()] for row in found)
    results.table("Feeds, one process", columns, shown)
    results.save("feeds", {"runs": found}, quick=quick)


def rate(name: str, files: Sequence[Path], folder: Path, subscribers: int) -> dict[str, Any]:
    """One feed, read to its end from an empty store."""
    rows = sum(path.read_bytes().count(b"\n") - 1 for path in files)
    with (
        engines.engine("redis") as engine,
        engines.store_of(engine, engines.layout(subscribers)) as (store, pseudonyms),
    ):
        settings = Settings(NOW_S, START_S // 60)
        table = cell_table.CellTable.load(folder)
        ingester = Ingester(store, table, Places.load(), pseudonyms, settings, clock=lambda: NOW_S)
        with _feed(name, files, ingester) as feed:
            return _measured(feed, ingester, rows, folder)


def _measured(feed: Feed, ingester: Ingester, rows: int, folder: Path) -> dict[str, Any]:
    """The clock begins where the first rows are waited for: joining a group of Kafka takes seconds, once."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    last_s, last_rows = began_s, 0

    def progress(state: State) -> None:
        nonlocal began_s, began_cpu_s, last_s, last_rows
        last_s, last_rows = time.perf_counter(), state.totals.rows
        if not last_rows:
            began_s, began_cpu_s = last_s, time.process_time()

    pace = Pace(flush_rows=1_000_000_000, flush_s=86_400)
    totals = run(
        [feed],
        ingester,
        data_dir=folder,
        pace=pace,
        progress=progress,
        stop=lambda: last_rows >= rows,
    )
    ended_s = time.perf_counter()
    if totals.rows != rows or totals.rejected:
        raise SystemExit(f"{feed.name}: {totals}, of {rows} rows")
    return {
        "rows": rows,
        "into_memory_per_s": round(rows / (last_s - began_s)),
        "to_the_end_per_s": round(rows / (ended_s - began_s)),
        "per_cpu_s": round(rows / (time.process_time() - began_cpu_s)),
    }


@contextmanager
def _feed(name: str, files: Sequence[Path], ingester: Ingester) -> Iterator[Feed]:
    """The feed with all the rows in it."""
    if name == "stream":
        _fill(ingester, files)
        yield StreamFeed("sightings", ingester.store.nodes)
    elif name == "folder":
        with tempfile.TemporaryDirectory(prefix="cxmyd-bench-") as made:
            for path in files:
                (Path(made) / path.name).symlink_to(path)
            yield FolderFeed(Path(made), ingester.first_time_s, settle_s=0)
    else:
        command = [sys.executable, "-m", "bench.feeds.broker", name.removeprefix("kafka, "), *map(str, files)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as broker:
            assert broker.stdout is not None
            address = broker.stdout.readline().strip()
            try:
                yield KafkaFeed(KafkaSettings(address, "^sightings-.*"))
            finally:
                broker.kill()


def _fill(ingester: Ingester, files: Sequence[Path]) -> None:
    """The rows as entries of a stream, as fast as one connection takes them."""
    nodes = ingester.store.nodes
    rows = pl.concat(pl.read_csv(path, infer_schema=False) for path in files)
    for some in rows.iter_slices(10_000):
        nodes.run([_entry(row) for row in some.select(SHAPE.columns).iter_rows()])


def _entry(row: tuple[str, ...]) -> Command:
    words = [word for pair in zip(SHAPE.columns, row, strict=True) for word in pair]
    return Command(b"sightings", ("XADD", b"sightings", "*", *words))


if __name__ == "__main__":
    main()
