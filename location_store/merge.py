"""The columnar merge, the heart of ingest: a batch of sightings into many packed histories.

Theory of operation. A history is a fold over sightings in the order of time, but they arrive late, doubled
and out of order. So the sightings of the last `lateness` before a subscriber's newest one are kept as they
are (the tail), and only what is older is folded into segments for good (settled). A sighting within the
tail's reach is put where it belongs; one that is later than that is counted and left out. What is late
depends on the order of arrival alone, so the result is the same however the input is cut into batches, and
merging something again changes nothing.

Invariant: the stays and visits of a merged record are those of all its sightings that were in time
(property-tested against a reference that keeps every sighting), as long as no record is over its limits: 255
segments, 1024 points in the tail. Called by ingest. Work is columnar over the batch; per changed
subscriber only the slicing of its bytes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from location_store.epoch import EPOCH_MIN, MAX_MIN
from location_store.record import MAX_SEGMENTS
from location_store.record_columns import (
    Heads,
    Ints,
    Packed,
    Points,
    Segments,
    pack_columns,
    since_minutes,
    unpack_columns,
)
from location_store.stays import MAX_STEP_MIN, NEW_STAY_GAP_MIN, Neighbours, Segment, absorb_drift, runs

LATENESS_MIN = 120
MAX_TAIL_POINTS = 1024  # more is a number that many phones share; its effective lateness shrinks
Column = npt.NDArray[np.integer[Any]]

SINCE_MARGIN_MIN = NEW_STAY_GAP_MIN
"""So much before `since` is kept, unseen: a silence over it is known by both its ends, as at the window's."""

_MAX_OWNERS = 2**23  # see Points.keys


class MergeResult(NamedTuple):
    """blobs: a new record for each state that changed, None for the others; late, old: sightings left out."""

    blobs: list[bytes | None]
    late: int
    old: int


class Limits(NamedTuple):
    """What a merge keeps.

    lateness_min: how far behind the newest sighting of its subscriber one may be. cutoff_min: segments that
    ended before this unix minute leave every record that is written. midnights_min: ascending unix minutes;
    no segment goes on over one of them, so that it is known what was seen on either day. neighbours: lets
    drift be absorbed before segments must be dropped in a record that is over its limit.
    """

    lateness_min: int = LATENESS_MIN
    cutoff_min: int = EPOCH_MIN
    midnights_min: Sequence[int] = ()
    neighbours: Neighbours | None = None


LIMITS = Limits()


class Changed(NamedTuple):
    """The records that a merge made: record i of `packed` replaces states[number[i]]."""

    number: Ints
    packed: Packed


class _Horizons(NamedTuple):
    """Of every owner, -1 where there is none."""

    newest: Ints  # minute of the newest sighting
    settled: Ints  # last minute of the settled segments: nothing at or before it can be put in any more


def merge(
    states: Sequence[bytes | None],
    owner: Column,
    minute: Column,
    place: Column,
    *,
    limits: Limits = LIMITS,
) -> MergeResult:
    """Merge sightings, as they arrived, into the records of subscribers.

    states[i]: record of subscriber i as stored, None for none. owner, minute (unix), place: equally long
    integer columns, a row a sighting, in the order of arrival; owner indexes states. late: a row more than
    lateness_min behind the newest row of its subscriber that arrived before it. old: before cutoff_min.
    Raises RecordError for a damaged state, ValueError for columns that do not fit.
    """
    sightings = _sightings(len(states), owner, minute, place)
    cutoff = max(limits.cutoff_min - EPOCH_MIN, 0)
    heads, segments, tails = unpack_columns(states)
    horizons = _horizons(len(states), segments, tails)
    in_time, late, old = _in_time(sightings, horizons, limits.lateness_min, cutoff)
    key = np.sort(in_time.keys())
    changed = _merged(heads, segments, tails, key, limits)
    blobs: list[bytes | None] = [None] * len(states)
    for number, blob in zip(changed.number.tolist(), changed.packed.blobs(), strict=True):
        blobs[number] = blob
    return MergeResult(blobs, late, old)


def merge_sorted(states: Sequence[bytes | None], rows: Points, limits: Limits = LIMITS) -> Changed:
    """Merge sightings that were found to be in time when they arrived (`in_time`).

    rows: by owner, minute (since the epoch of records), place. Those that the states have no room for any
    more, since another writer went on meanwhile, are left out. Raises RecordError for a damaged state.
    """
    heads, segments, tails = unpack_columns(states)
    horizons = _horizons(len(states), segments, tails)
    reached = np.maximum(horizons.newest - limits.lateness_min, horizons.settled + 1)
    timely = rows.minute >= reached[rows.owner]
    key = rows.keys()
    return _merged(heads, segments, tails, key if timely.all() else key[timely], limits)


