"""Ingest on a real Redis: exact, restartable, idempotent."""

import io
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from location_store.cells import FILE_NAME, CellTable
from location_store.errors import StoreUnavailable
from location_store.ingest import Totals, ingest
from location_store.pseudonyms import Pseudonym
from location_store.record import unpack
from location_store.stays import Point, Stay
from tests.conftest import RedisServer
from tests.location_store.histories import sighted, stays_of
from tests.location_store.support import CITIES, World, cell_table, china_s, write_csv

NOW_S = china_s("2026-03-20T10:00")
NUMBERS = [f"861380000{n:04}" for n in range(40)]
BLOCK_BYTES = 2_000


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> World:
    return World(redis_url, tmp_path, NOW_S)


def journeys(seed: int, count: int = 600) -> list[tuple[str, Point]]:
    """Sightings of all NUMBERS over the last ten days, in the order of time."""
    chance = random.Random(seed)
    now_min = int(NOW_S // 60)
    return [
        (chance.choice(NUMBERS), Point(minute, chance.choice(CITIES)))
        for minute in sorted(chance.randrange(now_min - 14_400, now_min) for _ in range(count))
    ]


def expected(sightings: list[tuple[str, Point]]) -> dict[str, list[Stay]]:
    return {
        number: stays_of(sighted(point for who, point in sightings if who == number)) for number in NUMBERS
    }


def run(world: World, *paths: Path | str, block_bytes: int = BLOCK_BYTES) -> Totals:
    return ingest(paths, world.ingester(), data_dir=world.folder, block_bytes=block_bytes)


def test_histories_are_those_of_the_file(world: World) -> None:
    """Many blocks, many subscribers: the store holds the stays of each one's sightings."""
    sightings = journeys(1)
    totals = run(world, write_csv(world.folder / "in.csv", sightings))
    assert totals == Totals(rows=600, written=600)
    assert world.histories(NUMBERS) == expected(sightings)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1000, 9000))
