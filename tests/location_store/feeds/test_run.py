"""The loop of all feeds: what is committed is written, whatever fails in between."""

import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest

from location_store.errors import StoreUnavailable
from location_store.feeds import rejected as rejecting
from location_store.feeds import run as running
from location_store.feeds.feed import Batch, Origin, RejectedRow
from location_store.feeds.rejected import Rejected
from location_store.feeds.run import Pace
from location_store.feeds.stream import GROUP, StreamFeed
from location_store.ingest import Ingester, Totals
from location_store.stays import Point
from tests.conftest import RedisServer
from tests.location_store.feeds.support import Member, add_entries, fields_of, ingester_of, members, until
from tests.location_store.support import World
from tests.location_store.test_ingest import NOW_S, NUMBERS, expected, journeys

SIGHTINGS = journeys(61, 400)


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> World:
    return World(redis_url, tmp_path, NOW_S)


class ListFeed:
    """Sightings that are there: the smallest feed. At each commit it looks whether they are in the store."""

    name, shard = "list", None

    def __init__(self, world: World, sightings: Sequence[tuple[str, Point]], chance: random.Random) -> None:
        self._world, self._sightings, self._chance = world, sightings, chance
        self._next = 0
        self.committed = 0
        self.commits = 0

    def open(self, settle: Callable[[], None]) -> None:
        self._next = self.committed

    def poll(self, timeout_s: float) -> Batch | None:
        first, self._next = self._next, min(len(self._sightings), self._next + self._chance.randint(1, 30))
        if first == self._next:
            return None
        rows = [{"line": n, **fields_of(*self._sightings[n])} for n in range(first, self._next)]
        alone = self._chance.random() < 0.1
        return Batch(
            pl.DataFrame(rows), self._next, Origin(), lambda n: RejectedRow("list", n, ""), alone=alone
        )

    def commit(self, positions: Sequence[object]) -> None:
        last = positions[-1]
        assert isinstance(last, int)
        assert self._world.histories(NUMBERS) == expected(list(self._sightings[:last]))
        self.committed = last
        self.commits += 1
        if self._chance.random() < 0.2:
            raise StoreUnavailable("no answer to the commit.")

    def close(self) -> None:
        pass

    def lag(self) -> int | None:
        return len(self._sightings) - self._next


class Shaky(Ingester):
    """A store that is away every now and then."""

    chance = random.Random(7)

    def add(self, good: pl.DataFrame, *, again: bool = False) -> Totals:
        self._fail()
        return super().add(good, again=again)

    def flush(self) -> None:
        self._fail()
        super().flush()
        self._fail()

    def _fail(self) -> None:
        if self.chance.random() < 0.3:
            raise StoreUnavailable("away.")


