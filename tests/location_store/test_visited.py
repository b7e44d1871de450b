"""location_store.stays.visited: which places an answer names, day by day through the window."""

import datetime as dt
import time
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from location_store.record import History, timeline
from location_store.stays import Point, Segment, Stay, StayRule, StayRules, Visit, Visits, visited
from location_store.window import Window, window
from tests.location_store.histories import BASE_MIN, histories, sighted

CHINA = ZoneInfo("Asia/Shanghai")
SHANGHAI, SUZHOU, BEIJING, JAPAN = 3100, 3205, 1100, 20243
NEXT_TO = {(SHANGHAI, SUZHOU), (SUZHOU, SHANGHAI)}
CONTINUOUS, DAILY = StayRules(), StayRules(stay_rule="daily-span")


def at(text: str, tz: ZoneInfo = CHINA) -> int:
    """The unix minute of a local time; a day alone is its midnight."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=tz).timestamp() // 60)


def neighbours(a: int, b: int) -> bool:
    return (a, b) in NEXT_TO


def present(place: int, first: str, last: str) -> Segment:
    """A stay without silences."""
    return Segment(place, at(first), at(last))


def whole(segments: list[Segment]) -> list[Stay]:
    """As they are shown when nothing joins or cuts them."""
    return [Stay(place, first, last, last - first) for place, first, last in segments]


def seen(place: int, *times: str) -> list[Segment]:
    """Sightings that were never folded."""
    return sighted(Point(at(time), place) for time in times)


def answer(  # noqa: PLR0917 -- test shorthand
    timeline: list[Segment],
    rules: StayRules = CONTINUOUS,
    now: str = "2026-03-15T10:00",
    through: str = "yesterday",
    since: str | None = None,
    days: int = 14,
) -> Visits:
    """What a query at the local time `now` finds. The window of the default: 1 March to 14 March."""
    span = window(at(now) * 60, days=days, through="now" if through == "now" else "yesterday", tz=CHINA)
    return visited(timeline, rules, neighbours, span, at(since) if since else None, CHINA)


def places(found: Visits) -> list[int]:
    return [visit.place for visit in found.visits]


def test_four_hours_count_and_less_does_not() -> None:
    """Reaching N is enough; 3 h 59 min is not."""
    assert places(answer([present(SHANGHAI, "2026-03-05T08:00", "2026-03-05T12:00")])) == [SHANGHAI]
    assert places(answer([present(SHANGHAI, "2026-03-05T08:00", "2026-03-05T11:59")])) == []


def test_stays_are_never_summed() -> None:
    """Nine stays of 2 h 59 min in nine days are no visit, under either rule."""
    stays = [present(SHANGHAI, f"2026-03-0{day}T08:00", f"2026-03-0{day}T10:59") for day in range(1, 10)]
    assert places(answer(stays)) == []
    assert places(answer(stays, DAILY)) == []


def test_most_recent_first_with_first_and_last_of_all_stays() -> None:
    """A place visited twice is listed once, by its last stay; short stays there widen first and last."""
    stays = [
        present(BEIJING, "2026-03-02T00:00", "2026-03-02T01:00"),
        present(SHANGHAI, "2026-03-03T00:00", "2026-03-03T10:00"),
        present(BEIJING, "2026-03-05T00:00", "2026-03-05T12:00"),
        present(JAPAN, "2026-03-06T00:00", "2026-03-06T05:00"),
        present(BEIJING, "2026-03-08T00:00", "2026-03-08T06:00"),
    ]
    found = answer(stays)
    assert places(found) == [BEIJING, JAPAN, SHANGHAI]
    beijing = found.visits[0]
    assert (beijing.first_min, beijing.last_min) == (at("2026-03-02T00:00"), at("2026-03-08T06:00"))
    assert found.stays == whole(stays)


def test_half_of_each_adjoining_gap_up_to_thirty_minutes() -> None:
    """3 h 20 min and a gap of 40 min on either side reach 4 h; two gaps of hours add an hour and no more."""
    stays = [
        present(BEIJING, "2026-03-05T06:00", "2026-03-05T07:20"),
        present(SHANGHAI, "2026-03-05T08:00", "2026-03-05T11:20"),
        present(JAPAN, "2026-03-05T12:00", "2026-03-05T12:30"),
    ]
    assert answer(stays).visits == [Visit(SHANGHAI, at("2026-03-05T08:00"), at("2026-03-05T11:20"), 240)]
    far = [stays[0]._replace(last_min=at("2026-03-05T06:00")), stays[1]]
    assert places(answer(far)) == []
    stays[1] = present(SHANGHAI, "2026-03-05T08:20", "2026-03-05T11:20")
    wide = [*stays[:2], present(JAPAN, "2026-03-05T20:00", "2026-03-05T20:30")]
    assert answer(wide).visits[0].longest_min == 240


def test_no_gap_is_counted_at_the_ends_or_at_a_cut_edge() -> None:
    """3 h 40 min after the window's start do not become 4 by what was before it."""
    stays = [
        present(BEIJING, "2026-02-28T10:00", "2026-02-28T23:30"),
        present(SHANGHAI, "2026-03-01T00:10", "2026-03-01T03:50"),
    ]
    assert places(answer(stays)) == []
    assert places(answer(stays, days=15)) == [SHANGHAI, BEIJING]


