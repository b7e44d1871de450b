"""The columnar merge, the heart of ingest: a batch of sightings into many packed histories.

Theory of operation. A history is a fold over sightings in the order of time, but they arrive late, doubled
and out of order. So the sightings of the last `lateness` before a subscriber's newest one are kept as they
are (the tail), and only what is older is folded into segments for good (settled). A sighting within the
tail's reach is put where it belongs; one that is later than that is counted and left out. What is late
depends on the order of arrival alone, so the result is the same however the input is cut into batches, and
merging something again changes nothing.

Invariant: the stays and visits of a merged record are those of all its sightings that were in time
(property-tested against a reference that keeps every sighting), as long as no record is over its limits: 255
segments, 1024 points in the tail, 45 days. Called by ingest. Work is columnar over the batch; per changed
subscriber only the slicing of its bytes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from location_store.record import EPOCH_MIN, MAX_MIN, MAX_SEGMENTS
from location_store.record_columns import Ints, Points, Segments, pack_columns, unpack_columns
from location_store.stays import MAX_STEP_MIN, Neighbours, Segment, absorb_drift, runs

LATENESS_MIN = 120
MAX_TAIL_POINTS = 1024  # more is a number that many phones share; its effective lateness shrinks
Column = npt.NDArray[np.integer[Any]]

_MAX_OWNERS = 2**23  # see Points.keys


class MergeResult(NamedTuple):
    """blobs: a new record for each state that changed, None for the others; late, old: sightings left out."""

    blobs: list[bytes | None]
    late: int
    old: int


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
    lateness_min: int = LATENESS_MIN,
    cutoff_min: int = EPOCH_MIN,
    midnights_min: Sequence[int] = (),
    neighbours: Neighbours | None = None,
) -> MergeResult:
    """Merge sightings into the records of subscribers.

    states[i]: record of subscriber i as stored, None for none. owner, minute (unix), place: equally long
    integer columns, a row a sighting, in the order of arrival; owner indexes states. late: a row more than
    lateness_min behind the newest row of its subscriber that arrived before it. old: before cutoff_min;
    segments that ended before it are dropped from every record that is written. midnights_min: ascending;
    no segment goes on over one of them, so that it is known what was seen on either day. neighbours: lets
    drift be absorbed before segments must be dropped in a record that is over its limit. Raises RecordError
    for a damaged state, ValueError for columns that do not fit.
    """
    sightings = _sightings(len(states), owner, minute, place)
    cutoff = max(cutoff_min - EPOCH_MIN, 0)
    midnights = np.asarray(midnights_min, np.int64) - EPOCH_MIN
    segments, tails = unpack_columns(states)
    horizons = _horizons(len(states), segments, tails)
    in_time, late, old = _in_time(sightings, horizons, lateness_min, cutoff)
    merged: list[bytes | None] = [None] * len(states)

    points = _union(tails, in_time)
    grown = np.bincount(points.owner, minlength=len(states)) > np.bincount(tails.owner, minlength=len(states))
    changed = np.flatnonzero(grown)
    if not changed.size:
        return MergeResult(merged, late, old)

    index = np.cumsum(grown) - 1  # from here on owners are counted among the changed ones
    segments = _of(segments, grown, index)
    points = Points(*(column[grown[points.owner]] for column in points))
    points = points._replace(owner=index[points.owner])
    settling, tails = _split(points, lateness_min)
    segments = _settle(segments, settling, midnights)
    segments = segments.where(segments.last >= cutoff)
    segments = _limit(segments, midnights, neighbours)
    counts = [(state[0] + 1 if (state := states[i]) else 1) for i in changed.tolist()]
    blobs = pack_columns(segments, tails, np.array(counts, np.int64) & 0xFF)
    for i, blob in zip(changed.tolist(), blobs, strict=True):
        merged[i] = blob
    return MergeResult(merged, late, old)


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
    order = np.argsort(rows.owner[young], kind="stable")
    rows = Points(*(column[young][order] for column in rows))
    seen = np.maximum(rows.minute, horizons.newest[rows.owner])
    # A running maximum for each owner: they ascend, so that a greater owner outdoes all minutes before it.
    seen = np.maximum.accumulate(rows.owner << 24 | seen) & MAX_MIN
    reached = np.maximum(seen - lateness, horizons.settled[rows.owner] + 1)
    timely = rows.minute >= reached
    late = int(rows.owner.size - np.count_nonzero(timely))
    return Points(*(column[timely] for column in rows)), late, old


def _union(tails: Points, rows: Points) -> Points:
    """Both together, by owner, minute and place, without duplicates."""
    key = np.sort(np.concatenate([tails.keys(), rows.keys()]))
    key = key[np.append(True, key[1:] != key[:-1])[: key.size]]  # np.unique hashes, several times slower here
    return Points(key >> 40, key >> 16 & MAX_MIN, key & 0xFFFF)


def _of(segments: Segments, chosen: npt.NDArray[np.bool_], index: Ints) -> Segments:
    segments = segments.where(chosen[segments.owner])
    return segments._replace(owner=index[segments.owner])


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