@pytest.mark.parametrize("seed", range(4))
def test_what_is_committed_is_written(world: World, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Exactly: the histories at a commit are those of the rows before it, though every step may fail."""
    monkeypatch.setattr(running, "FIRST_PAUSE_S", 0.0)
    feed = ListFeed(world, SIGHTINGS, random.Random(seed))
    pace = Pace(flush_rows=100, flush_s=0.01)
    ingester = ingester_of(world, Shaky)
    while feed.committed < len(SIGHTINGS):  # the last flush may fail: then it is the next run's
        try:
            running.run([feed], ingester, data_dir=world.folder, pace=pace, idle_s=0)
        except StoreUnavailable:
            ingester = ingester_of(world, Shaky)
    assert feed.commits > 3
    assert world.histories(NUMBERS) == expected(SIGHTINGS)


def test_rows_are_gathered(world: World) -> None:
    """Up to `flush_rows`, or for `flush_s`."""
    for pace, commits in (
        (Pace(flush_s=600), 1),
        (Pace(flush_rows=1, flush_s=600), 20),
        (Pace(flush_s=0), 20),
    ):
        feed = ListFeed(world, SIGHTINGS[:40], random.Random(1))
        feed._chance = Steady()
        world.store.nodes.on_primaries("FLUSHDB")
        running.run([feed], world.ingester(), data_dir=world.folder, pace=pace, idle_s=0)
        assert feed.commits == commits


class Steady(random.Random):
    """Batches of two, and nothing fails."""

    def randint(self, a: int, b: int) -> int:
        return 2

    def random(self) -> float:
        return 1.0


def test_sigterm_drains(world: World, redis_url: str) -> None:
    """What is in memory is written and acknowledged before it ends."""
    add_entries(world, "sightings", SIGHTINGS)
    with members() as started:
        started.append(Member(world, "one", redis_url, flush_s=600, streams=["sightings"]))
        until(lambda: started[0].rows == 400, "all is read")
        started[0].end()
    assert world.histories(NUMBERS) == expected(SIGHTINGS)
    assert world.store.nodes.call(b"sightings", b"XPENDING", b"sightings", GROUP)[0] == 0


def test_a_store_that_is_away(tmp_path: Path, own_redis: Callable[..., RedisServer]) -> None:
    """A stream is in the same Redis: reading, writing and leases wait, and go on by themselves."""
    server = own_redis("--appendonly", "yes", "--appendfsync", "always")
    world = World(server.url, tmp_path, NOW_S)
    add_entries(world, "sightings", SIGHTINGS[:200])
    lines: list[str] = []
    rows = [0]
    told = threading.Event()

    def read() -> None:
        reader = World(server.url, tmp_path, NOW_S)
        running.run(
            [StreamFeed("sightings", reader.store.nodes)],
            reader.ingester(),
            data_dir=tmp_path,
            pace=Pace(flush_s=600, takeover_s=2),
            stop=told.is_set,
            progress=lambda state: rows.__setitem__(0, state.totals.rows),
            notice=lines.append,
        )

    reader = threading.Thread(target=read)
    reader.start()
    try:
        until(lambda: rows[0] == 200, "the first half is read")
        server.stop()
        until(lambda: bool(lines), "it has noticed")
        server.start()
        add_entries(World(server.url, tmp_path, NOW_S), "sightings", SIGHTINGS[200:])
        until(lambda: rows[0] == 400, "the second half is read")
    finally:
        told.set()
        reader.join(30)
    assert ["200 rows in memory" in lines[0], "going on" in lines[1]] == [True, True]
    again = World(server.url, tmp_path, NOW_S)
    assert again.histories(NUMBERS) == expected(SIGHTINGS)
    assert again.store.nodes.call(b"sightings", b"XPENDING", b"sightings", GROUP)[0] == 0


def test_told_to_stop_while_the_store_is_away(tmp_path: Path, own_redis: Callable[..., RedisServer]) -> None:
    """It ends with the store's error: the next run reads again what was not written."""
    server = own_redis()
    world = World(server.url, tmp_path, NOW_S)
    add_entries(world, "sightings", SIGHTINGS)
    seen: list[int] = []

    def progress(state: running.State) -> None:
        server.stop()
        seen.append(state.totals.rows)

    feed = StreamFeed("sightings", world.store.nodes)
    with pytest.raises(StoreUnavailable, match="is it running"):
        running.run([feed], world.ingester(), data_dir=tmp_path, stop=lambda: bool(seen), progress=progress)
    assert seen == [400]


def test_rejects_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest are kept, and one file of those before them; a new run begins a new file."""
    monkeypatch.setattr(rejecting, "MAX_ROWS", 3)
    for run in range(2):
        rejects = Rejected(tmp_path)
        for line in range(8):
            rejects.add("list", "time", RejectedRow("s", 10 * run + line, "x"))
        rejects.close("list")
    found = {path.name: path.read_text().split()[1:] for path in (tmp_path / "rejects").iterdir()}
    assert found == {
        "s.csv": ["16,time,x", "17,time,x"],
        "s.1.csv": ["13,time,x", "14,time,x", "15,time,x"],
    }
