"""Whom the chaos bench writes about and asks for: sightings that can each be found again in a history.

Every subscriber is heard of once a round, half an hour after the last time and in another city, so that each
sighting is a segment of its own: one that was lost is missed. Invariant: a batch follows from its number.
Called by `chaos` and its processes.
"""

import time
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from location_store.cells import CellTable, rows_of
from location_store.ingest import Ingester, Settings
from location_store.keys import Key, KeyFile
from location_store.places import Places
from location_store.pseudonyms import Layout, Pseudonyms
from location_store.record import timeline, unpack
from location_store.store import Store

SUBSCRIBERS: Final = 30_000
BATCH_ROWS: Final = 1_000
BATCHES_A_ROUND: Final = SUBSCRIBERS // BATCH_ROWS
STEP_S: Final = 1_800
MOST_ROUNDS: Final = 200
"""A record keeps so many segments, and the window so many days."""

CITIES: Final = np.array([1100, 1200, 3100, 4403, 4401], np.uint16)
_FIRST_NUMBER: Final = 8_613_000_000_000
_DAYS: Final = 10
_DAY_S: Final = 86_400

Sighting = tuple[int, int]
"""Unix minute, place."""


class People(NamedTuple):
    """start_s: unix seconds of the first round."""

    start_s: int

    @classmethod
    def at(cls, now_s: float) -> "People":
        return cls(int(now_s) // STEP_S * STEP_S - _DAYS * _DAY_S)

    def batch(self, number: int) -> pl.DataFrame:
        """Checked sightings: of every so many-th subscriber, so that all nodes have some."""
        rounds, part = divmod(number, BATCHES_A_ROUND)
        who = np.arange(part, SUBSCRIBERS, BATCHES_A_ROUND)
        at_s = np.full(who.size, self.start_s + rounds * STEP_S)
        return pl.DataFrame(
            {"line": who, "time_s": at_s, "msisdn": who + _FIRST_NUMBER, "place": self._place(who, rounds)}
        )

    def sightings(self, who: int, rounds: int) -> list[Sighting]:
        """All of one subscriber, of so many rounds."""
        return [
            ((self.start_s + each * STEP_S) // 60, int(self._place(np.array([who]), each)[0]))
            for each in range(rounds)
        ]

    @staticmethod
    def _place(who: npt.NDArray[np.int64], rounds: int) -> npt.NDArray[np.uint16]:
        return CITIES[(who + rounds) % CITIES.size]


def msisdn(who: int) -> str:
    return str(who + _FIRST_NUMBER)


def names() -> Pseudonyms:
    """One bucket for about 120 subscribers, in 256 slots."""
    return Pseudonyms(KeyFile((Key("chaos", "", b"chaos".ljust(32)),)), Layout(256, 1))


def ingester_of(store: Store) -> Ingester:
    """The project's own, for rows that are checked already."""
    now_s = time.time()
    none = np.empty(0, np.int64)
    no_cells = CellTable(rows_of(none, none, none, none, np.empty(0, np.uint16)))
    settings = Settings(now_s=now_s, keep_from_min=int(now_s) // 60 - 14 * 1440)
    return Ingester(store, no_cells, Places.load(), names(), settings)


def read_back(record: bytes | None) -> list[Sighting]:
    """The sightings in a record."""
    if record is None:
        return []
    return [(each.first_min, each.place) for each in timeline(unpack(record).history)]