def newest(states: Sequence[bytes | None]) -> Ints:
    """The minute (since the epoch of records) of the newest sighting in each record, -1 where there is
    none.
    """
    _, segments, tails = unpack_columns(states)
    horizons = _horizons(len(states), segments, tails)
    return np.maximum(horizons.newest, horizons.settled)


def in_time(owner: Ints, minute: Ints, newest_min: Ints, lateness: int) -> npt.NDArray[np.bool_]:
    """Which rows, in the order of arrival, are at most `lateness` behind the newest of their owner.

    newest_min: of every owner before these rows, in the minutes of `minute`.
    """
    order = np.argsort(owner, kind="stable")
    seen = np.maximum(minute, newest_min[owner])[order]
    # A running maximum for each owner: they ascend, so that a greater owner outdoes all minutes before it.
    seen = np.maximum.accumulate(owner[order] << 24 | seen) & MAX_MIN
    timely = np.empty(owner.size, np.bool_)
    timely[order] = minute[order] >= seen - lateness
    return timely


def _merged(heads: Heads, segments: Segments, tails: Points, key: Ints, limits: Limits) -> Changed:
    """`key`: Points.keys of the rows to put in, ascending."""
    owners = heads.offset.size
    floor = since_minutes(heads) - SINCE_MARGIN_MIN
    recycled = bool((floor >= 0).any())
    if recycled:
        key = key[(key >> 16 & MAX_MIN) >= floor[key >> 40]]
    points = _union(tails, key)
    grown = np.bincount(points.owner, minlength=owners) > np.bincount(tails.owner, minlength=owners)
    changed = np.flatnonzero(grown)
    index = np.cumsum(grown) - 1  # from here on owners are counted among the changed ones
    if changed.size < owners:
        heads, floor = heads.of(changed), floor[changed]
        segments = segments.where(grown[segments.owner])
        points = Points(*(column[grown[points.owner]] for column in points))
        segments = segments._replace(owner=index[segments.owner])
        points = points._replace(owner=index[points.owner])
    midnights = np.asarray(limits.midnights_min, np.int64) - EPOCH_MIN
    settling, tails = _split(points, limits.lateness_min)
    segments = _settle(segments, settling, midnights)
    segments = segments.where(segments.last >= limits.cutoff_min - EPOCH_MIN)
    if recycled:
        segments = segments.where(segments.last >= floor[segments.owner])
        segments = segments._replace(first=np.maximum(segments.first, floor[segments.owner]))
    segments = _limit(segments, midnights, limits.neighbours)
    return Changed(changed, pack_columns(heads, segments, tails))


def _sightings(histories: int, owner: Column, minute: Column, place: Column) -> Points:
    rows = Points(*(column.astype(np.int64) for column in (owner, minute, place)))
    if not rows.owner.shape == rows.minute.shape == rows.place.shape or rows.owner.ndim != 1:
        raise ValueError("owner, minute and place must be columns of one length")
    rows = rows._replace(minute=rows.minute - EPOCH_MIN)
    if histories > _MAX_OWNERS:
        raise ValueError(f"{histories} states in one merge, at most {_MAX_OWNERS}")
    if rows.owner.size == 0:
        return rows
    if rows.owner.min() < 0 or rows.owner.max() >= histories:
        raise ValueError("owner must be an index into states")
    if rows.place.min() < 0 or rows.place.max() > 0xFFFF or rows.minute.max() > MAX_MIN:
        raise ValueError("a place is an id of 16 bits, a minute lies before 2047")
    return rows


def _horizons(histories: int, segments: Segments, tails: Points) -> _Horizons:
    newest = np.full(histories, -1, np.int64)
    settled = np.full(histories, -1, np.int64)
    # rows are in order of time, and of repeated indices the last assignment stays
    newest[tails.owner] = tails.minute
    settled[segments.owner] = segments.last
    return _Horizons(newest, settled)


