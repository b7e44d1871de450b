"""The people of the evaluation, kind by kind: where they truly are, and where their phones may be heard.

Invariant: a trace follows from its seed alone; legs follow one another and do not overlap, and what lies
between two of them is a phone that is off. Called by `evaluate`.

Two kinds of flips, both to and fro across a border without any movement. *Light*: 10 to 80 minutes away, then
0.7 h and 5 h more on average at home. *Heavy*: from minutes to 3 h 45 min away (half of them over 30 min),
then 0.3 h and 2.5 h more on average. A visit next door sees the same, mirrored.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from bench.stays.ground import Ground, Sides
from location_store.places import place_id
from location_store.sample.diary import CAR_KMH, DAY_S, HOUR_S, TRAIN_KMH, Diary, Leg
from location_store.sample.terrain import ABROAD

DAYS: Final = 15
"""Whole days that are lived through: the window is the last 14 of them, and the query comes at 10:00 then."""
END_S: Final = DAYS * DAY_S + 10 * HOUR_S
SLOW_TRAIN_KMH: Final = 90


class Phone(NamedTuple):
    """How often a phone is heard: by its clock, a day and a night hour by chance, and at each change of area.

    A clock of 54 min is the idle phone's (timer T3412 of 3GPP TS 24.301), of 3 h a 2G phone's (T3212 of TS
    24.008, as many networks set it), whose changes of area the source does not give.
    """

    clock_s: float
    jitter_s: float
    extra_per_day_hour: float
    extra_per_night_hour: float
    area_changes: bool


IDLE: Final = Phone(54 * 60, 0, 0.3, 0.3, area_changes=True)
BUSY: Final = Phone(54 * 60, 0, 6, 0, area_changes=True)
HOURLY: Final = Phone(60 * 60, 30, 0, 0, area_changes=False)
SPARSE: Final = Phone(180 * 60, 60, 0.05, 0, area_changes=False)


class Trace(NamedTuple):
    """One person: home, the truth (legs) and how the phone is heard."""

    home: int
    legs: Sequence[Leg]
    phone: Phone


Group = Literal["at a border", "at a border, changes unheard", "across water", "other", "next door", "flips"]


class Kind(NamedTuple):
    """A kind of people. at: where each of them lives, in turn.

    group: dwellers at a border on land, whose phones are heard at each change of area or are not; at a shore;
    visitors next door, without flips and with them; all others.
    """

    group: Group
    name: str
    live: Callable[["Life"], None]
    at: str = "borders"
    phone: Phone | None = None


class Life(Diary):
    """A diary at a border, in an enclave or on a shore."""

    def __init__(self, ground: Ground, rng: random.Random, sides: Sides) -> None:
        super().__init__(ground.terrain, rng, sides.home, END_S)
        self.ground = ground
        self.sides = sides

    def be(self, hours: float, place: int, sites: tuple[int, ...]) -> None:
        """So long truly in `place`, heard at `sites`."""
        self._leg(self.now_s + hours * HOUR_S, place, sites)

    def flip(self, until_s: float, *, heavy: bool = False, away: bool = False) -> None:
        """At the border at home (away: on the other side), flipping over."""
        rng, sides, until_s = self.rng, self.sides, min(until_s, self.end_s)
        own, others = (sides.there_sites, sides.home_sites) if away else (sides.home_sites, sides.there_sites)
        place = sides.there if away else sides.home
        while self.now_s < until_s:
            left_h = (until_s - self.now_s) / HOUR_S
            stay_h = 0.3 + rng.expovariate(1 / 2.5) if heavy else 0.7 + rng.expovariate(1 / 5)
            self.be(min(left_h, stay_h), place, own)
            left_h = (until_s - self.now_s) / HOUR_S
            if left_h > 0:
                self.be(min(left_h, _heavy(rng) if heavy else rng.uniform(10, 80) / 60), place, others)

    def home_until(self, until_s: float) -> None:
        """Deep in the home city, where no other is heard."""
        self.place = self.sides.home
        if self.sides.home in self.ground.terrain.people_millions:
            self.stay_until(until_s)
        else:
            self._leg(until_s, self.sides.home, self.sides.home_sites)

    def next_door(self, hours: float) -> None:
        """Over the border, to a spot where only the other side is heard."""
        self.be(hours, self.sides.there, self.sides.there_sites)

    def mornings(self, step: int) -> list[float]:
        """A time between 8:00 and 12:00 on every `step`th day."""
        return [day * DAY_S + self.rng.uniform(8, 12) * HOUR_S for day in range(2, DAYS - 1, step)]


def _heavy(rng: random.Random) -> float:
    """Hours: log-normal around 30 min, from 2 min to 3 h 45 min."""
    while True:
        hours = 0.5 * rng.lognormvariate(0, 1.1)
        if 2 / 60 <= hours <= 3.75:
            return hours


def _homebody(life: Life) -> None:
    life.home_until(END_S)


def _light(life: Life) -> None:
    life.flip(END_S)


def _heavily(life: Life) -> None:
    life.flip(END_S, heavy=True)


def _nights(life: Life) -> None:
    """The bed is nearer to the other side's mast: by night 1 to 3.5 h there, half an hour to 2 h here."""
    rng = life.rng
    for day in range(DAYS + 1):
        life.home_until(day * DAY_S + rng.uniform(21, 23) * HOUR_S)
        until_s = (day + 1) * DAY_S + rng.uniform(6, 8) * HOUR_S
        while life.now_s < min(until_s, END_S):
            life.be(rng.uniform(1, 3.5), life.sides.home, life.sides.there_sites)
            life.be(rng.uniform(0.5, 2), life.sides.home, life.sides.home_sites)


