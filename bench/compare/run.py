"""Our gateway beside what a user would pick instead: answers a second, latency at half that rate, CPU per
answer, in one sitting.

Everything runs on this machine, one contender after the other, several rounds; the load (`bench.load`)
checks every answer's recipient and text. Ours are judged by `loadsmsc` (C, independent) as well. Compare rows
of one run only: absolute figures are this machine's, this minute's. `make bench` calls it.
"""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.compare import docs
from bench.compare.contenders import (
    CXMYD,
    LOADSMSC,
    PEERS,
    Contender,
    Site,
    everybody,
    program,
    shortened,
)
from bench.compare.measure import Figures, Numbers, measure
from bench.compare.store import fill, server
from bench.store import results

QUICK: Final = 6
WIDTH: Final = 190


@click.command(context_settings={"show_default": True})
@click.option("--rounds", default=3)
@click.option("--subscribers", default=500_000)
@click.option("--only", multiple=True, help="Contenders whose name contains this.")
@click.option("--cxmyd", default=CXMYD, help="Ours, as it is started.")
@click.option("--compiled", help="Another build of ours, such as build/compiled/cxmyd, for rows of its own.")
@click.option("--quick", is_flag=True, help="One short round.")
@click.option("--docs", "into_docs", is_flag=True, help="Into docs/performance.md and its picture.")
def main(
    *,
    rounds: int,
    subscribers: int,
    only: tuple[str, ...],
    cxmyd: str,
    compiled: str | None,
    quick: bool,
    into_docs: bool,
) -> None:
    """Measure all contenders in turn, ROUNDS times; print medians beside those of the sitting before, write
    both to bench/results/compare.json.
    """
    subprocess.run(["make", "-s", "-C", str(LOADSMSC)], check=True)
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=PEERS / "node", check=True)
    programs = {"cxmyd": program(cxmyd)}
    if compiled:
        programs["cxmyd compiled"] = program(compiled)
    if quick:
        rounds, subscribers = 1, subscribers // 3
    with tempfile.TemporaryDirectory(prefix="cxmyd-bench-") as name, server(Path(name)) as (port, pid):
        site = Site.on(Path(name), port, subscribers)
        rows = [each for each in everybody(site, programs) if not only or any(o in each.name for o in only)]
        if quick:
            rows = [shortened(each, QUICK) for each in rows]
        found = _measure(site, pid, rows, rounds=rounds, subscribers=subscribers, cxmyd=programs["cxmyd"])
    figures = {
        "contenders": {n: [asdict(each) for each in f] for n, f in found.items()},
        "rounds": rounds,
        "subscribers": subscribers,
        "run": results.conditions(quick=quick),
    }
    before = None if quick else results.load("compare")
    if before is not None:
        figures["before"] = docs.sitting(before)
    _show(figures)
    complete = not only
    if complete:
        results.save("compare", figures, quick=quick)
    if into_docs:
        if not complete:
            raise SystemExit("--docs wants all contenders: leave out --only")
        docs.write(results.load("compare"))


def _measure(
    site: Site, redis_pid: int, rows: Sequence[Contender], *, rounds: int, subscribers: int, cxmyd: list[str]
) -> dict[str, list[Figures]]:
    found: dict[str, list[Figures]] = {}
    numbers = Numbers(subscribers)
    with Progress(console=results.console, transient=True) as progress:
        task = progress.add_task("filling the store", total=rounds * len(rows))
        fill(site, cxmyd)
        for number in range(rounds):
            for contender in rows:
                progress.update(task, description=f"round {number + 1}: {contender.name}")
                found.setdefault(contender.name, []).append(measure(site, [redis_pid], contender, numbers))
                progress.advance(task)
    return found


def _show(figures: Mapping[str, Any]) -> None:
    table = Table(box=SIMPLE_HEAD, padding=0)
    for column in ("", *docs.COLUMNS):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name, row in docs.rows(docs.medians(figures), docs.medians(figures.get("before"))):
        table.add_row(name, *row)
    Console(width=WIDTH).print(table)
    for line in (docs.MEANING, *docs.remarks(figures)):
        results.console.print(line)


if __name__ == "__main__":
    main()
