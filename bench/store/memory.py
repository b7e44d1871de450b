"""Bytes a subscriber, at rest after a window of history, and after a month of people coming and going.

Memory is INFO memory of the filled server less that of the empty one (with its functions), over the number of
records. `make bench-store-memory` calls it; `--quick` is a tenth as long and writes figures of its own.
"""

import gc
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final

import click
import numpy as np
import polars as pl

from bench.store import engines, results
from bench.store.engines import Engine, Memory
from bench.store.histories import START_S, WINDOW_DAYS, Plan, build, grow, imported, limits, pool, sizes
from bench.store.people import BLOCK, DAY_S
from bench.store.population import Cells, Kind, Population
from location_store.ingest import Ingester, Settings
from location_store.places import Places
from location_store.pseudonyms import Pseudonym, Pseudonyms
from location_store.record import unpack
from location_store.store import Store, Update
from location_store.subscribers import Subscriber, pack
from location_store.sweep import Sweeper

CHURN_DAYS: Final = 30
CHURN_A_DAY: Final = 0.01
SAMPLE: Final = 20_000
CHECKED_HOURS: Final = 36

Part = Callable[[int], bytes]
PARTS: Final[dict[str, Part]] = {
    "histories alone": lambda number: pack(Subscriber()),
    "and language, carrier": lambda number: pack(Subscriber(number % 3, imported=True)),
    "and ID digest": lambda number: imported(number)[1:],
}
"""What stands before the history in each of the fillings; the last one is all that is needed at rest."""


@click.command()
@click.option("--quick", is_flag=True, help="Fewer subscribers, in a minute.")
@click.option("--subscribers", default=1_000_000, help="At rest.")
@click.option("--churning", default=100_000, help="In the month of coming and going.")
@click.option("--only", type=click.Choice(["rest", "kinds", "churn", "check"]), multiple=True)
def main(quick: bool, subscribers: int, churning: int, only: Sequence[str]) -> None:
    """Memory of the store."""
    if quick:
        subscribers, churning = subscribers // 20, churning // 5
    benches: dict[str, Callable[[], dict[str, Any]]] = {
        "check": same_bytes,
        "rest": lambda: at_rest(subscribers),
        "kinds": lambda: of_kinds(1 if quick else 2),
        "churn": lambda: churn(churning),
    }
    for name, bench in benches.items():
        if not only or name in only:
            results.save("memory", {name: bench()}, quick=quick)


# --- at rest ------------------------------------------------------------------------------------------------


def at_rest(subscribers: int) -> dict[str, Any]:
    """All subscribers with a window of history, once for each filling and engine."""
    began = time.monotonic()
    plan = Plan(subscribers)
    blobs = [blob for each in build(plan, plan.population().blocks, range(WINDOW_DAYS)) for blob in each]
    blobs = blobs[:subscribers]
    built_s = time.monotonic() - began
    msisdns = plan.population().msisdns().tolist()
    kept = [blob for blob in blobs[:SAMPLE] if blob]
    found: dict[str, Any] = {
        "subscribers": subscribers,
        "never_seen": sum(blob is None for blob in blobs),
        "build_s": built_s,
        "value": sizes(_with_part(kept, PARTS["and ID digest"])),
        "engines": {},
    }
    for name in engines.NAMES:
        for filling, part in PARTS.items():
            with engines.engine(name) as engine, _store(engine, subscribers) as (_, pseudonyms):
                who = [pseudonyms.of(str(number)) for number in msisdns]
                values = _with_part(blobs, part)
                empty = engine.memory()
                engine.load(who, values)
                figures = _per(engine.memory(), empty, subscribers)
            del who, values
            gc.collect()
            found["engines"].setdefault(engine.version, {})[filling] = figures
    _show_rest(found)
    return found


def _with_part(blobs: Sequence[bytes | None], part: Part) -> list[bytes]:
    """Records with another subscriber's part; of numbers never seen, that part alone."""
    return [
        (blob or b"\1")[:1] + part(number) + (blob[2:] if blob else b"") for number, blob in enumerate(blobs)
    ]


def _per(full: Memory, empty: Memory, subscribers: int) -> dict[str, float]:
    return {
        "used": (full.used - empty.used) / subscribers,
        "dataset": (full.dataset - empty.dataset) / subscribers,
        "rss": (full.rss - empty.rss) / subscribers,
    }


def _show_rest(found: dict[str, Any]) -> None:
    results.table(
        f"Bytes a subscriber, {found['subscribers']:,} with {WINDOW_DAYS} days of history",
        ("engine, record", "used_memory", "used_memory_dataset", "resident"),
        (
            (f"{version}, {filling}", *(f"{each[key]:.1f}" for key in ("used", "dataset", "rss")))
            for version, fillings in found["engines"].items()
            for filling, each in fillings.items()
        ),
    )
    value = found["value"]
    parts = ("counter", "subscriber", "header", "segments", "tail")
    results.table(
        "Bytes of a value", (*parts, "in all"), [[f"{value[part]:.1f}" for part in parts] + [_total(value)]]
    )


