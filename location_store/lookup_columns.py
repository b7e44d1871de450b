"""The places of many answers at once, by columns: what `lookup` does for one record.

For the queries of one turn of the event loop. Whatever needs a closer look (drift, a phone that is seldom
heard, anything hidden, damage, the rule of days) is left to `lookup`. Invariant: the places are those of
`lookup.places_of`; a property test compares the two. Pure; called for answers.
"""

from collections.abc import Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from location_store.epoch import EPOCH_MIN
from location_store.errors import RecordError
from location_store.lookup import MAX_HALF_GAP_MIN, hides, places_of
from location_store.record_columns import Ints, unpack_columns
from location_store.stays import (
    MAX_RHYTHM_MIN,
    MAX_STEP_MIN,
    MIN_RHYTHM_SILENCES,
    NEW_STAY_GAP_MIN,
    Neighbours,
    StayRules,
)
from location_store.window import Window

FEW = 24
"""Fewer records are quicker one by one."""

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Column = npt.NDArray[np.int64] | Floats


class _Stays(NamedTuple):
    """One row a stay, by owner, oldest first; minutes as in records."""

    owner: Ints
    place: Ints
    first: Ints
    last: Ints


class _Silences(NamedTuple):
    """One row a silence over 2 h within a stay: row of the stay, last minute before, first after."""

    stay: Ints
    left: Ints
    back: Ints


def places_of_many(
    records: Sequence[bytes | None],
    rules: StayRules,
    neighbours: Neighbours,
    window: Window,
    tz: ZoneInfo,
) -> list[tuple[int, ...] | RecordError]:
    """Of each record what `places_of` says, or the error it raises."""
    found: list[tuple[int, ...] | RecordError | None] = [None] * len(records)
    if rules.stay_rule == "continuous" and len(records) >= FEW:
        plain = [n for n, record in enumerate(records) if record and not hides(record)]
        some = [records[n] for n in plain]
        try:
            for n, places in zip(plain, _by_columns(some, rules, neighbours, window), strict=True):
                found[n] = places
        except RecordError:
            pass  # of one of them: they are looked at one by one
    return [
        _one(record, rules, neighbours, window, tz) if places is None else places
        for record, places in zip(records, found, strict=True)
    ]


def _one(
    record: bytes | None, rules: StayRules, neighbours: Neighbours, window: Window, tz: ZoneInfo
) -> tuple[int, ...] | RecordError:
    try:
        return places_of(record, rules, neighbours, window, tz)
    except RecordError as error:
        return error


def _by_columns(
    records: Sequence[bytes | None], rules: StayRules, neighbours: Neighbours, window: Window
) -> list[tuple[int, ...] | None]:
    """The places of each record, None where they need a closer look."""
    stays, silences, closer = _joined(records)
    absent = _sums(silences.stay, silences.back - silences.left - MAX_STEP_MIN, stays.owner.size)
    if rules.drift:
        _mark_drift(stays, stays.last - stays.first - absent, 60 * rules.stay_hours, neighbours, closer)
    start, stop = window.start_min - EPOCH_MIN, window.end_min - EPOCH_MIN
    inside = (stays.last >= start) & (stays.first < stop)
    begin, end = np.maximum(stays.first, start), np.minimum(stays.last, stop)
    length = silences.back - silences.left
    seen = np.minimum(silences.back, end[silences.stay]) - np.maximum(silences.left, begin[silences.stay])
    lost = (length - MAX_STEP_MIN) * np.maximum(seen, 0) / length
    dwell = end - begin - _sums(silences.stay, lost, stays.owner.size)
    rows = _Stays(*(column[inside] for column in (stays.owner, stays.place, begin, end)))
    owner, place = _visited(rows, dwell[inside], 60 * rules.stay_hours)
    named: list[tuple[int, ...] | None] = [()] * len(records)
    for n, each in zip(owner.tolist(), place.tolist(), strict=True):
        named[n] = (*(named[n] or ()), each)
    for n in np.flatnonzero(closer).tolist():
        named[n] = None
    return named


def _joined(records: Sequence[bytes | None]) -> tuple[_Stays, _Silences, Mask]:
    """The stays of all records (`stays.runs`), and which phones may have a rhythm of their own."""
    _, segments, tails = unpack_columns(records)
    owner = np.concatenate([segments.owner, tails.owner])
    order = np.argsort(owner, kind="stable")
    owner = owner[order]
    place = np.concatenate([segments.place, tails.place])[order]
    first = np.concatenate([segments.first, tails.minute])[order]
    last = np.concatenate([segments.last, tails.minute])[order]
    gap = first[1:] - last[:-1]
    same = owner[1:] == owner[:-1]
    silent = same & (gap > MAX_STEP_MIN)
    regular = owner[1:][silent & (gap <= MAX_RHYTHM_MIN)]
    rhythmic = np.bincount(regular, minlength=len(records)) >= MIN_RHYTHM_SILENCES
    joins = same & (place[1:] == place[:-1]) & (gap <= NEW_STAY_GAP_MIN)
    begins = np.append(True, ~joins)[: owner.size]
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], owner.size)[: starts.size] - 1
    at = np.flatnonzero(silent & joins)
    stay_of = np.cumsum(begins) - 1
    return (
        _Stays(owner[starts], place[starts], first[starts], last[ends]),
        _Silences(stay_of[at], last[at], first[at + 1]),
        rhythmic,
    )


def _sums(row: Ints, minutes: Column, rows: int) -> Floats:
    return np.bincount(row, minutes, minlength=rows).astype(np.float64)  # of nothing it makes integers


def _mark_drift(
    stays: _Stays,
    dwell: Floats,
    long_min: float,
    neighbours: Neighbours,
    closer: Mask,
) -> None:
    """Mark the owners of whom `stays.absorb_drift` may join stays (see `lookup`)."""
    owner, place = stays.owner, stays.place
    may = (owner[2:] == owner[:-2]) & (place[2:] == place[:-2]) & (place[1:-1] != place[:-2])
    may &= (dwell[:-2] >= long_min) & (dwell[1:-1] < long_min)
    rows = np.flatnonzero(may)
    for n, home, away in zip(
        owner[rows].tolist(), place[rows].tolist(), place[rows + 1].tolist(), strict=True
    ):
        closer[n] = closer[n] or neighbours(home, away)


def _visited(rows: _Stays, dwell: Floats, needed_min: float) -> tuple[Ints, Ints]:
    """Owner and place of each visit: by owner, most recent first (`stays.continuous`)."""
    adjoining = rows.owner[1:] == rows.owner[:-1]
    halves = np.where(adjoining, np.minimum((rows.first[1:] - rows.last[:-1]) / 2, MAX_HALF_GAP_MIN), 0.0)
    stayed = dwell.copy()
    stayed[1:] += halves
    stayed[:-1] += halves
    key = rows.owner << 16 | rows.place
    order = np.argsort(key, kind="stable")
    key = key[order]
    heads = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: key.size])
    if not heads.size:
        return heads, heads
    visited = np.maximum.reduceat(stayed[order], heads) >= needed_min
    last = np.maximum.reduceat(rows.last[order], heads)[visited]
    first = np.minimum.reduceat(rows.first[order], heads)[visited]
    owner, place = key[heads][visited] >> 16, key[heads][visited] & 0xFFFF
    order = np.lexsort((-place, -first, -last, owner))
    return owner[order], place[order]
