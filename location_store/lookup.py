"""The places of an answer, straight from a record's bytes: the hot path of every query.

The same answer as the plain way (`record.unpack`, `record.timeline`, `stays.visited`), several times as fast,
since no objects are made of segments and stays: numbers are read, stays are rows of five. Invariant: `named`
gives exactly the places that the plain way names; where more than that is asked (days as the rule, `since`
within the history, a phone that is seldom heard) or anything is unusual, damage included, it takes the plain
way itself. Property tests compare the two. Pure; called for answers.
"""

from itertools import pairwise, repeat
from operator import ge
from zoneinfo import ZoneInfo

from location_store.epoch import EPOCH_MIN, MAX_MIN, MINUTE_BYTES
from location_store.record import MAX_SEGMENTS, MAX_VARINT_BYTES, history_offset, timeline, unpack_history
from location_store.stays import (
    HALF_GAP_SHARE,
    MAX_RHYTHM_MIN,
    MAX_STEP_MIN,
    MIN_RHYTHM_SILENCES,
    NEW_STAY_GAP_MIN,
    Neighbours,
    Run,
    Segment,
    StayRules,
    absorb_drift,
    visited,
)
from location_store.subscribers import SIZES
from location_store.subscribers import unpack as unpack_subscriber
from location_store.window import Window

MAX_PLACE = 0xFFFF
MAX_HALF_GAP_MIN = HALF_GAP_SHARE * MAX_STEP_MIN
_MOST_SHIFT = 7 * (MAX_VARINT_BYTES - 1)

Silence = tuple[int, int]
Row = tuple[int, int, int, int, tuple[Silence, ...]]
"""A stay: place, first and last minute (of records), minutes of absence, the silences over 2 h in it."""


def _hides(flags: int) -> bool:
    size = SIZES[flags]
    if not size:
        return False
    subscriber = unpack_subscriber(bytes((flags, *bytes(size - 1))))
    return subscriber.forgotten or subscriber.since_min is not None


_HIDES = [_hides(flags) for flags in range(256)]
"""By the first byte of a subscriber: whether anything of his history may have to be hidden."""


def hides(record: bytes) -> bool:
    """Whether anything of the history may have to be hidden: it is forgotten, or has a `since`."""
    return len(record) > 1 and _HIDES[record[1]]


def places_of(
    record: bytes | None, rules: StayRules, neighbours: Neighbours, window: Window, tz: ZoneInfo
) -> tuple[int, ...]:
    """The places visited in the window, most recent first; none of a forgotten number.

    `record`: packed, None for none. Raises RecordError for a damaged one.
    """
    if record is None:
        return ()
    offset = history_offset(record)
    since_min = None
    if _HIDES[record[1]]:
        subscriber = unpack_subscriber(record[1:offset])
        if subscriber.forgotten:
            return ()
        since_min = subscriber.since_min
    return named(record[offset:], rules, neighbours, window, since_min, tz)


def named(  # noqa: PLR0917 -- as `visited`: what is known, the rules, the window
    history: bytes,
    rules: StayRules,
    neighbours: Neighbours,
    window: Window,
    since_min: int | None,
    tz: ZoneInfo,
) -> tuple[int, ...]:
    """The visited places of a packed history, most recent first. Raises RecordError for a damaged one."""
    rows = None
    if rules.stay_rule == "continuous":
        if since_min is None and (home := _home(history, 60 * rules.stay_hours, window)):
            return (home,)
        rows = _rows(history)
    if rows is not None and (since_min is None or since_min <= rows[0][1] + EPOCH_MIN):
        if rules.drift and len(rows) > 2:
            rows = _without_drift(rows, rules.stay_hours, neighbours)
        return _visited(rows, 60 * rules.stay_hours, window)
    known = timeline(unpack_history(history))
    return tuple(each.place for each in visited(known, rules, neighbours, window, since_min, tz).visits)


def _home(history: bytes, needed_min: float, window: Window) -> int:
    """The place of somebody without a silence who was in no other, if it was visited; else 0.

    Read byte by byte, since it is the answer to most: one segment in a place of two bytes, and a tail.
    """
    if len(history) < 10 or history[3] != 2 or history[4] < 128 or history[5] > 127 or history[6]:
        return 0
    length, at = history[7], 8
    if length > 127:
        length, at = length & 127 | (history[8] & 127) << 7, 9
        if history[8] > 127:
            length, at = length | history[9] << 14, 10
    tail = history[at:]
    if not tail or history[at - 1] > 127 or not 0 < min(tail) <= max(tail) <= MAX_STEP_MIN:
        return 0
    first = history[0] | history[1] << 8 | history[2] << 16
    last = first + length + sum(tail)
    start, stop = window.start_min - EPOCH_MIN, window.end_min - EPOCH_MIN
    inside = (last if last < stop else stop) - (first if first > start else start)
    return history[4] & 127 | history[5] << 7 if inside >= needed_min and last <= MAX_MIN else 0