def _total(value: dict[str, float]) -> str:
    return f"{sum(value[part] for part in ('counter', 'subscriber', 'header', 'segments', 'tail')):.1f}"


# --- other people -------------------------------------------------------------------------------------------


def of_kinds(blocks: int) -> dict[str, Any]:
    """The same for phones that are heard in another way, in Redis."""
    found: dict[str, Any] = {}
    kinds: tuple[Kind, ...] = ("idle", "poisson", "busy")
    for kind in kinds:
        plan = Plan(blocks * BLOCK, kind=kind)
        blobs = _with_part(
            [blob for each in build(plan, blocks, range(WINDOW_DAYS)) for blob in each],
            PARTS["and ID digest"],
        )
        with engines.engine("redis") as engine, _store(engine, len(blobs)) as (_, pseudonyms):
            empty = engine.memory()
            engine.load([pseudonyms.of(str(n)) for n in plan.population().msisdns().tolist()], blobs)
            found[kind] = _per(engine.memory(), empty, len(blobs)) | {"value": sizes(blobs[:SAMPLE])}
    results.table(
        "Bytes a subscriber by how phones are heard",
        ("kind", "used_memory", "value", "segments"),
        (
            (kind, f"{each['used']:.1f}", _total(each["value"]), f"{each['value']['segment_count']:.1f}")
            for kind, each in found.items()
        ),
    )
    return found


# --- a month ------------------------------------------------------------------------------------------------


def churn(subscribers: int) -> dict[str, Any]:
    """A window of history, then a month in which people move, leave and come, in both engines at once.

    Each day's sightings are merged into what the store holds and written back with `Store.put`, and what
    retention takes away is taken away.
    """
    days = WINDOW_DAYS + CHURN_DAYS
    plan = Plan(subscribers, days, churn=CHURN_A_DAY)
    population = plan.population()
    found: dict[str, Any] = {"subscribers": subscribers, "numbers": population.numbers, "engines": {}}
    with ExitStack() as stack:
        workers = stack.enter_context(pool())
        running = [stack.enter_context(engines.engine(name)) for name in engines.NAMES]
        pairs = [stack.enter_context(_store(each, subscribers)) for each in running]
        numbers = population.msisdns().tolist()
        who = [[pseudonyms.of(str(number)) for number in numbers] for _, pseudonyms in pairs]
        empty = [each.memory() for each in running]
        daily: list[list[dict[str, float]]] = [[] for _ in running]
        for day in range(days):
            slices = [slice(n, n + BLOCK) for n in range(0, len(numbers), BLOCK)]
            states = [pairs[0][0].read(who[0][part]) for part in slices]
            jobs = [
                workers.submit(grow, plan, block, _known(population, block, each, day), range(day, day + 1))
                for block, each in enumerate(states)
            ]
            for part, before, job in zip(slices, states, jobs, strict=True):
                after = job.result()
                for (store, _), mine in zip(pairs, who, strict=True):
                    _write(store, mine[part], before, after)
            if day + 1 < WINDOW_DAYS:
                continue
            for (store, pseudonyms), engine, before_all, log in zip(
                pairs, running, empty, daily, strict=True
            ):
                removed = sweep(store, pseudonyms, day)
                live = _live(population, day)
                log.append(
                    {"day": day, "live": live, "records": _records(engine), "removed": removed}
                    | _per(engine.memory(), before_all, live)
                )
        gone = _gone(population)
        for (store, _), mine, engine, before_all, log in zip(pairs, who, running, empty, daily, strict=True):
            _take_out(store, [pseudonym for pseudonym, left in zip(mine, gone, strict=True) if left])
            live = int(log[-1]["live"])
            log.append(
                {"day": days, "live": live, "records": _records(engine)}
                | _per(engine.memory(), before_all, live)
            )
        for each, log in zip(running, daily, strict=True):
            found["engines"][each.version] = {
                "first": log[0],
                "last": log[-2],
                "without_gone": log[-1],
                "daily": log[:-1],
            }
    _show_churn(found)
    return found


def _live(population: Population, day: int) -> int:
    """How many numbers are somebody's at the end of a day."""
    live = 0
    for block in range(population.blocks):
        people = population.people(block)
        size = min(BLOCK, population.numbers - block * BLOCK)
        end_s = (day + 1) * DAY_S
        there = (people.join_s < end_s) & (people.join_s + people.gone_s > end_s)
        live += int(there[:size].sum())
    return live


