"""The evaluation of the stay rules in small, so that a change that spoils them is seen at once."""

import pytest

from bench.stays.evaluate import evaluate
from bench.stays.ground import Ground
from bench.stays.populations import KINDS, truth
from location_store.sample.diary import DAY_S, HOUR_S, Leg

PEOPLE = 40
BY_NAME = {kind.name: kind for kind in KINDS}


@pytest.fixture(scope="module")
def ground() -> Ground:
    return Ground(1)


def test_people_live_where_cities_meet(ground: Ground) -> None:
    """At every border each way, on shores, in enclaves; every site within land is in its city."""
    assert len(ground.borders) == sum(len(ground.places.neighbours_of(c.id)) for c in ground.places.cities())
    assert len(ground.shores) == 24
    assert len(ground.enclaves) > 30
    inland = [site for sides in ground.enclaves for site in (*sides.home_sites, *sides.there_sites)]
    found = ground.boundaries.locate(ground.lon[inland], ground.lat[inland])
    assert found.tolist() == ground.place[inland].tolist()


@pytest.mark.parametrize("name", ["border: heavy flips", "border: nights over there", "half days next door"])
def test_no_false_city(ground: Ground, name: str) -> None:
    """For those who live at a border or work half days beyond it."""
    score = evaluate(ground, BY_NAME[name], PEOPLE, seed=1)["4 on"]
    assert (score.people, score.wrongly_named) == (PEOPLE, 0)


@pytest.mark.parametrize(
    ("name", "at_least"),
    [
        ("commuter next door", 40),
        ("visit of 5 to 7 h, 2G", 34),
        ("visit of 7 to 24 h, 2G", 40),
        ("visit of 8 to 24 h, light flips", 37),
    ],
)
def test_true_visits_are_found(ground: Ground, name: str, at_least: int) -> None:
    """By phones that are heard often and rarely, with flips to and fro."""
    score = evaluate(ground, BY_NAME[name], PEOPLE, seed=1)["4 on"]
    assert score.visits == PEOPLE
    assert score.found >= at_least


def test_truth_is_one_presence() -> None:
    """Never a sum; a phone that was off left nothing, but was not heard."""
    hours = [(0, 3, 1), (3, 4, 2), (4, 6, 1), (8, 9, 1)]
    legs = [Leg(begin * HOUR_S, end * HOUR_S, place, ()) for begin, end, place in hours]
    assert truth(legs, 0, DAY_S) == {1: (5.0, 3.0), 2: (1.0, 1.0)}
    assert truth(legs, HOUR_S, 2 * HOUR_S) == {1: (1.0, 1.0)}
