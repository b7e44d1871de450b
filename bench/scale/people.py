"""A store with as many subscribers as wanted, who have been where people go; within seconds.

Their histories are those of 16,384 people of `bench.store.population` in the days up to now, again and again
under other numbers. Called by `run`.
"""

import random as chance
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

import redis

from bench.compare.contenders import Site
from bench.compare.measure import BASE_MSISDN
from bench.store.histories import WINDOW_DAYS, imported
from bench.store.people import BLOCK, DAY_S, HOUR_S
from bench.store.population import Population
from location_store.keys import KeyFile
from location_store.merge import Limits, merge
from location_store.pseudonyms import FIELD_BYTES, Layout, Pseudonym, Pseudonyms, bucket_key
from location_store.store import Store, Update

AT_ONCE: Final = 50_000
ASKING: Final = 200_000
COPIED: Final = 512
"""Hashes; about 65,000 people."""
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
    """Its store, which is empty, and its key file.

    The first numbers, `asking` of them, are put as ingest does it. Whoever else there is lies in copies of
    some hundred hashes, so that tens of millions take seconds: to the store they are as many, and to a
    question as far away.
    """
    key_file = site.folder / "keys.json"
    if not key_file.exists():
        KeyFile.create(key_file)
    pseudonyms = Pseudonyms(KeyFile.load(key_file), Layout.for_subscribers(site.subscribers))
    store = Store.connect(site.redis_url, pseudonyms)
    for carrier in CARRIERS:
        store.carrier_id(carrier)
    if site.subscribers > asking(site.subscribers):
        _copy(site, store, pseudonyms)
    _put(store, map(pseudonyms.of, map(str, range(BASE_MSISDN, BASE_MSISDN + asking(site.subscribers)))))
    store.close()


def asking(subscribers: int) -> int:
    """How many of so many subscribers are there by their numbers, the first ones: these may text."""
    return min(subscribers, ASKING)


def _put(store: Store, pseudonyms: Iterator[Pseudonym]) -> None:
    past = histories()
    numbered = enumerate(pseudonyms)
    while some := list(islice(numbered, AT_ONCE)):
        store.put(
            [Update(each, None, b"\1" + imported(n)[1:] + past[n % BLOCK]) for n, each in some],
        )


def _copy(site: Site, store: Store, pseudonyms: Pseudonyms) -> None:
    """As many as the buckets hold, beside those who are asking."""
    partitions, buckets = pseudonyms.layout
    share = (site.subscribers - ASKING) / (partitions * buckets)
    fields = chance.Random(1)
    _put(
        store,
        (
            Pseudonym(partition, 0, fields.randbytes(FIELD_BYTES), pseudonyms.number)
            for partition in range(COPIED)
            for _ in range(int(share + partition / COPIED))  # the mean of all is the share
        ),
    )
    keys = [
        bucket_key(Pseudonym(partition, bucket, b"", pseudonyms.number))
        for bucket in range(buckets)
        for partition in range(partitions)
    ]
    with redis.Redis(port=site.redis_port) as client:
        for start in range(COPIED, len(keys), COPIED):
            pipe = client.pipeline(transaction=False)
            for source, key in zip(keys, keys[start : start + COPIED], strict=False):
                pipe.copy(source, key)
            pipe.execute()