def test_the_fourteenth_day_is_inside_and_the_fifteenth_is_not() -> None:
    """Asked on 15 March: 1 March still counts, 28 February does not; a day later neither does."""
    stays = [
        present(BEIJING, "2026-02-28T08:00", "2026-02-28T20:00"),
        present(SHANGHAI, "2026-03-01T08:00", "2026-03-01T20:00"),
    ]
    assert places(answer(stays)) == [SHANGHAI]
    assert places(answer(stays, now="2026-03-15T23:59")) == [SHANGHAI]
    assert places(answer(stays, now="2026-03-16T00:00")) == []
    assert places(answer(stays, now="2026-03-14T23:59")) == [SHANGHAI, BEIJING]


@freeze_time("2026-03-14 15:59:59")
def test_a_second_before_midnight_and_a_second_after() -> None:
    """15:59:59 UTC is 23:59:59 in China: two seconds later the window has moved on by a day."""
    stays = [present(BEIJING, "2026-02-28T08:00", "2026-02-28T20:00")]

    def now() -> list[int]:
        span = window(time.time(), days=14, through="yesterday", tz=CHINA)
        return places(visited(stays, CONTINUOUS, neighbours, span, None, CHINA))

    assert now() == [BEIJING]
    with freeze_time("2026-03-14 16:00:01"):
        assert now() == []


def test_today_counts_only_through_now() -> None:
    """T+1 does not see today; "now" does, and sees a day less at the other end."""
    stays = [
        present(BEIJING, "2026-03-01T08:00", "2026-03-01T20:00"),
        present(SHANGHAI, "2026-03-15T02:00", "2026-03-15T09:00"),
    ]
    assert places(answer(stays)) == [BEIJING]
    assert places(answer(stays, through="now")) == [SHANGHAI]


def test_a_stay_over_midnight_is_one_stay() -> None:
    """22:00 to 02:00 is a visit by the continuous rule, and two spans of 2 h by the daily one."""
    stays = [present(SHANGHAI, "2026-03-05T22:00", "2026-03-06T02:00")]
    assert places(answer(stays)) == [SHANGHAI]
    assert places(answer(stays, DAILY)) == []
    assert places(answer([present(SHANGHAI, "2026-03-05T22:00", "2026-03-06T04:00")], DAILY)) == [SHANGHAI]


def test_only_the_part_inside_the_window_counts() -> None:
    """At the start 3 h of 12 are inside, at the end 4 h of 12: only these are a visit."""
    stays = [present(BEIJING, "2026-02-28T15:00", "2026-03-01T03:00")]
    assert places(answer(stays)) == []
    stays = [present(SHANGHAI, "2026-03-14T20:00", "2026-03-15T08:00")]
    found = answer(stays)
    assert found.visits == [Visit(SHANGHAI, at("2026-03-14T20:00"), at("2026-03-15"), 240)]
    assert found.stays == [Stay(SHANGHAI, at("2026-03-14T20:00"), at("2026-03-15"), 240)]


