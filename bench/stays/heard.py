"""What the network hears of the people of the evaluation, and the histories that the store keeps of it.

Invariant: sightings go through `merge` and `record` as an ingest's do, late ones among them, so that what is
evaluated is what is stored. Called by `evaluate`.
"""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from bench.stays.ground import Ground
from bench.stays.populations import DAYS, END_S, Phone, Trace
from location_store.merge import Limits, merge
from location_store.record import timeline, unpack
from location_store.sample.diary import DAY_S, HOUR_S
from location_store.stays import NEW_STAY_GAP_MIN, Segment
from location_store.window import Window, midnight_min, window

CHINA = ZoneInfo("Asia/Shanghai")
FIRST_S = 60 * midnight_min(dt.date(2020, 2, 1), CHINA)
"""The midnight with which the diaries begin, unix seconds."""
WINDOW: Window = window(FIRST_S + END_S, days=DAYS - 1, through="yesterday", tz=CHINA)
_LATE_SHARE, _LATE_MAX_S = 0.03, 5400
_DAY_H = (8, 23)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Heard(NamedTuple):
    """Rows in the order in which they come in: whose, when (seconds since FIRST_S) and at which site."""

    owner: Ints
    time_s: Floats
    site: Ints


def sightings(traces: Sequence[Trace], rng: np.random.Generator) -> Heard:
    """A sighting on each tick of a phone's clock, by chance between, and where the area changes."""
    rows = [_of_one(trace, rng) for trace in traces]
    owner = np.repeat(np.arange(len(rows)), [len(time_s) for time_s, _ in rows])
    time_s = np.floor(np.concatenate([time_s for time_s, _ in rows]))
    site = np.concatenate([site for _, site in rows])
    late = np.where(rng.random(len(time_s)) < _LATE_SHARE, rng.uniform(0, _LATE_MAX_S, len(time_s)), 0)
    order = np.argsort(time_s + late, kind="stable")
    return Heard(owner[order], time_s[order], site[order])


def timelines(heard: Heard, ground: Ground, people: int) -> list[list[Segment]]:
    """What a reader finds after the rows were merged."""
    minute = (heard.time_s.astype(np.int64) + FIRST_S) // 60
    limits = Limits(cutoff_min=WINDOW.start_min - NEW_STAY_GAP_MIN, neighbours=ground.places.neighbours)
    states: list[bytes | None] = [None] * people
    merged = merge(states, heard.owner, minute, ground.place[heard.site], limits=limits)
    return [timeline(unpack(blob).history) for blob in merged.blobs]


def _of_one(trace: Trace, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Times and sites of one phone, unsorted."""
    start = np.array([leg.start_s for leg in trace.legs])
    end = np.array([leg.end_s for leg in trace.legs])
    time_s = _times(trace.phone, start, rng)
    leg = np.searchsorted(start, time_s, "right") - 1
    on = (leg >= 0) & (time_s < end[leg])
    time_s, leg = time_s[on], leg[on]
    spots = np.array([len(each.sites) for each in trace.legs])
    sites = np.array([site for each in trace.legs for site in each.sites])
    return time_s, sites[(np.cumsum(spots) - spots)[leg] + rng.integers(0, spots[leg])]


def _times(phone: Phone, changes: Floats, rng: np.random.Generator) -> Floats:
    ticks = np.arange(rng.uniform(0, phone.clock_s), END_S, phone.clock_s)
    ticks = ticks + rng.uniform(-phone.jitter_s, phone.jitter_s, len(ticks)) if phone.jitter_s else ticks
    day_share = (_DAY_H[1] - _DAY_H[0]) / 24
    parts = [np.abs(ticks)]
    for per_hour, share in (
        (phone.extra_per_day_hour, day_share),
        (phone.extra_per_night_hour, 1 - day_share),
    ):
        day = rng.integers(0, END_S // DAY_S + 1, rng.poisson(per_hour * END_S / HOUR_S * share))
        into = rng.random(len(day)) * share * DAY_S
        first_h = _DAY_H[0] if share == day_share else _DAY_H[1]
        parts.append(day * DAY_S + first_h * HOUR_S + into)
    if phone.area_changes:
        parts.append(changes + rng.uniform(0, 60, len(changes)))
    times = np.concatenate(parts)
    return times[times < END_S]
