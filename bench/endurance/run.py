"""`make endurance`: 10,000 reconnects, then an hour of mixed load with random faults. Prints what grew and
whether every accepted message was answered exactly once; ends with 1 when something leaks or was lost.
"""

import asyncio
import statistics
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import click

from bench.endurance import load, reconnects
from bench.store import results

FULL_MINUTES, FULL_RECONNECTS = 60, 10_000
SLACK: Final = 3
"""File descriptors, tasks and timers that may come and go: a look at the store, a connection of its pool."""
RECONNECTS_MB: Final = 4.0
"""A leaked connection is 2 KB at least: of 10,000, 20 MB."""
SLOPE_MB_PER_H: Final = 6.0
GROWTH_MB: Final = 6.0
"""A run shorter than a quarter of an hour has no slope worth the name: it is judged by its growth."""
LONG_ENOUGH_MIN: Final = 15
SHOWN_SAMPLES: Final = 12


class Finding(NamedTuple):
    what: str
    before: object
    after: object
    allowed: str
    good: bool


@click.command()
@click.option("--minutes", default=float(FULL_MINUTES), show_default=True, help="Of mixed load; 0: none.")
@click.option("--reconnects", "count", default=FULL_RECONNECTS, show_default=True, help="0: none.")
@click.option("--seed", default=1, show_default=True, help="Of faults, conversations and endings.")
def main(minutes: float, count: int, seed: int) -> None:
    """Look for leaks, and for answers lost or given twice."""
    findings: list[Finding] = []
    if count:
        found = asyncio.run(reconnects.endure(count, seed))
        findings += of_reconnects(found)
        show("reconnects", findings)
        results.save("endurance", {"reconnects": found}, quick=count < FULL_RECONNECTS)
    if minutes:
        found = asyncio.run(load.endure(minutes, seed))
        course(found["samples"])
        of_this = of_load(found)
        findings += of_this
        show(f"{minutes:g} minutes of mixed load", of_this)
        results.save("endurance", {"load": found}, quick=minutes < FULL_MINUTES)
    sys.exit(not all(finding.good for finding in findings))


def of_reconnects(found: Mapping[str, Any]) -> list[Finding]:
    before, after = found["before"], found["after"]
    grown_mb = after["rss_mb"] - before["rss_mb"]
    return [
        _memory(before, after, f"+{RECONNECTS_MB:g} MB", grown_mb < RECONNECTS_MB),
        *_held(before, after),
        _errors(found),
    ]


def of_load(found: dict[str, Any]) -> list[Finding]:
    """Also puts the slope into `found`."""
    before, after, samples = found["before"], found["after"], found["samples"]
    settled = samples[len(samples) // 5 :]
    slope, error = slope_mb_per_h(settled)
    found["slope_mb_per_h"], found["slope_error"] = round(slope, 2), round(error, 2)
    found["grown_mb"] = grown_mb = round(settled[-1]["rss_mb"] - settled[0]["rss_mb"], 1)
    if found["minutes"] >= LONG_ENOUGH_MIN:
        steady = Finding(
            "resident memory, slope", "", f"{slope:.1f} ± {error:.1f} MB/h", f"< {SLOPE_MB_PER_H:g} MB/h",
            slope < SLOPE_MB_PER_H,
        )  # fmt: skip
    else:
        steady = Finding(
            "resident memory, growth", "", f"{grown_mb} MB", f"< {GROWTH_MB:g} MB", grown_mb < GROWTH_MB
        )
    answers = found["answers"]
    return [
        _memory(before, after, "", good=True),
        steady,
        *_held(before, after),
        Finding("accepted, unanswered", "", answers["unanswered"], "0", not answers["unanswered"]),
        Finding("accepted, answered twice", "", answers["twice"], "0", not answers["twice"]),
        Finding("... after an unknown outcome", "", answers["again_after_unknown"], "", good=True),
        Finding("accepted, answered once", "", answers["once"], f"of {answers['accepted']}", good=True),
        _errors(found),
    ]


def _memory(before: Mapping[str, Any], after: Mapping[str, Any], allowed: str, good: bool) -> Finding:
    was, now = (f"{sample['rss_mb']:.1f} MB" for sample in (before, after))
    return Finding("resident memory", was, now, allowed, good)


def _held(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Finding]:
    """What must be as it was, at rest."""
    rows = [
        Finding(name, before[key], after[key], f"+{SLACK}", after[key] <= before[key] + SLACK)
        for name, key in (("file descriptors", "open_fds"), ("tasks", "tasks"), ("timers", "timers"))
    ]
    rows += [
        Finding(name, before[key], after[key], "0", not after[key])
        for name, key in (
            ("requests in flight", "in_flight"),
            ("messages in flight", "messages"),
            ("messages parked", "waiting"),
        )
    ]
    return [
        *rows,
        Finding("binds", before["bound"], after["bound"], "all", after["bound"] == before["bound"]),
    ]


def _errors(found: Mapping[str, Any]) -> Finding:
    errors = found["errors"]
    for line in errors[:3]:
        results.console.print(line, soft_wrap=True, highlight=False, markup=False)
    return Finding("errors logged", "", len(errors), "0", not errors)


def slope_mb_per_h(samples: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Of the resident memory over time by least squares, and its standard error."""
    if len(samples) < 3:
        return 0.0, 0.0
    hours = [sample["at_s"] / 3600 for sample in samples]
    sizes = [sample["rss_mb"] for sample in samples]
    slope, start = statistics.linear_regression(hours, sizes)
    off = [size - (start + slope * hour) for hour, size in zip(hours, sizes, strict=True)]
    spread = sum((hour - statistics.fmean(hours)) ** 2 for hour in hours)
    return slope, (sum(each**2 for each in off) / (len(off) - 2) / spread) ** 0.5


def course(samples: Sequence[Mapping[str, Any]]) -> None:
    """A few of the samples, and the most there ever was."""
    first_s = samples[0]["at_s"]
    marks = sorted({round(i * (len(samples) - 1) / SHOWN_SAMPLES) for i in range(SHOWN_SAMPLES + 1)})
    names = ("rss_mb", "open_fds", "tasks", "timers", "in_flight", "messages", "waiting", "bound")
    rows = [
        (f"{(samples[mark]['at_s'] - first_s) / 60:.1f}", *(f"{samples[mark][name]:.0f}" for name in names))
        for mark in marks
    ]
    most = ("most", *(f"{max(sample[name] for sample in samples):.0f}" for name in names))
    gap_s = max((b["at_s"] - a["at_s"] for a, b in pairwise(samples)), default=0.0)
    results.table(f"over time (longest between two looks {gap_s:.0f} s)", ("minute", *names), [*rows, most])


def show(title: str, findings: Sequence[Finding]) -> None:
    columns = ("", "before", "after", "allowed", "verdict")
    results.table(title, columns, [(*row[:4], "good" if row.good else "BAD") for row in findings])


if __name__ == "__main__":
    main()
