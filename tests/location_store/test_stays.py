"""location_store.stays: sightings to stays, border drift, clipping."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from location_store.stays import Point, Stay, absorb_drift, clip, fold
from tests.location_store.histories import sightings

SHANGHAI, SUZHOU, BEIJING = 3100, 3205, 1100
NEXT_TO = {(SHANGHAI, SUZHOU), (SUZHOU, SHANGHAI)}


def neighbours(a: int, b: int) -> bool:
    return (a, b) in NEXT_TO


def test_a_run_of_sightings_is_one_stay() -> None:
    """Dwell is the time between first and last sighting while none is missing for long."""
    assert fold([Point(m, SHANGHAI) for m in (0, 60, 120, 200)]) == [Stay(SHANGHAI, 0, 200, 200)]


def test_a_silence_counts_for_two_hours_at_most() -> None:
    """A gap of 121 minutes adds 120."""
    assert fold([Point(0, SHANGHAI), Point(120, SHANGHAI)]) == [Stay(SHANGHAI, 0, 120, 120)]
    assert fold([Point(0, SHANGHAI), Point(121, SHANGHAI)]) == [Stay(SHANGHAI, 0, 121, 120)]


def test_a_silence_over_twelve_hours_starts_a_new_stay() -> None:
    """720 minutes still join, 721 do not."""
    assert fold([Point(0, SHANGHAI), Point(720, SHANGHAI)]) == [Stay(SHANGHAI, 0, 720, 120)]
    assert fold([Point(0, SHANGHAI), Point(721, SHANGHAI)]) == [
        Stay(SHANGHAI, 0, 0, 0),
        Stay(SHANGHAI, 721, 721, 0),
    ]


def test_another_place_ends_the_stay() -> None:
    """The time between two places belongs to neither."""
    points = [Point(0, SHANGHAI), Point(50, SHANGHAI), Point(90, BEIJING), Point(100, SHANGHAI)]
    assert fold(points) == [Stay(SHANGHAI, 0, 50, 50), Stay(BEIJING, 90, 90, 0), Stay(SHANGHAI, 100, 100, 0)]


@given(sightings(), st.randoms())
def test_order_and_duplicates_change_nothing(points: list[Point], random: object) -> None:
    """A shuffled list with everything twice folds to the same stays."""
    shuffled = points * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis types its Random as object
    assert fold(shuffled) == fold(points)


@given(sightings(), st.integers(0, 60))
def test_a_fold_can_be_interrupted(points: list[Point], cut: int) -> None:
    """Settled stays are gone on with as if they had never been put away."""
    distinct = sorted(set(points))
    assert fold(distinct[cut:], fold(distinct[:cut])) == fold(points)


@given(sightings())
def test_stays_are_in_order_and_hold_no_more_than_their_length(points: list[Point]) -> None:
    """The invariant of every list of stays, also after drift and clipping."""
    stays = fold(points)
    for some in (stays, absorb_drift(stays, lambda a, b: True), clip(stays, 5_000_000, 29_200_000)):
        assert all(0 <= s.dwell_min <= s.last_min - s.first_min for s in some)
        assert all(a.last_min <= b.first_min for a, b in pairwise(some))


def test_border_drift_is_absorbed() -> None:
    """Home, an hour on the neighbour's cell, home again: one stay, with both gaps."""
    stays = [Stay(SHANGHAI, 0, 300, 300), Stay(SUZHOU, 310, 370, 60), Stay(SHANGHAI, 390, 500, 110)]
    assert absorb_drift(stays, neighbours) == [Stay(SHANGHAI, 0, 500, 500)]


def test_many_flips_collapse() -> None:
    """To and fro a whole night is one stay at home."""
    stays = [Stay(SHANGHAI, 0, 300, 300)]
    for start in range(310, 910, 20):
        stays += [Stay(SUZHOU, start, start + 5, 5), Stay(SHANGHAI, start + 10, start + 15, 5)]
    assert absorb_drift(stays, neighbours) == [Stay(SHANGHAI, 0, 905, 905)]


def drifted(a: int = 240, b: int = 239, away: int = 720, place: int = SUZHOU, hours: float = 4.0) -> bool:
    first = Stay(SHANGHAI, 1000 - a, 1000, a)
    middle = Stay(place, 1001, 1001 + b, b)
    back = Stay(SHANGHAI, 1000 + away, 1100 + away, 100)
    return len(absorb_drift([first, middle, back], neighbours, hours)) == 1


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


def test_drift_needs_the_return_to_the_same_place() -> None:
    """A, B, C is a journey; A, A' with nothing between is a phone that was off."""
    stays = [Stay(SHANGHAI, 0, 300, 300), Stay(SUZHOU, 310, 370, 60), Stay(BEIJING, 390, 500, 110)]
    assert absorb_drift(stays, neighbours) == stays
    stays = [Stay(SHANGHAI, 0, 300, 300), Stay(SHANGHAI, 1100, 1200, 100), Stay(SHANGHAI, 2000, 2100, 100)]
    assert absorb_drift(stays, lambda a, b: True) == stays


@given(sightings())
def test_once_absorbed_nothing_is_left_to_absorb(points: list[Point]) -> None:
    """One pass from left to right reaches the end."""
    once = absorb_drift(fold(points), lambda a, b: True, 1.0)
    assert absorb_drift(once, lambda a, b: True, 1.0) == once


def test_clipping_cuts_length_and_dwell() -> None:
    """A gapless stay keeps exactly the minutes inside; one with silences its share."""
    assert clip([Stay(SHANGHAI, 0, 600, 600)], 100, 400) == [Stay(SHANGHAI, 100, 400, 300)]
    assert clip([Stay(SHANGHAI, 0, 600, 300)], 300) == [Stay(SHANGHAI, 300, 600, 150)]


def test_the_edges_of_a_clip() -> None:
    """The start is inside, the end is not: a sighting at the end is gone, a stay until the end is whole."""
    assert clip([Stay(SHANGHAI, 0, 100, 100)], 100) == [Stay(SHANGHAI, 100, 100, 0)]
    assert clip([Stay(SHANGHAI, 0, 100, 100)], 101) == []
    assert clip([Stay(SHANGHAI, 100, 100, 0)], 0, 100) == []
    assert clip([Stay(SHANGHAI, 0, 100, 100)], 0, 100) == [Stay(SHANGHAI, 0, 100, 100)]
    assert clip([Stay(SHANGHAI, 99, 99, 0)], 0, 100) == [Stay(SHANGHAI, 99, 99, 0)]
