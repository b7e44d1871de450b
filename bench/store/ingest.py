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

from bench.store import engines, results
from bench.store.engines import Engine
from bench.store.histories import START_S, WINDOW_DAYS, Plan, build, imported
from bench.store.people import DAY_S
from bench.store.population import Cells, write
from location_store import cells as cell_table
from location_store.columns import blocks
from location_store.ingest import Ingester, Settings, ingest
from location_store.places import Places
from location_store.rejects import Rejects
from location_store.sightings import SHAPE

DISTINCT_BLOCKS: Final = 4
NOW_S: Final = START_S + (WINDOW_DAYS + 2) * DAY_S
FIRST_HOUR: Final = 24 * WINDOW_DAYS
STAGES: Final = ("parse", "check", "add", "flush: read", "flush: write", "flush: merge, pack, names")


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
        middle = FIRST_HOUR + max(1, hours // 2)
        write(plan.population(), cells, folder / "csv", ["csv"], first=FIRST_HOUR, last=middle)
        values = _histories(plan)
        for kind in ("parquet", "csv"):
            files = sorted((folder / kind).iterdir())
            for way, measure in (("stages", stages), ("whole", whole)):
                engine.client.flushall()
                with _ingester(engine, subscribers, folder, plan, values) as ingester:
                    found.append(
                        {"subscribers": subscribers, "hours": len(files), "kind": kind, "way": way}
                        | measure(ingester, engine, files, folder)
                    )
                show(found[-1])
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


def stages(ingester: Ingester, engine: Engine, files: Sequence[Path], folder: Path) -> dict[str, Any]:
    """Each step by itself: everything into memory, then one flush."""
    spent: defaultdict[str, float] = defaultdict(float)
    store = ingester.store
    store.read = _timed(spent, "flush: read", store.read)  # type: ignore[method-assign]
    store.put = _timed(spent, "flush: write", store.put)  # type: ignore[method-assign]
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
    began = time.perf_counter()
    ingester.flush()
    flush_s = time.perf_counter() - began
    spent["flush: merge, pack, names"] = flush_s - spent["flush: read"] - spent["flush: write"]
    figures = usage.figures(rows)
    return figures | {
        "into_memory_per_s": rows / into_memory_s,
        "stages_s": {stage: spent[stage] for stage in STAGES},
        "other_s": figures["wall_s"] - sum(spent.values()),
    }


def whole(ingester: Ingester, engine: Engine, files: Sequence[Path], folder: Path) -> dict[str, Any]:
    """As the command does it, with checkpoints and rejects."""
    usage = _Usage(engine)
    totals = ingest(files, ingester, data_dir=folder)
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
    rows = [("to the end, sightings/s", f"{found['per_s']:,.0f}")]
    if "stages_s" in found:
        rows.insert(0, ("into memory, sightings/s", f"{found['into_memory_per_s']:,.0f}"))
        rows += [(f"{stage}, s", f"{spent:.2f}") for stage, spent in found["stages_s"].items()]
    rows += [("our CPU, s", f"{found['our_cpu_s']:.2f}"), ("Redis' CPU, s", f"{found['server_cpu_s']:.2f}")]
    results.table(f"{title} ({found['way']})", ("", ""), rows)


if __name__ == "__main__":
    main()