def test_the_switch_of_the_year() -> None:
    """New Year's Eve away from home, asked in January, under both rules."""
    stays = [
        present(SHANGHAI, "2025-12-20T00:00", "2025-12-31T18:00"),
        present(JAPAN, "2025-12-31T21:00", "2026-01-01T03:00"),
    ]
    assert places(answer(stays, now="2026-01-02T09:00")) == [JAPAN, SHANGHAI]
    assert places(answer(stays, DAILY, now="2026-01-02T09:00")) == [SHANGHAI]
    assert places(answer(stays, now="2026-01-14T09:00")) == [JAPAN, SHANGHAI]
    assert places(answer(stays, now="2026-01-15T09:00")) == []


def test_daily_span_is_first_to_last_whatever_lies_between() -> None:
    """07:00 and 12:00 in the city count, even with another city between; the continuous rule says no."""
    stays = sorted(
        seen(SHANGHAI, "2026-03-05T07:00", "2026-03-05T12:00") + seen(BEIJING, "2026-03-05T09:00"),
        key=lambda segment: segment.first_min,
    )
    found = answer(stays, DAILY)
    assert found.visits == [Visit(SHANGHAI, at("2026-03-05T07:00"), at("2026-03-05T12:00"), 300)]
    assert places(answer(stays)) == []


def test_daily_span_takes_the_longest_day() -> None:
    """A stay of days gives whole days, 24 h at most."""
    found = answer([present(SHANGHAI, "2026-03-05T18:00", "2026-03-08T03:00")], DAILY)
    assert [visit.longest_min for visit in found.visits] == [1440]


def test_daily_span_needs_one_day() -> None:
    """23:00 and 03:30 are of two days."""
    assert places(answer(seen(SHANGHAI, "2026-03-05T23:00", "2026-03-06T03:30"), DAILY)) == []


def test_daily_span_takes_no_midnight_for_a_sighting() -> None:
    """In a silence it is none, in a segment it is one; ingest ends segments there for this rule."""
    evening, night = ("2026-03-05T19:55", "2026-03-05T23:00"), ("2026-03-06T01:00", "2026-03-06T03:00")
    hours = StayRules(1.0, "daily-span")
    assert answer(seen(SHANGHAI, *evening, *night), hours).visits[0].longest_min == 185
    assert answer(seen(SHANGHAI, *night), hours).visits[0].longest_min == 120
    twelve = seen(SHANGHAI, "2026-03-05T00:00", "2026-03-05T12:00", "2026-03-06T00:00")
    assert answer(twelve, hours).visits[0].longest_min == 720
    gapless = [present(SHANGHAI, "2026-03-05T22:00", "2026-03-06T00:30")]
    assert answer(gapless, hours).visits[0].longest_min == 120


def test_a_local_day_of_25_hours() -> None:
    """The daily rule follows the zone's days, also when the clocks are put back."""
    berlin = ZoneInfo("Europe/Berlin")
    span = Window(at("2021-10-30", berlin), at("2021-11-02", berlin))
    segment = Segment(SHANGHAI, span.start_min, span.end_min)
    assert visited([segment], DAILY, neighbours, span, None, berlin).visits[0].longest_min == 1500


def test_nothing_before_since_is_shown_or_vouches_for_anything() -> None:
    """The former owner's stays are gone; one that straddles the date is cut."""
    stays = [
        present(BEIJING, "2026-03-02T00:00", "2026-03-03T00:00"),
        present(SHANGHAI, "2026-03-04T00:00", "2026-03-05T04:00"),
    ]
    found = answer(stays, since="2026-03-05")
    assert found.visits == [Visit(SHANGHAI, at("2026-03-05"), at("2026-03-05T04:00"), 240)]
    assert found.stays == [Stay(SHANGHAI, at("2026-03-05"), at("2026-03-05T04:00"), 240)]
    assert places(answer(stays, since="2026-03-05T00:01")) == []
    assert places(answer(stays, since="2020-01-01")) == [SHANGHAI, BEIJING]
    assert answer(stays, since="2026-04-01") == Visits([], [])


