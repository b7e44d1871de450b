"""Several files in one ingest: order, headers, those that cannot be used, and runs at the same time."""

import gzip
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from location_store.feeds.run import run as run_feeds
from location_store.feeds.stream import StreamFeed
from location_store.ingest import Totals, ingest
from location_store.stays import Point
from tests.location_store.support import CITIES, World, write_csv
from tests.location_store.test_ingest import NOW_S, NUMBERS, expected, journeys, run

HEADER = "time,msisdn,mcc,mnc,area,cell\n"


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> World:
    return World(redis_url, tmp_path, NOW_S)


def pieces(world: World, sightings: list[tuple[str, Point]], count: int) -> list[Path]:
    """The sightings in files f0.csv, f1.csv, …, cut in the order of time."""
    size = -(-len(sightings) // count)
    return [write_csv(world.folder / f"f{n}.csv", sightings[n * size : (n + 1) * size]) for n in range(count)]


def test_files_are_worked_off_in_the_order_of_their_times(world: World) -> None:
    """Whatever order the shell gives, and however they are packed: nothing is late."""
    sightings = journeys(11)
    files = pieces(world, sightings, 12)
    files[3] = files[3].rename(world.folder / "z.csv")
    files[5].with_suffix(".gz").write_bytes(gzip.compress(files[5].read_bytes()))
    files[5] = files[5].with_suffix(".gz")
    pl.read_csv(files[7]).write_parquet(files[7].with_suffix(".parquet"))
    files[7] = files[7].with_suffix(".parquet")
    assert run(world, *sorted(files, reverse=True)) == Totals(rows=600, written=600)
    assert world.histories(NUMBERS) == expected(sightings)
    assert run(world, *files) == Totals(skipped_files=12)


def test_the_time_of_a_file_is_that_of_its_first_usable_row(world: World) -> None:
    """Bad rows before it tell nothing, nor does a file without any."""
    sightings = journeys(12)
    early, late = pieces(world, sightings, 2)
    text = late.read_text()
    junk = f"{int(NOW_S) + 9},{NUMBERS[0]},460,0,1,1\n60,12,460,0,1,1\nsoon,1,1,1,1,1\n"
    late.write_text(HEADER + junk + text.removeprefix(HEADER))
    bad = world.folder / "bad.csv"
    bad.write_text(HEADER + "soon,1,1,1,1,1\n")
    totals = run(world, bad, late, early)
    assert (totals.written, totals.late, totals.rejected) == (600, 0, {"future": 1, "msisdn": 1, "time": 2})
    assert world.histories(NUMBERS) == expected(sightings)


def test_a_pipe_among_files_has_its_place_too(world: World) -> None:
    """Though it can be read once only."""
    sightings = journeys(13)
    first, second, third = pieces(world, sightings, 3)
    pipe = world.folder / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        pool.submit(pipe.write_bytes, second.read_bytes())
        assert run(world, third, pipe, first) == Totals(rows=600, written=600)
    assert world.histories(NUMBERS) == expected(sightings)


def test_files_that_cannot_be_used_are_named_and_the_others_go_on(world: World) -> None:
    """A bad header, a missing file, an empty one, times without zone, damage at the end."""
    sightings = journeys(14, 100)
    good, cut = pieces(world, sightings, 2)
    naive = world.folder / "naive.parquet"
    pl.read_csv(good).with_columns(pl.from_epoch("time")).write_parquet(naive)
    whole = gzip.compress(cut.read_bytes())
    cut = world.folder / "cut.gz"
    cut.write_bytes(whole[:-10])
    (world.folder / "header.csv").write_text("x,y\n")
    (world.folder / "empty.csv").touch()
    names = ["header.csv", "missing.csv", "empty.csv", "naive.parquet", "cut.gz"]
    totals = run(world, *(world.folder / name for name in names), good)
    assert (totals.rows, totals.written) == (50, 50)
    faults = ["has no header", "No such file", "is empty", "the column time is", "cut off or damaged"]
    assert len(totals.unusable) == len(names)
    for name, fault in zip(names, faults, strict=True):
        assert any(str(world.folder / name) in line and fault in line for line in totals.unusable)
    assert world.histories(NUMBERS) == expected(sightings[:50])


def test_a_file_that_breaks_off_late_keeps_what_was_read(world: World) -> None:
    """Its whole blocks count; mended, it is completed by the same command."""
    sightings = journeys(15)
    whole = write_csv(world.folder / "in.csv", sightings).read_bytes()
    damaged = world.folder / "in.gz"
    damaged.write_bytes(gzip.compress(whole)[:-10])
    totals = run(world, damaged, block_bytes=200)
    assert len(totals.unusable) == 1
    assert totals.written > 500
    damaged.write_bytes(gzip.compress(whole))
    assert run(world, damaged, block_bytes=200) == Totals(rows=600, written=600)
    assert world.histories(NUMBERS) == expected(sightings)


def test_ingests_at_the_same_time_take_turns(redis_url: str, tmp_path: Path) -> None:
    """The second waits, says so, and loses nothing by it: its rows are the later ones."""
    sightings = journeys(16)
    worlds = [World(redis_url, tmp_path, NOW_S) for _ in range(2)]
    files = pieces(worlds[0], sightings, 2)
    under_way, said, lines = threading.Event(), threading.Event(), list[str]()

    def progress(_done: int, _total: int | None) -> None:
        under_way.set()
        assert said.wait(60)

    def notice(line: str) -> None:
        lines.append(line)
        said.set()

    def first() -> Totals:
        return ingest(files[:1], worlds[0].ingester(), data_dir=tmp_path, progress=progress, block_bytes=2000)

    with ThreadPoolExecutor() as pool:
        one = pool.submit(first)
        assert under_way.wait(60)
        two = ingest(files[1:], worlds[1].ingester(), data_dir=tmp_path, notice=notice)
    assert [one.result(), two] == [Totals(rows=300, written=300)] * 2
    assert ["another ingest is at work" in lines[0], "going on" in lines[1]] == [True, True]
    assert worlds[0].histories(NUMBERS) == expected(sightings)


def test_a_stream_waits_for_files(redis_url: str, tmp_path: Path) -> None:
    """What comes by the stream meanwhile stays there, and is written after them."""
    worlds = [World(redis_url, tmp_path, NOW_S) for _ in range(2)]
    sightings = journeys(17, 100)
    path = write_csv(tmp_path / "in.csv", sightings)
    newest = Point(int(NOW_S // 60) - 1, CITIES[0])
    fields = {"time": 60 * newest.minute, "msisdn": NUMBERS[0], "mcc": 460, "mnc": 0, "area": 1, "cell": 1}
    pairs = [str(each) for pair in fields.items() for each in pair]
    worlds[0].store.nodes.call(b"feed", "XADD", b"feed", "*", *pairs)
    said = threading.Event()

    def stream() -> Totals:
        ingester = worlds[1].ingester()
        feed = StreamFeed("feed", ingester.store.nodes)
        return run_feeds([feed], ingester, data_dir=tmp_path, idle_s=0, notice=lambda _: said.set())

    with ThreadPoolExecutor() as pool:
        streaming: list[Future[Totals]] = []

        def progress(_done: int, _total: int | None) -> None:
            if not streaming:
                streaming.append(pool.submit(stream))
                assert said.wait(60)

        assert ingest(
            [path], worlds[0].ingester(), data_dir=tmp_path, progress=progress, block_bytes=2000
        ) == Totals(rows=100, written=100)
        assert streaming[0].result(10) == Totals(rows=1, written=1)
    assert worlds[0].histories(NUMBERS) == expected([*sightings, (NUMBERS[0], newest)])


def test_the_clock_is_that_of_the_block(world: World) -> None:
    """A row is in the future if it is so when it is read, be it by a second; the run may be hours old."""
    now = int(NOW_S)
    path = world.folder / "in.csv"
    path.write_text(HEADER + "".join(f"{now + n},{NUMBERS[0]},460,0,1,1\n" for n in (0, 1, 3600, 7200)))
    assert run(world, path).rejected == {"future": 3}
    ingester = world.ingester()
    world.now_s += 3600
    other = path.with_name("other.csv")
    other.write_text(path.read_text() + "\n")
    totals = ingest([other], ingester, data_dir=world.folder)
    assert (totals.written, totals.rejected) == (3, {"future": 1})
