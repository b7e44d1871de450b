"""Realistic sightings for the benches, made by columns: any hours of any subscribers, by the seed alone.

What is realistic, and from where:
- An idle phone is heard about hourly: each has a periodic update of its own, every 54 to 60 min (T3412 of
  3GPP TS 24.301 is 54 min by default), 25 a day. Calls, data and movement come on top, more by day than by
  night, unevenly among people (gamma, shape 1.5), so that the mean is 34 a day (docs/scale.md: the published
  figures are "at least 24" for an idle phone and 300 to 500 in busy networks). `poisson`: 34 a day at random
  times, without any periodic update, so that silences over 2 h are many: the worst case. `busy`: 300 a day.
- 73 % stay in one city, 5 % commute to the next one on weekdays, 6 % are there for an afternoon now and
  then, 11.5 % travel for some nights to a big city, 1.5 % go abroad, 2 % have the phone off for days; 1 %
  live on a border and camp on the neighbour's cells 12 % of the hours; 4 % switch off at night. A phone is
  heard at each change of city. Cities and neighbours are those of `config/places`.
- As from a real feed, 3 % of the rows are late (10 min on average, under 2 h), 1 % come twice.
- With `churn`, that share of numbers leaves a day, and as many new ones appear.

Invariant: same arguments, same rows, whether made hour by hour (`hours`: all subscribers, in the order of
arrival) or block by block (`block`: all hours of 16,384 subscribers). Called by the benches of the store.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from bench.store import people as kinds
from bench.store.people import BLOCK, DAY_S, HOUR_S, Land, People, land, people
from location_store.places import Places
from location_store.sample.terrain import ABROAD

Kind = Literal["idle", "poisson", "busy"]
PER_DAY: Final = {"idle": 34.0, "poisson": 34.0, "busy": 300.0}
_PERIODIC_PER_DAY: Final = 25.3  # a period of 54 to 60 min, the mean of its inverse
LATE_SHARE, LATE_MEAN_S, LATE_MAX_S = 0.03, 600, 6900
REPEATED_SHARE, REPEATED_WITHIN_S = 0.01, 60
FLIP_SHARE: Final = 0.12
_MONDAY_S: Final = 4 * DAY_S  # 1970-01-01 was a Thursday
_UTC8_S: Final = 8 * HOUR_S
_BY_HOUR = np.array([3, 2, 1, 1, 1, 2, 5, 8, 10, 11, 11, 12, 11, 10, 10, 10, 11, 12, 12, 12, 11, 9, 7, 5])
_DIURNAL: Final = _BY_HOUR / _BY_HOUR.mean()
_BUSIEST: Final = 2.0  # a cap for 300 a day
_NUMBERS: Final = 7 * 10**9  # 861[3-9] and nine digits
_STRIDE: Final = 4_236_067_977  # without a factor 2, 5 or 7: it visits each number once
NETWORKS: Final = np.array([0, 1, 11], np.int64)
"""Mobile network codes of the three carriers (country code 460)."""

Ints = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Sightings as columns, in the order of arrival. owner: number of the subscriber; place: id (u16)."""

    owner: Ints
    time_s: Ints
    place: npt.NDArray[np.uint16]
    arrival_s: Ints


