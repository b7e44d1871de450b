"""location_store.stays: timelines to stays, border drift, clipping."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from location_store.stays import Point, Run, Segment, Stay, absorb_drift, clip, rhythm_min, runs
from tests.location_store.histories import BASE_MIN, fold, sighted, sightings, stays_of

SHANGHAI, SUZHOU, BEIJING = 3100, 3205, 1100
NEXT_TO = {(SHANGHAI, SUZHOU), (SUZHOU, SHANGHAI)}


def neighbours(a: int, b: int) -> bool:
    return (a, b) in NEXT_TO


def seen(*points: tuple[int, int]) -> list[Stay]:
    """The stays of sightings (minute, place)."""
    return stays_of(sighted(Point(*point) for point in points))


def journey(*segments: tuple[int, int, int]) -> list[Run]:
    return runs(Segment(*segment) for segment in segments)


def shown(stays: list[Run]) -> list[Stay]:
    return [Stay(*stay[:4]) for stay in stays]


def test_a_run_of_sightings_is_one_stay() -> None:
    """Dwell is the time between first and last sighting while none is missing for long."""
    assert seen((0, SHANGHAI), (60, SHANGHAI), (120, SHANGHAI), (200, SHANGHAI)) == [
        Stay(SHANGHAI, 0, 200, 200)
    ]


def test_a_silence_counts_for_two_hours_at_most() -> None:
    """A gap of 121 minutes adds 120."""
    assert seen((0, SHANGHAI), (120, SHANGHAI)) == [Stay(SHANGHAI, 0, 120, 120)]
    assert seen((0, SHANGHAI), (121, SHANGHAI)) == [Stay(SHANGHAI, 0, 121, 120)]


def test_a_silence_over_twelve_hours_starts_a_new_stay() -> None:
    """720 minutes still join, 721 do not."""
    assert seen((0, SHANGHAI), (720, SHANGHAI)) == [Stay(SHANGHAI, 0, 720, 120)]
    assert seen((0, SHANGHAI), (721, SHANGHAI)) == [Stay(SHANGHAI, 0, 0, 0), Stay(SHANGHAI, 721, 721, 0)]


def test_another_place_ends_the_stay() -> None:
    """The time between two places belongs to neither."""
    assert seen((0, SHANGHAI), (50, SHANGHAI), (90, BEIJING), (100, SHANGHAI)) == [
        Stay(SHANGHAI, 0, 50, 50),
        Stay(BEIJING, 90, 90, 0),
        Stay(SHANGHAI, 100, 100, 0),
    ]


@given(sightings(), st.lists(st.integers(0, 9000)))
def test_segments_have_the_stays_of_their_sightings(points: list[Point], cuts: list[int]) -> None:
    """Folding loses nothing, wherever midnights end segments."""
    midnights = sorted(BASE_MIN + cut for cut in cuts)
    assert stays_of(fold(points)) == stays_of(fold(points, midnights)) == stays_of(sighted(points))


@given(sightings())
def test_stays_are_in_order_and_hold_no_more_than_their_length(points: list[Point]) -> None:
    """The invariant of every list of stays, also after drift and clipping."""
    stays = runs(fold(points))
    for some in (stays, absorb_drift(stays, lambda a, b: True), clip(stays, 5_000_000, 29_200_000)):
        assert all(0 <= s.dwell_min <= s.last_min - s.first_min for s in some)
        assert all(a.last_min <= b.first_min for a, b in pairwise(some))


def test_border_drift_is_absorbed() -> None:
    """Home, an hour on the neighbour's cell, home again: one stay, with both gaps."""
    stays = journey((SHANGHAI, 0, 300), (SUZHOU, 310, 370), (SHANGHAI, 390, 500))
    assert shown(absorb_drift(stays, neighbours)) == [Stay(SHANGHAI, 0, 500, 500)]


def test_many_flips_collapse() -> None:
    """To and fro a whole night is one stay at home."""
    stays = [(SHANGHAI, 0, 300)]
    for start in range(310, 910, 20):
        stays += [(SUZHOU, start, start + 5), (SHANGHAI, start + 10, start + 15)]
    assert shown(absorb_drift(journey(*stays), neighbours)) == [Stay(SHANGHAI, 0, 905, 905)]


def drifted(a: int = 240, b: int = 239, away: int = 720, place: int = SUZHOU, hours: float = 4.0) -> bool:
    middle, back = (place, 1001, 1001 + b), (SHANGHAI, 1000 + away, 1100 + away)
    stays = journey((SHANGHAI, 1000 - a, 1000), middle, back)
    return len(absorb_drift(stays, neighbours, hours)) == 1


