"""What the network sees of the people of the sample: legs become rows of time and cell.

Invariant: one sighting at the start of a leg, then about one every 54 minutes (the periodic update of an idle
phone, timer T3412 of 3GPP TS 24.301) and now and then one more. Called by `sample.write`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from location_store.sample.diary import HOUR_S, Leg

PERIODIC_S: Final = 54 * 60
_EXTRA_PER_HOUR = 0.3
_FIRST_WITHIN_S = 60
_LATE_SHARE = 0.03
_LATE_MEAN_S, _LATE_MAX_S = 600, 5400
_REPEATED_SHARE = 0.01


def sightings(diaries: Sequence[Sequence[Leg]], rng: np.random.Generator) -> pl.DataFrame:
    """Columns owner (index into `diaries`), time_s (since the sample's first midnight) and site.

    In the order in which they come in: as from a real feed, some rows late (less than 2 h) and some twice.
    """
    legs = [(owner, *leg) for owner, diary in enumerate(diaries) for leg in diary]
    owner = np.array([leg[0] for leg in legs], np.int64)
    start = np.array([leg[1] for leg in legs], np.float64)
    length = np.array([leg[2] for leg in legs], np.float64) - start
    spots = np.array([len(leg[4]) for leg in legs], np.int64)
    all_sites = np.array([site for leg in legs for site in leg[4]], np.int64)
    first_spot = np.cumsum(spots) - spots

    first = rng.uniform(0, np.minimum(_FIRST_WITHIN_S, length / 2))
    periodic = 1 + ((length - first) // PERIODIC_S).astype(np.int64)
    extra = rng.poisson(length / HOUR_S * _EXTRA_PER_HOUR)
    leg = np.concatenate([np.repeat(np.arange(len(legs)), periodic), np.repeat(np.arange(len(legs)), extra)])
    time_s = start[leg] + np.concatenate(
        [
            np.repeat(first, periodic) + PERIODIC_S * _counts(periodic),
            rng.uniform(0, np.repeat(length, extra)),
        ]
    )
    site = all_sites[first_spot[leg] + rng.integers(0, spots[leg])]
    order = _arrival(time_s, rng)
    return pl.DataFrame({"owner": owner[leg][order], "time_s": np.floor(time_s)[order], "site": site[order]})


def _counts(repeats: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """0, 1, … for each entry, one after the other."""
    return np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)


def _arrival(time_s: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """The rows in the order in which they come in, some of them twice."""
    row = np.arange(len(time_s))
    row = np.append(row, row[rng.random(len(row)) < _REPEATED_SHARE])
    late = rng.random(len(row)) < _LATE_SHARE
    delay = np.where(late, np.minimum(rng.exponential(_LATE_MEAN_S, len(row)), _LATE_MAX_S), 0)
    return row[np.argsort(time_s[row] + delay, kind="stable")]
