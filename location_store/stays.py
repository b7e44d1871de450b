"""Sightings -> segments -> stays -> visited places: what it means to have been somewhere.

A segment is a run of sightings in one place without a silence, so that presence is its length; a stay joins
the segments of one place over silences of up to 12 h, of which 2 h count. Edges cut piece by piece: of a
segment the part inside counts whole, of a silence the part inside counts at the rate of that silence. So the
figures are those of all the sightings, wherever the edges lie.

Invariant: pure; timelines (lists of segments) and stays are sorted and do not overlap, and dwell never
exceeds length. A sighting is a segment of no length: sightings one by one have the stays of folded ones. All
times are unix minutes. Called by whoever answers or shows a history; `merge` folds by the same limits.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from location_store.window import Window, day_starts

MAX_STEP_MIN = 120  # a silence between two sightings in one place counts as presence for so long at most
NEW_STAY_GAP_MIN = 720  # a silence longer than this ends the stay: the phone was off, or away unseen
END_OF_TIME_MIN = 2**40
MAX_HALF_GAP_MIN = 30  # of the gap to the neighbouring stay, half is given to each, up to this

StayRule = Literal["continuous", "daily-span"]
Neighbours = Callable[[int, int], bool]


class Point(NamedTuple):
    """One sighting: the unix minute and the place's id (u16)."""

    minute: int
    place: int


class Segment(NamedTuple):
    """Sightings in one place, each at most 2 h after the one before: first and last unix minute."""

    place: int
    first_min: int
    last_min: int


class Stay(NamedTuple):
    """A stay in one place: first and last unix minute, and the minutes of presence between.

    dwell_min is whole unless an edge cut a long silence.
    """

    place: int
    first_min: int
    last_min: int
    dwell_min: float


class Run(NamedTuple):
    """A stay with what it is made of: its own segments and those that drift took in.

    Where it was clipped, segments reach beyond first_min and last_min: an edge in a silence needs both ends.
    """

    place: int
    first_min: int
    last_min: int
    dwell_min: float
    segments: tuple[Segment, ...]


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
    longest_min: float


class Visits(NamedTuple):
    """visits: most recent first. stays: oldest first, clipped to the window, after the drift rule."""

    visits: list[Visit]
    stays: list[Stay]


def runs(timeline: Iterable[Segment]) -> list[Run]:
    """The stays of a timeline: segments in one place with silences of up to 12 h between them."""
    groups: list[list[Segment]] = []
    place, last = -1, 0
    for segment in timeline:
        if segment.place == place and segment.first_min - last <= NEW_STAY_GAP_MIN:
            groups[-1].append(segment)
        else:
            groups.append([segment])
        place, _, last = segment
    return [_run(group) for group in groups]


def _run(segments: Sequence[Segment]) -> Run:
    first, last = segments[0].first_min, segments[-1].last_min
    return Run(segments[0].place, first, last, _presence(segments, first, last), tuple(segments))


def _presence(segments: Sequence[Segment], start_min: int, end_min: int) -> float:
    """The minutes of presence in [start_min, end_min], which lies within the segments.

    All of it but the silences over 2 h: of each of these 2 h count, spread evenly over it.
    """
    absent = 0.0
    for before, after in pairwise(segments):
        silence = after.first_min - before.last_min
        if silence > MAX_STEP_MIN:
            inside = min(after.first_min, end_min) - max(before.last_min, start_min)
            absent += (silence - MAX_STEP_MIN) * max(inside, 0) / silence
    return end_min - start_min - absent


def absorb_drift(stays: Iterable[Run], neighbours: Neighbours, stay_hours: float = 4.0) -> list[Run]:
    """Border drift taken out: the phone stayed in A and camped on a cell of the neighbour B for a while.

    A, B, A' in a row become one stay A when A and B are neighbours, A was stayed in for at least N =
    stay_hours and longer than B, B for less than N, and A was left at most 3 N before the return. Its dwell
    takes in both gaps (2 h each at most) and B's. Left to right; what was joined may join again, so many
    flips collapse. The limits were tuned at N = 4.
    """
    long_min, away_min = 60 * stay_hours, 180 * stay_hours
    out: list[Run] = []
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


