"""location_store.sweep: what is older than the window leaves memory, and nothing else."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from location_store.epoch import EPOCH_MIN
from location_store.history import subscriber_view
from location_store.ingest import ingest
from location_store.pseudonyms import Pseudonym, bucket_key
from location_store.record import History, Record, pack, unpack
from location_store.stays import Point, Segment
from location_store.store import Store, Update
from location_store.subscribers import NOBODY, Subscriber
from location_store.sweep import Sweeper, Totals, last_swept_s, trimmed
from tests.location_store.histories import BASE_MIN, histories
from tests.location_store.support import LAYOUT, PLACES, World, china_s, names_of, write_csv
from tests.location_store.test_history import PROFILES

CUTOFF = BASE_MIN + 1000

subscribers = st.sampled_from(
    [
        NOBODY,
        Subscriber(blocked=True),
        Subscriber(forgotten=True),
        Subscriber(2, b"abc", "en", BASE_MIN, imported=True),
    ]
)


def expected(record: Record) -> Record | None:
    """What a sweep leaves of a record, in the plainest way; None where nothing is kept."""
    segments, tail = record.history
    history = History(
        tuple(each for each in segments if each.last_min >= CUTOFF),
        tail if tail and tail[-1].minute >= CUTOFF else (),
    )
    left = record._replace(history=history)
    return None if left == Record() else left


@given(st.lists(st.builds(Record, subscribers, histories()), max_size=12), st.integers(0, 255))
def test_what_is_kept(records: list[Record], counter: int) -> None:
    """Segments that ended before the cutoff go, a tail as a whole with its newest sighting; a record goes of
    which nothing is left, unless it is an import's or an operator's. What loses nothing is not written.
    """
    records = [each for each in records if each != Record()]
    blobs = [pack(each, counter) for each in records]
    changed = trimmed(blobs, CUTOFF - EPOCH_MIN).changed
    for number, record in enumerate(records):
        left = expected(record)
        if left == record:
            assert number not in changed
        elif left is None:
            assert changed[number] == b""
        else:
            assert unpack(changed[number]) == left
            assert changed[number][0] == (counter + 1) % 256


def test_damage_is_left_alone_and_counted() -> None:
    """Its neighbours are swept all the same."""
    old = pack(Record(history=History((Segment(1100, BASE_MIN, BASE_MIN + 5),))), 1)
    swept = trimmed([b"", old, old[:-1] + b"\x80", b"\x01\x00", old], CUTOFF - EPOCH_MIN)
    assert swept.changed == {1: b"", 4: b""}
    assert swept.damaged == 3


class Shelf:
    """Some records in a store, by number."""

    def __init__(self, redis_url: str) -> None:
        self.names = names_of(LAYOUT)
        self.store = Store.connect(redis_url, self.names)

    def of(self, number: int) -> Pseudonym:
        return self.names.of(str(8613800000000 + number))

    def put(self, records: dict[int, Record]) -> None:
        self.store.put([Update(self.of(n), None, pack(record, 1)) for n, record in records.items()])

    def get(self, number: int) -> Record:
        return unpack(self.store.read([self.of(number)])[0])

    def sweeper(self, **options: object) -> Sweeper:
        return Sweeper(self.store, LAYOUT, lambda: CUTOFF, **options)  # type: ignore[arg-type]


OLD = Record(history=History((Segment(1100, BASE_MIN, BASE_MIN + 5),)))
BOTH = Record(history=History((Segment(1100, BASE_MIN, BASE_MIN + 5), Segment(3100, CUTOFF, CUTOFF + 9))))
TAIL = Record(history=History((), (Point(CUTOFF - 1, 1100), Point(CUTOFF, 1100))))


def test_all_partitions(redis_url: str) -> None:
    """Every bucket of every partition is looked at; the totals say what was done."""
    shelf = Shelf(redis_url)
    shelf.put({n: (OLD, BOTH, TAIL)[n % 3] for n in range(300)})
    seen: list[tuple[int, int]] = []
    totals = shelf.sweeper().sweep(range(LAYOUT.partitions), lambda *done: seen.append(done))
    assert totals == Totals(8, 16, 300, 100, 100)
    assert seen[-1] == (8, 8)
    assert [shelf.get(n) == Record() for n in range(3)] == [True, False, False]
    assert shelf.get(1).history.segments == BOTH.history.segments[1:]
    assert shelf.get(2) == TAIL
    assert shelf.sweeper().sweep(range(LAYOUT.partitions)) == Totals(8, 16, 200)


def test_a_partition_that_is_done_is_noted(redis_url: str) -> None:
    """With the time at which its sweep began; the others stay due."""
    shelf = Shelf(redis_url)
    shelf.sweeper(clock=lambda: 1000.0).sweep([2, 3])
    assert last_swept_s(shelf.store.nodes, LAYOUT) == {n: 1000.0 * (n in (2, 3)) for n in range(8)}


def test_a_record_written_meanwhile_is_left_to_its_writer(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And then looked at again: the newer record is trimmed, not undone."""
    shelf = Shelf(redis_url)
    shelf.put({0: OLD})
    start_put = shelf.store.start_put
    others = [BOTH]

    def interfered(batches: object) -> object:
        if others:
            (read,) = shelf.store.read([shelf.of(0)])
            parts = (shelf.of(0).field, (read or b"")[:1], pack(others.pop(), 2))
            shelf.store.finish_put(start_put([(bucket_key(shelf.of(0)), parts)]), [1])
        return start_put(batches)  # type: ignore[arg-type]

    monkeypatch.setattr(shelf.store, "start_put", interfered)
    totals = shelf.sweeper().sweep([shelf.of(0).partition])
    assert shelf.get(0).history.segments == BOTH.history.segments[1:]
    assert (totals.trimmed, totals.removed) == (1, 0)


def test_it_keeps_to_its_share(redis_url: str) -> None:
    """At a tenth of the time it rests nine times as long as it works."""
    shelf = Shelf(redis_url)
    rests: list[float] = []
    began_s = time.monotonic()
    shelf.sweeper(share=0.1, rest=rests.append).sweep(range(LAYOUT.partitions))
    assert len(rests) == LAYOUT.partitions
    assert 0 < sum(rests) < 9 * (time.monotonic() - began_s)


def test_nothing_older_than_the_window(redis_url: str, tmp_path: Path) -> None:
    """Nothing of it is shown as soon as the window has passed over it, whether or not it was swept; a day
    later it has left memory.
    """
    world = World(redis_url, tmp_path, china_s("2026-02-15 10:00"))
    day_min = int(china_s("2026-02-14 00:00") // 60)
    here = [("8613800000001", Point(day_min + 60 * hour, 1100)) for hour in range(24)]
    ingest([write_csv(tmp_path / "a.csv", here)], world.ingester(), data_dir=tmp_path)
    who = world.pseudonyms.of("8613800000001")
    (record,) = world.store.read([who])
    for days, shown, kept in ((0, True, True), (13, True, True), (14, False, True), (15, False, False)):
        now_s = world.now_s + 86_400 * days
        settings = world.settings.at(now_s)
        Sweeper(world.store, LAYOUT, lambda at=settings: at.cutoff_min).sweep(range(8))  # type: ignore[misc]
        assert (world.store.read([who]) == [record]) is kept
        assert world.store.read([who]) == [record] or world.store.read([who]) == [None]
        (view,) = subscriber_view(
            world.store,
            world.pseudonyms,
            PLACES,
            PROFILES,
            ["8613800000001"],
            now_s=now_s,
        )
        assert bool(view["stays"]) is bool(view["visited"]) is view["known"] is shown
