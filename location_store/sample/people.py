"""The kinds of people in the synthetic sample, and how each spends the days.

Invariant: a person follows from its random numbers alone. A stay is either well over or well under the four
hours that make a visit, except where chance on a long way has it otherwise. Called by `sample.write`.
"""

import datetime as dt
import random
from collections.abc import Callable
from typing import NamedTuple

from location_store.places import place_id
from location_store.sample.diary import CAR_KMH, DAY_S, HOUR_S, Diary, Leg
from location_store.sample.terrain import ABROAD, BIG_CITIES, Terrain

_NEAR_KM = 100.0
_SATURDAY = 5


class Person(NamedTuple):
    """A subscriber before he has a number. `since_day`: the number is his from that day of the sample on.

    `registered`: the carrier told us of him.
    """

    kind: str
    legs: list[Leg]
    since_day: int | None = None
    registered: bool = True


class World(NamedTuple):
    """What all people share."""

    terrain: Terrain
    start: dt.date
    days: int
    homes: list[int]
    home_weights: list[float]
    near: list[tuple[int, int]]
    """Neighbours close enough to commute between, each way."""
    borders: list[tuple[int, int]]
    """All neighbours on the mainland, each way."""


def world(terrain: Terrain, start: dt.date, days: int) -> World:
    """Everything the people of `days` days from `start` on have in common."""
    homes = sorted(terrain.people_millions)
    borders = [
        (a, b) for a in homes for b in sorted(terrain.places.neighbours_of(a)) if b in terrain.people_millions
    ]
    near = [(a, b) for a, b in borders if terrain.distance_km(a, b) < _NEAR_KM]
    weights = [terrain.people_millions[home] for home in homes]
    return World(terrain, start, days, homes, weights, near, borders)


def person(world: World, rng: random.Random) -> Person:
    """One person of a kind drawn by its share."""
    live = rng.choices([kind for kind, _ in _KINDS], [share for _, share in _KINDS])[0]
    return live(world, rng)


def _diary(world: World, rng: random.Random, home: int | None = None) -> Diary:
    home = home or rng.choices(world.homes, world.home_weights)[0]
    return Diary(world.terrain, rng, home, world.days * DAY_S)


def _elsewhere(rng: random.Random, here: int) -> int:
    return rng.choice([city for city in map(place_id, BIG_CITIES) if city != here])


def homebody(world: World, rng: random.Random) -> Person:
    """Never leaves the city."""
    diary = _diary(world, rng)
    diary.stay_until(diary.end_s)
    return Person("homebody", diary.legs)


def commuter(world: World, rng: random.Random) -> Person:
    """Works in the next city on weekdays."""
    home, office = rng.choice(world.near)
    diary = _diary(world, rng, home)
    for day in range(world.days):
        if (world.start + dt.timedelta(day)).weekday() < _SATURDAY:
            diary.stay_until(day * DAY_S + rng.uniform(7, 8) * HOUR_S)
            diary.ride(office, CAR_KMH)
            diary.stay_until(day * DAY_S + rng.uniform(17, 18.5) * HOUR_S)
            diary.ride(home, CAR_KMH)
    diary.stay_until(diary.end_s)
    return Person("commuter", diary.legs)


def day_tripper(world: World, rng: random.Random) -> Person:
    """Is in the next city now and then, for an hour."""
    home, next_city = rng.choice(world.near)
    diary = _diary(world, rng, home)
    for day in sorted(rng.sample(range(world.days), min(3, world.days))):
        diary.stay_until(day * DAY_S + rng.uniform(9, 15) * HOUR_S)
        diary.ride(next_city, CAR_KMH)
        diary.stay(rng.uniform(0.7, 1.2))
        diary.ride(home, CAR_KMH)
    diary.stay_until(diary.end_s)
    return Person("day_tripper", diary.legs)