def test_drift_is_absorbed_unless_switched_off() -> None:
    """At home, with 3 h 30 min on the neighbour's cells; with half gaps they would be a visit."""
    stays = [
        present(SHANGHAI, "2026-03-05T00:00", "2026-03-05T08:00"),
        present(SUZHOU, "2026-03-05T08:30", "2026-03-05T12:00"),
        present(SHANGHAI, "2026-03-05T12:30", "2026-03-05T20:00"),
    ]
    found = answer(stays)
    assert found.stays == whole([present(SHANGHAI, "2026-03-05T00:00", "2026-03-05T20:00")])
    assert found.visits == [Visit(SHANGHAI, at("2026-03-05T00:00"), at("2026-03-05T20:00"), 1200)]
    assert places(answer(stays, StayRules(drift=False))) == [SHANGHAI, SUZHOU]


def test_what_is_before_the_window_vouches_for_drift_unless_since_hides_it() -> None:
    """After a long stay at home before the start, the night on the neighbour's cells was drift."""
    stays = [
        present(SHANGHAI, "2026-02-28T00:00", "2026-02-28T23:00"),
        present(SUZHOU, "2026-02-28T23:50", "2026-03-01T03:00"),
        present(SHANGHAI, "2026-03-01T03:30", "2026-03-01T04:00"),
    ]
    assert answer(stays).stays == [Stay(SHANGHAI, at("2026-03-01"), at("2026-03-01T04:00"), 240)]
    hidden = answer(stays, since="2026-02-28T20:00")
    assert [stay.place for stay in hidden.stays] == [SUZHOU, SHANGHAI]


def test_a_night_without_the_phone_over_the_edge_of_the_window() -> None:
    """Seen until 23:50 and at 03:20: ten minutes of that silence are inside and count at its rate."""
    night = [present(SHANGHAI, "2026-03-14T19:40", "2026-03-14T23:50"), *seen(SHANGHAI, "2026-03-15T03:20")]
    found = answer(night)
    assert places(found) == [SHANGHAI]
    assert found.stays[0].dwell_min == pytest.approx(250 + 10 * 120 / 210)
    start = answer(
        [*seen(SHANGHAI, "2026-02-28T20:00"), present(SHANGHAI, "2026-03-01T02:00", "2026-03-01T05:30")]
    )
    assert start.stays == [Stay(SHANGHAI, at("2026-03-01"), at("2026-03-01T05:30"), 210 + 40)]


def test_since_in_a_silence_leaves_its_rest() -> None:
    """As every edge does; of what lies before nothing is known."""
    stays = [*seen(SHANGHAI, "2026-03-05T00:00"), present(SHANGHAI, "2026-03-05T10:00", "2026-03-05T15:00")]
    found = answer(stays, since="2026-03-05T07:30")
    assert found.stays == [Stay(SHANGHAI, at("2026-03-05T07:30"), at("2026-03-05T15:00"), 300 + 30)]


def test_what_is_after_the_window_vouches_for_drift() -> None:
    """The return home after midnight shows that the evening on the neighbour's cells was drift."""
    stays = [
        present(SHANGHAI, "2026-03-14T00:00", "2026-03-14T20:00"),
        present(SUZHOU, "2026-03-14T20:10", "2026-03-14T23:50"),
        present(SHANGHAI, "2026-03-15T00:10", "2026-03-15T09:00"),
    ]
    assert answer(stays).stays == [Stay(SHANGHAI, at("2026-03-14"), at("2026-03-15"), 1440)]


@pytest.mark.parametrize("rules", [CONTINUOUS, DAILY])
def test_no_history_is_no_visit(rules: StayRules) -> None:
    """Empty in, empty out."""
    assert answer([], rules) == Visits([], [])


def test_stay_hours_may_be_any_number() -> None:
    """Half an hour, or eight hours."""
    stays = [present(SHANGHAI, "2026-03-05T08:00", "2026-03-05T08:30")]
    assert places(answer(stays, StayRules(stay_hours=0.5))) == [SHANGHAI]
    assert places(answer([present(SHANGHAI, "2026-03-05T08:00", "2026-03-05T15:59")], StayRules(8.0))) == []


