"""Hypothesis strategies for sightings and histories, shared by the tests of the store's pure part."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from hypothesis import strategies as st

from location_store.epoch import EPOCH_MIN
from location_store.record import History, Record, pack
from location_store.stays import Point, Segment, Stay, runs

BASE_MIN = EPOCH_MIN + 5_000_000  # some day in 2025

places = st.sampled_from([1100, 3101, 3301, 14290, 20000 + 26 * 9 + 15, 1, 65535])
steps = st.one_of(st.integers(0, 150), st.sampled_from([0, 1, 119, 120, 121, 719, 720, 721, 2000]))


def packed(history: History, write_count: int = 1) -> bytes:
    """The record of somebody of whom no more is known than this."""
    return pack(Record(history=history), write_count)


def fold(points: Iterable[Point], midnights: Sequence[int] = ()) -> list[Segment]:
    """What merge does to sightings, in the plainest way: joined in one place, up to 2 h, on one day."""
    out: list[Segment] = []
    for minute, place in sorted(set(points)):
        last = out[-1] if out else Segment(-1, 0, 0)
        same_day = bisect_right(midnights, minute) == bisect_right(midnights, last.last_min)
        if last.place == place and minute - last.last_min <= 120 and same_day:
            out[-1] = last._replace(last_min=minute)
        else:
            out.append(Segment(place, minute, minute))
    return out


def sighted(points: Iterable[Point]) -> list[Segment]:
    """Sightings as a timeline, each for itself."""
    return [Segment(place, minute, minute) for minute, place in sorted(set(points))]


def stays_of(timeline: Iterable[Segment]) -> list[Stay]:
    """The stays without what they are made of."""
    return [Stay(*run[:4]) for run in runs(timeline)]


@st.composite
def sightings(draw: st.DrawFn, max_size: int = 60) -> list[Point]:
    """Sightings in order of time, some of one minute, some twice."""
    minute, out = BASE_MIN, []
    for step, place in draw(st.lists(st.tuples(steps, places), max_size=max_size)):
        minute += step
        out.append(Point(minute, place))
    return out


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A history as ingest leaves it behind: settled segments, and the sightings of the last two hours."""
    points = sorted(set(draw(sightings())))
    if not points:
        return History()
    reached = points[-1].minute - 120
    settled = fold(p for p in points if p.minute < reached)
    return History(tuple(settled), tuple(p for p in points if p.minute >= reached))
