"""`make chaos`: real gateways, a real Redis Cluster and an SMSC under load, while processes are killed and
stopped, connections reset and disks filled. Prints what each fault did and whether every message was
answered; ends with 1 when one is missing, or an answer is wrong or one too many.
"""

import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.chaos import people, report, system
from bench.chaos.faults import Step, plan
from bench.chaos.judging import Event
from bench.chaos.phones import Traffic
from bench.chaos.system import PATIENCE_S, System
from bench.cluster.nodes import until
from bench.store import results

FULL_MINUTES: Final = 30.0
SETTLE_S: Final = 180.0
"""After the last fault, until everything is answered: what was refused pauses for up to a minute."""
STEP_S: Final = 14.0
"""About as long as a step takes: for the plan that is shown."""


@click.command()
@click.option("--minutes", default=FULL_MINUTES, show_default=True, help="Of faults under load.")
@click.option("--seed", default=1, show_default=True, help="Of faults, conversations and histories.")
@click.option("--rate", "rate_per_s", default=20.0, show_default=True, help="Conversations a second.")
def main(minutes: float, seed: int, rate_per_s: float) -> None:
    """Everything is killed, and nothing may be lost."""
    disks = system.Disks()
    population = people.population(int(60 * minutes * rate_per_s * 1.3) + 300, seed)
    traffic = Traffic(population, system.free_run(1), rate_per_s, seed)
    with tempfile.TemporaryDirectory(prefix="cxmyd-chaos-") as folder:
        results.console.print(f"filling the store with {len(population):,} histories")
        with system.running(Path(folder), traffic, disks, population) as under_test:
            if not disks.folders:
                results.console.print(
                    f"[bold]NO DISK IS FILLED: a tmpfs cannot be mounted here ({disks.why_not})[/bold]"
                )
            events = _play(under_test, minutes, seed)
            _settle(under_test)
            tags = under_test.tags(population)
            left = under_test.parked()
            dead = {tags[each["subscriber"]] for each in left if each["state"] == "dead"}
            found = traffic.do(lambda: traffic.ledger.verdict(events, dead))
        logged = sum((gateway.logged() for gateway in under_test.gateways), Counter[str]())
    found |= {
        "course": [
            f"{event.from_s:.1f} to {event.to_s:.1f} s: {event.name} {event.excuses}" for event in events
        ],
        "minutes": minutes,
        "seed": seed,
        "rate_per_s": rate_per_s,
        "no_disk_filled": "" if disks.folders else disks.why_not,
        "parked_at_the_end": Counter(f"{each['state']} {each['reason']}".strip() for each in left),
        "emptied": under_test.emptied,
        "ends_out_of_order": under_test.exits,
        "logged": dict(logged.most_common()),
    }
    report.show(found)
    quick = minutes < FULL_MINUTES
    results.save("chaos-gateway", found, quick=quick)
    if not quick:
        report.main()
    sys.exit(not report.is_good(found))


class _Bar:
    """How far the run is, and what is being done to it."""

    def __init__(self, total_s: float) -> None:
        columns = (BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=results.console)
        self._task = self._progress.add_task("", total=total_s)
        self._started_s = time.monotonic()

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def past_s(self) -> float:
        return time.monotonic() - self._started_s

    def says(self, text: str, *, kept: bool = False) -> None:
        self._progress.update(self._task, description=text, completed=self.past_s)
        if kept:
            self._progress.console.print(f"{self.past_s:6.0f} s  {text}", highlight=False)

    def wait(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.5))
            self._progress.update(self._task, completed=self.past_s)


def _play(under_test: System, minutes: float, seed: int) -> list[Event]:
    """The plan, for so many minutes."""
    with_disk = bool(under_test.disks)
    results.console.print(f"the plan of --seed {seed}, as far as time may take it:")
    for number, step in enumerate(islice(plan(seed, with_disk=with_disk), int(60 * minutes / STEP_S)), 1):
        results.console.print(f"  {number}. {step}", highlight=False)
    chance = random.Random(seed)
    events: list[Event] = []
    under_test.traffic.start()
    with _Bar(60 * minutes) as bar:
        for step in plan(seed, with_disk=with_disk):
            bar.says("calm")
            bar.wait(step.calm_s)
            if bar.past_s > 60 * minutes:
                break
            bar.says(str(step), kept=True)
            events += _take(under_test, step, chance, bar)
    under_test.traffic.hush()
    return events


def _take(under_test: System, step: Step, chance: random.Random, bar: _Bar) -> list[Event]:
    """One step: its faults begin and end each at its time; until all is well again."""
    turns = sorted(
        turn
        for number, (lasts_s, from_s) in enumerate(zip(step.lasts_s, (0.0, step.after_s), strict=False))
        for turn in ((from_s, False, number), (from_s + lasts_s, True, number))
    )
    acts = [ExitStack() for _ in step.faults]
    events: dict[int, Event] = {}
    started_s = time.monotonic()
    with ExitStack() as all_acts:
        for at_s, ends, number in turns:
            bar.wait(started_s + at_s - time.monotonic())
            if ends:
                acts[number].close()
                continue
            fault = step.faults[number]
            event = Event(fault.name, "", time.monotonic(), under_way=under_test.traffic.under_way())
            all_acts.enter_context(acts[number])
            event.excuses = acts[number].enter_context(fault.act(under_test, chance))
            events[number] = event
    until(under_test.is_well, f"all is not well again after: {step}", PATIENCE_S)
    for event in events.values():
        event.to_s = time.monotonic()
    return list(events.values())


def _settle(under_test: System) -> None:
    """Nothing is done to it any more: until everything is answered, or it is clear that it will not be."""
    deadline_s = time.monotonic() + SETTLE_S
    while not under_test.traffic.is_settled() and time.monotonic() < deadline_s:
        time.sleep(1)
    under_test.traffic.end()


if __name__ == "__main__":
    main()