def test_each_limit_of_the_drift_rule() -> None:
    """Neighbours only; A at least 4 h and longer than B; B below 4 h; back within 12 h."""
    assert drifted()
    assert not drifted(place=BEIJING)
    assert not drifted(a=239, b=100)
    assert not drifted(a=240, b=240)
    assert not drifted(a=300, b=240)
    assert not drifted(away=721)


def test_the_limits_follow_n() -> None:
    """At N = 2 h half of everything; at N = 8 h twice."""
    assert drifted(a=120, b=119, away=360, hours=2.0)
    assert not drifted(a=120, b=119, away=361, hours=2.0)
    assert not drifted(a=400, b=100, hours=8.0)
    assert drifted(a=480, b=400, away=1440, hours=8.0)


def next_door(  # noqa: PLR0917 -- test shorthand
    times: int = 3,
    there: int = 150,
    back: int = 30,
    habit: int = 0,
    hours: float = 4.0,
    place: int = SUZHOU,
) -> list[Stay]:
    """Two days at home, then so many times next door with flips home between, and two days at home.

    habit: so many other times of ten minutes next door. Minutes; gaps of 5 on either side of each change.
    """
    day = 24 * 60
    stays = [(SHANGHAI, 0, 2 * day)]
    minute = 2 * day
    for time in range(times):
        stays.append((place, minute + 5, minute + 5 + there))
        minute += 5 + there
        if time < times - 1:
            stays.append((SHANGHAI, minute + 5, minute + 5 + back))
            minute += 5 + back
    for _ in range(habit):
        stays += [(SHANGHAI, minute + 5, minute + day), (place, minute + day + 5, minute + day + 15)]
        minute += day + 15
    stays.append((SHANGHAI, minute + 5, minute + 5 + 2 * day))
    return shown(absorb_drift(journey(*stays), neighbours, hours))


def visit_to(stays: list[Stay], place: int = SUZHOU) -> list[Stay]:
    return [stay for stay in stays if stay.place == place]


def test_flips_home_are_part_of_a_visit_next_door() -> None:
    """Three times 2 h 30 min with half an hour at home between: one stay of 8 h 50 min."""
    (visit,) = visit_to(next_door())
    assert visit == Stay(SUZHOU, 2885, 2885 + 3 * 150 + 2 * 40, 530)


def test_each_limit_of_a_visit_with_flips() -> None:
    """Twice back at least, N in all and 60 % of the rest, no habit."""
    assert not visit_to(next_door(times=2, there=235))
    assert visit_to(next_door(there=92, back=10))
    assert not visit_to(next_door(there=91, back=10))
    assert visit_to(next_door(there=150, back=68))
    assert not visit_to(next_door(there=150, back=69))
    assert visit_to(next_door(habit=3))
    assert not visit_to(next_door(habit=4))


def test_a_long_return_ends_a_visit_with_flips() -> None:
    """Back after more than N, whatever there was before."""
    at_home, before = (
        (SHANGHAI, 0, 2000),
        [(SUZHOU, 2005, 2235), (SHANGHAI, 2240, 2250), (SUZHOU, 2255, 2485)],
    )
    for back, visits in ((2720, 1), (2726, 0)):
        stays = [at_home, *before, (SHANGHAI, 2490, back), (SUZHOU, back + 5, back + 235)]
        stays += [(SHANGHAI, back + 240, back + 250), (SUZHOU, back + 255, back + 485)]
        found = shown(absorb_drift(journey(*stays, (SHANGHAI, back + 490, back + 2500)), neighbours))
        assert len(visit_to(found)) == visits


def test_a_visit_with_flips_needs_a_home_next_door() -> None:
    """Far away nothing is drift, so that nothing is joined; and before N at home nothing is."""
    assert len(visit_to(next_door(place=BEIJING), BEIJING)) == 3
    stays = journey(
        (SHANGHAI, 0, 200), (SUZHOU, 205, 400), (SHANGHAI, 405, 420), (SUZHOU, 425, 640), (SHANGHAI, 645, 660)
    )
    assert absorb_drift(stays, neighbours) == stays


def test_the_limits_of_a_visit_with_flips_follow_n() -> None:
    """What is a visit at N = 4 h is half of one at 8 h, and one of half the length is a visit at 2 h."""
    assert not visit_to(next_door(hours=8.0))
    assert visit_to(next_door(there=300, back=60, hours=8.0))
    assert visit_to(next_door(there=75, back=15, hours=2.0))


def heard(*gaps: int) -> list[Segment]:
    """A timeline of sightings in one place with these gaps."""
    minute, points = 0, [Point(0, SHANGHAI)]
    for gap in gaps:
        minute += gap
        points.append(Point(minute, SHANGHAI))
    return fold(points)


