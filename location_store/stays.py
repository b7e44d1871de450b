"""Sightings -> stays -> visited places: what it means to have been somewhere.

Invariant: pure; lists of stays are sorted, do not overlap, and dwell never exceeds length. `fold` is the
definition that `merge` must equal; `visited` is what an answer and `subscriber show` are made of. All times
are unix minutes. An instant's stay (one sighting) has length and dwell 0.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from location_store.window import Window, day_starts

MAX_STEP_MIN = 120  # a silence between two sightings in one place counts as presence for so long at most
NEW_RECORD_GAP_MIN = 720  # a silence longer than this ends the stay: the phone was off, or away unseen
END_OF_TIME_MIN = 2**40
MAX_HALF_GAP_MIN = 30  # of the gap to the neighbouring stay, half is given to each, up to this

StayRule = Literal["continuous", "daily-span"]
Neighbours = Callable[[int, int], bool]


class Point(NamedTuple):
    """One sighting: the unix minute and the place's id (u16)."""

    minute: int
    place: int


class Stay(NamedTuple):
    """A run of sightings in one place: first and last unix minute, and the minutes of presence between."""

    place: int
    first_min: int
    last_min: int
    dwell_min: int


class StayRules(NamedTuple):
    """What a carrier counts as a visit. drift: take border drift out before the rule looks."""

    stay_hours: float = 4.0
    stay_rule: StayRule = "continuous"
    drift: bool = True


class Visit(NamedTuple):
    """A visited place.

    first_min, last_min: over all its stays in the window. longest_min: the figure that the rule compared.
    """

    place: int
    first_min: int
    last_min: int
    longest_min: int


class Visits(NamedTuple):
    """visits: most recent first. stays: oldest first, clipped to the window, after the drift rule."""

    visits: list[Visit]
    stays: list[Stay]


def fold(points: Iterable[Point], settled: Sequence[Stay] = ()) -> list[Stay]:
    """Sightings in any order, duplicates among them, -> stays, oldest first.

    settled: stays that ended before the first sighting; they are gone on with. Between consecutive sightings
    in one place dwell grows by min(gap, 2 h); a gap over 12 h starts a new stay. Within one minute the order
    is that of the places' ids.
    """
    stays = list(settled)
    for minute, place in sorted(set(points)):
        if stays:
            place_before, first, last, dwell = stays[-1]
            gap = minute - last
            if place == place_before and gap <= NEW_RECORD_GAP_MIN:
                stays[-1] = Stay(place, first, minute, dwell + min(gap, MAX_STEP_MIN))
                continue
        stays.append(Stay(place, minute, minute, 0))
    return stays


def absorb_drift(stays: Iterable[Stay], neighbours: Neighbours, stay_hours: float = 4.0) -> list[Stay]:
    """Border drift taken out: the phone stayed in A and camped on a cell of the neighbour B for a while.

    A, B, A' in a row become one stay A when A and B are neighbours, A was stayed in for at least N =
    stay_hours and longer than B, B for less than N, and A was left at most 3 N before the return. Its dwell
    takes in both gaps (2 h each at most) and B's. Left to right; what was joined may join again, so many
    flips collapse. The limits were tuned at N = 4.
    """
    long_min, away_min = 60 * stay_hours, 180 * stay_hours
    out: list[Stay] = []
    for stay in stays:
        if len(out) >= 2 and out[-2].place == stay.place:
            home, away = out[-2:]
            drifted = (
                home.place != away.place
                and home.dwell_min >= long_min
                and away.dwell_min < min(long_min, home.dwell_min)
                and stay.first_min - home.last_min <= away_min
                and neighbours(home.place, away.place)
            )
            if drifted:
                out[-2:] = [_joined(home, away, stay)]
                continue
        out.append(stay)
    return out


def _joined(home: Stay, away: Stay, back: Stay) -> Stay:
    leaving, returning = away.first_min - home.last_min, back.first_min - away.last_min
    gaps = min(leaving, MAX_STEP_MIN) + min(returning, MAX_STEP_MIN)
    dwell = home.dwell_min + away.dwell_min + back.dwell_min + gaps
    return Stay(home.place, home.first_min, back.last_min, dwell)


def clip(stays: Iterable[Stay], start_min: int = 0, end_min: int = END_OF_TIME_MIN) -> list[Stay]:
    """The parts inside [start_min, end_min).

    The dwell of a part is in proportion to its length: exact for a stay without long silences. A stay cut at
    the end has last_min = end_min, so that it keeps its full length up to midnight.
    """
    out = []
    for stay in stays:
        place, first, last, dwell = stay
        if first >= start_min and last <= end_min and first < end_min:
            out.append(stay)
        elif last >= start_min and first < end_min:
            begin, end = max(first, start_min), min(last, end_min)
            out.append(Stay(place, begin, end, round(dwell * (end - begin) / (last - first))))
    return out


def visited(  # noqa: PLR0917 -- what is known, the rules, the window
    stays: Iterable[Stay],
    rules: StayRules,
    neighbours: Neighbours,
    window: Window,
    since_min: int | None,
    tz: ZoneInfo,
) -> Visits:
    """Which places were visited in the window, under the carrier's rules.

    In this order: (1) what lies before the window or before since_min does not exist, so it cannot vouch for
    anything; (2) drift is absorbed, with all that is known after the window's end; (3) the end is cut; (4)
    the rule decides.
    """
    start = window.start_min if since_min is None else max(window.start_min, since_min)
    inside = clip(stays, start_min=start)
    if rules.drift:
        inside = absorb_drift(inside, neighbours, rules.stay_hours)
    inside = clip(inside, end_min=window.end_min)
    if not inside:
        return Visits([], [])
    figure = _continuous if rules.stay_rule == "continuous" else _daily_span
    longest = figure(inside, tz)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for stay in inside:
        first.setdefault(stay.place, stay.first_min)
        last[stay.place] = stay.last_min
    needed = 60 * rules.stay_hours
    visits = [Visit(p, first[p], last[p], longest[p]) for p in longest if longest[p] >= needed]
    visits.sort(key=lambda visit: (visit.last_min, visit.first_min, visit.place), reverse=True)
    return Visits(visits, inside)


def _continuous(stays: Sequence[Stay], _tz: ZoneInfo) -> dict[int, int]:
    """Per place its longest single stay, never a sum, with half of each adjoining gap up to 30 min.

    A gap lies between two stays of the list: a stay at the edge of the window gets none on that side.
    """
    longest: dict[int, int] = {}
    gaps = [after.first_min - before.last_min for before, after in pairwise(stays)]
    for stay, before, after in zip(stays, [0, *gaps], [*gaps, 0], strict=True):
        halves = (min(before, 2 * MAX_HALF_GAP_MIN) + min(after, 2 * MAX_HALF_GAP_MIN)) // 2
        longest[stay.place] = max(longest.get(stay.place, 0), stay.dwell_min + halves)
    return longest


def _daily_span(stays: Sequence[Stay], tz: ZoneInfo) -> dict[int, int]:
    """Per place its longest span in one local day, from first to last minute, whatever lies between."""
    days = day_starts(Window(stays[0].first_min, stays[-1].last_min + 1), tz)
    edges = [*days, END_OF_TIME_MIN]
    earliest: dict[tuple[int, int], int] = {}
    longest: dict[int, int] = {}
    for place, first, last, _ in stays:
        for day in range(bisect_right(days, first) - 1, bisect_right(days, last)):
            begin = earliest.setdefault((place, day), max(first, edges[day]))
            longest[place] = max(longest.get(place, 0), min(last, edges[day + 1]) - begin)
    return longest