def _rows(history: bytes) -> list[Row] | None:
    """The stays of a packed history, as `stays.runs` of its timeline; None for no or a damaged history."""
    numbers = _numbers(history)
    if numbers is None:
        return None
    settled, many = numbers[0] & ~1, numbers[0] & 1  # two numbers a segment
    count = numbers[1] if many else 1
    at = 1 + many
    places = numbers[at : at + count]
    at += count
    tail = at + settled
    if not at < len(numbers) >= tail or count <= many or numbers[at] >= count or settled > 2 * MAX_SEGMENTS:
        return None
    if places[-1] > MAX_PLACE or (many and any(map(ge, places, places[1:]))):
        return None
    points = numbers[tail:]
    if min(points if settled else points[1:], default=count) < count:
        return None  # a second sighting in one minute, if not out of order
    first_min = history[0] | history[1] << 8 | history[2] << 16
    codes = numbers[at:tail:2] + points
    if len(codes) > MIN_RHYTHM_SILENCES:  # else the phone has no rhythm of its own (`stays.rhythm_min`)
        least, most = count * (MAX_STEP_MIN + 1), count * (MAX_RHYTHM_MIN + 1)
        if len([code for code in codes if least <= code < most]) >= MIN_RHYTHM_SILENCES:
            return None
    rows = _joined(places, first_min, codes, [*numbers[at + 1 : tail : 2], *repeat(0, len(points))])
    return rows if rows[-1][2] <= MAX_MIN else None


def _numbers(history: bytes) -> list[int] | None:
    """The varints of a history, three at least; None where there are fewer, or one is damaged."""
    numbers = []
    value = shift = 0
    for byte in history[MINUTE_BYTES:]:
        if byte > 127:
            value |= (byte & 127) << shift
            shift += 7
            if shift > _MOST_SHIFT:
                return None
        elif shift:
            numbers.append(value | byte << shift)
            value = shift = 0
        else:
            numbers.append(byte)
    return None if shift or len(numbers) < 3 else numbers


def _joined(places: list[int], first_min: int, codes: list[int], lengths: list[int]) -> list[Row]:
    """Segments and points, (minutes since the one before) * places + index and length of each, as stays."""
    rows: list[Row] = []
    count, now, absent = len(places), codes[0], 0  # now: index of the place
    first = last = first_min
    silences: tuple[Silence, ...] = ()
    index = now
    for step, length in zip(codes, lengths, strict=True):
        if count > 1:
            step, index = divmod(step, count)  # noqa: PLW2901 -- with one place a code is a step
        if step > MAX_STEP_MIN and step <= NEW_STAY_GAP_MIN and index == now:
            absent += step - MAX_STEP_MIN
            silences = (*silences, (last, last + step))
        elif index != now or step > MAX_STEP_MIN:
            rows.append((places[now], first, last, absent, silences))
            first, now, absent, silences = last + step, index, 0, ()
        last += step + length
    rows.append((places[now], first, last, absent, silences))
    return rows


def _without_drift(rows: list[Row], stay_hours: float, neighbours: Neighbours) -> list[Row]:
    """As `stays.absorb_drift`, which is asked only where it may find some.

    It begins with somebody who was at home for N, next door for less, and at home again.
    """
    long_min = 60 * stay_hours
    for home, away, back in zip(rows, rows[1:], rows[2:], strict=False):
        if (
            home[0] == back[0] != away[0]
            and away[2] - away[1] - away[3] < long_min <= home[2] - home[1] - home[3]
            and neighbours(home[0], away[0])
        ):
            return [_row(run) for run in absorb_drift(map(_run, rows), neighbours, stay_hours)]
    return rows


def _run(row: Row) -> Run:
    place, first, last, absent, silences = row
    if not silences:
        return Run(place, first, last, last - first, (Segment(place, first, last),))
    edges = [first, *(minute for silence in silences for minute in silence), last]
    segments = tuple(Segment(place, *each) for each in zip(edges[::2], edges[1::2], strict=True))
    return Run(place, first, last, last - first - absent, segments)


def _row(run: Run) -> Row:
    place, first, last, dwell, segments = run
    if len(segments) == 1:
        return place, first, last, 0, ()
    silences = tuple(
        (before.last_min, after.first_min)
        for before, after in pairwise(segments)
        if after.first_min - before.last_min > MAX_STEP_MIN
    )
    return place, first, last, last - first - int(dwell), silences


def _visited(rows: list[Row], needed_min: float, window: Window) -> tuple[int, ...]:
    """What the rule "continuous" makes of these stays (see `stays`), most recent first."""
    start, stop = window.start_min - EPOCH_MIN, window.end_min - EPOCH_MIN
    longest: dict[int, float] = {}
    begin: dict[int, int] = {}
    end: dict[int, int] = {}
    before = left = -1
    stayed = 0.0
    for place, first, last, absent, silences in rows:
        if last < start or first >= stop:
            continue
        if first < start or last > stop:
            first, last = max(first, start), min(last, stop)  # noqa: PLW2901 -- the part inside
            dwell = last - first - _absence(silences, first, last)
        else:
            dwell = float(last - first - absent)
        if before >= 0:
            half = (first - left) / 2
            half = min(half, MAX_HALF_GAP_MIN)
            if stayed + half > longest.get(before, -1):
                longest[before] = stayed + half
            dwell += half
        before, left, stayed = place, last, dwell
        begin.setdefault(place, first)
        end[place] = last
    if before >= 0 and stayed > longest.get(before, -1):
        longest[before] = stayed
    named = [place for place, minutes in longest.items() if minutes >= needed_min]
    if len(named) > 1:
        named.sort(key=lambda place: (end[place], begin[place], place), reverse=True)
    return tuple(named)


def _absence(silences: tuple[Silence, ...], begin: int, end: int) -> float:
    """The minutes of absence in [begin, end]: of a silence cut by an edge its part (`stays._presence`)."""
    absent = 0.0
    for left, came_back in silences:
        silence = came_back - left
        inside = min(came_back, end) - max(left, begin)
        absent += (silence - MAX_STEP_MIN) * max(inside, 0) / silence
    return absent