def test_a_rarely_heard_phone_has_a_rhythm() -> None:
    """The median of its silences of 2 to 3.5 h, if there are 24 of them."""
    assert rhythm_min(heard(*[180] * 24)) == 180
    assert rhythm_min(heard(*[180] * 23)) == 120
    assert rhythm_min(heard(*[170] * 12, *[190] * 13)) == 190
    assert rhythm_min(heard(*[211] * 50)) == rhythm_min(heard(*[120] * 50)) == 120


def test_what_speaks_against_a_rhythm() -> None:
    """More silences that are longer; more than a quarter of the time without any."""
    assert rhythm_min(heard(*[180] * 24, *[600] * 24)) == 180
    assert rhythm_min(heard(*[180] * 24, *[600] * 25)) == 120
    assert rhythm_min(heard(*[180] * 24, *[60] * 24)) == 180
    assert rhythm_min(heard(*[180] * 24, *[60] * 25)) == 120


@given(
    st.lists(st.integers(1, 60), min_size=100, max_size=300),
    st.lists(st.integers(121, 210), max_size=23) | st.lists(st.sampled_from([180, 600]), max_size=8),
    st.randoms(use_true_random=False),
)
def test_a_phone_that_is_heard_hourly_never_has_one(
    gaps: list[int], silences: list[int], rng: Random
) -> None:
    """Whatever silences there are among them."""
    gaps = gaps + silences
    rng.shuffle(gaps)
    assert rhythm_min(heard(*gaps)) == 120


@given(sightings(), st.integers(0, 9000), st.sampled_from([120, 150, 210]))
def test_the_parts_of_a_stay_are_the_whole(points: list[Point], edge: int, step_min: int) -> None:
    """Wherever an edge cuts, both sides together have the presence of all."""
    stays, edge = runs(fold(points), step_min), BASE_MIN + edge
    parts = [*clip(stays, 0, edge, step_min), *clip(stays, edge, 2**40, step_min)]
    whole = sum(stay.dwell_min for stay in stays)
    assert sum(stay.dwell_min for stay in parts) == pytest.approx(whole)


def test_drift_needs_the_return_to_the_same_place() -> None:
    """A, B, C is a journey; A, A' with nothing between is a phone that was off."""
    stays = journey((SHANGHAI, 0, 300), (SUZHOU, 310, 370), (BEIJING, 390, 500))
    assert absorb_drift(stays, neighbours) == stays
    stays = journey((SHANGHAI, 0, 300), (SHANGHAI, 1100, 1200), (SHANGHAI, 2000, 2100))
    assert absorb_drift(stays, lambda a, b: True) == stays


@given(sightings())
def test_once_absorbed_nothing_is_left_to_absorb(points: list[Point]) -> None:
    """One pass from left to right reaches the end."""
    once = absorb_drift(runs(fold(points)), lambda a, b: True, 1.0)
    assert absorb_drift(once, lambda a, b: True, 1.0) == once


def test_an_edge_cuts_the_piece_it_lies_in() -> None:
    """Of a segment the part inside counts whole, of a silence the part inside at the rate of that silence."""
    stays = journey((SHANGHAI, 0, 100), (SHANGHAI, 340, 400))  # 4 h of silence, of which 2 count
    assert shown(clip(stays, 50)) == [Stay(SHANGHAI, 50, 400, 230)]
    assert shown(clip(stays, 220, 370)) == [Stay(SHANGHAI, 220, 370, 90)]
    assert shown(clip(stays, 160, 280)) == [Stay(SHANGHAI, 160, 280, 60)]
    assert shown(clip(clip(stays, 160), 0, 280)) == [Stay(SHANGHAI, 160, 280, 60)]


def test_an_edge_cuts_through_what_drift_took_in() -> None:
    """The hour on the neighbour's cells and the silence before it are pieces of the stay at home."""
    stays = journey((SHANGHAI, 0, 300), (SUZHOU, 600, 700), (SHANGHAI, 710, 800))
    home = absorb_drift(stays, neighbours)
    assert shown(clip(home, 650)) == [Stay(SHANGHAI, 650, 800, 150)]
    assert shown(clip(home, 400)) == [Stay(SHANGHAI, 400, 800, 80 + 200)]


def test_the_edges_of_a_clip() -> None:
    """The start is inside, the end is not: a sighting at the end is gone, a stay until the end is whole."""
    stay, moment = journey((SHANGHAI, 0, 100)), journey((SHANGHAI, 100, 100))
    assert shown(clip(stay, 100)) == [Stay(SHANGHAI, 100, 100, 0)]
    assert clip(stay, 101) == []
    assert clip(moment, 0, 100) == []
    assert clip(stay, 0, 100) == stay
    assert clip(moment, 0, 101) == moment
