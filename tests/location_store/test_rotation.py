"""location_store.rotation: two keys at the same time, and nobody notices."""

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import numpy as np
import pytest

from location_store.coalescer import Pending
from location_store.columns import blocks
from location_store.enrol import enrol
from location_store.epoch import EPOCH_MIN
from location_store.history import subscriber_view
from location_store.ingest import Ingester, Settings
from location_store.keys import Key, KeyFile
from location_store.merge import Limits
from location_store.pseudonyms import Pseudonyms
from location_store.record import History, Record, timeline
from location_store.retirement import count_subscribers, erase
from location_store.rotation import is_older, joined, records
from location_store.sightings import SHAPE
from location_store.stays import Point, Segment
from location_store.store import Store
from location_store.subscribers import Subscriber
from location_store.sweep import Sweeper
from location_store.window import window
from tests.location_store.histories import BASE_MIN
from tests.location_store.support import CHINA, CITIES, LAYOUT, PLACES, cell_table, china_s, write_csv
from tests.location_store.test_history import PROFILES

FIRST = KeyFile((Key("k0", "2026-02-01T00:00:00Z", b"0".ljust(32)),))
BOTH = FIRST.rotated(b"", datetime(2026, 2, 6, tzinfo=UTC))
NUMBERS = [str(8613800000000 + n) for n in range(30)]
DAY_S = 86_400.0
START_S = china_s("2026-02-01 12:00")


class Site:
    """A store over the days; its window ends with the last midnight."""

    def __init__(self, url: str, folder: Any) -> None:
        self.url = url
        self.folder = folder
        self.keys = FIRST

    @property
    def names(self) -> Pseudonyms:
        return Pseudonyms(self.keys, LAYOUT)

    def store(self) -> Store:
        return Store.connect(self.url, self.names)

    def settings(self, now_s: float) -> Settings:
        start_min = window(now_s, days=14, through="yesterday", tz=CHINA).start_min
        return Settings(now_s=now_s, keep_from_min=start_min)

    def day(self, now_s: float, sightings: list[tuple[str, Point]]) -> list[dict[str, Any]]:
        """Ingest, in several flushes, and sweep; what is shown of everybody."""
        store = self.store()
        ingester = Ingester(
            store, cell_table(), PLACES, self.names, self.settings(now_s), clock=lambda: now_s
        )
        for some in np.array_split(np.arange(len(sightings)), 3):
            if some.size:
                path = write_csv(self.folder / "day.csv", [sightings[n] for n in some])
                ingest_now(ingester, path)
        sweeper = Sweeper(store, LAYOUT, lambda: ingester.settings.cutoff_min, numbers=self.names.numbers)
        sweeper.sweep(range(LAYOUT.partitions))
        views = list(subscriber_view(store, self.names, PLACES, PROFILES, NUMBERS, now_s=now_s))
        store.close()
        return views

    def enrol(self, text: str) -> None:
        path = self.folder / "list.csv"
        path.write_text(text)
        store = self.store()
        enrol([path], store, self.names, PROFILES, data_dir=self.folder)
        store.close()


def ingest_now(ingester: Ingester, path: Any) -> None:
    for block in blocks(path, [SHAPE]):
        ingester.add(ingester.check(block.parse(None), None).good)  # type: ignore[arg-type]
    ingester.flush()


