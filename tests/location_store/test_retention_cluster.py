"""Erasure, sweep and two keys on a real cluster, the stream being on another node than a record."""

import numpy as np

from location_store.coalescer import Pending
from location_store.epoch import EPOCH_MIN
from location_store.merge import Limits
from location_store.pseudonyms import Pseudonyms
from location_store.record import timeline
from location_store.retirement import count_subscribers, erase
from location_store.rotation import records
from location_store.store import Store
from location_store.subscribers import Subscriber
from location_store.sweep import Sweeper
from tests.cluster import cluster, url_of  # noqa: F401 - a fixture
from tests.conftest import RedisServer
from tests.location_store.histories import BASE_MIN
from tests.location_store.support import LAYOUT
from tests.location_store.test_rotation import BOTH, FIRST

NUMBERS = np.array([8613800000000 + n for n in range(12)])


def gather(store: Store, names: Pseudonyms, minute: int) -> Pending:
    """A sighting of everybody, not written yet."""
    gathered = Pending(store, names, BASE_MIN - EPOCH_MIN)
    at = np.full(NUMBERS.size, BASE_MIN - EPOCH_MIN + minute)
    gathered.add(NUMBERS, at, np.full(NUMBERS.size, 1100, np.uint16), 120)
    return gathered


def test_all_of_it(cluster: list[RedisServer]) -> None:  # noqa: F811 - the fixture
    """Forgotten while pending, seen under both keys, swept, and the older key's hashes deleted."""
    old = Pseudonyms(FIRST, LAYOUT)
    store = Store.connect(url_of(cluster), old)
    gather(store, old, 10).flush(Limits())
    pending = gather(store, old, 20)
    store.forget(old.of(str(NUMBERS[0])))
    pending.flush(Limits())
    store.close()

    both = Pseudonyms(BOTH, LAYOUT)
    store = Store.connect(url_of(cluster), both)
    gather(store, both, 1000).flush(Limits())
    texts = [str(number) for number in NUMBERS]
    forgotten, *found = records(store, both, texts)
    assert forgotten.subscriber == Subscriber(forgotten=True)
    assert [each.first_min - BASE_MIN for each in timeline(forgotten.history)] == [1000]
    assert all(
        [each.first_min - BASE_MIN for each in timeline(one.history)] == [10, 20, 1000] for one in found
    )

    totals = Sweeper(store, LAYOUT, lambda: BASE_MIN + 500, numbers=both.numbers).sweep(range(8))
    assert (totals.removed, totals.trimmed) == (11, 0)
    assert count_subscribers(store, LAYOUT, 0, lambda *_: None) == 1
    erase(store, LAYOUT, 0, lambda *_: None)
    alone = Pseudonyms(BOTH.without("k0"), LAYOUT)
    assert all(len(timeline(one.history)) == 1 for one in records(store, alone, texts))
    store.close()
