"""location_store.explain: why a place counts, told by the steps that decide."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from location_store.explain import Explanation, Seen, explain
from location_store.record import History, timeline
from location_store.stays import Point, Segment, Stay, StayRule, StayRules, visited
from location_store.window import Window
from tests.location_store.histories import BASE_MIN, histories

CHINA = ZoneInfo("Asia/Shanghai")
SHANGHAI, SUZHOU, BEIJING = 3100, 3205, 1100
MARCH = Window(*(int(dt.datetime(2026, 3, day, tzinfo=CHINA).timestamp()) // 60 for day in (1, 15)))
NOON = MARCH.start_min + 12 * 60


def neighbours(a: int, b: int) -> bool:
    return {a, b} == {SHANGHAI, SUZHOU}


def told(
    place: int,
    *segments: tuple[int, int, int],
    tail: tuple[Point, ...] = (),
    rule: StayRule = "continuous",
    since_min: int | None = None,
) -> Explanation:
    """Segments in minutes since the noon of 1 March."""
    history = History(tuple(Segment(where, NOON + a, NOON + b) for where, a, b in segments), tail)
    return explain(history, place, StayRules(4, rule), neighbours, MARCH, since_min, CHINA)


@given(
    histories(),
    st.builds(
        StayRules,
        stay_hours=st.sampled_from([1.0, 4.0]),
        stay_rule=st.sampled_from(["continuous", "daily-span"]),
    ),
    st.tuples(st.integers(-500, 5000), st.integers(0, 9000)),
    st.none() | st.integers(-100, 6000).map(lambda minute: BASE_MIN + minute),
)
def test_it_tells_what_the_answer_says(
    history: History, rules: StayRules, span: tuple[int, int], since: int | None
) -> None:
    """Of every place: the same verdict, the same figure, the same stays."""
    window = Window(BASE_MIN + span[0], BASE_MIN + sum(span))
    found = visited(timeline(history), rules, lambda a, b: True, window, since, CHINA)
    figures = {visit.place: visit.longest_min for visit in found.visits}
    for place in {segment.place for segment in timeline(history)}:
        story = explain(history, place, rules, lambda a, b: True, window, since, CHINA)
        assert (story.why == "visited") == (place in figures)
        assert place not in figures or story.figure_min == figures[place]
        assert [each.stay for each in story.stays] == [stay for stay in found.stays if stay.place == place]
        kept = [item for item in timeline(history) if item.place == place]
        assert [each[:2] for each in story.seen] == [(item.first_min, item.last_min) for item in kept]


def test_a_visit_with_its_half_gaps() -> None:
    """3 h 20 min and 20 min of each gap: the figure that is compared."""
    story = told(SHANGHAI, (BEIJING, 0, 60), (SHANGHAI, 100, 300), (BEIJING, 340, 400))
    (figure,) = story.stays
    assert figure == (Stay(SHANGHAI, NOON + 100, NOON + 300, 200), 20, 20, 240, ())
    assert (story.why, story.figure_min, story.needed_min) == ("visited", 240, 240)


def test_too_short_and_never_seen() -> None:
    """The longest figure is told, and that there is none."""
    assert told(SHANGHAI, (SHANGHAI, 0, 100), (BEIJING, 400, 900), (SHANGHAI, 2000, 2150))[1:3] == (
        "too_short",
        180,
    )
    assert told(SUZHOU, (SHANGHAI, 0, 100))[1:3] == ("never_seen", 0)


def test_drift_says_who_took_it() -> None:
    """The neighbour's hours are part of the stay at home; and the stay at home says what it took in."""
    journey = ((SHANGHAI, 0, 600), (SUZHOU, 610, 820), (SHANGHAI, 830, 1000))
    away = told(SUZHOU, *journey)
    assert (away.why, away.stays) == ("drift", [])
    ((stay, home),) = away.drift
    assert stay == Stay(SUZHOU, NOON + 610, NOON + 820, 210)
    assert home == Stay(SHANGHAI, NOON, NOON + 1000, 1000)
    (figure,) = told(SHANGHAI, *journey).stays
    assert figure.took_in == (stay,)


@pytest.mark.parametrize("since", [None, NOON + 3000])
def test_the_edges_that_cut(since: int | None) -> None:
    """Of each sighting which edge cuts it, and of a place that lies behind one only, which."""
    before = (SHANGHAI, -1500, -500)
    journey = (before, (SHANGHAI, 2000, 3500), (BEIJING, 3600, 3700))
    story = told(SHANGHAI, *journey, since_min=since)
    cuts = [each.cuts for each in story.seen]
    assert cuts == ([("before_window",), ()] if since is None else [("before_since",), ("before_since",)])
    assert story.why == "visited"
    assert story.stays[-1].stay.first_min == NOON + (2000 if since is None else 3000)
    assert told(SHANGHAI, (SHANGHAI, -1500, -800)).why == "outside_window"
    assert told(SHANGHAI, (SHANGHAI, 0, 800), (BEIJING, 900, 4000), since_min=since or NOON + 850).why == (
        "before_since"
    )


def test_points_that_are_not_settled() -> None:
    """The newest sightings are told one by one."""
    tail = (Point(NOON + 700, SHANGHAI), Point(NOON + 720, BEIJING), Point(NOON + 730, SHANGHAI))
    story = told(SHANGHAI, (SHANGHAI, 0, 650), tail=tail)
    assert story.seen[1:] == [
        Seen(NOON + 700, NOON + 700, settled=False, cuts=()),
        Seen(NOON + 730, NOON + 730, settled=False, cuts=()),
    ]


def test_the_days_of_the_daily_rule() -> None:
    """First and last sighting of each day, whatever lies between."""
    story = told(SHANGHAI, (SHANGHAI, 0, 10), (BEIJING, 60, 100), (SHANGHAI, 300, 310), rule="daily-span")
    assert story.days == [(MARCH.start_min, NOON, NOON + 310)]
    assert (story.why, story.figure_min) == ("visited", 310)


def test_a_rarely_heard_phone_is_told_its_rhythm() -> None:
    """So much of each of its silences counts."""
    heard = [(SHANGHAI, minute, minute) for minute in range(0, 30 * 180, 180)]
    assert told(SHANGHAI, *heard).step_min == 180
    assert told(SHANGHAI, (SHANGHAI, 0, 1000)).step_min == 120
