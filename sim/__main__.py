"""`python -m sim [--seed S | --seeds N [--first F]]`: one run with its history, or many.

Called by `make sim`. Exit status 1 when a check found something; each such seed is named with the command
that repeats it.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gateway.flow import parkworker
from sim import checks, plan
from sim.run import Verdict, prepare, run

#: Looks at an empty shard of the park are the most of what happens in a run. They are usually a second apart;
#: with `--sparse` three.
SPARSE = 12
BATCH = 20
SHOWN = 10


class Batch(NamedTuple):
    """What some seeds gave: sums, faults by kind, and what was wrong by the seed."""

    tally: list[float]
    kinds: Counter[str]
    wrong: dict[str, list[str]]


def batch(part: tuple[int, int]) -> Batch:
    """In a process of its own, which ends with it: to collect what it leaves takes a sixth of the time."""
    gc.disable()
    first, total = part
    tally: list[float] = [0] * len(checks.Tally._fields)
    kinds: Counter[str] = Counter()
    wrong = {}
    for seed in map(str, range(first, first + total)):
        verdict = run(seed)
        tally = [one + two for one, two in zip(tally, verdict.tally, strict=True)]
        kinds.update(fault.kind for fault in verdict.faults)
        if verdict.wrong:
            wrong[seed] = verdict.wrong
    return Batch(tally, kinds, wrong)


def one(seed: str, console: Console) -> int:
    """Run it, with fewer faults if it fails with fewer, and show what happened."""
    verdict = run(seed)
    if verdict.wrong:
        verdict = shrunk(verdict)
    console.print(verdict.history.text(), markup=False, highlight=False, soft_wrap=True)
    console.rule(f"seed {seed}")
    for fault in verdict.faults:
        console.print(f"{fault.at_s:8.4f}  {fault}", markup=False, highlight=False)
    console.print(verdict.tally)
    for line in verdict.wrong:
        console.print(f"[red]wrong[/]: {line}", highlight=False)
    if not verdict.wrong:
        console.print("[green]every check holds[/]")
    return int(bool(verdict.wrong))


def shrunk(verdict: Verdict) -> Verdict:
    """The same failure, or another, with as few of the faults as it takes."""
    at = 0
    while at < len(verdict.faults):
        fewer = run(verdict.seed, verdict.faults[:at] + verdict.faults[at + 1 :])
        if fewer.wrong:
            verdict = fewer
        else:
            at += 1
    return verdict


def many(first: int, total: int, console: Console, record: Path | None) -> int:
    started_s = time.monotonic()
    tally: list[float] = [0] * len(checks.Tally._fields)
    kinds: Counter[str] = Counter()
    wrong: dict[str, list[str]] = {}
    parts = [(at, min(BATCH, first + total - at)) for at in range(first, first + total, BATCH)]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    again = " SIM_ARGS=--sparse" if parkworker.RARER == SPARSE else ""
    prepare()  # once, for all of them
    processes = multiprocessing.get_context("fork").Pool(maxtasksperchild=1)
    with processes as pool, Progress(*columns, console=console) as progress:
        task = progress.add_task("seeds", total=total)
        for part, (_, size) in zip(pool.imap(batch, parts), parts, strict=True):
            tally = [one + two for one, two in zip(tally, part.tally, strict=True)]
            kinds += part.kinds
            for seed, lines in part.wrong.items():
                wrong[seed] = lines
                if len(wrong) <= SHOWN:
                    console.print(f"[red]seed {seed}[/]: {lines[0]}", highlight=False)
                    console.print(f"    make sim SEED={seed}{again}", highlight=False)
            progress.advance(task, size)
    took_s = time.monotonic() - started_s
    figures = dict(zip(checks.Tally._fields, tally, strict=True))
    summary(console, figures, kinds)
    ending = "[green]every check held in every seed[/]"
    if wrong:
        ending = f"[red]{len(wrong):,} seeds failed[/]"
    console.print(f"{total:,} seeds in {took_s:,.0f} s; {ending}")
    if record is not None:
        found: dict[str, Any] = {"first": first, "seeds": total, "took_s": round(took_s, 1), **figures}
        found |= {"wrong": wrong, "faults_by_kind": dict(sorted(kinds.items()))}
        record.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(bool(wrong))


def until_wrong(first: int, total: int) -> int:
    """Print the number of seeds that it took, as JSON, for `mutants`."""
    for at in range(total):
        verdict = run(str(first + at))
        if verdict.wrong:
            print(json.dumps({"seeds": at + 1, "wrong": verdict.wrong[0]}, ensure_ascii=False))
            return 1
    print(json.dumps({"seeds": None, "wrong": ""}))
    return 0


def summary(console: Console, figures: dict[str, float], kinds: Counter[str]) -> None:
    table = Table("fault", "times", title="What went wrong")
    table.columns[1].justify = "right"
    for kind in plan.FAULTS:
        table.add_row(kind, f"{kinds[kind]:,}")
    console.print(table)
    words = {
        "simulated_s": "simulated seconds",
        "questions": "questions",
        "answered": "answered",
        "extra": "answers too many, where it could not be known whether one had left",
        "dead": "dead or expired",
        "refused": "malformed",
    }
    for name, what in words.items():
        console.print(f"{figures[name]:14,.0f} {what}")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sim", description="Deterministic simulation of the gateway."
    )
    parser.add_argument("--seed", help="one run, with its history")
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many (1000)")
    parser.add_argument("--first", type=int, default=1, metavar="F", help="the first of them (1)")
    parser.add_argument(
        "--sparse", action="store_true", help="fewer looks at what is empty: a third less time for a seed"
    )
    parser.add_argument("--until-wrong", action="store_true", help="one after the other, until one fails")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the figures here, as JSON")
    arguments = parser.parse_args()
    console = Console(soft_wrap=True)
    if arguments.sparse:
        parkworker.RARER = SPARSE
    if arguments.seed is not None:
        return one(arguments.seed, console)
    if arguments.until_wrong:
        return until_wrong(arguments.first, arguments.seeds)
    return many(arguments.first, arguments.seeds, console, arguments.record)


if __name__ == "__main__":
    sys.exit(main())