def _gone(population: Population) -> list[bool]:
    """Whether each number has been given back, and nobody has it now."""
    end_s = population.days * DAY_S
    blocks = (population.people(block) for block in range(population.blocks))
    gone = np.concatenate([people.join_s + people.gone_s <= end_s for people in blocks])
    return list(gone[: population.numbers].tolist())


def _take_out(store: Store, pseudonyms: Sequence[Pseudonym]) -> None:
    """Whole records, as if the carrier had told us that the numbers are nobody's."""
    for start in range(0, len(pseudonyms), BLOCK):
        some = pseudonyms[start : start + BLOCK]
        read = store.read(some)
        store.put([Update(*each, None) for each in zip(some, read, strict=True) if each[1] is not None])


def _known(
    population: Population, block: int, states: Sequence[bytes | None], day: int
) -> list[bytes | None]:
    """The records as they are, with those that the carrier imports when a number is given out."""
    people = population.people(block)
    until_s = (day + 1) * DAY_S
    given_out = (people.join_s < until_s) & (people.join_s + people.gone_s > day * DAY_S)
    return [
        state or (imported(block * BLOCK + number) if there else None)
        for number, (state, there) in enumerate(zip(states, given_out.tolist(), strict=False))
    ] + [None] * (BLOCK - len(states))


def _write(
    store: Store, who: Sequence[Pseudonym], before: Sequence[bytes | None], after: Sequence[Any]
) -> None:
    updates = [
        Update(pseudonym, old, new)
        for pseudonym, old, new in zip(who, before, after, strict=False)
        if new != old and new is not None
    ]
    for start in range(0, len(updates), 50_000):
        if store.put(updates[start : start + 50_000]):
            raise SystemExit("somebody else writes into the bench's store")


def sweep(store: Store, pseudonyms: Pseudonyms, day: int) -> int:
    """Retention as of the end of a day; how many records went."""
    cutoff_min = limits(day).cutoff_min
    layout = pseudonyms.layout
    return Sweeper(store, layout, lambda: cutoff_min).sweep(range(layout.partitions)).removed


def _records(engine: Engine) -> int:
    keys = list(engine.client.scan_iter(match="b:*", count=10_000))
    pipeline = engine.client.pipeline(transaction=False)
    for key in keys:
        pipeline.hlen(key)
    return sum(pipeline.execute())


def _show_churn(found: dict[str, Any]) -> None:
    results.table(
        f"{CHURN_DAYS} days: {CHURN_A_DAY:.0%} of {found['subscribers']:,} leave each day, as many come",
        ("engine, day", "subscribers", "records", "used_memory each", "used_memory_dataset", "resident"),
        (
            (
                f"{version}, {day['day']:.0f}",
                f"{day['live']:,.0f}",
                f"{day['records']:,.0f}",
                f"{day['used']:.1f}",
                f"{day['dataset']:.1f}",
                f"{day['rss']:.1f}",
            )
            for version, each in found["engines"].items()
            for day in (each["first"], each["last"], each["without_gone"])
        ),
    )


# --- both ways ----------------------------------------------------------------------------------------------


def same_bytes() -> dict[str, Any]:
    """That records merged in memory are those that the ingester writes, hour by hour, into Redis."""
    plan = Plan(BLOCK)
    population = plan.population()
    days = range(-(-CHECKED_HOURS // 24))
    merged = grow(plan, 0, [None] * BLOCK, days)
    numbers = population.msisdns()
    end_s = START_S + (days.stop + 1) * DAY_S
    settings = Settings(now_s=end_s, keep_from_min=START_S // 60 - WINDOW_DAYS * 1440)
    with engines.engine("redis") as engine, _store(engine, BLOCK) as (store, pseudonyms):
        ingester = Ingester(store, Cells(3), Places.load(), pseudonyms, settings, clock=lambda: end_s)
        for rows in population.hours(0, 24 * days.stop):
            good = pl.DataFrame(
                {
                    "line": np.arange(rows.owner.size),
                    "time_s": rows.time_s,
                    "msisdn": numbers[rows.owner],
                    "place": rows.place,
                }
            )
            ingester.add(good)
            ingester.flush()
        stored = store.read([pseudonyms.of(str(number)) for number in numbers.tolist()])
    different = sum(
        unpack(a) != unpack(b) or (a or b"")[1:] != (b or b"")[1:]
        for a, b in zip(merged, stored, strict=True)
    )
    if different:
        raise SystemExit(f"{different} of {BLOCK} records are not what the ingester writes")
    results.console.print(f"{BLOCK:,} records merged in memory are those that the ingester wrote")
    return {"records": BLOCK, "hours": 24 * days.stop, "different": 0}


def _store(engine: Engine, subscribers: int) -> Any:
    return engines.store_of(engine, engines.layout(subscribers))


if __name__ == "__main__":
    main()
