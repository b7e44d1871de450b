"""Record and rules together against a reference that keeps every sighting, wherever the edges lie."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from location_store.merge import Limits, merge
from location_store.record import timeline, unpack
from location_store.stays import Point, Segment, StayRule, StayRules, Visits, visited
from location_store.window import Window, day_starts, midnight_min

CHINA = ZoneInfo("Asia/Shanghai")
DAY_MIN = 24 * 60
FIRST_DAY_MIN = midnight_min(dt.date(2025, 7, 1), CHINA)

HOME, NEXT_DOOR, FAR = 3100, 3205, 1100
steps = st.one_of(st.integers(1, 40), st.sampled_from([60, 119, 120, 121, 210, 355, 600, 719, 720, 721, 900]))


def neighbours(a: int, b: int) -> bool:
    return {a, b} == {HOME, NEXT_DOOR}


@st.composite
def journeys(draw: st.DrawFn) -> list[Point]:
    """Some days of sightings at one step or another, as phones are seen, silences among them."""
    minute, points = FIRST_DAY_MIN, []
    legs = st.tuples(
        st.sampled_from([HOME, HOME, NEXT_DOOR, FAR]),
        st.lists(steps, min_size=1, max_size=4),
        st.integers(1, 8),
    )
    for place, pattern, times in draw(st.lists(legs, min_size=1, max_size=12)):
        for step in pattern * times:
            minute += step
            points.append(Point(minute, place))
    return points


@st.composite
def flips(draw: st.DrawFn) -> list[Point]:
    """At home, then to and fro between home and next door, each time for some sightings, and home again."""
    minute, points = FIRST_DAY_MIN, []
    turns = draw(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3)), min_size=2, max_size=9))
    step = draw(st.sampled_from([20, 40, 55]))
    for there, back in [(0, 12), *turns, (0, draw(st.integers(0, 12)))]:
        for place in [NEXT_DOOR] * there + [HOME] * back:
            minute += step
            points.append(Point(minute, place))
    return points


@st.composite
def rarely_heard(draw: st.DrawFn) -> list[Point]:
    """A phone of 2G, heard every three hours or so, a trip next door and some silences among that."""
    minute, points = FIRST_DAY_MIN, []
    legs = st.tuples(st.sampled_from([HOME, NEXT_DOOR, FAR]), st.integers(1, 3))
    for place, times in [(HOME, 22), *draw(st.lists(legs, max_size=8)), (HOME, draw(st.integers(0, 8)))]:
        for _ in range(times):
            minute += draw(st.sampled_from([180, 180, 180, 179, 185, 60, 360]))
            points.append(Point(minute, place))
    return points


@dataclass
class Kept:
    """A stay as the reference has it: all its sightings, and its limits where an edge cut it."""

    place: int
    points: list[Point]
    first: int
    last: int
    step: int = 120

    def dwell(self) -> Fraction:
        """Each gap's credit, min(gap, 2 h or the phone's rhythm), as far as it lies inside."""
        total = Fraction()
        for (x, _), (y, _) in pairwise(self.points):
            inside = min(y, self.last) - max(x, self.first)
            if inside > 0:
                total += Fraction(min(y - x, self.step) * inside, y - x)
        return total

    def cut(self, start: int, end: int) -> "Kept | None":
        if self.last < start or self.first >= end:
            return None
        return Kept(self.place, self.points, max(self.first, start), min(self.last, end), self.step)


def cut(stays: Iterable[Kept], start: int, end: int) -> list[Kept]:
    return [part for stay in stays if (part := stay.cut(start, end)) is not None]


def rhythm(points: list[Point], since: int | None) -> int:
    """The minutes of a silence that count, from every sighting since then."""
    left = [point for point in points if since is None or point.minute >= since]
    if not left:
        return 120
    begin = left[0].minute
    if since is not None and len(left) < len(points):
        before = points[len(points) - len(left) - 1]
        if before.place == left[0].place and begin - before.minute <= 120:
            begin = since
    gaps = [after.minute - before.minute for before, after in pairwise(left)]
    silences = [gap for gap in gaps if gap > 120]
    regular = sorted(gap for gap in silences if gap <= 210)
    heard = left[-1].minute - begin - sum(silences)
    if len(regular) >= 24 and len(regular) >= len(silences) / 2 and sum(regular) >= 3 * heard:
        return regular[len(regular) // 2]
    return 120


def halves(stays: list[Kept]) -> list[Fraction]:
    """What each gap between the stays gives to either side."""
    most = Fraction(stays[0].step, 4) if stays else Fraction(0)
    return [min(Fraction(b.first - a.last, 2), most) for a, b in pairwise(stays)]


def joined(stays: list[Kept]) -> Kept:
    """All of them as one stay in the place of the first."""
    points = [point for stay in stays for point in stay.points]
    return Kept(stays[0].place, points, stays[0].first, stays[-1].last, stays[0].step)


def visit_next_door(rest: list[Kept], known: list[Kept], home: int, hours: float) -> list[Kept]:
    """The longest run of times in one place, each below N, with returns home below N; empty: no visit."""
    n = Fraction(60 * hours)
    pieces = rest[:1]
    if pieces[0].place == home or pieces[0].dwell() >= n:
        return []
    for flip, back in zip(rest[1::2], rest[2::2], strict=False):
        there = back.place == pieces[0].place and flip.place == home
        if not there or back.dwell() >= n or back.first - pieces[-1].last > n:
            break
        pieces += [flip, back]
    presence = sum((each.dwell() for each in pieces[::2]), Fraction()) + sum(halves(pieces), Fraction())
    span = Fraction(pieces[-1].last - pieces[0].first)
    others = [each for each in known if each.place == pieces[0].place and each.dwell() < n]
    is_visit = (
        len(pieces) >= 5
        and neighbours(home, pieces[0].place)
        and presence >= n + Fraction(6, 10) * max(span - n, Fraction())
        and len(others) - len(pieces[::2]) <= 3
    )
    return pieces if is_visit else []


def without_drift(known: list[Kept], hours: float) -> list[Kept]:
    out: list[Kept] = []
    i = behind = 0
    n = 60 * hours
    while i < len(known):
        stay = known[i]
        i += 1
        if i > behind and out and out[-1].dwell() >= n:
            visit = visit_next_door(known[i - 1 :], known, out[-1].place, hours)
            behind = i + tries(known[i - 1 :], out[-1].place, n) - 1
            if visit:
                stay = joined(visit)
                i += len(visit) - 1
        out.append(stay)
        if len(out) < 3:
            continue
        a, b, back = out[-3:]
        figure = b.dwell() + sum(halves([a, b, back]), Fraction())
        times = sum(each.place == b.place and each.dwell() < n for each in known)
        seldom = b.step > 120 and figure >= n and times <= 4
        if (
            a.place == back.place
            and neighbours(a.place, b.place)
            and a.dwell() >= n
            and a.dwell() > b.dwell()
            and b.dwell() < n
            and back.first - a.last <= 3 * n
            and not seldom
        ):
            out[-3:] = [joined([a, b, back])]
    return out


def tries(rest: list[Kept], home: int, n: float) -> int:
    """How many stays the flips that begin here are: they are judged once."""
    count = 1
    if rest[0].place == home or rest[0].dwell() >= n:
        return count
    for flip, back in zip(rest[1::2], rest[2::2], strict=False):
        there = back.place == rest[0].place and flip.place == home
        if not there or back.dwell() >= n or back.first - rest[count - 1].last > n:
            break
        count += 2
    return count


def reference(points: list[Point], rules: StayRules, window: Window, since: int | None) -> list[Kept]:
    """The stays in the window, by the letter of the rules."""
    step = rhythm(points, since)
    stays: list[Kept] = []
    for point in points:
        before = stays[-1] if stays else None
        if before and before.place == point.place and point.minute - before.last <= 720:
            before.points.append(point)
            before.last = point.minute
        else:
            stays.append(Kept(point.place, [point], point.minute, point.minute, step))
    if since is not None:
        stays = cut(stays, since, 2**40)
    if rules.drift:
        stays = without_drift(stays, rules.stay_hours)
    return cut(stays, *window)


def figures(stays: list[Kept], rule: StayRule) -> dict[int, Fraction]:
    """What the rule compares, of each place."""
    found: dict[int, Fraction] = {}
    if not stays:
        return found
    if rule == "continuous":
        either = halves(stays)
        for stay, before, after in zip(stays, [Fraction(), *either], [*either, Fraction()], strict=True):
            figure = stay.dwell() + before + after
            found[stay.place] = max(found.get(stay.place, figure), figure)
        return found
    days: dict[tuple[int, dt.date], list[int]] = {}
    for stay in stays:
        for minute, _ in stay.points:
            if stay.first <= minute <= stay.last:
                day = dt.datetime.fromtimestamp(60 * minute, CHINA).date()
                days.setdefault((stay.place, day), []).append(minute)
    for (place, _), minutes in days.items():
        span = Fraction(max(minutes) - min(minutes))
        found[place] = max(found.get(place, span), span)
    return found


def stored(points: list[Point], sizes: list[int], midnights: list[int]) -> list[Segment]:
    """What a reader finds after the sightings came in batches of these sizes."""
    state: bytes | None = None
    begin = 0
    for i in range(len(points)):
        batch = points[begin : begin + sizes[i % len(sizes)]]
        begin += len(batch)
        minute, place = np.array(batch, np.int64).reshape(-1, 2).T
        limits = Limits(midnights_min=midnights)
        (blob,) = merge([state], np.zeros_like(minute), minute, place, limits=limits).blobs
        state = blob or state
    return timeline(unpack(state).history)


def agree(found: Visits, stays: list[Kept], rules: StayRules) -> None:
    """The same stays, visits and figures; fractions of a minute up to the precision of floats."""
    assert [stay[:3] for stay in found.stays] == [(stay.place, stay.first, stay.last) for stay in stays]
    assert [stay.dwell_min for stay in found.stays] == pytest.approx([float(stay.dwell()) for stay in stays])
    figure = figures(stays, rules.stay_rule)
    needed = 60 * rules.stay_hours
    assert {visit.place for visit in found.visits} == {p for p in figure if figure[p] >= needed}
    for visit in found.visits:
        assert visit.longest_min == pytest.approx(float(figure[visit.place]))
        mine = [stay for stay in stays if stay.place == visit.place]
        assert (visit.first_min, visit.last_min) == (mine[0].first, mine[-1].last)


class Question(NamedTuple):
    """What was seen, in batches of which sizes, and under which rules and edges it is asked for."""

    points: list[Point]
    sizes: list[int]
    rules: StayRules
    window: Window
    since_min: int | None

    def found(self, midnights: list[int]) -> Visits:
        known = stored(self.points, self.sizes, midnights)
        return visited(known, self.rules, neighbours, self.window, self.since_min, CHINA)

    def expected(self) -> list[Kept]:
        return reference(self.points, self.rules, self.window, self.since_min)


@st.composite
def questions(
    draw: st.DrawFn,
    rules: tuple[StayRule, ...],
    edges: st.SearchStrategy[int],
    since: st.SearchStrategy[int],
) -> Question:
    a, b = draw(edges), draw(edges)
    return Question(
        draw(journeys() | flips() | rarely_heard()),
        draw(st.lists(st.integers(1, 30), min_size=1, max_size=5)),
        StayRules(draw(st.sampled_from([1.0, 4.0, 8.0])), draw(st.sampled_from(rules)), draw(st.booleans())),
        Window(min(a, b), max(a, b)),
        draw(st.none() | since),
    )


anywhere = st.integers(-200, 8 * DAY_MIN).map(lambda minute: FIRST_DAY_MIN + minute)
midnights = st.integers(-1, 8).map(lambda day: FIRST_DAY_MIN + day * DAY_MIN)


@given(questions(("continuous",), anywhere, anywhere))
def test_the_continuous_rule_is_exact_wherever_the_edges_lie(question: Question) -> None:
    """Window, since and drift on real records: the figures are those of all sightings."""
    agree(question.found([]), question.expected(), question.rules)


@given(questions(("continuous", "daily-span"), midnights, midnights))
def test_both_rules_are_exact_where_segments_end_at_midnight(question: Question) -> None:
    """As ingest does when a carrier reckons by days: no midnight is taken for a sighting."""
    every_day = day_starts(Window(FIRST_DAY_MIN - DAY_MIN, FIRST_DAY_MIN + 300 * DAY_MIN), CHINA)
    agree(question.found(every_day), question.expected(), question.rules)


@given(questions(("daily-span",), midnights, anywhere))
def test_an_edge_taken_for_a_sighting_is_at_most_two_hours_from_one(question: Question) -> None:
    """The daily rule on segments that go on over midnight, and since at any time: 4 h too much at worst."""
    figure = figures(question.expected(), "daily-span")
    found = question.found([]).visits
    for visit in found:
        assert figure.get(visit.place, 0) <= visit.longest_min <= figure.get(visit.place, 0) + 240
    needed = 60 * question.rules.stay_hours
    assert {place for place in figure if figure[place] >= needed} <= {visit.place for visit in found}
