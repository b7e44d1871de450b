"""Sightings from a Redis stream: written, then acknowledged."""

from pathlib import Path
from typing import Any

import pytest

from location_store.errors import StoreRefused
from location_store.feeds.run import State
from location_store.feeds.run import run as run_feeds
from location_store.feeds.stream import GROUP, StreamFeed
from location_store.ingest import Ingester, Totals
from location_store.lease import Lease
from location_store.stays import Point
from tests.location_store.histories import sighted, stays_of
from tests.location_store.support import CITIES, World, china_s

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
    world.store.nodes.call(b"feed", "XADD", b"feed", "*", *pairs)


def add_points(world: World, points: list[Point]) -> None:
    for point in points:
        add(world, time=60 * point.minute, cell=CITIES.index(point.place) + 1)


def pending(world: World) -> int:
    summary = world.store.nodes.call(b"feed", "XPENDING", b"feed", GROUP)
    return int(summary["pending"])


def run(world: World, ingester: Ingester | None = None, **feed: Any) -> Totals:
    """Read the stream until it is empty."""
    nodes = world.store.nodes
    return run_feeds(
        [StreamFeed("feed", nodes, **feed)], ingester or world.ingester(), data_dir=world.folder, idle_s=0
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
    nodes.call(b"feed", "XGROUP", "CREATE", b"feed", GROUP, "0")
    read = nodes.call(b"feed", "XREADGROUP", "GROUP", GROUP, "ingest", "COUNT", 4, "STREAMS", b"feed", ">")
    nodes.call(b"feed", "XDEL", b"feed", read[0][1][0][0])
    assert pending(world) == 4
    assert run(world) == Totals(rows=9, written=9)
    assert world.stays(NUMBER) == stays_of(sighted(POINTS[1:]))
    assert pending(world) == 0


def test_bad_entries_are_set_aside_and_acknowledged(world: World) -> None:
    """One reason each, with the entry."""
    add(world, time="soon")
    world.store.nodes.call(b"feed", "XADD", b"feed", "*", "colour", "red")
    add(world, cell=77)
    totals = run(world)
    assert (totals.rows, totals.rejected) == (3, {"time": 2, "unknown_cell": 1})
    assert pending(world) == 0
    rejects = (world.folder / "rejects" / "stream-feed.csv").read_text().splitlines()
    assert len(rejects) == 4
    assert "colour=red" in rejects[2]


def test_it_ends_when_told(world: World) -> None:
    """`stop` is asked before every read; the totals are reported after each batch."""
    add_points(world, POINTS)
    seen: list[State] = []
    totals = run_feeds(
        [StreamFeed("feed", world.store.nodes)],
        world.ingester(),
        data_dir=world.folder,
        stop=lambda: bool(seen),
        progress=seen.append,
    )
    assert (totals.rows, len(seen), seen[0].reading) == (10, 1, ("stream feed",))
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
    with Lease(world.store.nodes, "ingest-feed", world.folder) as first:
        first.hold()
        totals = run_feeds(
            [StreamFeed("feed", world.store.nodes)],
            world.ingester(),
            data_dir=world.folder,
            stop=lambda: bool(lines),
            notice=lines.append,
        )
    assert (totals, len(lines)) == (Totals(), 1)
    assert run(world) == Totals(rows=10, written=10)


def test_a_key_that_is_no_stream_is_refused(world: World) -> None:
    """Named by the server."""
    world.store.nodes.call(b"feed", "SET", b"feed", "x")
    with pytest.raises(StoreRefused, match="WRONGTYPE"):
        run(world)