def _corner(life: Life) -> None:
    """Where three cities or more meet: every flip may be to another of them."""
    rng, home = life.rng, life.sides.home
    others = [each for each in life.ground.borders if each.home == home]
    while life.now_s < END_S:
        life.be(0.5 + rng.expovariate(1 / 4), home, life.sides.home_sites)
        for _ in range(rng.choice((1, 1, 2))):
            life.be(rng.uniform(10, 100) / 60, home, rng.choice(others).there_sites)


def _off_at_the_border(life: Life) -> None:
    """Flips heavily, and switches off every night, longer than 12 h sometimes."""
    rng = life.rng
    for day in range(DAYS + 1):
        life.flip(day * DAY_S + rng.uniform(20, 23) * HOUR_S, heavy=True)
        life.now_s = max(life.now_s, (day + 1) * DAY_S + rng.uniform(6, 10) * HOUR_S)


def _new_there(life: Life) -> None:
    """Moved to the border, with a new number, on one of the last three days: no habit can be known yet."""
    life.now_s = life.rng.uniform(12, 14.5) * DAY_S
    if life.rng.random() < 0.5:
        life.home_until(life.now_s + life.rng.uniform(0, 12) * HOUR_S)
    life.flip(END_S, heavy=True)


def _to_and_fro(life: Life) -> None:
    """Crosses the border two to five times on one or two days, half an hour to two hours there each time."""
    for start_s in sorted(life.rng.sample(life.mornings(1), life.rng.choice((1, 2)))):
        life.home_until(start_s)
        for _ in range(life.rng.randrange(2, 6)):
            life.next_door(life.rng.uniform(0.5, 2))
            life.be(life.rng.uniform(0.3, 1.5), life.sides.home, life.sides.home_sites)
    life.home_until(END_S)


def _commuter(life: Life) -> None:
    for day in range(DAYS):
        life.home_until(day * DAY_S + life.rng.uniform(7, 8) * HOUR_S)
        life.next_door(life.rng.uniform(9.2, 10.5))
    life.home_until(END_S)


def _half_days(life: Life) -> None:
    """Works next door from morning to noon and after an hour or two at home again, under 3 h each time."""
    for start_s in life.mornings(1):
        life.home_until(start_s)
        life.next_door(life.rng.uniform(1.5, 2.9))
        life.be(life.rng.uniform(0.8, 2), life.sides.home, life.sides.home_sites)
        life.next_door(life.rng.uniform(1.5, 2.9))
    life.home_until(END_S)


