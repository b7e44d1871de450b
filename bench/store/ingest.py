"""Sightings a second: from files into the coalescer, and to the end, into Redis; and where the time goes.

The store holds 14 days of every subscriber; what is read is the day after, an hour a file, in the order of
arrival with late and doubled rows. Our process has one thread, Redis another core. To save time the people of
the first 65,536 numbers come again under the others' numbers; nothing in ingest can tell.
`make bench-store-ingest` calls it.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import polars as pl

from bench.store import engines, results
from bench.store.engines import Engine
from bench.store.histories import START_S, WINDOW_DAYS, Plan, build, imported
from bench.store.people import DAY_S
from bench.store.population import PER_DAY, Cells, write
from location_store import cells as cell_table
from location_store import coalescer
from location_store.columns import blocks
from location_store.ingest import FLUSH_ROWS, Ingester, Settings, ingest
from location_store.places import Places
from location_store.rejects import Rejects
from location_store.sightings import SHAPE
from location_store.store import Store

DISTINCT_BLOCKS: Final = 4
FLUSH_HOURS: Final = (1, 3, 6)
"""How long sightings wait in memory, in runs with few subscribers."""
_ARRAYS_IN: Final = {"location_store.coalescer", "location_store.index"}
FEW: Final = 200_000
NOW_S: Final = START_S + (WINDOW_DAYS + 2) * DAY_S
FIRST_HOUR: Final = 24 * WINDOW_DAYS
STAGES: Final = (
    "parse",
    "check",
    "add",
    "flush: read",
    "flush: merge and pack",
    "flush: write",
    "flush: the rest",
)


@click.command()
@click.option("--quick", is_flag=True, help="50,000 subscribers instead of both sizes.")
@click.option("--subscribers", multiple=True, type=int, default=[200_000, 1_000_000])
@click.option("--hours", default=12, help="Of the day that is read.")
def main(quick: bool, subscribers: Sequence[int], hours: int) -> None:
    """Ingest, stage by stage."""
    runs = []
    for number in [50_000] if quick else subscribers:
        runs += bench(number, hours)
    results.save("ingest", {"runs": runs}, quick=quick)


def bench(subscribers: int, hours: int) -> list[dict[str, Any]]:
    """All ways for one number of subscribers."""
    found = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cxmyd-bench-")))
        engine = stack.enter_context(engines.engine("redis"))
        plan = Plan(subscribers, WINDOW_DAYS + 1, distinct=DISTINCT_BLOCKS)
        cells = Cells()
        cells.write(folder / "cells.csv")
        cell_table.import_files([folder / "cells.csv"], folder, cells.places)
        last = FIRST_HOUR + hours
        write(plan.population(), cells, folder / "parquet", ["parquet"], first=FIRST_HOUR, last=last)
        write(plan.population(), cells, folder / "csv", ["csv"], first=FIRST_HOUR, last=last)
        values = _histories(plan)
        parquet, csv = (sorted((folder / kind).iterdir()) for kind in ("parquet", "csv"))
        a_flush = [round(hours * subscribers * PER_DAY["idle"] / 24) for hours in FLUSH_HOURS]
        ways: list[tuple[str, list[Path], int]] = [("stages", parquet, 0), ("stages", csv, 0)]
        ways += [("whole", parquet, FLUSH_ROWS), ("whole", csv, FLUSH_ROWS)]
        if subscribers <= FEW:
            ways += [("whole", parquet, rows) for rows in a_flush]
        for way, files, flush_rows in ways:
            engine.client.flushall()
            with _ingester(engine, subscribers, folder, plan, values) as ingester:
                run = {
                    "subscribers": subscribers,
                    "way": way,
                    "kind": files[0].suffix[1:],
                    "flush_rows": flush_rows,
                }
                if way == "stages":
                    run |= meet(ingester, plan)
                    run |= stages(ingester, engine, files, folder)
                else:
                    run |= whole(ingester, engine, files, folder, flush_rows)
            run["bytes_a_row"] = sum(path.stat().st_size for path in files) / run["rows"]
            found.append(run)
            show(run)
    return found


def _histories(plan: Plan) -> list[bytes]:
    built = [blob for each in build(plan, DISTINCT_BLOCKS, range(WINDOW_DAYS)) for blob in each]
    return [imported(number) + (built[number % len(built)] or b"")[2:] for number in range(plan.subscribers)]


@contextmanager
def _ingester(
    engine: Engine, subscribers: int, folder: Path, plan: Plan, values: Sequence[bytes]
) -> Iterator[Ingester]:
    """An ingester as the command line makes it, before a store that holds the histories."""
    with engines.store_of(engine, engines.layout(subscribers)) as (store, pseudonyms):
        engine.load([pseudonyms.of(str(n)) for n in plan.population().msisdns().tolist()], values)
        settings = Settings(NOW_S, START_S // 60)
        table = cell_table.CellTable.load(folder)
        yield Ingester(store, table, Places.load(), pseudonyms, settings, clock=lambda: NOW_S)


def meet(ingester: Ingester, plan: Plan) -> dict[str, float]:
    """What a new ingester needs to learn where each subscriber's record lies, and how it ends: seconds, and
    bytes that stay.

    By the last two hours before, which are in the store already.
    """
    numbers = plan.population().msisdns()
    began = time.perf_counter()
    for rows in plan.population().hours(FIRST_HOUR - 2, FIRST_HOUR):
        ingester.add(
            pl.DataFrame({"time_s": rows.time_s, "msisdn": numbers[rows.owner], "place": rows.place})
        )
    met_s = time.perf_counter() - began
    ingester.flush()
    return {"meeting_s": met_s, "bytes_a_subscriber_met": _held(ingester._pending) / plan.subscribers}


def _held(thing: object) -> int:
    """Bytes of the arrays in an object of the coalescer's, and in its parts."""
    if isinstance(thing, np.ndarray):
        return thing.nbytes
    parts = vars(thing).values() if type(thing).__module__ in _ARRAYS_IN else ()
    return sum(_held(part) for part in parts)


