"""The synthetic sample: reproducible, in the formats of real data, and true to its own truth."""

import csv
import datetime as dt
import gzip
import json
from collections import defaultdict
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from location_store.cells import CellTable, import_files
from location_store.errors import BadInput
from location_store.msisdn import normalise
from location_store.places import Places
from location_store.sample import write
from location_store.sample.stories import STORIES
from location_store.stays import Point, StayRules, visited
from location_store.window import window
from tests.location_store.histories import sighted

CHINA = ZoneInfo("Asia/Shanghai")
END = dt.date(2026, 11, 23)
SUBSCRIBERS = 250
FILES = ["cells.csv.gz", "phones.json", "sightings.csv.gz", "subscribers.csv", "truth.csv"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sample")
    write(directory, end_date=END, seed=7, subscribers=SUBSCRIBERS)
    return directory


@pytest.fixture(scope="module")
def places() -> Places:
    return Places.load()


@pytest.fixture(scope="module")
def answers(sample: Path, places: Places, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the store's own rules say that each number visited, as codes, most recent first."""
    data = tmp_path_factory.mktemp("data")
    import_files([sample / "cells.csv.gz"], data, places)
    seen = pl.read_csv(sample / "sightings.csv.gz").with_columns(
        pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%z").dt.epoch("s") // 60,
        pl.col("msisdn").cast(pl.String),
    )
    columns = [seen[name].to_numpy() for name in ("mcc", "mnc", "area", "cell")]
    by_mcc = places.place_of_mcc[columns[0]]
    located = np.where(by_mcc > 0, by_mcc, CellTable.load(data).lookup(*columns))
    assert (located > 0).all()
    points: dict[str, list[Point]] = defaultdict(list)
    for msisdn, minute, place in zip(seen["msisdn"], seen["time"], located.tolist(), strict=True):
        points[msisdn].append(Point(minute, place))
    midday_s = dt.datetime.combine(END, dt.time(12), CHINA).timestamp()
    days = window(midday_s, days=14, through="yesterday", tz=CHINA)
    found = {}
    for row in table(sample / "subscribers.csv"):
        since = row["since"]
        since_min = (
            int(dt.datetime.combine(dt.date.fromisoformat(since), dt.time(), CHINA).timestamp()) // 60
            if since
            else None
        )
        timeline = sighted(points[row["msisdn"]])
        visits = visited(timeline, StayRules(), places.neighbours, days, since_min, CHINA).visits
        found[row["msisdn"]] = [places.by_id(visit.place).code for visit in visits]
    return found


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_rules_of_the_store_find_the_truth_of_nearly_everybody(
    sample: Path, answers: dict[str, list[str]]
) -> None:
    """99 % of all, border dwellers and commuters included, are answered as their diaries have it."""
    truth = {row["msisdn"]: row for row in table(sample / "truth.csv") if row["msisdn"] in answers}
    wrong = {
        msisdn: (row["kind"], row["visited"], answers[msisdn])
        for msisdn, row in truth.items()
        if row["visited"].split() != answers[msisdn]
    }
    assert len(wrong) <= 0.01 * len(truth), wrong


def test_the_telling_subscribers_are_answered_exactly(
    sample: Path, places: Places, answers: dict[str, list[str]]
) -> None:
    """The demo and the phone page promise these answers."""
    phones = json.loads((sample / "phones.json").read_text(encoding="utf-8"))
    assert len(phones) == len(STORIES)
    by_code = {place.code: place for place in places.cities() + places.countries()}
    for phone in phones:
        found = [by_code[code] for code in answers[phone["msisdn"]]]
        assert [place.name_zh for place in found] == phone["expected"], phone["story"]
        assert [place.name_en for place in found] == phone["expected_en"]


def test_the_stories_tell_what_they_say(sample: Path) -> None:
    """Spot checks against the words: train, drift, Japan, several parts, a new owner."""
    phones = json.loads((sample / "phones.json").read_text(encoding="utf-8"))
    expected = {phone["msisdn"]: phone["expected"] for phone in phones}
    assert expected["8615410000001"] == ["长沙市", "吉安市"]
    assert expected["8615410000002"] == ["上海市"]
    assert expected["8615410000003"] == ["上海市", "日本"]
    assert expected["8615420000004"] == []
    assert len(expected["8615430000001"]) == 10
    assert expected["8615430000003"] == ["杭州市"]
    assert {phone["carrier"]: phone["number"] for phone in phones} == {
        "china-mobile": "10086",
        "china-unicom": "10010",
        "china-telecom": "10001",
    }


def test_equal_arguments_give_equal_bytes_and_another_seed_others(sample: Path, tmp_path: Path) -> None:
    """Reproducible by seed; the telling subscribers keep their numbers and truth under every seed."""
    write(tmp_path / "again", end_date=END, seed=7, subscribers=SUBSCRIBERS)
    write(tmp_path / "other", end_date=END, seed=8, subscribers=SUBSCRIBERS)
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (sample / name).read_bytes()
    assert (tmp_path / "other" / "truth.csv").read_bytes() != (sample / "truth.csv").read_bytes()
    phones = [
        json.loads((directory / "phones.json").read_text()) for directory in (tmp_path / "other", sample)
    ]
    assert phones[0] == phones[1]


def test_every_mainland_city_has_cells_of_every_carrier(sample: Path, places: Places, tmp_path: Path) -> None:
    """No row is refused, and no city but those known by MCC is without a cell."""
    totals = import_files([sample / "cells.csv.gz"], tmp_path, places)
    assert totals.rejected.total() == 0
    assert totals.table == totals.rows
    lines = gzip.decompress((sample / "cells.csv.gz").read_bytes()).decode().splitlines()
    cells = np.array([[int(field) for field in line.split(",")[1:5]] for line in lines]).T
    located = CellTable.load(tmp_path).lookup(cells[0], cells[1], cells[2], cells[3])
    mainland = {city.id for city in places.cities()} - {8100, 8200, 7100}
    for network in (0, 1, 11):
        assert set(located[cells[1] == network].tolist()) == mainland
    assert cells[2].max() > 2**16
    assert cells[3].max() > 2**28


def test_the_sample_looks_like_a_feed(sample: Path) -> None:
    """About 34 sightings a day, all inside the days asked for, some late, some twice, some abroad."""
    seen = pl.read_csv(sample / "sightings.csv.gz")
    assert seen.columns == ["time", "msisdn", "mcc", "mnc", "area", "cell"]
    assert 25 < seen.height / SUBSCRIBERS / 14 < 45
    assert seen["time"].min() >= "2026-11-09T00:00:00+08:00"  # type: ignore[operator]  # a string column
    assert seen["time"].max() <= "2026-11-22T23:59:59+08:00"  # type: ignore[operator]  # a string column
    assert not seen["time"].is_sorted()
    assert seen.is_duplicated().any()
    assert set(seen["mcc"].unique()) - {460}


def test_numbers_can_be_normalised_and_belong_to_nobody(sample: Path) -> None:
    """154 is assigned to no carrier; every number is E.164 as it stands and in its national form."""
    rows = table(sample / "truth.csv")
    assert len({row["msisdn"] for row in rows}) == SUBSCRIBERS
    for row in rows:
        assert row["msisdn"].startswith("86154")
        assert normalise(row["msisdn"]) == normalise(row["msisdn"][2:]) == row["msisdn"]


def test_subscribers_of_every_kind(sample: Path) -> None:
    """All carriers, X as a digit, English, a late `since`, no record but seen, no history at all."""
    subscribers = table(sample / "subscribers.csv")
    assert {row["carrier"] for row in subscribers} == {"china-mobile", "china-unicom", "china-telecom"}
    assert {row["language"] for row in subscribers} == {"zh", "en"}
    assert any(row["id_last4"].endswith("X") for row in subscribers)
    assert any(row["since"] for row in subscribers)
    truth = table(sample / "truth.csv")
    assert {row["msisdn"] for row in truth} - {row["msisdn"] for row in subscribers}
    assert any(not row["visited"] for row in truth)


def test_senseless_arguments_are_refused(tmp_path: Path) -> None:
    """Fewer people than stories, fewer days than the window, a file in the way."""
    with pytest.raises(BadInput, match="too small"):
        write(tmp_path, end_date=END, subscribers=3)
    with pytest.raises(BadInput, match="too short"):
        write(tmp_path, end_date=END, days=7)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(BadInput, match="cannot be written"):
        write(tmp_path / "file", end_date=END, subscribers=len(STORIES))
