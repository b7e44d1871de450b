"""A synthetic population, in exactly the file formats that real data comes in. Nobody in it is real.

Invariant: the same arguments give the same bytes; the truth is told beside the data. Mobile numbers begin
with 154, which is assigned to nobody in mainland China. Called by `cxmyd sample` and `cxmyd demo`.
"""

import csv
import datetime as dt
import gzip
import io
import json
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

import numpy as np
import polars as pl

from location_store.boundaries import Boundaries
from location_store.errors import BadInput
from location_store.places import Places
from location_store.sample import people
from location_store.sample.diary import DAY_S, visited
from location_store.sample.people import Person
from location_store.sample.sightings import sightings
from location_store.sample.stories import STORIES
from location_store.sample.terrain import DECIMALS, NETWORKS, Cell, Terrain, is_5g

TRUE_WINDOW_DAYS: Final = 14
NUMBERS: Final = {"china-mobile": "10086", "china-unicom": "10010", "china-telecom": "10001"}
"""The number that a subscriber of the carrier texts."""
_SHARES = {"china-mobile": 0.58, "china-unicom": 0.22, "china-telecom": 0.20}
_ENGLISH_SHARE = 0.02
_README = """\
# Synthetic sample

Made by `cxmyd sample`; no row is about a real person, phone or radio cell. The mobile numbers begin with 154,
which is assigned to nobody.

| file | what |
|---|---|
| cells.csv.gz | radio cells, in the shape of OpenCelliD (`cxmyd cells import`) |
| subscribers.csv | subscribers (`cxmyd subscribers import`) |
| sightings.csv.gz | what the network saw (`cxmyd ingest`) |
| truth.csv | which cities each number truly visited in the last 14 days of the sample, most recent first |
| phones.json | a dozen telling subscribers |
"""


class Subscriber(NamedTuple):
    """A person with a number."""

    msisdn: str
    carrier: str
    id_last4: str
    language: str
    person: Person
    story: str = ""


class Summary(NamedTuple):
    """What was written, in rows."""

    cells: int
    subscribers: int
    sightings: int


def write(
    directory: Path,
    *,
    end_date: dt.date,
    seed: int = 1,
    subscribers: int = 2000,
    days: int = TRUE_WINDOW_DAYS,
    progress: Callable[[str], None] | None = None,
) -> Summary:
    """Write the files listed in the sample's README.md into `directory`, which is made if missing.

    The sample covers the `days` days before `end_date` (China time) and has `subscribers` people, the telling
    ones included. `progress` is called with the name of each step. Raises BadInput on senseless arguments and
    when the directory cannot be written.
    """
    if subscribers < len(STORIES):
        raise BadInput(f"a sample of {subscribers} subscribers is too small: {len(STORIES)} at least")
    if days < TRUE_WINDOW_DAYS:
        raise BadInput(f"a sample of {days} days is too short: {TRUE_WINDOW_DAYS} at least")
    step = progress or (lambda _name: None)
    step("places")
    terrain = Terrain(Places.load(), Boundaries.load(), np.random.default_rng(seed))
    step("people")
    population = _population(terrain, seed, subscribers, end_date - dt.timedelta(days), days)
    step("sightings")
    seen = sightings([each.person.legs for each in population], np.random.default_rng(seed))
    step("files")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "README.md").write_text(_README, encoding="utf-8")
        cells = _write_cells(directory / "cells.csv.gz", terrain)
        start = end_date - dt.timedelta(days)
        _write_subscribers(directory / "subscribers.csv", population, start)
        _write_sightings(directory / "sightings.csv.gz", seen, population, terrain, start)
        _write_truth(directory, population, terrain, days)
    except OSError as error:
        raise BadInput(f"{directory}: the sample cannot be written: {error.strerror or error}") from error
    return Summary(cells, sum(each.person.registered for each in population), seen.height)