def _short_trips(life: Life) -> None:
    for start_s in life.mornings(2):
        life.home_until(start_s)
        life.next_door(life.rng.uniform(0.2, 3))
    life.home_until(END_S)


def _train(life: Life, speed_kmh: int) -> None:
    for start_s in life.mornings(3):
        life.home_until(start_s)
        for to in (life.ground.big_city(life.rng, life.sides.home), life.sides.home):
            life.ride(to, speed_kmh)
            if to != life.sides.home:
                life.stay(life.rng.uniform(20, 40))
    life.home_until(END_S)


def _flight(life: Life) -> None:
    """By air with a change of planes, an hour or two on the ground of a third city."""
    for start_s in life.mornings(4):
        life.home_until(start_s)
        for _ in range(2):
            life.fly(life.ground.big_city(life.rng, life.place), life.rng.uniform(1, 4))
            life.stay(life.rng.uniform(0.5, 2))
            life.fly(life.ground.big_city(life.rng, life.place), life.rng.uniform(1, 4))
            life.stay(life.rng.uniform(10, 30))
        life.fly(life.sides.home, life.rng.uniform(1, 4))
    life.home_until(END_S)


def _abroad(life: Life) -> None:
    life.home_until(life.mornings(1)[life.rng.randrange(5)])
    life.fly(place_id(life.rng.choice(list(ABROAD))), life.rng.uniform(3, 11))
    life.stay(life.rng.uniform(4.5, 100))
    life.fly(life.sides.home, life.rng.uniform(3, 11))
    life.home_until(END_S)


def _off(life: Life) -> None:
    """Nights switched off, and a battery that dies for up to three days; visits next door meanwhile."""
    rng = life.rng
    for day in range(DAYS + 1):
        life.home_until(day * DAY_S + rng.uniform(12, 14) * HOUR_S)
        if day % 3 == 1:
            life.next_door(rng.uniform(6, 9))
        life.home_until(day * DAY_S + 23 * HOUR_S)
        off_h = rng.uniform(24, 72) if rng.random() < 0.05 else rng.uniform(6, 10)
        life.now_s = max(life.now_s, day * DAY_S + (23 + off_h) * HOUR_S)


def _visit(
    low_h: float, high_h: float, *, flips: str = "", flips_at_home: str = ""
) -> Callable[[Life], None]:
    """One visit next door in the fortnight, with light or heavy flips meanwhile; and at home as well."""

    def live(life: Life) -> None:
        until_s = life.rng.uniform(2.3, 12.8) * DAY_S
        _at_home(life, until_s, flips_at_home)
        hours = life.rng.uniform(low_h, high_h)
        if flips:
            life.flip(life.now_s + hours * HOUR_S, heavy=flips == "heavy", away=True)
        else:
            life.next_door(hours)
        _at_home(life, END_S, flips_at_home)

    return live


def _at_home(life: Life, until_s: float, flips: str) -> None:
    if flips:
        life.flip(until_s, heavy=flips == "heavy")
    else:
        life.home_until(until_s)


def _ferry(life: Life) -> None:
    """From an island to a big city by water, an hour or three unheard, and back the next day."""
    for start_s in life.mornings(4):
        life.home_until(start_s)
        life.fly(life.ground.big_city(life.rng, life.sides.home), life.rng.uniform(1, 3))
        life.stay(life.rng.uniform(5, 30))
        life.fly(life.sides.home, life.rng.uniform(1, 3))
    life.home_until(END_S)


