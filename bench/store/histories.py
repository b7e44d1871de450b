"""The packed records of a whole population, by merging its sightings in memory, without a store.

The same bytes as ingest writes (but for the counter of writes; `memory` checks that on a sample), made
several times as fast and on all cores. Called by `memory` and `query`.
"""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from bench.store.people import BLOCK, DAY_S
from bench.store.population import Kind, Population
from location_store.merge import Limits, merge
from location_store.pseudonyms import ID_DIGEST_BYTES
from location_store.record import history_offset
from location_store.stays import NEW_STAY_GAP_MIN
from location_store.subscribers import Subscriber, pack

WINDOW_DAYS: Final = 14
START_S: Final = 1_772_380_800  # 2026-03-02, a Monday, 00:00 in China


class Plan(NamedTuple):
    """Which population; its arguments, so that another process makes the same one."""

    subscribers: int
    days: int = WINDOW_DAYS
    kind: Kind = "idle"
    churn: float = 0.0
    distinct: int | None = None

    def population(self) -> Population:
        return _population(self)


@lru_cache(2)
def _population(plan: Plan) -> Population:
    subscribers, days, kind, churn, distinct = plan
    return Population(subscribers, days, START_S, kind=kind, churn=churn, distinct=distinct)


def limits(day: int) -> Limits:
    """What a merge keeps on a day: the window that ends with it, and the silence before."""
    keep_from_min = (START_S + (day + 1 - WINDOW_DAYS) * DAY_S) // 60
    return Limits(cutoff_min=keep_from_min - NEW_STAY_GAP_MIN)


def imported(number: int) -> bytes:
    """A record of somebody who was imported and not seen yet: language, carrier, digest of the ID digits."""
    digest = number.to_bytes(ID_DIGEST_BYTES, "little")
    return b"\0" + pack(Subscriber(number % 3, digest, "zh", imported=True))


def grow(plan: Plan, block: int, states: Sequence[bytes | None], days: range) -> list[bytes | None]:
    """The records of one block after these days."""
    grown = list(states)
    for day in days:
        rows = plan.population().block(block, 24 * day, 24 * (day + 1))
        merged = merge(grown, rows.owner - block * BLOCK, rows.time_s // 60, rows.place, limits=limits(day))
        grown = [new or old for new, old in zip(merged.blobs, grown, strict=True)]
    return grown


def build(plan: Plan, blocks: int, days: range) -> Iterator[list[bytes | None]]:
    """The records of the first blocks, one block after another, nothing imported."""
    with pool() as workers:
        empty: list[bytes | None] = [None] * BLOCK
        futures = [workers.submit(grow, plan, block, empty, days) for block in range(blocks)]
        for future in futures:
            yield future.result()


def pool() -> ProcessPoolExecutor:
    """As many processes as there are cores, each on one."""
    return ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"))


def sizes(blobs: Sequence[bytes]) -> dict[str, float]:
    """Mean bytes of the parts of records, and what they hold: segments, points, places."""
    parts = np.array([_parts(blob) for blob in blobs], np.float64).mean(axis=0)
    names = ("counter", "subscriber", "header", "segments", "tail", "segment_count", "point_count", "places")
    return dict(zip(names, parts.tolist(), strict=True))


def _parts(blob: bytes) -> tuple[int, ...]:
    offset = history_offset(blob)
    history = blob[offset:]
    if not history:
        return (1, offset - 1, 0, 0, 0, 0, 0, 0)
    widths: list[int] = []
    numbers: list[int] = []
    number = width = 0
    for byte in history[3:]:
        number |= (byte & 127) << 7 * width
        width += 1
        if byte < 128:
            widths.append(width)
            numbers.append(number)
            number = width = 0
    count, many = divmod(numbers[0], 2)
    places = numbers[1] if many else 1
    head = 1 + many + places
    settled = sum(widths[head : head + 2 * count])
    tail = sum(widths[head + 2 * count :])
    return (
        1,
        offset - 1,
        3 + sum(widths[:head]),
        settled,
        tail,
        count,
        len(numbers) - head - 2 * count,
        places,
    )
