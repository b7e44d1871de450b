"""Files that appear in a folder: taken when they are finished, in their order, and moved aside."""

import gzip
import os
from pathlib import Path

import polars as pl
import pytest

from location_store.errors import BadInput
from location_store.feeds import run as running
from location_store.feeds.folder import FolderFeed
from location_store.feeds.run import State
from location_store.ingest import Ingester, Totals
from location_store.stays import Point
from tests.location_store.feeds.support import Crash, ingester_of, until
from tests.location_store.histories import sighted, stays_of
from tests.location_store.support import CITIES, World, write_csv
from tests.location_store.test_ingest import NOW_S, NUMBERS, expected, journeys

HEADER = "time,msisdn,mcc,mnc,area,cell\n"


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> World:
    return World(redis_url, tmp_path, NOW_S)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "probes"
    made.mkdir()
    return made


def run(world: World, folder: Path, ingester: Ingester | None = None, *, settle_s: float = 0) -> Totals:
    """Until nothing is left to read."""
    ingester = ingester or world.ingester()
    feed = FolderFeed(folder, ingester.first_time_s, settle_s=settle_s, tries=3, block_bytes=2000)
    return running.run([feed], ingester, data_dir=world.folder, idle_s=0)


def names(folder: Path) -> list[str]:
    """What is in a folder, except for what is hidden."""
    if not folder.exists():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_file() and path.name[0] != ".")


def test_files_are_taken_in_the_order_of_their_times(world: World, folder: Path) -> None:
    """Whatever their names and dates: read the other way round, most rows would be late."""
    sightings = journeys(41)
    for n in range(6):
        write_csv(folder / f"{5 - n}.csv", sightings[100 * n : 100 * n + 100])
    assert run(world, folder) == Totals(rows=600, written=600)
    assert world.histories(NUMBERS) == expected(sightings)
    assert (names(folder), len(names(folder / "done"))) == ([], 6)


def test_files_that_come_later_are_read(world: World, folder: Path) -> None:
    """While it runs; a name that was there before gets a number in done/."""
    sightings = journeys(42, 200)
    ingester = world.ingester()
    feed = FolderFeed(folder, ingester.first_time_s, settle_s=0)
    write_csv(folder / "f.csv", sightings[:100])

    def progress(state: State) -> None:
        if state.totals.rows == 100 and names(folder / "done") and not names(folder):
            write_csv(folder / "f.csv", sightings[100:])

    pace = running.Pace(flush_s=0)
    totals = running.run(
        [feed],
        ingester,
        data_dir=world.folder,
        pace=pace,
        progress=progress,
        stop=lambda: len(names(folder / "done")) == 2,
    )
    assert totals.written == 200
    assert world.histories(NUMBERS) == expected(sightings)
    assert names(folder / "done") == ["f.csv", "f.csv.2"]


@pytest.mark.parametrize("name", [".f.csv", "f.csv.tmp", "f.csv.part", "F.PARTIAL"])
def test_unfinished_names_are_left_alone(world: World, folder: Path, name: str) -> None:
    """Until they are renamed; so are folders and empty files."""
    sightings = journeys(43, 10)
    write_csv(folder / name, sightings)
    (folder / "more").mkdir()
    (folder / "empty.csv").touch()
    assert run(world, folder) == Totals()
    (folder / name).rename(folder / "f.csv")
    assert run(world, folder).written == 10
    assert names(folder) == ["empty.csv"]


def test_a_file_that_grows_is_left_alone(world: World, folder: Path) -> None:
    """Until it has not changed for a while."""
    sightings = journeys(44, 100)
    ingester = world.ingester()
    feed = FolderFeed(folder, ingester.first_time_s, settle_s=0.3)
    feed.open(lambda: None)
    path = write_csv(folder / "f.csv", sightings[:1])
    assert feed.poll(0) is None
    for n in range(2, 100):
        write_csv(path, sightings[:n])
        feed._next_scan_s = 0
        assert feed.poll(0) is None
    until(lambda: feed.poll(0.01) is not None, "it is finished")
    assert feed.lag() == 1


