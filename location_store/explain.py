"""Why a place counts as visited, or does not: the steps of `stays.visited` told for one place.

Invariant: pure, and the rules are those of `stays`: it looks at the steps that decide and repeats none of
them, so it cannot tell another story than the answer. Called by the operator's `subscriber explain`.
"""

from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from location_store.record import History, timeline
from location_store.stays import (
    Neighbours,
    Run,
    Stay,
    StayRules,
    Steps,
    daily_spans,
    half_gaps,
    steps,
)
from location_store.window import Window

Why = Literal["visited", "too_short", "drift", "outside_window", "before_since", "never_seen"]
"""visited: its figure reaches N. too_short: it was seen in the window, for less. drift: all of it was taken
for border drift of another place. outside_window, before_since: it was seen only there."""

Cut = Literal["before_since", "before_window", "after_window"]


class Seen(NamedTuple):
    """Sightings in the place as they are kept: a settled run, or (first = last) a point of the tail.

    cuts: the edges that cut it off, wholly or in part.
    """

    first_min: int
    last_min: int
    settled: bool
    cuts: tuple[Cut, ...]


class Taken(NamedTuple):
    """A stay in the place that became part of a stay in another one: border drift."""

    stay: Stay
    by: Stay


class Figure(NamedTuple):
    """A stay in the place, as far as it is in the window.

    figure_min: dwell and half gaps, what the continuous rule compares. took_in: stays elsewhere, next door,
    that are part of it, whole.
    """

    stay: Stay
    before_min: float
    after_min: float
    figure_min: float
    took_in: tuple[Stay, ...]


class Day(NamedTuple):
    """First and last sighting of a local day, which begins at day_min: what the daily rule compares."""

    day_min: int
    first_min: int
    last_min: int


class Explanation(NamedTuple):
    """figure_min: the longest figure, or the longest span of a day, against needed_min.

    step_min: so much of a silence counts. days: empty under the continuous rule.
    """

    place: int
    why: Why
    figure_min: float
    needed_min: float
    step_min: int
    seen: list[Seen]
    drift: list[Taken]
    stays: list[Figure]
    days: list[Day]


def explain(  # noqa: PLR0917 -- what is known, the place, the rules, the window
    history: History,
    place: int,
    rules: StayRules,
    neighbours: Neighbours,
    window: Window,
    since_min: int | None,
    tz: ZoneInfo,
) -> Explanation:
    """What `visited` makes of this place, step by step."""
    told = steps(timeline(history), rules, neighbours, window, since_min)
    seen = _seen(history, place, window, since_min)
    drift = _taken(told, place)
    stays = _figures(told, place)
    days = []
    if rules.stay_rule == "daily-span" and told.inside:
        spans = daily_spans(told.inside, tz)
        days = [Day(day, *span) for (where, day), span in sorted(spans.items()) if where == place]
        figure = max((float(day.last_min - day.first_min) for day in days), default=0.0)
    else:
        figure = max((each.figure_min for each in stays), default=0.0)
    needed = 60 * rules.stay_hours
    why: Why
    if stays:
        why = "visited" if figure >= needed else "too_short"
    elif not seen:
        why = "never_seen"
    elif since_min is not None and all(each.last_min < since_min for each in seen):
        why = "before_since"
    else:
        why = "drift" if any(_touches(each.stay, window) for each in drift) else "outside_window"
    return Explanation(place, why, figure, needed, told.step_min, seen, drift, stays, days)


def _seen(history: History, place: int, window: Window, since_min: int | None) -> list[Seen]:
    settled = len(history.segments)
    found = []
    for number, (where, first, last) in enumerate(timeline(history)):
        if where != place:
            continue
        cuts: list[Cut] = []
        if since_min is not None and first < since_min:
            cuts.append("before_since")
        if first < window.start_min and (since_min is None or last >= since_min):
            cuts.append("before_window")
        if last >= window.end_min:
            cuts.append("after_window")
        found.append(Seen(first, last, number < settled, tuple(cuts)))
    return found


def _taken(told: Steps, place: int) -> list[Taken]:
    """The stays in the place that drift gave to another one."""
    found = []
    settled = iter(told.settled)
    whole = next(settled, None)
    for stay in told.stays:
        while whole is not None and whole.last_min < stay.last_min:
            whole = next(settled, None)
        if whole is not None and stay.place == place != whole.place:
            found.append(Taken(_stay(stay), _stay(whole)))
    return found


def _figures(told: Steps, place: int) -> list[Figure]:
    if not told.inside:
        return []
    halves = half_gaps(told.inside, told.step_min)
    return [
        Figure(_stay(stay), before, after, stay.dwell_min + before + after, _took_in(told, stay))
        for stay, before, after in zip(told.inside, [0.0, *halves], [*halves, 0.0], strict=True)
        if stay.place == place
    ]


def _took_in(told: Steps, whole: Run) -> tuple[Stay, ...]:
    """The stays elsewhere whose segments are part of this one."""
    begin, end = whole.segments[0].first_min, whole.segments[-1].last_min
    return tuple(
        _stay(stay)
        for stay in told.stays
        if stay.place != whole.place and begin <= stay.first_min and stay.last_min <= end
    )


def _stay(run: Run) -> Stay:
    return Stay(*run[:4])


def _touches(stay: Stay, window: Window) -> bool:
    return stay.last_min >= window.start_min and stay.first_min < window.end_min