KINDS: Final = (
    Kind("at a border", "border: light flips", _light),
    Kind("at a border", "border: heavy flips", _heavily),
    Kind("at a border", "border: nights over there", _nights),
    Kind("at a border", "border: three cities meet", _corner),
    Kind("at a border", "border: off at night", _off_at_the_border),
    Kind("at a border", "border: heavy, new number", _new_there),
    Kind("at a border", "enclave: heavy flips", _heavily, "enclaves"),
    Kind("at a border, changes unheard", "border: light, heard hourly", _light, phone=HOURLY),
    Kind("at a border, changes unheard", "border: heavy, heard hourly", _heavily, phone=HOURLY),
    Kind("at a border, changes unheard", "border: light, 3-hourly 2G", _light, phone=SPARSE),
    Kind("across water", "port: across the water", _light, "shores"),
    Kind("across water", "port: heavy flips", _heavily, "shores"),
    Kind("other", "homebody", _homebody),
    Kind("other", "homebody, 3-hourly 2G", _homebody, phone=SPARSE),
    Kind("other", "commuter next door", _commuter),
    Kind("other", "half days next door", _half_days),
    Kind("other", "to and fro on one day", _to_and_fro),
    Kind("other", "trips of 0.2 to 3 h", _short_trips),
    Kind("other", "trips of 0.2 to 3 h, 2G", _short_trips, phone=SPARSE),
    Kind("other", "trip of 3 to 3.9 h", _visit(3, 3.9)),
    Kind("other", "fast train", lambda life: _train(life, TRAIN_KMH), "mainland"),
    Kind("other", "slow train", lambda life: _train(life, SLOW_TRAIN_KMH), "mainland"),
    Kind("other", "road", lambda life: _train(life, CAR_KMH), "mainland", BUSY),
    Kind("other", "flight", _flight, "mainland"),
    Kind("other", "abroad", _abroad, "mainland"),
    Kind("other", "island, by ferry", _ferry, "islands"),
    Kind("other", "phone off", _off),
    Kind("next door", "visit of 4.1 to 8 h", _visit(4.1, 8)),
    Kind("next door", "visit of 4.1 to 8 h, hourly", _visit(4.1, 8), phone=HOURLY),
    Kind("next door", "visit of 7 to 24 h, 2G", _visit(7, 24), phone=SPARSE),
    Kind("next door", "visit of 5 to 7 h, 2G", _visit(5, 7), phone=SPARSE),
    Kind("flips", "visit of 8 to 24 h, light flips", _visit(8, 24, flips="light")),
    Kind("flips", "visit to an enclave, light flips", _visit(8, 24, flips="light"), "enclaves"),
    Kind("flips", "visit of 4.1 to 8 h, light flips", _visit(4.1, 8, flips="light")),
    Kind("flips", "visit of 8 to 24 h, heavy flips", _visit(8, 24, flips="heavy")),
    Kind("flips", "visit of 8 to 24 h, light at both", _visit(8, 24, flips="light", flips_at_home="light")),
    Kind("flips", "visit of 8 to 24 h, heavy at both", _visit(8, 24, flips="heavy", flips_at_home="heavy")),
)


def people(ground: Ground, kind: Kind, count: int, seed: int) -> list[Trace]:
    """`count` people of a kind, at one border after the other; 0: as many as there are borders.

    Those without a phone of their kind have in turn one that is idle and one that is busy by day.
    """
    if kind.at == "islands":
        spots = [Sides(home, home, *2 * (tuple(ground.terrain.sites_of(home)),)) for home in ground.islands]
    else:
        spots = list(getattr(ground, kind.at))
    random.Random(seed).shuffle(spots)
    traces = []
    for number in range(count or len(ground.borders)):
        rng = random.Random(f"{seed}:{kind.name}:{number}")
        life = Life(ground, rng, spots[number % len(spots)])
        kind.live(life)
        phone = kind.phone or (IDLE, BUSY)[number % 2]
        traces.append(Trace(life.sides.home, life.legs, phone))
    return traces


def truth(legs: Sequence[Leg], start_s: float, end_s: float) -> dict[int, tuple[float, float]]:
    """Of each place the longest presence in [start_s, end_s): hours in it, and hours with the phone on.

    From the diary, never from a sighting. A phone that is off in one place did not leave it.
    """
    longest: dict[int, tuple[float, float]] = {}
    place, begin_s, on_s = 0, 0.0, 0.0
    for leg in legs:
        first_s, last_s = max(leg.start_s, start_s), min(leg.end_s, end_s)
        if first_s >= last_s:
            continue
        if leg.place != place:
            place, begin_s, on_s = leg.place, first_s, 0.0
        on_s += last_s - first_s
        whole_h, on_h = longest.get(place, (0.0, 0.0))
        longest[place] = max(whole_h, (last_s - begin_s) / HOUR_S), max(on_h, on_s / HOUR_S)
    return longest
