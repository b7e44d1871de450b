"""The places of an answer, straight from a record's bytes: the hot path of every query.

The same answer as the plain way (`record.unpack`, `record.timeline`, `stays.visited`), several times as fast,
since no objects are made of segments and stays: numbers are read, stays are rows of five. Invariant: `named`
gives exactly the places that the plain way names; where more than that is asked (days as the rule, `since`
within the history) or anything is unusual, damage included, it takes the plain way itself. Property tests
compare the two. Pure; called for answers.
"""

from zoneinfo import ZoneInfo

from location_store.epoch import EPOCH_MIN, MAX_MIN, MINUTE_BYTES
from location_store.record import MAX_VARINT_BYTES, history_offset, timeline, unpack_history
from location_store.stays import (
    MAX_HALF_GAP_MIN,
    MAX_STEP_MIN,
    NEW_STAY_GAP_MIN,
    Neighbours,
    StayRules,
    visited,
)
from location_store.subscribers import NOBODY, Subscriber
from location_store.subscribers import unpack as unpack_subscriber
from location_store.window import Window

_MOST_SHIFT = 7 * (MAX_VARINT_BYTES - 1)

Silence = tuple[int, int]
Row = tuple[int, int, int, int, list[Silence]]
"""A stay: place, first and last minute (of records), minutes of absence, the silences over 2 h in it."""


def look_up(
    record: bytes | None, rules: StayRules, neighbours: Neighbours, window: Window, tz: ZoneInfo
) -> tuple[Subscriber, tuple[int, ...]]:
    """Who it is, and the places visited in the window, most recent first; none of a forgotten number.

    `record`: packed, None for none. Raises RecordError for a damaged one.
    """
    if record is None:
        return NOBODY, ()
    offset = history_offset(record)
    subscriber = unpack_subscriber(record[1:offset])
    if subscriber.forgotten:
        return subscriber, ()
    return subscriber, named(record[offset:], rules, neighbours, window, subscriber.since_min, tz)


def named(  # noqa: PLR0917 -- as `visited`: what is known, the rules, the window
    history: bytes,
    rules: StayRules,
    neighbours: Neighbours,
    window: Window,
    since_min: int | None,
    tz: ZoneInfo,
) -> tuple[int, ...]:
    """The visited places of a packed history, most recent first. Raises RecordError for a damaged one."""
    rows = _rows(history) if rules.stay_rule == "continuous" else None
    if rows is not None and (since_min is None or since_min <= rows[0][1] + EPOCH_MIN):
        if rules.drift and len(rows) > 2:
            rows = _without_drift(rows, rules.stay_hours, neighbours)
        return _visited(rows, 60 * rules.stay_hours, window)
    known = timeline(unpack_history(history))
    return tuple(each.place for each in visited(known, rules, neighbours, window, since_min, tz).visits)


def _rows(history: bytes) -> list[Row] | None:
    """The stays of a packed history, as `stays.runs` of its timeline; None for no or a damaged history."""
    numbers = []
    value = shift = 0
    for byte in history[MINUTE_BYTES:]:
        if byte < 128:
            numbers.append(value | byte << shift)
            value = shift = 0
        else:
            value |= (byte & 127) << shift
            shift += 7
            if shift > _MOST_SHIFT:
                return None
    if shift or len(numbers) < 3:
        return None
    settled, many = numbers[0] & ~1, numbers[0] & 1  # two numbers a segment
    count = numbers[1] if many else 1
    at = 1 + many
    places = numbers[at : at + count]
    at += count
    tail = at + settled
    end = len(numbers)
    if end <= at or end < tail or count <= many or numbers[at] >= count or settled > 510:
        return None
    if places[-1] > 0xFFFF or (many and places != sorted(set(places))):
        return None
    points = numbers[tail:]
    if min(points if settled else points[1:], default=count) < count:
        return None  # a second sighting in one minute, if not out of order
    first_min = int.from_bytes(history[:MINUTE_BYTES], "little")
    lengths = [*numbers[at + 1 : tail : 2], *(0 for _ in points)]
    rows = _joined(places, first_min, numbers[at:tail:2] + points, lengths)
    return rows if rows[-1][2] <= MAX_MIN else None


def _joined(places: list[int], first_min: int, codes: list[int], lengths: list[int]) -> list[Row]:
    """Segments and points, (minutes since the one before) * places + index and length of each, as stays."""
    rows: list[Row] = []
    first = last = first_min
    count, now, absent = len(places), codes[0], 0  # now: index of the place
    silences: list[Silence] = []
    index = now
    for step, length in zip(codes, lengths, strict=True):
        if count > 1:
            step, index = divmod(step, count)  # noqa: PLW2901 -- with one place a code is a step
        if index != now or step > NEW_STAY_GAP_MIN:
            rows.append((places[now], first, last, absent, silences))
            first, now, absent, silences = last + step, index, 0, []
        elif step > MAX_STEP_MIN:
            absent += step - MAX_STEP_MIN
            silences.append((last, last + step))
        last += step + length
    rows.append((places[now], first, last, absent, silences))
    return rows


def _without_drift(rows: list[Row], stay_hours: float, neighbours: Neighbours) -> list[Row]:
    """As `stays.absorb_drift`."""
    long_min, away_min = 60 * stay_hours, 180 * stay_hours
    out: list[Row] = []
    for back in rows:
        if len(out) > 1 and out[-2][0] == back[0] != out[-1][0]:
            home, away = out[-2:]
            stayed, drifted = home[2] - home[1] - home[3], away[2] - away[1] - away[3]
            if (
                drifted < long_min <= stayed
                and drifted < stayed
                and back[1] - home[2] <= away_min
                and neighbours(home[0], away[0])
            ):
                left, returned = _silence(home[2], away[1]), _silence(away[2], back[1])
                silences = home[4] + left + away[4] + returned + back[4]
                absent = sum(end - begin - MAX_STEP_MIN for begin, end in silences)
                out[-2:] = [(home[0], home[1], back[2], absent, silences)]
                continue
        out.append(back)
    return out


def _silence(begin: int, end: int) -> list[Silence]:
    return [(begin, end)] if end - begin > MAX_STEP_MIN else []


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
            dwell = last - first - absent
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


def _absence(silences: list[Silence], begin: int, end: int) -> float:
    """The minutes of absence in [begin, end]: of a silence cut by an edge its part (`stays._presence`)."""
    absent = 0.0
    for left, came_back in silences:
        silence = came_back - left
        inside = min(came_back, end) - max(left, begin)
        absent += (silence - MAX_STEP_MIN) * max(inside, 0) / silence
    return absent