def traveller(world: World, rng: random.Random) -> Person:
    """Goes by train to one or two other cities for some nights each, through all that lie between."""
    diary = _diary(world, rng)
    for _ in range(rng.choice((1, 2))):
        _until_morning(diary, rng.randrange(1, 5))
        diary.ride(_elsewhere(rng, diary.place))
        diary.stay(rng.uniform(20, 70))
        diary.ride(diary.home)
    diary.stay_until(diary.end_s)
    return Person("traveller", diary.legs)


def flyer(world: World, rng: random.Random) -> Person:
    """Goes by air: nothing is seen between."""
    diary = _diary(world, rng)
    _until_morning(diary, rng.randrange(1, 8))
    diary.fly(_elsewhere(rng, diary.place), rng.uniform(1.5, 4))
    diary.stay(rng.uniform(20, 90))
    diary.fly(diary.home, rng.uniform(1.5, 4))
    diary.stay_until(diary.end_s)
    return Person("flyer", diary.legs)


def tourist(world: World, rng: random.Random) -> Person:
    """Three to six cities in a row."""
    diary = _diary(world, rng)
    _until_morning(diary, rng.randrange(1, 3))
    for _ in range(rng.randrange(3, 7)):
        diary.ride(_elsewhere(rng, diary.place))
        diary.stay(rng.uniform(16, 40))
    diary.ride(diary.home)
    diary.stay_until(diary.end_s)
    return Person("tourist", diary.legs)


def roamer(world: World, rng: random.Random) -> Person:
    """Some days abroad, or in Hong Kong, Macau or Taiwan."""
    diary = _diary(world, rng)
    _until_morning(diary, rng.randrange(1, 6))
    diary.fly(place_id(rng.choice(list(ABROAD))), rng.uniform(3, 11))
    diary.stay(rng.uniform(30, 120))
    diary.fly(diary.home, rng.uniform(3, 11))
    diary.stay_until(diary.end_s)
    return Person("roamer", diary.legs)


def border_dweller(world: World, rng: random.Random) -> Person:
    """Never leaves the city, but lives where the neighbour's cells are heard."""
    home, next_city = rng.choice(world.borders)
    diary = _diary(world, rng, home)
    diary.drift_until(diary.end_s, [next_city])
    return Person("border_dweller", diary.legs)


def switched_off(world: World, rng: random.Random) -> Person:
    """Has the phone off for days on end."""
    diary = _diary(world, rng)
    diary.stay(rng.uniform(12, 100))
    diary.switch_off(rng.uniform(20, 150))
    diary.stay_until(diary.end_s)
    return Person("switched_off", diary.legs)


def successor(world: World, rng: random.Random) -> Person:
    """Got a number that somebody else had before, in another city."""
    since_day = rng.randrange(2, max(3, world.days - 2))
    former = _diary(world, rng)
    former.stay_until((since_day - 1) * DAY_S)
    present = _diary(world, rng)
    present.now_s = since_day * DAY_S + 10 * HOUR_S
    present.stay_until(present.end_s)
    return Person("successor", former.legs + present.legs, since_day=since_day)


def unregistered(world: World, rng: random.Random) -> Person:
    """Is seen by the network, but the carrier never sent us his record."""
    return Person("unregistered", homebody(world, rng).legs, registered=False)


def silent(_world: World, _rng: random.Random) -> Person:
    """Has a record and no history at all."""
    return Person("silent", [])


def _until_morning(diary: Diary, days: int) -> None:
    """Stay where one is for so many nights and leave in the morning."""
    diary.stay_until((diary.now_s // DAY_S + days) * DAY_S + diary.rng.uniform(7, 11) * HOUR_S)


_KINDS: list[tuple[Callable[[World, random.Random], Person], float]] = [
    (homebody, 0.44),
    (commuter, 0.12),
    (day_tripper, 0.06),
    (traveller, 0.10),
    (flyer, 0.05),
    (tourist, 0.03),
    (roamer, 0.04),
    (border_dweller, 0.07),
    (switched_off, 0.04),
    (successor, 0.01),
    (unregistered, 0.01),
    (silent, 0.03),
]