def hourly(place: int, first: str, hours: int, step: int = 60) -> list[Segment]:
    """Sightings every `step` minutes."""
    return sighted(Point(at(first) + minute, place) for minute in range(0, 60 * hours + 1, step))


@pytest.mark.parametrize("silence_h", [3, 10])
def test_a_silence_of_a_phone_that_is_else_heard_hourly(silence_h: int) -> None:
    """Two sightings 3 h or 10 h apart count 2 h, however long and regular its history."""
    days = [hourly(SHANGHAI, f"2026-03-0{day}T00:00", 20) for day in range(1, 9)]
    seen_twice = hourly(BEIJING, "2026-03-10T08:00", silence_h, 60 * silence_h)
    found = answer([*(segment for day in days for segment in day), *seen_twice])
    assert found.stays[-1].dwell_min == 120
    assert places(found) == [SHANGHAI]


def test_a_phone_that_is_heard_every_three_hours() -> None:
    """All of its silences count: two sightings far away are a visit; one is none."""
    home = hourly(SHANGHAI, "2026-03-01T00:00", 96, 180)
    far = hourly(BEIJING, "2026-03-05T03:00", 3, 180)
    back = hourly(SHANGHAI, "2026-03-05T09:00", 24, 180)
    found = answer([*home, *far, *back])
    assert places(found) == [SHANGHAI, BEIJING]
    assert [visit.longest_min for visit in found.visits] == [96 * 60 + 45, 180 + 90]
    assert places(answer([*home, far[0], *back])) == [SHANGHAI]


def test_rarely_heard_next_door() -> None:
    """Two sightings there are no drift where that is no habit; five times in two weeks are one."""
    timeline: list[Segment] = []
    for day in range(1, 14):
        timeline += hourly(SHANGHAI, f"2026-03-{day:02}T00:00", 12, 180)
        there = hourly(SUZHOU, f"2026-03-{day:02}T15:00", 3, 180)
        timeline += there if day in (3, 5, 7, 9, 11) else [s._replace(place=SHANGHAI) for s in there]
        timeline += hourly(SHANGHAI, f"2026-03-{day:02}T21:00", 0)
    assert places(answer(timeline)) == [SHANGHAI]
    once = [s._replace(place=SHANGHAI) if s.first_min < at("2026-03-11") else s for s in timeline]
    assert places(answer(once)) == [SHANGHAI, SUZHOU]


def test_nothing_before_since_vouches_for_a_rhythm() -> None:
    """The former owner's phone was heard every three hours, that of the present one is not known to be."""
    former = hourly(SHANGHAI, "2026-03-01T00:00", 96, 180)
    present = hourly(BEIJING, "2026-03-06T00:00", 9, 180)
    assert answer([*former, *present]).stays[-1].dwell_min == 540
    assert answer([*former, *present], since="2026-03-05T12:00").stays == [
        Stay(BEIJING, at("2026-03-06T00:00"), at("2026-03-06T09:00"), 360)
    ]


@given(histories(), st.sampled_from(["continuous", "daily-span"]), st.integers(0, 20_000))
def test_a_greater_n_names_no_more(history: History, rule: StayRule, length: int) -> None:
    """Without drift, which depends on N itself."""
    span = Window(BASE_MIN, BASE_MIN + length)
    before: set[int] | None = None
    for hours in (1.0, 2.0, 4.0, 8.0):
        found = visited(timeline(history), StayRules(hours, rule, False), neighbours, span, None, CHINA)
        named = set(places(found))
        assert before is None or named <= before
        before = named


@given(histories(), st.integers(0, 20_000))
def test_drift_moves_presence_but_makes_none(history: History, length: int) -> None:
    """The stays with drift cover those without, and lie in places that were seen."""
    span = Window(BASE_MIN, BASE_MIN + length)
    on, off = (
        visited(timeline(history), StayRules(drift=drift), lambda a, b: True, span, None, CHINA).stays
        for drift in (True, False)
    )
    assert {stay.place for stay in on} <= {stay.place for stay in off}
    for stay in off:
        assert any(each.first_min <= stay.first_min and stay.last_min <= each.last_min for each in on)
