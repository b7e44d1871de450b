"""Sightings -> segments -> stays -> visited places: what it means to have been somewhere.

A segment is a run of sightings in one place without a silence, so that presence is its length; a stay joins
the segments of one place over silences of up to 12 h, of which 2 h count (of a phone that is seen to be heard
less often, its own rhythm). Edges cut piece by piece: of a segment the part inside counts whole, of a silence
the part inside counts at the rate of that silence. So the figures are those of all the sightings, wherever
the edges lie.

Invariant: pure; timelines (lists of segments) and stays are sorted and do not overlap, and dwell never
exceeds length. A sighting is a segment of no length: sightings one by one have the stays of folded ones. All
times are unix minutes. Called by whoever answers or shows a history; `explain` tells its steps, `merge` folds
by the same limits.
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
HALF_GAP_SHARE = 1 / 4  # of the gap to the next stay each gets half, up to so much of a step: 30 min of 2 h

MAX_RHYTHM_MIN = 210  # 3 h, as 2G networks set their periodic update (T3212), and half an hour
MIN_RHYTHM_SILENCES = 24  # three days of them
RHYTHM_SHARE = 3  # silences in the rhythm last so many times longer than all the time without any silence

MIN_RETURNS = 2  # once back and there again is two trips; twice is a phone between two masts
MAX_HABIT = 3  # of other brief times there: more, and the phone is at home where the neighbour is heard
BEYOND_SHARE = 3, 5  # of an interrupted visit's time beyond N the phone was there at least

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


class Steps(NamedTuple):
    """How `visited` comes to its stays: after each step, all that is known; then the parts in the window.

    step_min: of a silence so much counts.
    """

    step_min: int
    stays: list[Run]
    settled: list[Run]
    inside: list[Run]


def rhythm_min(timeline: Sequence[Segment]) -> int:
    """Of a silence so many minutes count as presence: 2 h, or a rarely heard phone's own rhythm, up to 3.5 h.

    The rhythm is the median of the silences of 2 to 3.5 h. They are a rhythm where there are 24 or more, at
    least as many as longer ones, and they last three times as long as all the time without silences: a phone
    that is heard hourly has none, whatever silences there are.
    """
    gaps = [after.first_min - before.last_min for before, after in pairwise(timeline)]
    silences = [gap for gap in gaps if gap > MAX_STEP_MIN]
    if len(silences) < MIN_RHYTHM_SILENCES:
        return MAX_STEP_MIN
    regular = sorted(silence for silence in silences if silence <= MAX_RHYTHM_MIN)
    if len(regular) < MIN_RHYTHM_SILENCES or 2 * len(regular) < len(silences):
        return MAX_STEP_MIN
    heard_min = timeline[-1].last_min - timeline[0].first_min - sum(silences)
    return regular[len(regular) // 2] if sum(regular) >= RHYTHM_SHARE * heard_min else MAX_STEP_MIN


def runs(timeline: Iterable[Segment], step_min: int = MAX_STEP_MIN) -> list[Run]:
    """The stays of a timeline: segments in one place with silences of up to 12 h between them."""
    groups: list[list[Segment]] = []
    place, last = -1, 0
    for segment in timeline:
        if segment.place == place and segment.first_min - last <= NEW_STAY_GAP_MIN:
            groups[-1].append(segment)
        else:
            groups.append([segment])
        place, _, last = segment
    return [_run(group, step_min) for group in groups]


def _run(segments: Sequence[Segment], step_min: int) -> Run:
    first, last = segments[0].first_min, segments[-1].last_min
    if len(segments) == 1:
        return Run(segments[0].place, first, last, last - first, (segments[0],))
    return Run(segments[0].place, first, last, _presence(segments, first, last, step_min), tuple(segments))


def _presence(segments: Sequence[Segment], start_min: int, end_min: int, step_min: int) -> float:
    """The minutes of presence in [start_min, end_min], which lies within the segments.

    All of it but the silences over a step: of each of these a step counts, spread evenly over it.
    """
    absent = 0.0
    for before, after in pairwise(segments):
        silence = after.first_min - before.last_min
        if silence > step_min:
            inside = min(after.first_min, end_min) - max(before.last_min, start_min)
            absent += (silence - step_min) * max(inside, 0) / silence
    return end_min - start_min - absent


def absorb_drift(
    stays: Iterable[Run], neighbours: Neighbours, stay_hours: float = 4.0, step_min: int = MAX_STEP_MIN
) -> list[Run]:
    """Border drift taken out: the phone stayed in A and camped on a cell of the neighbour B for a while.

    A, B, A' in a row become one stay A when A and B are neighbours, A was stayed in for at least N =
    stay_hours and longer than B, B for less than N, and A was left at most 3 N before the return. Its dwell
    takes in both gaps (2 h each at most) and B's. Left to right; what was joined may join again, so many
    flips collapse. Unless it is the other way round: a visit to B with flips back to A (`_visit_end`).
    """
    known = list(stays)
    if len(known) < 3:
        return known
    long_min, away_min = 60 * stay_hours, 180 * stay_hours
    out: list[Run] = []
    i = tried = 0
    flips_end = len(known) - 2 * MIN_RETURNS
    while i < len(known):
        stay = known[i]
        flips = tried <= i < flips_end and known[i + 2].place == stay.place
        if flips and out and out[-1].dwell_min >= long_min:
            tried, visit = _visit_end(known, i, out[-1].place, neighbours, long_min, step_min)
            if visit is not None:
                stay, i = visit, tried - 1
        if len(out) > 1 and out[-2].place == stay.place:
            home, away = out[-2], out[-1]
            drifted = (
                home.place != away.place
                and away.dwell_min < long_min <= home.dwell_min  # so home's exceeds away's
                and stay.first_min - home.last_min <= away_min
                and neighbours(home.place, away.place)
                and not (step_min > MAX_STEP_MIN and _seldom(known, home, away, stay, long_min, step_min))
            )
            if drifted:
                out.pop()
                out[-1] = _joined(home, away, stay, step_min)
                i += 1
                continue
        out.append(stay)
        i += 1
    return out


def _seldom(  # noqa: PLR0917 -- what the caller has in hand
    known: Sequence[Run], home: Run, away: Run, back: Run, long_min: float, step_min: int
) -> bool:
    """Whether a phone that is seldom heard was away for N, half gaps included, and is not so as a habit.

    Two sightings 3 h apart are all that there may be of a stay of 5 h.
    """
    figure = away.dwell_min + sum(half_gaps([home, away, back], step_min))
    return figure >= long_min and _brief(known, away.place, long_min) <= MAX_HABIT + 1


def _visit_end(  # noqa: PLR0917 -- what the caller has in hand
    known: Sequence[Run], start: int, home: int, neighbours: Neighbours, long_min: float, step_min: int
) -> tuple[int, Run | None]:
    """The visit next door that begins with known[start], and the index behind it; no visit: behind the flips.

    B, A, B, A, B, twice back in A at least: every time in B below N, every return within N, in B for N and
    for 60 % of the time beyond, half gaps included; and in B on no more than 3 other occasions. Who lives at
    a border flips over again and again, a visitor during his visit.
    """
    place, last = known[start].place, start
    if known[start].dwell_min < long_min and place != home:
        while (
            last + 2 < len(known)
            and known[last + 1].place == home
            and known[last + 2].place == place
            and known[last + 2].dwell_min < long_min
            and known[last + 2].first_min - known[last].last_min <= long_min
        ):
            last += 2
    pieces = known[start : last + 1]
    if last - start < 2 * MIN_RETURNS or not neighbours(home, place):
        return last + 1, None
    there = sum(piece.dwell_min for piece in pieces[::2]) + sum(half_gaps(pieces, step_min))
    beyond = pieces[-1].last_min - pieces[0].first_min - long_min
    if there < long_min + BEYOND_SHARE[0] * max(beyond, 0) / BEYOND_SHARE[1]:
        return last + 1, None
    if _brief(known, place, long_min) - len(pieces[::2]) > MAX_HABIT:
        return last + 1, None
    visit = pieces[0]
    for flip, back in zip(pieces[1::2], pieces[2::2], strict=True):
        visit = _joined(visit, flip, back, step_min)
    return last + 1, visit


def _brief(known: Sequence[Run], place: int, long_min: float) -> int:
    """How many times the phone was there for less than N."""
    return sum(stay.place == place and stay.dwell_min < long_min for stay in known)


def _joined(home: Run, away: Run, back: Run, step_min: int) -> Run:
    dwell = home.dwell_min + away.dwell_min + back.dwell_min
    for gap in (away.first_min - home.last_min, back.first_min - away.last_min):
        dwell += gap if gap < step_min else step_min
    segments = home.segments + away.segments + back.segments
    return Run(home.place, home.first_min, back.last_min, dwell, segments)


def clip(
    stays: Iterable[Run],
    start_min: int = 0,
    end_min: int = END_OF_TIME_MIN,
    step_min: int = MAX_STEP_MIN,
) -> list[Run]:
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
            out.append(Run(place, begin, end, _presence(segments, begin, end, step_min), segments))
    return out


def visited(  # noqa: PLR0917 -- what is known, the rules, the window
    timeline: Sequence[Segment],
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
    step_min, _, _, inside = steps(timeline, rules, neighbours, window, since_min)
    if not inside:
        return Visits([], [])
    longest = continuous(inside, step_min) if rules.stay_rule == "continuous" else _daily(inside, tz)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for stay in inside:
        first.setdefault(stay.place, stay.first_min)
        last[stay.place] = stay.last_min
    needed = 60 * rules.stay_hours
    visits = [Visit(p, first[p], last[p], longest[p]) for p in longest if longest[p] >= needed]
    visits.sort(key=lambda visit: (visit.last_min, visit.first_min, visit.place), reverse=True)
    return Visits(visits, [Stay(*stay[:4]) for stay in inside])


def steps(
    timeline: Sequence[Segment],
    rules: StayRules,
    neighbours: Neighbours,
    window: Window,
    since_min: int | None,
) -> Steps:
    """The stays of a timeline, without drift, and their parts in the window."""
    step_min = MAX_STEP_MIN
    stays = runs(timeline)
    if len(timeline) > MIN_RHYTHM_SILENCES:
        step_min = rhythm_min(timeline if since_min is None else _since(timeline, since_min))
        if step_min != MAX_STEP_MIN:
            stays = runs(timeline, step_min)
    if since_min is not None:
        stays = clip(stays, since_min, step_min=step_min)
    settled = absorb_drift(stays, neighbours, rules.stay_hours, step_min) if rules.drift else stays
    return Steps(step_min, stays, settled, clip(settled, window.start_min, window.end_min, step_min))


def _since(timeline: Sequence[Segment], since_min: int) -> list[Segment]:
    """What is left of a timeline; where presence went on over since_min, from there."""
    left = [segment for segment in timeline if segment.last_min >= since_min]
    if left and len(left) < len(timeline):
        before, first = timeline[-len(left) - 1], left[0]
        if before.place == first.place and first.first_min - before.last_min <= MAX_STEP_MIN:
            left[0] = first._replace(first_min=since_min)
    if left and left[0].first_min < since_min:
        left[0] = left[0]._replace(first_min=since_min)
    return left


def half_gaps(stays: Sequence[Run], step_min: int = MAX_STEP_MIN) -> list[float]:
    """What each of the gaps between the stays gives to either of them: half of it, up to 30 min.

    A stay at the edge of the window has no gap on that side.
    """
    most = HALF_GAP_SHARE * step_min
    return [min((after.first_min - before.last_min) / 2, most) for before, after in pairwise(stays)]


def continuous(stays: Sequence[Run], step_min: int = MAX_STEP_MIN) -> dict[int, float]:
    """Per place its longest single stay, never a sum, with its half gaps."""
    longest: dict[int, float] = {}
    before = 0.0
    for stay, after in zip(stays, [*half_gaps(stays, step_min), 0.0], strict=True):
        figure = stay.dwell_min + before + after
        if figure > longest.get(stay.place, -1.0):
            longest[stay.place] = figure
        before = after
    return longest


def daily_spans(stays: Sequence[Run], tz: ZoneInfo) -> dict[tuple[int, int], tuple[int, int]]:
    """Per place and local day (the minute it begins) the first and the last sighting, whatever lies between.

    Sightings known are the ends of segments. Only where a segment goes on over midnight, or over an edge, is
    that taken for one; `merge` can be told to end segments at midnight, and then every span is exact.
    """
    days = day_starts(Window(stays[0].first_min, stays[-1].last_min + 1), tz)
    edges = [*days, END_OF_TIME_MIN]
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    for stay in stays:
        for segment in stay.segments:
            first, last = max(segment.first_min, stay.first_min), min(segment.last_min, stay.last_min)
            if first > last:
                continue  # beyond the edge
            for day in range(bisect_right(days, first) - 1, bisect_right(days, last)):
                key = stay.place, days[day]
                begin = max(first, edges[day])
                spans[key] = spans.get(key, (begin, 0))[0], min(last, edges[day + 1])
    return spans


def _daily(stays: Sequence[Run], tz: ZoneInfo) -> dict[int, float]:
    longest: dict[int, float] = {}
    for (place, _), (first, last) in daily_spans(stays, tz).items():
        longest[place] = max(longest.get(place, 0.0), last - first)
    return longest