def _population(terrain: Terrain, seed: int, subscribers: int, start: dt.date, days: int) -> list[Subscriber]:
    """The telling subscribers (from 0000001 on), then everybody else (from 1000001 on)."""
    told = []
    for number, each in enumerate(STORIES):
        # numbered within the carrier
        msisdn = _msisdn(each.carrier, 1 + sum(other.carrier == each.carrier for other in STORIES[:number]))
        person = each.person(terrain, days)
        told.append(Subscriber(msisdn, each.carrier, each.id_last4, each.language, person, each.story))
    world = people.world(terrain, start, days)
    carriers, shares = list(_SHARES), list(_SHARES.values())
    for number in range(1_000_001, 1_000_001 + subscribers - len(told)):
        rng = random.Random(f"{seed}:{number}")  # noqa: S311  a synthetic diary is no secret
        carrier = rng.choices(carriers, shares)[0]
        digits = f"{rng.randrange(1000):03}{rng.choice('0123456789X')}"
        language = "en" if rng.random() < _ENGLISH_SHARE else "zh"
        told.append(
            Subscriber(_msisdn(carrier, number), carrier, digits, language, people.person(world, rng))
        )
    return told


def _msisdn(carrier: str, number: int) -> str:
    return f"86154{1 + list(NUMBERS).index(carrier)}{number:07}"


def _write_cells(path: Path, terrain: Terrain) -> int:
    """OpenCelliD's columns without a header, one row a network and site; returns the rows."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for site in range(terrain.domestic):
        position = [f"{degrees:.{DECIMALS}f}" for degrees in (terrain.lon[site], terrain.lat[site])]
        for carrier in NETWORKS:
            cell = terrain.cell(site, carrier)
            radio = "NR" if is_5g(site) else "LTE"
            rows.writerow([radio, *cell, 0, *position, 1000, 1, 1, 1577836800, 1577836800, 0])
    with _gzip(path) as file:
        file.write(text.getvalue().encode())
    return terrain.domestic * len(NETWORKS)


def _write_subscribers(path: Path, population: Sequence[Subscriber], start: dt.date) -> None:
    def rows() -> Iterable[Sequence[str]]:
        for each in population:
            if each.person.registered:
                day = each.person.since_day
                since = "" if day is None else (start + dt.timedelta(day)).isoformat()
                yield each.msisdn, each.carrier, each.id_last4, since, each.language

    _write_csv(path, ("msisdn", "carrier", "id_last4", "since", "language"), rows())


def _write_sightings(
    path: Path, seen: pl.DataFrame, population: Sequence[Subscriber], terrain: Terrain, start: dt.date
) -> None:
    carriers = list(NETWORKS)
    sites = range(len(terrain.place))
    cells = np.array([[terrain.cell(site, carrier) for carrier in carriers] for site in sites])
    owner, site = seen["owner"].to_numpy(), seen["site"].to_numpy()
    carrier = np.array([carriers.index(each.carrier) for each in population])[owner]
    midnight = dt.datetime.combine(start, dt.time())
    local = pl.lit(midnight) + pl.duration(seconds=pl.col("time_s").cast(pl.Int64))
    frame = seen.select(local.dt.strftime("%Y-%m-%dT%H:%M:%S+08:00").alias("time")).with_columns(
        pl.Series("msisdn", [each.msisdn for each in population]).gather(owner)
    )
    frame = frame.hstack(pl.DataFrame(cells[site, carrier], schema=list(Cell._fields)))
    with _gzip(path) as file:
        frame.write_csv(file)


def _write_truth(directory: Path, population: Sequence[Subscriber], terrain: Terrain, days: int) -> None:
    """truth.csv: msisdn,kind,visited (codes, most recent first); phones.json: the telling subscribers."""
    truth = []
    phones = []
    for each in population:
        start_day = max(days - TRUE_WINDOW_DAYS, each.person.since_day or 0)
        cities = [terrain.places.by_id(place) for place in visited(each.person.legs, start_day * DAY_S)]
        truth.append((each.msisdn, each.person.kind, " ".join(city.code for city in cities)))
        if each.story:
            phones.append(
                {
                    "msisdn": each.msisdn,
                    "carrier": each.carrier,
                    "number": NUMBERS[each.carrier],
                    "id_last4": each.id_last4,
                    "language": each.language,
                    "story": each.story,
                    "expected": [city.name_zh for city in cities],
                    "expected_en": [city.name_en for city in cities],
                }
            )
    _write_csv(directory / "truth.csv", ("msisdn", "kind", "visited"), truth)
    (directory / "phones.json").write_text(
        json.dumps(phones, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _gzip(path: Path) -> BinaryIO:
    """A gzip file without a time stamp in it, so that equal samples are equal bytes."""
    return cast(BinaryIO, gzip.GzipFile(path, "wb", compresslevel=1, mtime=0))