def test_late_doubled_and_divided_input_gives_the_same(
    redis_url: str, tmp_path: Path, seed: int, files: int, block_bytes: int
) -> None:
    """Up to 2 h late, doubled, across files and runs: the histories of sorted input."""
    world = World(redis_url, tmp_path, NOW_S)
    world.store.nodes.on_primaries("FLUSHALL")
    chance = random.Random(seed)
    sightings = journeys(seed, 300)
    arriving = sorted(sightings + sightings[::3], key=lambda each: each[1].minute + chance.uniform(0, 119))
    size = -(-len(arriving) // files)
    for n in range(files):
        path = write_csv(tmp_path / f"{seed}-{n}-{block_bytes}.csv", arriving[n * size : (n + 1) * size])
        assert run(world, path, block_bytes=block_bytes).late == 0
    assert world.histories(NUMBERS) == expected(sightings)


def test_later_sightings_are_counted_as_late(world: World) -> None:
    """More than 2 h behind the newest of the same subscriber: counted, and the history is as without them."""
    start = int(NOW_S // 60) - 5000
    early, late = Point(start, CITIES[1]), Point(start + 600, CITIES[0])
    path = write_csv(world.folder / "in.csv", [(NUMBERS[0], late), (NUMBERS[0], early), (NUMBERS[1], early)])
    assert run(world, path) == Totals(rows=3, written=2, late=1)
    assert world.stays(NUMBERS[0]) == stays_of(sighted([late]))


def test_a_complete_file_is_not_read_again(world: World) -> None:
    """The same content, whatever its name; a file that has grown goes on where it ended."""
    sightings = journeys(2)
    path = write_csv(world.folder / "in.csv", sightings[:500])
    run(world, path)
    before = world.histories(NUMBERS)
    assert run(world, path) == Totals(skipped_files=1)
    assert run(world, path.rename(world.folder / "renamed.csv")) == Totals(skipped_files=1)
    assert world.histories(NUMBERS) == before
    grown = write_csv(path, sightings)
    assert run(world, grown).rows == 600
    assert world.histories(NUMBERS) == expected(sightings)


@pytest.mark.parametrize("step", ["put", "half a put", "checkpoint", "after the checkpoint"])
def test_a_killed_ingest_is_completed_by_the_same_command(world: World, redis_url: str, step: str) -> None:
    """kill -9 at every step of a block: run again, the totals and histories are those of one run."""
    sightings = journeys(3)
    path = write_csv(world.folder / "in.csv", sightings)
    with path.open("a") as file:
        file.write("soon,1,460,0,1,1\n")
    killed = subprocess.run(
        [sys.executable, "-m", "tests.location_store.killed_ingest", redis_url, path, str(NOW_S), step],
        check=False,
    )
    assert killed.returncode == -9
    totals = run(world, path)
    assert (totals.rows, totals.rejected, totals.skipped_files) == (601, {"time": 1}, 0)
    # what the killed block had written is behind the newest sighting by now, and already there
    assert totals.written + totals.late == 600
    assert world.histories(NUMBERS) == expected(sightings)
    assert (world.folder / "rejects" / "in.csv").read_text().splitlines()[1:] == [
        '602,time,"soon,1,460,0,1,1"'
    ]


def test_a_store_that_goes_away_is_said_and_nothing_is_lost(
    own_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    """The error names the row; when the store is back the same call completes the work."""
    server = own_redis("--appendonly", "yes", "--appendfsync", "always")
    world = World(server.url, tmp_path, NOW_S)
    sightings = journeys(4)
    path = write_csv(tmp_path / "in.csv", sightings)
    blocks_done: list[int] = []

    def progress(done: int, total: int | None) -> None:
        assert total == path.stat().st_size
        blocks_done.append(done)
        if len(blocks_done) == 4:
            server.stop()

    with pytest.raises(StoreUnavailable, match="run again goes on from there"):
        ingest([path], world.ingester(), data_dir=tmp_path, progress=progress, block_bytes=BLOCK_BYTES)
    assert blocks_done == sorted(blocks_done)
    server.start()
    assert run(world, path) == Totals(rows=600, written=600)
    assert world.histories(NUMBERS) == expected(sightings)


def test_ingesters_at_the_same_time_do_not_undo_one_another(redis_url: str, tmp_path: Path) -> None:
    """Two files with the same subscribers, written at once: every sighting is in."""
    start = int(NOW_S // 60) - 500
    chance = random.Random(5)
    sightings = [
        (chance.choice(NUMBERS), Point(start + chance.randrange(119), chance.choice(CITIES)))
        for _ in range(3000)
    ]
    paths = [write_csv(tmp_path / f"{n}.csv", sightings[n::2]) for n in range(2)]
    worlds = [World(redis_url, tmp_path, NOW_S) for _ in paths]
    with ThreadPoolExecutor() as pool:
        totals = list(pool.map(run, worlds, paths))
    assert [each.written for each in totals] == [1500, 1500]
    assert worlds[0].histories(NUMBERS) == expected(sightings)


def test_rows_before_the_window_are_old(world: World) -> None:
    """Old rows are counted; those shortly before the edge are kept, so that a stay can be clipped there."""
    edge = world.settings.keep_from_min
    points = [Point(edge - 1000, CITIES[0]), Point(edge - 30, CITIES[1]), Point(edge + 30, CITIES[1])]
    path = write_csv(world.folder / "in.csv", [(NUMBERS[0], point) for point in points])
    assert run(world, path) == Totals(rows=3, written=1, old=2)
    assert world.stays(NUMBERS[0]) == stays_of(sighted(points[1:]))
    only_old = write_csv(world.folder / "old.csv", [(NUMBERS[1], points[0])])
    totals = run(world, only_old)
    assert (totals.usable, totals.old) == (1, 1)


def test_segments_end_at_midnight_for_carriers_that_reckon_by_days(world: World) -> None:
    """In their zones, which leaves the stays as they are; without such a carrier segments go on."""
    start = int(china_s("2026-03-10T22:00") // 60)
    points = [Point(start + 30 * n, CITIES[0]) for n in range(30)]
    path = write_csv(world.folder / "in.csv", [(NUMBERS[0], point) for point in points])
    ends = {}
    for zones in ((), ("Asia/Shanghai",), ("Asia/Shanghai", "UTC")):
        world.store.nodes.on_primaries("FLUSHALL")
        world.settings = world.settings._replace(day_zones=tuple(map(ZoneInfo, zones)))
        run(world, path)
        assert world.stays(NUMBERS[0]) == stays_of(sighted(points))
        (blob,) = world.store.read([world.pseudonyms.of(NUMBERS[0])])
        ends[len(zones)] = [segment.last_min - start for segment in unpack(blob).history.segments]
    assert ends == {0: [720], 1: [90, 720], 2: [90, 570, 720]}


def test_a_file_of_rejects_is_never_complete(world: World) -> None:
    """Nothing usable is a failure each time, not the second time a file already done."""
    path = world.folder / "in.csv"
    path.write_text("time,msisdn,mcc,mnc,area,cell\n1,2,3\n\n5,6,7,8,9,10\n")
    for _ in range(2):
        totals = run(world, path)
        assert (totals.rows, totals.usable, totals.rejected) == (2, 0, {"fields": 1, "msisdn": 1})


def test_another_table_of_cells_makes_a_file_new(world: World) -> None:
    """Who imports the cells after the sightings runs the same command again."""
    sightings = journeys(6, 50)
    path = write_csv(world.folder / "in.csv", sightings)
    nothing = CellTable(np.empty(0, cell_table()._rows.dtype))
    totals = ingest([path], world.ingester(nothing), data_dir=world.folder)
    assert (totals.usable, totals.rejected) == (0, {"unknown_cell": 50})
    cell_table().save(world.folder)
    assert (world.folder / FILE_NAME).exists()
    assert run(world, path) == Totals(rows=50, written=50)


def test_other_forms_of_the_same_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet, and standard input."""
    sightings = journeys(7, 100)
    path = write_csv(world.folder / "in.csv", sightings)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    assert run(world, "-") == Totals(rows=100, written=100)
    assert world.histories(NUMBERS) == expected(sightings)
    pl.read_csv(path).write_parquet(world.folder / "in.parquet")
    world.store.nodes.on_primaries("FLUSHALL")
    assert run(world, world.folder / "in.parquet") == Totals(rows=100, written=100)
    assert world.histories(NUMBERS) == expected(sightings)
    assert run(world, world.folder / "in.parquet") == Totals(skipped_files=1)


def test_files_of_one_name_have_rejects_of_their_own(world: World) -> None:
    """a/in.csv and b/in.csv in one run."""
    paths = []
    for name in ("a", "b"):
        (world.folder / name).mkdir()
        paths.append(world.folder / name / "in.csv")
        paths[-1].write_text(f"time,msisdn,mcc,mnc,area,cell\n{name},1,1,1,1,1\n")
    run(world, *paths)
    assert {path.name for path in (world.folder / "rejects").iterdir()} == {"in.csv", "b-in.csv"}


def test_no_number_is_in_the_store(world: World) -> None:
    """Neither keys nor fields nor values show one."""
    run(world, write_csv(world.folder / "in.csv", journeys(9)))
    assert isinstance(world.pseudonyms.of(NUMBERS[0]), Pseudonym)
    (keys,) = world.store.nodes.on_primaries("KEYS", "*")
    everything = b"".join(keys) + b"".join(
        b"".join([*fields, *fields.values()])
        for key in keys
        if key.startswith(b"b:")
        for fields in [world.store.nodes.call(key, "HGETALL", key)]
    )
    for number in NUMBERS:
        for form in (
            number.encode(),
            number[2:].encode(),
            int(number).to_bytes(6, "big"),
            int(number).to_bytes(6, "little"),
        ):
            assert form not in everything