def stages(ingester: Ingester, engine: Engine, files: Sequence[Path], folder: Path) -> dict[str, Any]:
    """Each step by itself: everything into memory, then one flush."""
    spent: defaultdict[str, float] = defaultdict(float)
    with _watched(ingester.store, spent):
        return _stages(ingester, engine, files, folder, spent)


def _stages(
    ingester: Ingester, engine: Engine, files: Sequence[Path], folder: Path, spent: defaultdict[str, float]
) -> dict[str, Any]:
    rows = 0
    usage = _Usage(engine)
    with Rejects(folder, "bench") as rejects:
        for path in files:
            time_format = None
            for block in blocks(path, [SHAPE]):
                parsed = _timed(spent, "parse", block.parse)(rejects)
                checked = _timed(spent, "check", ingester.check)(parsed, time_format)
                time_format = checked.time_format
                rows += _timed(spent, "add", ingester.add)(checked.good).rows
    into_memory_s = usage.wall_s()
    spent.update(dict.fromkeys(("flush: read", "flush: write"), 0.0))
    began = time.perf_counter()
    ingester.flush()
    spent["flush: the rest"] = time.perf_counter() - began - sum(spent[each] for each in STAGES[3:-1])
    figures = usage.figures(rows)
    return figures | {
        "into_memory_per_s": rows / into_memory_s,
        "stages_s": {stage: spent[stage] for stage in STAGES},
    }


@contextmanager
def _watched(store: Store, spent: defaultdict[str, float]) -> Iterator[None]:
    """The steps of a flush timed; Redis works on one slice of records while the next one is merged."""
    steps = {"start_read": "read", "finish_read": "read", "start_put": "write", "finish_put": "write"}
    merge = coalescer.merge_sorted
    coalescer.merge_sorted = _timed(spent, "flush: merge and pack", merge)
    for method, step in steps.items():
        setattr(store, method, _timed(spent, f"flush: {step}", getattr(store, method)))
    try:
        yield
    finally:
        coalescer.merge_sorted = merge
        for method in steps:
            delattr(store, method)


def whole(
    ingester: Ingester, engine: Engine, files: Sequence[Path], folder: Path, flush_rows: int
) -> dict[str, Any]:
    """As the command does it, with checkpoints and rejects, everybody met for the first time."""
    usage = _Usage(engine)
    totals = ingest(files, ingester, data_dir=folder, flush_rows=flush_rows)
    if totals.rejected or totals.late or totals.old or totals.unusable:
        raise SystemExit(f"the bench's rows are not all good: {totals}")
    return usage.figures(totals.rows)


class _Usage:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._began_s = time.perf_counter()
        self._ours_s, self._server_s = time.process_time(), engine.cpu_s()

    def wall_s(self) -> float:
        return time.perf_counter() - self._began_s

    def figures(self, rows: int) -> dict[str, float]:
        wall_s = self.wall_s()
        return {
            "rows": rows,
            "wall_s": wall_s,
            "per_s": rows / wall_s,
            "our_cpu_s": time.process_time() - self._ours_s,
            "server_cpu_s": self._engine.cpu_s() - self._server_s,
        }


def _timed(spent: defaultdict[str, float], stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*args: Any) -> Any:
        began = time.perf_counter()
        try:
            return call(*args)
        finally:
            spent[stage] += time.perf_counter() - began

    return timed


def show(found: dict[str, Any]) -> None:
    """One run as a table."""
    title = f"{found['subscribers']:,} subscribers, {found['rows']:,} sightings from {found['kind']}"
    if found["way"] == "whole":
        title += f", {found['flush_rows']:,} a flush"
    rows = [("to the end, sightings/s", f"{found['per_s']:,.0f}")]
    if "stages_s" in found:
        rows.insert(0, ("into memory, sightings/s", f"{found['into_memory_per_s']:,.0f}"))
        rows += [(f"{stage}, s", f"{spent:.2f}") for stage, spent in found["stages_s"].items()]
    rows += [("our CPU, s", f"{found['our_cpu_s']:.2f}"), ("Redis' CPU, s", f"{found['server_cpu_s']:.2f}")]
    results.table(f"{title} ({found['way']})", ("", ""), rows)


if __name__ == "__main__":
    main()