def life(random: Random) -> Iterator[list[tuple[str, Point]]]:
    """A day's sightings of everybody, shuffled by up to two hours; some are silent for days."""
    at = {number: random.choice(CITIES) for number in NUMBERS}
    day = 0
    while True:
        begin = int((START_S + DAY_S * (day - 1)) // 60)
        rows = []
        for number in NUMBERS:
            if random.random() < 0.25:
                continue
            for _ in range(random.randrange(1, 30)):
                if random.random() < 0.1:
                    at[number] = random.choice(CITIES)
                rows.append((number, Point(begin + random.randrange(1440), at[number])))
        rows.sort(key=lambda row: row[1].minute + random.randrange(120))
        yield rows
        day += 1


def everybody(names: Pseudonyms, since: str = "") -> str:
    rows = [f"{number},{('plain', 'now')[n % 2]},00{n:02},{since}\n" for n, number in enumerate(NUMBERS)]
    return "msisdn,carrier,id_last4,since\n" + "".join(rows)


def test_over_the_window_nobody_notices(redis_url: str, tmp_path: Any) -> None:
    """Ingested and imported day by day, rotated on the sixth, the older key destroyed 16 days later: on each
    day all that is shown of everybody is what a store shows that was never rotated.
    """
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    turned, plain = Site(redis_url, tmp_path / "a"), Site(redis_url.replace("/0", "/1"), tmp_path / "b")
    days = life(Random(3))
    for site in (turned, plain):
        site.enrol(everybody(site.names))
    for day in range(26):
        now_s = START_S + DAY_S * day
        if day == 5:
            turned.keys = BOTH
        if day == 9:  # the carrier's full list once more, with a number that has a new owner
            for site in (turned, plain):
                site.enrol(everybody(site.names) + f"{NUMBERS[3]},plain,0003,2026-02-08\n")
        if day == 21:
            store = turned.store()
            assert count_subscribers(store, LAYOUT, 0, lambda *_: None) == 0
            erase(store, LAYOUT, 0, lambda *_: None)
            assert not store.nodes.call(b"", "KEYS", "b:*")
            turned.keys = BOTH.without("k0")
            store.close()
        rows = next(days)
        shown = turned.day(now_s, rows)
        assert shown == plain.day(now_s, rows), day
        assert day < 2 or sum(len(each["visited"]) for each in shown) > len(NUMBERS) / 2
    store = turned.store()
    stored = records(store, turned.names, NUMBERS)
    assert [each.subscriber.id_digest for each in stored] == [
        turned.names.id_digest(number, f"00{n:02}") for n, number in enumerate(NUMBERS)
    ]


A, B = 1100, 3100


def of(*segments: tuple[int, int, int], tail: tuple[tuple[int, int], ...] = ()) -> Record:
    return Record(
        history=History(
            tuple(Segment(place, BASE_MIN + first, BASE_MIN + last) for place, first, last in segments),
            tuple(Point(BASE_MIN + minute, place) for minute, place in tail),
        )
    )


def test_histories_that_overlap() -> None:
    """As where a process that knows the old key alone went on writing: one goes to its end, in order."""
    found = joined(of((A, 50, 90), (B, 100, 200)), of((A, 0, 60), tail=((150, A),)))
    assert [(s.place, s.first_min - BASE_MIN, s.last_min - BASE_MIN) for s in timeline(found.history)] == [
        (A, 0, 60), (A, 60, 90), (B, 100, 200),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("new", "old", "known"),
    [
        (Subscriber(), Subscriber(1, b"old", imported=True), "old"),
        (Subscriber(2, b"new", imported=True), Subscriber(1, b"old", imported=True), "new"),
        (Subscriber(forgotten=True), Subscriber(1, b"old", imported=True), "new"),
        (Subscriber(2, b"new", imported=True), Subscriber(forgotten=True), "new"),
        (Subscriber(), Subscriber(forgotten=True), "old"),
    ],
)
def test_who_it_is(new: Subscriber, old: Subscriber, known: str) -> None:
    """An import or an erasure under the new key counts, else what the older key knows; a block counts
    wherever it lies.
    """
    expected = {"new": new, "old": old}[known]
    assert joined(Record(new), Record(old, History((), (Point(BASE_MIN, A),)))).subscriber == expected
    assert is_older(new) is (known == "old")
    blocked = old._replace(blocked=True)
    assert joined(Record(new), Record(blocked)).subscriber == expected._replace(blocked=True)


def test_a_sighting_before_the_last_one_under_the_older_key(redis_url: str) -> None:
    """It belongs to that history, and is put there; what is too late for it is late."""
    old_store = Store.connect(redis_url, Pseudonyms(FIRST, LAYOUT))
    gathered = Pending(old_store, Pseudonyms(FIRST, LAYOUT), BASE_MIN - EPOCH_MIN)
    number = np.array([int(NUMBERS[0])])

    def see(minute: int, place: int) -> bool:
        at = np.array([BASE_MIN - EPOCH_MIN + minute])
        return bool(gathered.add(number, at, np.array([place], np.uint16), 120)[0])

    assert see(1000, A)
    gathered.flush(Limits())
    names = Pseudonyms(BOTH, LAYOUT)
    store = Store.connect(redis_url, names)
    gathered = Pending(store, names, BASE_MIN - EPOCH_MIN)
    assert see(950, B)
    assert not see(850, B)
    assert see(1010, B)
    assert see(960, A)
    assert gathered.count == 3
    gathered.flush(Limits())
    gathered.clear(BASE_MIN - EPOCH_MIN)
    assert gathered.count == 0
    (record,) = records(store, names, NUMBERS[:1])
    assert [(s.first_min - BASE_MIN, s.place) for s in timeline(record.history)] == [
        (950, B), (960, A), (1000, A), (1010, B),
    ]  # fmt: skip
    (older,) = records(store, Pseudonyms(FIRST, LAYOUT), NUMBERS[:1])
    assert len(timeline(older.history)) == 3


def test_forgotten_under_both(redis_url: str) -> None:
    """Both histories go, and both places are let go of by an ingester that has rows for them."""
    names = Pseudonyms(BOTH, LAYOUT)
    test_a_sighting_before_the_last_one_under_the_older_key(redis_url)
    store = Store.connect(redis_url, names)
    gathered = Pending(store, names, BASE_MIN - EPOCH_MIN)
    number = np.array([int(NUMBERS[0])] * 2)
    at = np.array([970, 1020]) + BASE_MIN - EPOCH_MIN
    gathered.add(number, at, np.array([A, A], np.uint16), 120)
    assert gathered.count == 2
    for place in names.all_of(NUMBERS[0]):
        store.forget(place)
    gathered.flush(Limits())
    (record,) = records(store, names, NUMBERS[:1])
    assert record == Record(Subscriber(forgotten=True))
