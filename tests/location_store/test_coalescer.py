"""location_store.coalescer on a real Redis, against a reference that keeps every sighting."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from location_store.coalescer import Pending
from location_store.epoch import EPOCH_MIN
from location_store.errors import StoreUnavailable
from location_store.merge import Limits
from location_store.pseudonyms import Layout, Pseudonyms
from location_store.record import History, Record, pack, timeline, unpack
from location_store.stays import Point, Stay
from location_store.store import Store, Update
from location_store.subscribers import Subscriber
from tests.conftest import RedisServer
from tests.location_store.histories import BASE_MIN, fold, sighted, stays_of
from tests.location_store.support import World, names_of
from tests.location_store.test_merge import LATENESS, Reference, Row, arrivals

LAYOUT = Layout(partitions=4, buckets=1)
NAMES = names_of(LAYOUT)
NUMBERS = np.arange(8613800000000, 8613800000003)


def connect(redis_url: str, names: Pseudonyms = NAMES) -> Store:
    return Store.connect(redis_url, names)


def pending(store: Store, names: Pseudonyms = NAMES) -> Pending:
    return Pending(store, names, BASE_MIN - EPOCH_MIN - 10_000)


def add(gathered: Pending, rows: list[Row]) -> int:
    """How many were late."""
    owner, minute, place = np.array(rows, np.int64).reshape(-1, 3).T
    timely = gathered.add(NUMBERS[owner], minute - EPOCH_MIN, place.astype(np.uint16), LATENESS)
    return int((~timely).sum())


def flush(gathered: Pending) -> None:
    gathered.flush(Limits())
    gathered.rows.clear(BASE_MIN - EPOCH_MIN - 10_000)


def history(store: Store, number: int) -> History:
    return unpack(store.read([NAMES.of(str(number))])[0]).history


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(arrivals(), st.lists(st.sampled_from(["flush", "crash", "go on"]), max_size=6), st.data())
def test_however_it_is_cut_flushed_and_killed(
    redis_url: str, rows: list[Row], ends: list[str], data: st.DataObject
) -> None:
    """Late, doubled and shuffled arrivals in any blocks, with crashes that lose the memory and read again
    from the last flush: the histories are those of every sighting that was in time.
    """
    store = connect(redis_url)
    store.nodes.on_primaries("FLUSHALL")
    store.nodes.load()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), min_size=len(ends), max_size=len(ends))))
    gathered = pending(store)
    committed = 0
    late_of_uninterrupted = late = 0
    references = [Reference() for _ in NUMBERS]
    for owner, minute, place in rows:
        late_of_uninterrupted += not references[owner].see(Point(minute, place))
    for (begin, end), what in zip(pairwise([0, *cuts]), ends, strict=True):
        late += add(gathered, rows[begin:end])
        if what == "flush":
            flush(gathered)
            committed = end
        elif what == "crash":
            gathered = pending(store)
            add(gathered, rows[committed:end])
    late += add(gathered, rows[cuts[-1] if cuts else 0 :])
    flush(gathered)
    assert late == late_of_uninterrupted
    for number, reference in zip(NUMBERS.tolist(), references, strict=True):
        found = history(store, number)
        assert stays_of(timeline(found)) == stays_of(sighted(reference.kept))
        settled = [point for point in reference.kept if point.minute < reference.newest - LATENESS]
        assert list(found.segments) == fold(settled)
    store.close()


def test_many_subscribers_in_many_slices(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record gets its own rows, whichever bucket and slice it falls into, and keeps its subscriber."""
    monkeypatch.setattr("location_store.coalescer.SLICE_RECORDS", 100)
    names = names_of(Layout(partitions=8, buckets=2))
    store = connect(redis_url, names)
    chance = Random(7)
    numbers = [8613900000000 + chance.randrange(10**8) for _ in range(1500)]
    known = Subscriber(2, b"abc", imported=True)
    store.put([Update(names.of(str(n)), None, pack(Record(known), 1)) for n in numbers[::3]])
    gathered = pending(store, names)
    seen: dict[int, list[Point]] = {number: [] for number in numbers}
    for day in range(3):
        rows = [(chance.choice(numbers), BASE_MIN + 1440 * day + i // 10, 1100 + i % 2) for i in range(6000)]
        column = np.array(rows, np.int64).T
        assert gathered.add(column[0], column[1] - EPOCH_MIN, column[2].astype(np.uint16), LATENESS).all()
        for number, minute, place in rows:
            seen[number].append(Point(minute, place))
        if day != 1:
            flush(gathered)
    for index, number in enumerate(numbers):
        record = unpack(store.read([names.of(str(number))])[0])
        assert stays_of(timeline(record.history)) == stays_of(sighted(seen[number]))
        assert record.subscriber == (known if index % 3 == 0 else Subscriber())


def test_what_others_write_meanwhile_is_merged(redis_url: str) -> None:
    """Two that met the same subscriber before either wrote, and an import in between: nothing is undone."""
    store = connect(redis_url)
    one, two = pending(store), pending(store)
    add(one, [(0, BASE_MIN, 1100)])
    add(two, [(0, BASE_MIN + 30, 3100)])
    flush(one)
    store.set_blocked(NAMES.of(str(NUMBERS[0])), blocked=True)
    flush(two)
    expected: list[Stay] = stays_of(sighted([Point(BASE_MIN, 1100), Point(BASE_MIN + 30, 3100)]))
    assert stays_of(timeline(history(store, NUMBERS[0]))) == expected


def test_a_store_that_goes_away_costs_nothing(own_redis: Callable[..., RedisServer]) -> None:
    """What was gathered stays until a flush succeeds."""
    server = own_redis()
    store = connect(server.url)
    gathered = pending(store)
    add(gathered, [(0, BASE_MIN, 1100), (1, BASE_MIN, 3100)])
    server.stop()
    with pytest.raises(StoreUnavailable):
        flush(gathered)
    with pytest.raises(StoreUnavailable):
        add(gathered, [(2, BASE_MIN, 3100)])
    server.start()
    add(gathered, [(2, BASE_MIN, 3100)])
    flush(gathered)
    assert [len(history(store, number).tail) for number in NUMBERS.tolist()] == [1, 1, 1]


def test_what_no_replica_has_is_not_done(redis_url: str, tmp_path: Path) -> None:
    """With `wait_replicas` a flush that is not confirmed keeps what it wrote, to be written again."""
    world = World(redis_url, tmp_path, 60.0 * (BASE_MIN + 2 * 1440))
    store = Store.connect(redis_url, world.pseudonyms, wait_replicas=1, wait_ms=10)
    patient, world.store = world.store, store
    ingester = world.ingester()
    rows = {"time_s": [60 * BASE_MIN], "msisdn": [8613800000000], "place": [1100], "line": [2]}
    ingester.add(pl.DataFrame(rows))
    with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
        ingester.flush()
    assert ingester.pending_rows == 1
    with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
        store.forget(world.pseudonyms.of("8613800000000"))
    patient.confirm()
