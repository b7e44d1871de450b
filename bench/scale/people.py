"""A store with as many subscribers as wanted, who have been where people go; within seconds.

Their histories are those of 16,384 people of `bench.store.population` in the days up to now, again and again
under other numbers. Called by `run`.
"""

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from bench.compare.contenders import Site
from bench.compare.measure import BASE_MSISDN
from bench.store.histories import WINDOW_DAYS, imported
from bench.store.people import BLOCK, DAY_S, HOUR_S
from bench.store.population import Population
from location_store.keys import KeyFile
from location_store.merge import Limits, merge
from location_store.pseudonyms import Layout, Pseudonyms
from location_store.store import Store, Update

AT_ONCE: Final = 50_000
CARRIERS: Final = ("china-mobile", "china-unicom", "china-telecom")
_UTC8_S: Final = 8 * HOUR_S


@lru_cache(1)
def histories() -> Sequence[bytes]:
    """Packed, of the window that ends today in China."""
    today_s = (int(time.time()) + _UTC8_S) // DAY_S * DAY_S - _UTC8_S
    start_s = today_s - (WINDOW_DAYS - 1) * DAY_S
    blobs: list[bytes | None] = [None] * BLOCK
    population = Population(BLOCK, WINDOW_DAYS, start_s)
    for day in range(WINDOW_DAYS):
        rows = population.block(0, 24 * day, 24 * (day + 1))
        limits = Limits(cutoff_min=start_s // 60)
        merged = merge(blobs, rows.owner, rows.time_s // 60, rows.place, limits=limits).blobs
        blobs = [new or old for new, old in zip(merged, blobs, strict=True)]
    return [(blob or b"\0\x80")[2:] for blob in blobs]


def fill(site: Site) -> None:
    """Its store, which is empty, and its key file."""
    key_file = site.folder / "keys.json"
    if not key_file.exists():
        KeyFile.create(key_file)
    pseudonyms = Pseudonyms(KeyFile.load(key_file), Layout.for_subscribers(site.subscribers))
    store = Store.connect(site.redis_url, pseudonyms)
    for carrier in CARRIERS:
        store.carrier_id(carrier)
    past = histories()
    for start in range(0, site.subscribers, AT_ONCE):
        store.put(
            [
                Update(
                    pseudonyms.of(str(BASE_MSISDN + number)),
                    None,
                    b"\1" + imported(number)[1:] + past[number % BLOCK],
                )
                for number in range(start, min(start + AT_ONCE, site.subscribers))
            ]
        )
    store.close()
