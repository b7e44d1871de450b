"""location_store.erasures: what is forgotten is forgotten by ingesters too."""

from collections.abc import Callable
from random import Random
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from location_store import coalescer
from location_store.coalescer import Pending
from location_store.epoch import EPOCH_MIN
from location_store.erasures import ERASED_KEY, KEPT_S, Erasures, entry
from location_store.merge import Limits
from location_store.record import timeline, unpack
from location_store.store import Store
from tests.location_store.histories import BASE_MIN
from tests.location_store.support import LAYOUT, names_of

NAMES = names_of(LAYOUT)
NUMBERS = [8613800000000 + n for n in range(6)]


@pytest.fixture
def store(redis_url: str) -> Store:
    return Store.connect(redis_url, NAMES)


def pending(store: Store) -> Pending:
    return Pending(store, NAMES, BASE_MIN - EPOCH_MIN)


def add(gathered: Pending, *rows: tuple[int, int], again: bool = False) -> list[bool]:
    """Rows of (index of the number, minute after BASE_MIN); which were in time."""
    who, minute = np.array(rows, np.int64).T
    place = np.full(who.size, 1100, np.uint16)
    timely = gathered.add(np.array(NUMBERS)[who], minute + BASE_MIN - EPOCH_MIN, place, 120, again=again)
    return [bool(each) for each in timely]


def flush(gathered: Pending) -> None:
    gathered.flush(Limits())
    gathered.rows.clear(BASE_MIN - EPOCH_MIN)


def forget(store: Store, who: int) -> None:
    store.forget(NAMES.of(str(NUMBERS[who])))


def minutes(store: Store, who: int) -> list[int]:
    (blob,) = store.read([NAMES.of(str(NUMBERS[who]))])
    return [minute - BASE_MIN for each in timeline(unpack(blob).history) for minute in (each.first_min,)]


def before_next_write(store: Store, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """`act` once, after records were read and before they are written."""
    start_put, acts = store.start_put, [act]

    def interrupted(batches: Any) -> Any:
        if acts:
            acts.pop()()
        return start_put(batches)

    monkeypatch.setattr(store, "start_put", interrupted)


def test_what_is_pending_is_dropped(store: Store) -> None:
    """And nobody else's; what comes afterwards is new, even if it is older than what was forgotten."""
    gathered = pending(store)
    add(gathered, (0, 1000), (1, 1000))
    flush(gathered)
    add(gathered, (0, 1010), (1, 1010))
    forget(store, 0)
    flush(gathered)
    assert (minutes(store, 0), minutes(store, 1)) == ([], [1000, 1010])
    assert add(gathered, (0, 500), (1, 500)) == [True, False]
    flush(gathered)
    assert (minutes(store, 0), minutes(store, 1)) == ([500], [1000, 1010])


def test_rows_taken_since_are_kept(store: Store) -> None:
    """Rows from before and after it in one flush: the later ones are written."""
    gathered = pending(store)
    add(gathered, (0, 1000))
    forget(store, 0)
    add(gathered, (0, 400))
    flush(gathered)
    assert minutes(store, 0) == [400]


def test_between_reading_and_writing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record was read before: the write is refused, and what was forgotten is not written again."""
    gathered = pending(store)
    add(gathered, (0, 1000), (1, 1000))
    before_next_write(store, monkeypatch, lambda: forget(store, 0))
    flush(gathered)
    assert (minutes(store, 0), minutes(store, 1)) == ([], [1000])


def test_in_the_middle_of_a_flush(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever it is, in a slice that is done, under way or still to come."""
    monkeypatch.setattr(coalescer, "SLICE_RECORDS", 1)
    for who in range(len(NUMBERS)):
        gathered = pending(store)
        add(gathered, *((n, 1000 + who) for n in range(len(NUMBERS))))
        with monkeypatch.context() as patch:
            before_next_write(store, patch, lambda who=who: forget(store, who))  # type: ignore[misc]
            flush(gathered)
        assert minutes(store, who) == []


def test_a_restarted_feed_does_not_bring_it_back(store: Store) -> None:
    """Rows that are read again after a crash are left out if they lie before an erasure; others are not."""
    forget(store, 0)
    (time_s,) = (at for who, at in told(store).items())
    now = int(time_s // 60) - BASE_MIN
    gathered = pending(store)
    rows = ((0, now - 5), (0, now + 1), (1, now - 5))
    assert add(gathered, *rows, again=True) == [False, True, True]
    flush(gathered)
    assert (minutes(store, 0), minutes(store, 1)) == ([now + 1], [now - 5])
    assert add(gathered, (0, now - 5)) == [True]


def told(store: Store) -> dict[Any, float]:
    erasures = Erasures(store.nodes)
    erasures.look()
    return erasures.time_s


def test_an_erasure_is_told_for_two_days(store: Store) -> None:
    """Then its pseudonym goes as well."""
    begun_s = int(store.nodes.call(b"", "TIME")[0])
    for n in range(300):
        store.nodes.run([entry(NAMES.of(str(n)), begun_s)])
    store.nodes.run([entry(NAMES.of("1"), begun_s + KEPT_S + 3600)])
    assert store.nodes.call(ERASED_KEY, "XLEN", ERASED_KEY) < 200


def test_whatever_comes_between(redis_url: str) -> None:
    """Somebody forgets all the time while sightings are taken and written: of nobody there is a sighting
    that was taken before he was forgotten last, and all that were taken afterwards are there.
    """
    random, done = Random(7), Event()
    log: list[
        tuple[int, int, int]
    ] = []  # who, the minute that was reached when it began, and when it had ended
    reached = [0]

    def forgetting() -> None:
        store = Store.connect(redis_url, NAMES)
        while not done.is_set():
            who, began = random.randrange(len(NUMBERS)), reached[0]
            forget(store, who)
            log.append((who, began, reached[0]))
        store.close()

    store = Store.connect(redis_url, NAMES)
    gathered = pending(store)
    thread = Thread(target=forgetting)
    thread.start()
    for minute in range(1, 600):
        add(gathered, *((who, 130 * minute) for who in range(len(NUMBERS))))
        reached[0] = minute
        if minute % 3 == 0:
            flush(gathered)
    done.set()
    thread.join()
    flush(gathered)
    assert len(log) > 50
    for who in range(len(NUMBERS)):
        kept = [minute // 130 for minute in minutes(store, who)]
        began, ended = max((began, ended) for each, began, ended in log if each == who)
        assert all(minute > began for minute in kept)
        assert set(range(ended + 2, 600)) <= set(kept)