class Population:
    """`subscribers` people over `days` days from `start_s` on (unix seconds of a midnight in China)."""

    def __init__(
        self,
        subscribers: int,
        days: int,
        start_s: int,
        *,
        seed: int = 1,
        kind: Kind = "idle",
        per_day: float | None = None,
        churn: float = 0.0,
        distinct: int | None = None,
    ) -> None:
        """`distinct`: after so many blocks the same people come again, under other numbers."""
        if (start_s + _UTC8_S) % DAY_S:
            raise ValueError("start_s must be a midnight in China")
        self.subscribers = subscribers
        """Present on the first day; with churn more follow (`numbers`)."""
        self.numbers = subscribers + int(subscribers * churn * days)
        self.days = days
        self.start_s = start_s
        self.blocks = -(-self.numbers // BLOCK)
        self._land: Land = land(Places.load())
        self._per_day = per_day or PER_DAY[kind]
        self._kind, self._seed, self._churn = kind, seed, churn
        self._distinct = distinct or self.blocks
        self.people = lru_cache(None)(self._people)

    def msisdns(self) -> Ints:
        """The number of each subscriber, 861[3-9] and nine digits, all different."""
        order = np.arange(self.numbers, dtype=np.uint64) * np.uint64(_STRIDE) % np.uint64(_NUMBERS)
        return order.astype(np.int64) + 8_613_000_000_000

    def hours(self, first: int = 0, last: int | None = None) -> Iterator[Rows]:
        """The rows that arrive in each hour, those of all subscribers, in the order of arrival."""
        waiting: list[Rows] = []
        end = self.days * 24 if last is None else last
        for hour in range(first, end):
            made = [self._hour(block, hour) for block in range(self.blocks)]
            rows = Rows(*(np.concatenate(column) for column in zip(*waiting, *made, strict=True)))
            opens_s = self.start_s + hour * HOUR_S
            # the last hour also brings what would arrive after it
            later = rows.arrival_s >= opens_s + HOUR_S if hour + 1 < end else np.zeros(rows.owner.size, bool)
            waiting = [Rows(*(column[later] for column in rows))]
            rows = Rows(*(column[~later] for column in rows))
            # 16 bits are sorted by radix, ten times as fast
            second = np.clip(rows.arrival_s - opens_s, 0, 0xFFFF).astype(np.uint16)
            order = np.argsort(second, kind="stable")
            yield Rows(*(column[order] for column in rows))

    def block(self, block: int, first: int = 0, last: int | None = None) -> Rows:
        """All rows of one block, in the order of arrival."""
        made = [self._hour(block, hour) for hour in range(first, self.days * 24 if last is None else last)]
        rows = Rows(*(np.concatenate(column) for column in zip(*made, strict=True)))
        order = np.argsort(rows.arrival_s, kind="stable")
        return Rows(*(column[order] for column in rows))

    def _people(self, block: int) -> People:
        extra = self._per_day - (_PERIODIC_PER_DAY if self._kind != "poisson" else 0)
        owner = block * BLOCK + np.arange(BLOCK)
        return people(
            self._land,
            self._chance(0, block % self._distinct),
            days=self.days,
            extra_per_day=max(extra, 0.0),
            joining=owner >= self.subscribers,
            churn=self._churn,
        )

    def _chance(self, *what: int) -> np.random.Generator:
        return np.random.Generator(np.random.SFC64([self._seed, *what]))

    def _hour(self, block: int, hour: int) -> Rows:
        """What happens to one block in one hour; `arrival_s` may lie in a later one."""
        who, rng = self.people(block), self._chance(1, block % self._distinct, hour)
        size = min(BLOCK, self.numbers - block * BLOCK)
        owner, second = self._heard(who, rng, hour)
        place = _whereabouts(who, rng, owner, hour * HOUR_S + second, self._weekday(hour))
        keep = (place != kinds.NO_PLACE) & (owner < size)
        owner, second, place = owner[keep], second[keep], place[keep]
        delay = np.zeros(owner.size)
        late = np.flatnonzero(rng.random(owner.size, np.float32) < LATE_SHARE)
        delay[late] = np.minimum(rng.exponential(LATE_MEAN_S, late.size), LATE_MAX_S)
        again = np.flatnonzero(rng.random(owner.size, np.float32) < REPEATED_SHARE)
        delay = np.append(delay, delay[again] + rng.uniform(0, REPEATED_WITHIN_S, again.size))
        owner, second, place = (np.append(column, column[again]) for column in (owner, second, place))
        time_s = second.astype(np.int64) + (self.start_s + hour * HOUR_S)
        return Rows(owner + block * BLOCK, time_s, place, time_s + delay.astype(np.int64))

    def _heard(
        self, who: People, rng: np.random.Generator, hour: int
    ) -> tuple[Ints, npt.NDArray[np.float64]]:
        """Who is heard in an hour, and at which second of it."""
        opens_s = hour * HOUR_S
        share = 1.0 if self._kind == "poisson" else min(float(_DIURNAL[hour % 24]), _BUSIEST)
        counts = rng.poisson(who.extra_per_hour * share)
        owners = [np.repeat(np.arange(BLOCK), counts)]
        seconds = [rng.random(int(counts.sum())) * HOUR_S]
        if self._kind != "poisson":
            update = who.phase_s + np.ceil((opens_s - who.phase_s) / who.period_s) * who.period_s - opens_s
            for each in (update, update + who.period_s):
                now = np.flatnonzero((each >= 0) & (each < HOUR_S))
                owners.append(now)
                seconds.append(each[now])
        for moment in _moves(who, hour, self._weekday(hour)):
            now = np.flatnonzero((moment >= 0) & (moment < HOUR_S))
            owners.append(now)
            seconds.append(moment[now])
        owner, second = np.concatenate(owners), np.concatenate(seconds)
        if self._churn:
            at = second + opens_s
            there = (at >= who.join_s[owner]) & (at < who.join_s[owner] + who.gone_s[owner])
            owner, second = owner[there], second[there]
        return owner, second

    def _weekday(self, hour: int) -> bool:
        local_s = self.start_s + _UTC8_S + hour * HOUR_S - _MONDAY_S
        return local_s // DAY_S % 7 < 5


def _moves(who: People, hour: int, weekday: bool) -> Iterator[npt.NDArray[np.float64]]:
    """The seconds after the hour at which people enter another city (outside 0 to 3600: not in it)."""
    commuter = who.kind == kinds.COMMUTER
    if weekday:
        for moment in (who.leave_s, who.return_s):
            yield np.where(commuter, moment - hour % 24 * HOUR_S, -1.0)
    for trip in range(who.trip_begin_s.shape[1]):
        yield who.trip_begin_s[:, trip] - hour * HOUR_S
        yield who.trip_end_s[:, trip] - hour * HOUR_S


def _whereabouts(
    who: People, rng: np.random.Generator, owner: Ints, at_s: npt.NDArray[np.float64], weekday: bool
) -> npt.NDArray[np.uint16]:
    """The place of each row, NO_PLACE where the phone is off."""
    kind = who.kind[owner]
    place = who.home[owner]
    of_day = at_s % DAY_S
    flips = rng.random(BLOCK, np.float32) < FLIP_SHARE
    row = np.flatnonzero((kind == kinds.FLIPPER) & flips[owner])
    place[row] = who.second[owner[row]]
    if weekday:
        row = np.flatnonzero(kind == kinds.COMMUTER)
        mine = owner[row]
        row = row[(of_day[row] >= who.leave_s[mine]) & (of_day[row] < who.return_s[mine])]
        place[row] = who.second[owner[row]]
    moving = np.flatnonzero((kind >= kinds.DAY_TRIPPER) & (kind != kinds.FLIPPER))
    for trip in range(who.trip_begin_s.shape[1]):
        mine = owner[moving]
        inside = (at_s[moving] >= who.trip_begin_s[mine, trip]) & (at_s[moving] < who.trip_end_s[mine, trip])
        row = moving[inside]
        place[row] = who.trip_place[owner[row], trip]
    night = np.flatnonzero(who.off_from_s != who.off_to_s)
    asleep = np.zeros(BLOCK, np.bool_)
    asleep[night] = True
    row = np.flatnonzero(asleep[owner])
    off = (of_day[row] >= who.off_from_s[owner[row]]) | (of_day[row] < who.off_to_s[owner[row]])
    place[row[off]] = kinds.NO_PLACE
    return place


class Cells:
    """A synthetic cell table: `per_city` cells in each city (a third of them each carrier's), and the cells
    that people are heard on, a few near where they are: phones change cells without moving.
    """

    def __init__(self, per_city: int = 3000) -> None:
        self.places = Places.load()
        self.per_city = per_city
        cities = [city for city in self.places.cities() if self.places.neighbours_of(city.id)]
        self._row = np.full(2**16, -1, np.int64)
        self._row[[city.id for city in cities]] = np.arange(len(cities))
        self._codes = [city.code for city in cities]
        self._mcc = np.full(2**16, 460, np.int64)
        roaming = {self.places.of_mcc(mcc): mcc for mcc, _ in ABROAD.values()}
        for place, mcc in roaming.items():
            assert place is not None
            self._mcc[place.id] = mcc

    def write(self, path: Path) -> int:
        """The table as `cxmyd cells import` reads it; returns the number of cells."""
        row = np.repeat(np.arange(len(self._codes)), self.per_city)
        number = np.tile(np.arange(self.per_city), len(self._codes))
        frame = self._cell(row, number).with_columns(pl.Series("city", self._codes).gather(row))
        frame.insert_column(0, pl.repeat(460, len(frame), eager=True).alias("mcc")).write_csv(path)
        return len(frame)

    def frame(self, rows: Rows, msisdns: Ints) -> pl.DataFrame:
        """The rows as `cxmyd ingest` reads them: time, msisdn, mcc, mnc, area, cell."""
        carrier = rows.owner % 3
        near = rows.owner * 7919 + rows.place.astype(np.int64) * 104_729 + (rows.time_s >> 8) % 4
        number = near % (self.per_city // 3) * 3 + carrier
        frame = self._cell(self._row[rows.place], number)
        return pl.DataFrame(
            {"time": rows.time_s, "msisdn": msisdns[rows.owner], "mcc": self._mcc[rows.place]}
        ).hstack(frame)

    def _cell(self, row: Ints, number: Ints) -> pl.DataFrame:
        """Tracking areas of about a hundred cells; 28 bits of LTE cell identity, 20 of them the site's."""
        network = NETWORKS[number % 3]
        return pl.DataFrame(
            {
                "mnc": network,
                "area": 4096 + np.maximum(row, 0) * 32 + number * 32 // self.per_city,
                "cell": (np.maximum(row, 0) * self.per_city + number << 8) + 1,
            }
        )


def write(
    population: Population,
    cells: Cells,
    folder: Path,
    kinds_of_file: Sequence[str] = ("parquet", "csv"),
    *,
    first: int = 0,
    last: int | None = None,
) -> int:
    """Files of each kind, one an hour (`sightings-0000.csv` and on), in the order of arrival; the rows."""
    folder.mkdir(parents=True, exist_ok=True)
    msisdns = population.msisdns()
    written = 0
    for hour, rows in enumerate(population.hours(first, last), first):
        frame = cells.frame(rows, msisdns)
        written += len(frame)
        for kind in kinds_of_file:
            path = folder / f"sightings-{hour:04d}.{kind}"
            if kind == "parquet":
                frame.write_parquet(path)
            else:
                frame.write_csv(path)
    return written
