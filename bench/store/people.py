"""Who the subscribers of the benches are: where they live, when they are elsewhere, how often they are heard.

Invariant: a block's people follow from the seed and the block's number alone, so any part of the population
can be made by itself. Called by `population`, whose docstring gives the shares and their sources.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from location_store.places import Places, place_id
from location_store.sample.terrain import ABROAD, BIG_CITIES

BLOCK: Final = 16_384
"""Subscribers that are made together."""
DAY_S: Final = 86_400
HOUR_S: Final = 3600
FORTNIGHT_S: Final = 14 * DAY_S
TRIPS_A_FORTNIGHT: Final = 2

HOMEBODY, COMMUTER, DAY_TRIPPER, TRAVELLER, FLIPPER, ABROAD_TRIP, SILENT_DAYS = range(7)
SHARES: Final = (0.73, 0.05, 0.06, 0.115, 0.01, 0.015, 0.02)
"""Of the kinds in this order."""
OFF_AT_NIGHT_SHARE: Final = 0.04

NO_PLACE: Final = 0
"""In a trip: the phone is off."""

Floats = npt.NDArray[np.float64]
Places16 = npt.NDArray[np.uint16]


class Land(NamedTuple):
    """cities: place ids, drawn by `weight`. neighbours: for each a row of neighbours (itself where it has
    none). abroad: place ids of countries. visited: places that travellers go to.
    """

    cities: Places16
    weight: Floats
    neighbours: Places16
    neighbour_count: npt.NDArray[np.int64]
    abroad: Places16
    visited: Places16


def land(places: Places) -> Land:
    """The real cities and pairs of neighbours; big cities by their inhabitants, 2.5 million in each other."""
    cities = [city for city in places.cities() if places.neighbours_of(city.id)]
    millions = np.array([BIG_CITIES.get(city.code, (0, 0, 2.5))[2] for city in cities])
    near = [sorted(places.neighbours_of(city.id)) for city in cities]
    table = np.zeros((len(cities), max(map(len, near))), np.uint16)
    for row, ids in zip(table, near, strict=True):
        row[: len(ids)] = ids
    return Land(
        np.array([city.id for city in cities], np.uint16),
        millions / millions.sum(),
        table,
        np.array([len(ids) for ids in near]),
        np.array([place_id(code) for code in ABROAD], np.uint16),
        np.array([place_id(code) for code in BIG_CITIES], np.uint16),
    )


class People(NamedTuple):
    """One block, an entry a person; times in seconds since the population's first (local) midnight.

    second: the neighbouring city of commuters, day trippers and flippers. leave_s, return_s: of the day.
    off_from_s, off_to_s: of the day, equal where the phone stays on. trip_*: rows of trips by time; a trip
    to NO_PLACE is silence. join_s, gone_s: the number's first and last moment.
    """

    kind: npt.NDArray[np.uint8]
    home: Places16
    second: Places16
    phase_s: Floats
    period_s: Floats
    extra_per_hour: Floats
    leave_s: Floats
    return_s: Floats
    off_from_s: Floats
    off_to_s: Floats
    trip_begin_s: Floats
    trip_end_s: Floats
    trip_place: Places16
    join_s: Floats
    gone_s: Floats


def people(
    land: Land,
    rng: np.random.Generator,
    *,
    days: int,
    extra_per_day: float,
    joining: npt.NDArray[np.bool_],
    churn: float,
) -> People:
    """One block. `joining`: who gets his number only during the days; `churn`: share that leaves each day."""
    n = BLOCK
    kind = rng.choice(len(SHARES), n, p=np.array(SHARES) / sum(SHARES)).astype(np.uint8)
    home_row = rng.choice(land.cities.size, n, p=land.weight)
    second = land.neighbours[home_row, rng.integers(0, land.neighbour_count[home_row])]
    trips = -(-days // 14) * TRIPS_A_FORTNIGHT
    begin, end, place = _trips(land, rng, kind, second, trips)
    off = rng.random(n) < OFF_AT_NIGHT_SHARE
    off_from = rng.uniform(22.5, 23.9, n) * HOUR_S
    horizon_s = float(days * DAY_S)
    return People(
        kind,
        land.cities[home_row],
        second,
        rng.uniform(0, 60 * 60, n),
        rng.uniform(54 * 60, 60 * 60, n),
        # few people make most of the calls: a gamma distribution of shape 1.5 around the mean
        rng.gamma(1.5, extra_per_day / 24 / 1.5, n),
        rng.uniform(6.8, 8.5, n) * HOUR_S,
        rng.uniform(17, 19.5, n) * HOUR_S,
        off_from,
        np.where(off, rng.uniform(6, 8, n) * HOUR_S, off_from),
        begin,
        end,
        place,
        np.where(joining, rng.uniform(0, horizon_s, n), 0.0),
        rng.exponential(DAY_S / churn, n) if churn else np.full(n, np.inf),
    )


def _trips(
    land: Land, rng: np.random.Generator, kind: npt.NDArray[np.uint8], second: Places16, trips: int
) -> tuple[Floats, Floats, Places16]:
    """Up to two trips a fortnight: of an afternoon next door, some nights in a big city, days abroad, or
    with the phone off.
    """
    shape = (kind.size, trips)
    fortnight = np.arange(trips) // TRIPS_A_FORTNIGHT * FORTNIGHT_S
    half = np.arange(trips) % TRIPS_A_FORTNIGHT * (FORTNIGHT_S // TRIPS_A_FORTNIGHT)
    day = np.floor(rng.uniform(0, 3, shape)) * DAY_S
    begin = fortnight + half + day + rng.uniform(7, 15, shape) * HOUR_S
    length = np.zeros(shape)
    place = np.zeros(shape, np.uint16)
    for who, low, high, there in (
        (DAY_TRIPPER, 3, 8, None),
        (TRAVELLER, 12, 72, land.visited),
        (ABROAD_TRIP, 48, 120, land.abroad),
        (SILENT_DAYS, 14, 80, np.array([NO_PLACE], np.uint16)),
    ):
        rows = np.flatnonzero(kind == who)
        length[rows] = rng.uniform(low, high, (rows.size, trips)) * HOUR_S
        drawn = second[rows, None] if there is None else rng.choice(there, (rows.size, trips))
        place[rows] = drawn
    # who goes far goes once in a fortnight as a rule
    once = np.isin(kind, (TRAVELLER, ABROAD_TRIP, SILENT_DAYS))[:, None] & (
        np.arange(trips) % TRIPS_A_FORTNIGHT == 1
    )
    skipped = (length == 0) | (once & (rng.random(shape) < 0.7))
    begin[skipped] = np.inf
    return begin, np.where(skipped, -np.inf, begin + length), place
