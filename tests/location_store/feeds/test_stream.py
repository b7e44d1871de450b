"""Sightings from a Redis stream: written, then acknowledged."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from redis.crc import key_slot

from location_store.errors import StoreRefused
from location_store.feeds.run import State
from location_store.feeds.run import run as run_feeds
from location_store.feeds.stream import GROUP, StreamFeed
from location_store.ingest import Ingester, Totals
from location_store.lease import Lease
from location_store.sightings import Checked, TimeFormat
from location_store.stays import Point
from tests.cluster import cluster  # noqa: F401 -- a fixture
from tests.conftest import RedisServer
from tests.location_store.feeds.support import Crash, ingester_of
from tests.location_store.histories import sighted, stays_of
from tests.location_store.support import CITIES, World, china_s

STREAM = "sightings"
KEY, DEAD = b"sightings", b"sightings:dead"
NUMBER = "8613800000001"
NOW_S = china_s("2026-03-20T10:00")
START = int(NOW_S // 60) - 1000
POINTS = [Point(START + 10 * n, CITIES[n // 5]) for n in range(10)]


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> World:
    return World(redis_url, tmp_path, NOW_S)


def add(world: World, **fields: object) -> None:
    good = {"time": 60 * START, "msisdn": NUMBER, "mcc": 460, "mnc": 0, "area": 1, "cell": 1}
    pairs = [str(each) for pair in {**good, **fields}.items() for each in pair]
    world.store.nodes.call(KEY, "XADD", KEY, "*", *pairs)


def add_points(world: World, points: list[Point]) -> None:
    for point in points:
        add(world, time=60 * point.minute, cell=CITIES.index(point.place) + 1)


def pending(world: World) -> int:
    summary = world.store.nodes.call(KEY, "XPENDING", KEY, GROUP)
    return int(summary["pending"])


def run(world: World, ingester: Ingester | None = None, **feed: Any) -> Totals:
    """Read the stream until it is empty."""
    nodes = world.store.nodes
    return run_feeds(
        [StreamFeed(STREAM, nodes, **feed)], ingester or world.ingester(), data_dir=world.folder, idle_s=0
    )


def test_entries_are_written_and_acknowledged(world: World) -> None:
    """Also those that were there before the group; a second run goes on behind the first."""
    add_points(world, POINTS[:5])
    assert run(world) == Totals(rows=5, written=5)
    add_points(world, POINTS[5:])
    assert run(world) == Totals(rows=5, written=5)
    assert world.stays(NUMBER) == stays_of(sighted(POINTS))
    assert pending(world) == 0


def test_what_was_not_acknowledged_is_read_again(world: World) -> None:
    """A consumer that died between reading and writing; an entry deleted since is passed over."""
    add_points(world, POINTS)
    nodes = world.store.nodes
    nodes.call(KEY, "XGROUP", "CREATE", KEY, GROUP, "0")
    read = nodes.call(KEY, "XREADGROUP", "GROUP", GROUP, "ingest", "COUNT", 4, "STREAMS", KEY, ">")
    nodes.call(KEY, "XDEL", KEY, read[0][1][0][0])
    assert pending(world) == 4
    assert run(world) == Totals(rows=9, written=9)
    assert world.stays(NUMBER) == stays_of(sighted(POINTS[1:]))
    assert pending(world) == 0


def test_bad_entries_are_set_aside_and_acknowledged(world: World) -> None:
    """One reason each, with the entry."""
    add(world, time="soon")
    world.store.nodes.call(KEY, "XADD", KEY, "*", "colour", "red")
    add(world, cell=77)
    totals = run(world)
    assert (totals.rows, totals.rejected) == (3, {"time": 2, "unknown_cell": 1})
    assert pending(world) == 0
    rejects = (world.folder / "rejects" / "stream-sightings.csv").read_text().splitlines()
    assert len(rejects) == 4
    assert "colour=red" in rejects[2]


def test_it_ends_when_told(world: World) -> None:
    """`stop` is asked before every read; the totals are reported after each batch."""
    add_points(world, POINTS)
    seen: list[State] = []
    totals = run_feeds(
        [StreamFeed(STREAM, world.store.nodes)],
        world.ingester(),
        data_dir=world.folder,
        stop=lambda: bool(seen),
        progress=seen.append,
    )
    assert (totals.rows, len(seen), seen[0].reading) == (10, 1, ("stream sightings",))
    assert pending(world) == 0


def test_the_clock_goes_on(world: World) -> None:
    """What lies in the future as the run begins is welcome when its time has come, days later."""
    add(world, time=int(NOW_S) + 90_000)
    ingester = world.ingester()
    world.now_s += 90_000
    assert run(world, ingester) == Totals(rows=1, written=1)
    assert ingester.settings.keep_from_min == world.settings.keep_from_min + 1440


def test_a_second_run_on_a_stream_stands_by(world: World) -> None:
    """Until the first one ends; it can be stopped meanwhile."""
    add_points(world, POINTS)
    lines: list[str] = []
    with Lease(world.store.nodes, f"ingest-{STREAM}", world.folder) as first:
        first.hold()
        totals = run_feeds(
            [StreamFeed(STREAM, world.store.nodes)],
            world.ingester(),
            data_dir=world.folder,
            stop=lambda: bool(lines),
            notice=lines.append,
        )
    assert (totals, len(lines)) == (Totals(), 1)
    assert run(world) == Totals(rows=10, written=10)


def test_a_key_that_is_no_stream_is_refused(world: World) -> None:
    """Named by the server."""
    world.store.nodes.call(KEY, "SET", KEY, "x")
    with pytest.raises(StoreRefused, match="WRONGTYPE"):
        run(world)


def deliver(world: World, times: int, *entries: bytes) -> None:
    """As if that many ingesters had been given these entries and died."""
    nodes = world.store.nodes
    for _ in range(times):
        nodes.call(KEY, "XCLAIM", KEY, GROUP, "dead", 0, *entries)


def test_what_others_left_behind_comes_first(world: World) -> None:
    """Whatever consumer of the group had read it: in the order of the stream, before what is new."""
    start = Point(START, CITIES[0])
    late, newest = Point(START + 10, CITIES[1]), Point(START + 400, CITIES[0])
    add_points(world, [start, late])
    nodes = world.store.nodes
    nodes.call(KEY, "XGROUP", "CREATE", KEY, GROUP, "0")
    nodes.call(KEY, "XREADGROUP", "GROUP", GROUP, "elsewhere", "STREAMS", KEY, ">")
    add_points(world, [newest])
    assert run(world) == Totals(rows=3, written=3)
    assert pending(world) == 0


def test_an_entry_that_ends_the_ingest_is_found(world: World) -> None:
    """Runs that crash on it read ever fewer entries at a time; the others get through, it becomes a dead
    letter."""
    add_points(world, POINTS)
    add(world, cell="poison", msisdn="8613800000002")
    add_points(world, [Point(START + 200, CITIES[0])])
    runs = 0
    while runs < 20:
        runs += 1
        with suppress(Crash):
            run(world, ingester_of(world, Fragile), tries=4)
            break
    assert runs == 5
    assert world.stays(NUMBER) == stays_of(sighted([*POINTS, Point(START + 200, CITIES[0])]))
    assert pending(world) == 0
    ((_, dead),) = world.store.nodes.call(DEAD, "XRANGE", DEAD, "-", "+")
    assert dead[b"cell"] == b"poison"
    assert dead[b"dead_reason"] == b"delivered 4 times and never written"
    assert world.store.nodes.call(KEY, "XRANGE", KEY, dead[b"dead_id"], dead[b"dead_id"])


class Fragile(Ingester):
    """Dies of one kind of entry."""

    def check(self, rows: pl.DataFrame, time_format: TimeFormat | None) -> Checked:
        if "poison" in rows["cell"]:
            raise Crash
        return super().check(rows, time_format)


def test_trimming_is_the_operators_choice(world: World) -> None:
    """Acknowledged entries stay unless it is asked for."""
    nodes = world.store.nodes
    nodes.on_primaries("CONFIG", "SET", "stream-node-max-entries", 10)
    try:
        add_points(world, POINTS * 20)
        run(world)
        assert nodes.call(KEY, "XLEN", KEY) == 200
        add_points(world, POINTS * 20)
        run(world, trim=True)
        assert nodes.call(KEY, "XLEN", KEY) <= 10
    finally:
        nodes.on_primaries("CONFIG", "SET", "stream-node-max-entries", 100)


def test_on_a_cluster(cluster: list[RedisServer], tmp_path: Path) -> None:  # noqa: F811
    """The stream, its dead letters and the leases may each be on another node."""
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in cluster)
    world = World(url, tmp_path, NOW_S)
    nodes = world.store.nodes
    assert len({key_slot(key) < 8192 for key in (KEY, DEAD)}) == 2
    add_points(world, POINTS)
    nodes.call(KEY, "XGROUP", "CREATE", KEY, GROUP, "0")
    read = nodes.call(KEY, "XREADGROUP", "GROUP", GROUP, "gone", "COUNT", 1, "STREAMS", KEY, ">")
    deliver(world, 4, read[0][1][0][0])
    assert run(world) == Totals(rows=9, written=9)
    assert world.stays(NUMBER) == stays_of(sighted(POINTS[1:]))
    assert (pending(world), nodes.call(DEAD, "XLEN", DEAD)) == (0, 1)


def test_what_waits_is_counted(world: World) -> None:
    """Entries that were not delivered."""
    add_points(world, POINTS)
    feed = StreamFeed(STREAM, world.store.nodes)
    feed.open(lambda: None)
    assert feed.lag() == 10
    run(world)
    assert feed.lag() == 0