def _in_time(rows: Points, horizons: _Horizons, lateness: int, cutoff: int) -> tuple[Points, int, int]:
    """The rows that may still be put in, how many came too late, and how many are before the cutoff."""
    young = rows.minute >= cutoff
    old = int(rows.owner.size - np.count_nonzero(young))
    rows = Points(*(column[young] for column in rows))
    timely = in_time(rows.owner, rows.minute, horizons.newest, lateness)
    timely &= rows.minute > horizons.settled[rows.owner]
    late = int(rows.owner.size - np.count_nonzero(timely))
    return Points(*(column[timely] for column in rows)), late, old


def _union(tails: Points, key: Ints) -> Points:
    """Both together, by owner, minute and place, without duplicates."""
    key = np.sort(np.concatenate([tails.keys(), key]))
    key = key[np.append(True, key[1:] != key[:-1])[: key.size]]  # np.unique hashes, several times slower here
    return Points(key >> 40, key >> 16 & MAX_MIN, key & 0xFFFF)


def _split(points: Points, lateness: int) -> tuple[Points, Points]:
    """What is to be settled, and what remains in the tail: the newest sighting at least.

    Every owner 0, 1, ... has a point.
    """
    count = np.bincount(points.owner)
    end = np.cumsum(count)
    newest = points.minute[end - 1]
    reached = newest - lateness
    crowded = np.flatnonzero(count > MAX_TAIL_POINTS)
    surplus = points.minute[end[crowded] - 1 - MAX_TAIL_POINTS]
    reached[crowded] = np.clip(surplus + 1, reached[crowded], newest[crowded])
    settles = points.minute < reached[points.owner]
    return Points(*(column[settles] for column in points)), Points(*(column[~settles] for column in points))


def _settle(segments: Segments, points: Points, midnights: Ints) -> Segments:
    """The points folded in: the last segment of each owner goes on with them, as if it were his first row."""
    is_last = segments.is_last()
    done, seed = segments.where(~is_last), segments.where(is_last)
    rows = _by_owner(seed, Segments(points.owner, points.place, points.minute, points.minute))
    return _by_owner(done, _fold(rows, midnights))


def _fold(rows: Segments, midnights: Ints) -> Segments:
    """Rows joined: of one owner and place, after a silence of 2 h at most, with no midnight between."""
    if not rows.owner.size:
        return rows
    same = (rows.owner[1:] == rows.owner[:-1]) & (rows.place[1:] == rows.place[:-1])
    same &= rows.first[1:] - rows.last[:-1] <= MAX_STEP_MIN
    if midnights.size:
        first_day, last_day = (np.searchsorted(midnights, minute, "right") for minute in rows[2:])
        same &= first_day[1:] == last_day[:-1]
    starts = np.flatnonzero(np.append(True, ~same))
    ends = np.append(starts[1:], rows.owner.size) - 1
    return Segments(rows.owner[starts], rows.place[starts], rows.first[starts], rows.last[ends])


def _by_owner(before: Segments, after: Segments) -> Segments:
    """Rows of both, by owner, those of `before` first."""
    owner = np.concatenate([before.owner, after.owner])
    order = np.argsort(owner, kind="stable")
    return Segments(*(np.concatenate(pair)[order] for pair in zip(before, after, strict=True)))


def _limit(segments: Segments, midnights: Ints, neighbours: Neighbours | None) -> Segments:
    """At most MAX_SEGMENTS for each owner.

    Drift is absorbed under the default rules; then the shortest go, the oldest first; the last remains.
    """
    crowded = np.flatnonzero(np.bincount(segments.owner) > MAX_SEGMENTS)
    if not crowded.size:
        return segments
    rest = segments.where(~np.isin(segments.owner, crowded))
    for owner in crowded.tolist():
        mine = segments.where(segments.owner == owner)
        if neighbours is not None:
            mine = _fold(mine._replace(place=_without_drift(mine, neighbours)), midnights)
        rest = _by_owner(rest, _longest(mine))
    return rest


def _without_drift(segments: Segments, neighbours: Neighbours) -> Ints:
    """The places of one owner's segments, where there was drift that of his home."""
    rows = zip(*(column.tolist() for column in segments[1:]), strict=True)
    stays = absorb_drift(runs(Segment(*row) for row in rows), neighbours)
    return np.repeat([stay.place for stay in stays], [len(stay.segments) for stay in stays])


def _longest(segments: Segments) -> Segments:
    """One owner's longest segments, MAX_SEGMENTS at most, and always the last."""
    surplus = segments.owner.size - MAX_SEGMENTS
    kept = np.ones(segments.owner.size, np.bool_)
    if surplus > 0:
        kept[np.argsort((segments.last - segments.first)[:-1], kind="stable")[:surplus]] = False
    return segments.where(kept)
