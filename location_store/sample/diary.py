"""One person's days in the synthetic sample, told move by move.

Invariant: legs follow one another and do not overlap; each says where the person truly is and which sites his
phone may camp on meanwhile, which at a border are not always of the same city. Times are seconds since the
midnight that begins the sample. Called by `people` and `stories`.
"""

import random
from collections.abc import Sequence
from typing import Final, NamedTuple

from location_store.sample.terrain import STEP_S, Terrain

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
TRAIN_KMH: Final = 250
CAR_KMH: Final = 100
VISIT_S: Final = 4 * HOUR_S
"""A continuous presence from here on is a visit (stay_hours of the shipped carriers)."""
_SILENCE_S = 2 * HOUR_S
_WORK_STARTS_H, _WORK_ENDS_H = 8.5, 18.0


class Leg(NamedTuple):
    """A time in one place. `place`: where the person truly is; `sites`: where the phone may be seen."""

    start_s: float
    end_s: float
    place: int
    sites: tuple[int, ...]


class Diary:
    """The legs of one person, from the midnight that begins the sample to `end_s`."""

    def __init__(self, terrain: Terrain, rng: random.Random, home: int, end_s: float) -> None:
        self.terrain = terrain
        self.rng = rng
        self.home = home
        self.place = home
        self.now_s = 0.0
        self.end_s = end_s
        self.legs: list[Leg] = []
        self._known: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def stay_until(self, until_s: float) -> None:
        """Live in the present city: nights at one spot, working hours at another."""
        night, work = self._spots(self.place)
        until_s = min(until_s, self.end_s)
        while self.now_s < until_s:
            midnight_s = self.now_s // DAY_S * DAY_S
            hour = (self.now_s - midnight_s) / HOUR_S
            working = _WORK_STARTS_H <= hour < _WORK_ENDS_H
            next_h = _WORK_ENDS_H if working else _WORK_STARTS_H + (24 if hour >= _WORK_ENDS_H else 0)
            self._leg(min(until_s, midnight_s + next_h * HOUR_S), self.place, work if working else night)

    def stay(self, hours: float) -> None:
        """Live in the present city for so long."""
        self.stay_until(self.now_s + hours * HOUR_S)

    def ride(self, to: int, speed_kmh: int = TRAIN_KMH) -> None:
        """Go over land to another mainland city; the phone is seen in those on the way."""
        for site in self.terrain.route(self.place, to, speed_kmh):
            self._leg(self.now_s + STEP_S, int(self.terrain.place[site]), (site,))
        self.place = to

    def fly(self, to: int, hours: float) -> None:
        """Go to another city or country with the phone switched off on the way."""
        self.switch_off(hours)
        self.place = to

    def switch_off(self, hours: float) -> None:
        """Not seen anywhere for so long."""
        self.now_s += hours * HOUR_S

    def drift_until(self, until_s: float, neighbours: Sequence[int]) -> None:
        """Stay at home on the border while the phone now and then camps on a neighbour's cells."""
        until_s = min(until_s, self.end_s)
        own = {there: tuple(self.terrain.border(self.place, there)[0]) for there in neighbours}
        spots = tuple(dict.fromkeys(site for sites in own.values() for site in sites))
        established_s = 6 * HOUR_S
        self._leg(min(until_s, self.now_s + established_s), self.place, spots)
        while self.now_s < until_s:
            there = self.rng.choice(neighbours)
            away_s = self.rng.uniform(10, 80) * 60
            self._leg(
                min(until_s, self.now_s + away_s),
                self.place,
                tuple(self.terrain.border(self.place, there)[1]),
            )
            back_s = (0.7 + self.rng.expovariate(1 / 5)) * HOUR_S
            self._leg(min(until_s, self.now_s + back_s), self.place, spots)

    def _leg(self, end_s: float, place: int, sites: tuple[int, ...]) -> None:
        end_s = min(end_s, self.end_s)
        if end_s > self.now_s:
            self.legs.append(Leg(self.now_s, end_s, place, sites))
            self.now_s = end_s

    def _spots(self, place: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The sites around the bed and around the desk of this person in a city."""
        if place not in self._known:
            sites = self.terrain.sites_of(place)
            self._known[place] = (
                tuple(self.rng.choices(sites, k=min(3, len(sites)))),
                tuple(self.rng.choices(sites, k=min(3, len(sites)))),
            )
        return self._known[place]


def visited(legs: Sequence[Leg], start_s: float) -> list[int]:
    """The places truly visited at or after `start_s`, most recent first.

    Visited: VISIT_S without leaving it or switching off. This is the sample's truth, found from the diary and
    not from any sighting.
    """
    last: dict[int, float] = {}
    counted: set[int] = set()
    begin_s, end_s, place = 0.0, 0.0, 0
    for leg in legs:
        if leg.end_s <= start_s:
            continue
        if leg.place != place or leg.start_s - end_s > _SILENCE_S:
            begin_s, place = max(leg.start_s, start_s), leg.place
        end_s = leg.end_s
        last[place] = end_s
        if end_s - begin_s >= VISIT_S:
            counted.add(place)
    return sorted(counted, key=lambda place: last[place], reverse=True)