def _joined(home: Run, away: Run, back: Run) -> Run:
    leaving, returning = away.first_min - home.last_min, back.first_min - away.last_min
    gaps = min(leaving, MAX_STEP_MIN) + min(returning, MAX_STEP_MIN)
    dwell = home.dwell_min + away.dwell_min + back.dwell_min + gaps
    segments = home.segments + away.segments + back.segments
    return Run(home.place, home.first_min, back.last_min, dwell, segments)


def clip(stays: Iterable[Run], start_min: int = 0, end_min: int = END_OF_TIME_MIN) -> list[Run]:
    """The parts inside [start_min, end_min), each with the presence inside.

    A stay that is cut begins or ends at the edge, so that it keeps its full length up to midnight.
    """
    out = []
    for stay in stays:
        place, first, last, _, segments = stay
        if first >= start_min and last <= end_min and first < end_min:
            out.append(stay)
        elif last >= start_min and first < end_min:
            begin, end = max(first, start_min), min(last, end_min)
            out.append(Run(place, begin, end, _presence(segments, begin, end), segments))
    return out


def visited(  # noqa: PLR0917 -- what is known, the rules, the window
    timeline: Iterable[Segment],
    rules: StayRules,
    neighbours: Neighbours,
    window: Window,
    since_min: int | None,
    tz: ZoneInfo,
) -> Visits:
    """Which places were visited in the window, under the carrier's rules.

    In this order: (1) since_min cuts: nothing before it exists for any rule; (2) drift is absorbed, with all
    that is known, also before the window's start and after its end; (3) both edges of the window clip, also
    through what drift took in; (4) the rule decides on the parts inside.
    """
    known = runs(timeline)
    if since_min is not None:
        known = clip(known, start_min=since_min)
    if rules.drift:
        known = absorb_drift(known, neighbours, rules.stay_hours)
    inside = clip(known, window.start_min, window.end_min)
    if not inside:
        return Visits([], [])
    longest = _continuous(inside) if rules.stay_rule == "continuous" else _daily_span(inside, tz)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for stay in inside:
        first.setdefault(stay.place, stay.first_min)
        last[stay.place] = stay.last_min
    needed = 60 * rules.stay_hours
    visits = [Visit(p, first[p], last[p], longest[p]) for p in longest if longest[p] >= needed]
    visits.sort(key=lambda visit: (visit.last_min, visit.first_min, visit.place), reverse=True)
    return Visits(visits, [Stay(*stay[:4]) for stay in inside])


def _continuous(stays: Sequence[Run]) -> dict[int, float]:
    """Per place its longest single stay, never a sum, with half of each adjoining gap up to 30 min.

    A gap lies between two stays of the list: a stay at the edge of the window gets none on that side.
    """
    longest: dict[int, float] = {}
    gaps = [after.first_min - before.last_min for before, after in pairwise(stays)]
    for stay, before, after in zip(stays, [0, *gaps], [*gaps, 0], strict=True):
        halves = min(before / 2, MAX_HALF_GAP_MIN) + min(after / 2, MAX_HALF_GAP_MIN)
        longest[stay.place] = max(longest.get(stay.place, 0.0), stay.dwell_min + halves)
    return longest


def _daily_span(stays: Sequence[Run], tz: ZoneInfo) -> dict[int, float]:
    """Per place its longest span in one local day, from first to last sighting, whatever lies between.

    Sightings known are the ends of segments. Only where a segment goes on over midnight, or over an edge, is
    that taken for one; `merge` can be told to end segments at midnight, and then every span is exact.
    """
    days = day_starts(Window(stays[0].first_min, stays[-1].last_min + 1), tz)
    edges = [*days, END_OF_TIME_MIN]
    earliest: dict[tuple[int, int], int] = {}
    longest: dict[int, float] = {}
    for stay in stays:
        for segment in stay.segments:
            first, last = max(segment.first_min, stay.first_min), min(segment.last_min, stay.last_min)
            if first > last:
                continue  # beyond the edge
            for day in range(bisect_right(days, first) - 1, bisect_right(days, last)):
                begin = earliest.setdefault((stay.place, day), max(first, edges[day]))
                span = min(last, edges[day + 1]) - begin
                longest[stay.place] = max(longest.get(stay.place, 0.0), span)
    return longest