def test_a_file_that_grows_while_it_is_read_is_read_again(world: World, folder: Path) -> None:
    """It stays, and in the end all of it is in the store."""
    sightings = journeys(45, 200)
    path = write_csv(folder / "f.csv", sightings[:100])

    class Slow(Ingester):
        def flush(self) -> None:
            write_csv(path, sightings) if path.exists() else None
            super().flush()

    run(world, folder, ingester_of(world, Slow))
    assert names(folder) == ["f.csv"]
    run(world, folder)
    assert world.histories(NUMBERS) == expected(sightings)
    assert names(folder / "done") == ["f.csv"]


def test_unusable_files_are_set_aside_with_the_reason(world: World, folder: Path) -> None:
    """What was good of one that breaks off is in the store; the others go on."""
    sightings = journeys(46, 300)
    whole = gzip.compress(write_csv(folder / "x.tmp", sightings).read_bytes())
    (folder / "cut.csv.gz").write_bytes(whole[: len(whole) - 100])
    (folder / "noheader.csv").write_text("1,2,3\n")
    good = Point(int(NOW_S // 60) - 1, CITIES[0])
    write_csv(folder / "good.csv", [(NUMBERS[0], good)])
    totals = run(world, folder)
    assert len(totals.unusable) == 2
    assert totals.written > 100
    assert names(folder / "failed") == [
        "cut.csv.gz",
        "cut.csv.gz.reason",
        "noheader.csv",
        "noheader.csv.reason",
    ]
    assert "damaged" in (folder / "failed/cut.csv.gz.reason").read_text()
    assert "has no header" in (folder / "failed/noheader.csv.reason").read_text()
    assert names(folder / "done") == ["good.csv"]


def test_bad_rows_go_to_the_rejects(world: World, folder: Path) -> None:
    """Named after folder and file; the file is done."""
    (folder / "f.csv").write_text(HEADER + "soon,1,2,3,4,5\n1,2,3\n")
    assert run(world, folder).rejected == {"time": 1, "fields": 1}
    rejects = (world.folder / "rejects" / "probes-f.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in rejects[1:]] == [["2", "time"], ["3", "fields"]]
    assert names(folder / "done") == ["f.csv"]


class Fragile(Ingester):
    """Dies of files with a cell 4."""

    def add(self, good: pl.DataFrame, *, again: bool = False) -> Totals:
        if CITIES[3] in good["place"]:
            raise Crash
        return super().add(good, again=again)


def test_a_file_that_ends_the_ingest_is_set_aside(world: World, folder: Path) -> None:
    """After some tries, in which the others get through."""
    start = int(NOW_S // 60) - 1000
    points = [Point(start + n, CITIES[0]) for n in range(4)]
    write_csv(folder / "0.csv", [(NUMBERS[0], points[0]), (NUMBERS[1], points[0])])
    write_csv(folder / "1.csv", [(NUMBERS[0], points[1]), (NUMBERS[1], Point(start, CITIES[3]))])
    write_csv(folder / "2.csv", [(NUMBERS[0], points[2])])
    for _ in range(3):
        with pytest.raises(Crash):
            run(world, folder, ingester_of(world, Fragile))
    assert len(run(world, folder, ingester_of(world, Fragile)).unusable) == 1
    assert names(folder / "failed") == ["1.csv", "1.csv.reason"]
    assert "ended the ingest 3 times" in (folder / "failed/1.csv.reason").read_text()
    assert names(folder / "done") == ["0.csv", "2.csv"]
    assert world.stays(NUMBERS[0]) == stays_of(sighted([points[0], points[2]]))


def test_folders_that_cannot_be_used(tmp_path: Path, world: World) -> None:
    """Are refused by name."""
    with pytest.raises(BadInput, match="is no folder"):
        FolderFeed(tmp_path / "none", world.ingester().first_time_s)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everything")
def test_a_folder_that_is_not_ours(folder: Path, world: World) -> None:
    """Is refused, since files are moved in it."""
    folder.chmod(0o500)
    with pytest.raises(BadInput, match="cannot be written to"):
        FolderFeed(folder, world.ingester().first_time_s)


def test_one_folder_has_one_name(folder: Path, world: World, tmp_path: Path) -> None:
    """By whatever way it is reached; another of the same path, on another machine, has another."""
    link = tmp_path / "link"
    link.symlink_to(folder)
    first, second = (FolderFeed(each, world.ingester().first_time_s).shard for each in (folder, link))
    (folder / ".cxmyd").unlink()
    assert first == second != FolderFeed(folder, world.ingester().first_time_s).shard
