"""Subscribers imported into a real Redis."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from location_store.enrol import Totals, enrol
from location_store.errors import BadInput
from location_store.ingest import ingest
from location_store.record import unpack
from location_store.stays import Point, StayRule
from location_store.subscribers import Subscriber
from location_store.window import Through
from tests.location_store.support import World, china_s, write_csv

NUMBER = "8613800000001"
OTHER = "8613800000002"


@dataclass(frozen=True)
class Rules:
    """A carrier as the import sees it."""

    window_days: int = 14
    through: Through = "yesterday"
    timezone: str = "Asia/Shanghai"
    stay_hours: float = 4.0
    stay_rule: StayRule = "continuous"


PROFILES = {"plain": Rules(), "a": Rules(), "b": Rules(timezone="UTC")}


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> World:
    return World(redis_url, tmp_path, china_s("2026-03-20T10:00"))


def run(world: World, text: str, name: str = "in.csv") -> Totals:
    path = world.folder / name
    path.write_text(text)
    return enrol([path], world.store, world.pseudonyms, PROFILES, data_dir=world.folder)


def stored(world: World, number: str = NUMBER) -> Subscriber | None:
    (blob,) = world.store.read([world.pseudonyms.of(number)])
    return unpack(blob).subscriber if blob else None


def test_a_subscriber_is_stored(world: World) -> None:
    """Carrier, language, since in the carrier's zone, and the ID digits as a digest bound to the number."""
    text = (
        "carrier,id_last4,msisdn,language,since\n"
        f"a,123x,+86 138 0000 0001,EN,2026-01-31\n"
        f"b,1234,{OTHER},,2026-01-31T00:00:00+08:00\n"
    )
    assert run(world, text) == Totals(rows=2, written=2)
    names = world.store.carriers()
    one, two = stored(world), stored(world, OTHER)
    assert one is not None
    assert two is not None
    assert (names[one.carrier_id], names[two.carrier_id]) == ("a", "b")
    assert one == Subscriber(
        one.carrier_id,
        world.pseudonyms.id_digest(NUMBER, "123X"),
        "en",
        int(china_s("2026-01-31T00:00") // 60),
        imported=True,
    )
    assert two.since_min == one.since_min
    assert two.language == "zh"


def test_an_import_can_be_repeated(world: World) -> None:
    """The same rows change nothing; of several rows for a number the last counts; since can be taken back."""
    text = f"msisdn,carrier,id_last4,since\n{NUMBER},a,1234,2026-01-01\n"
    assert run(world, text) == Totals(rows=1, written=1)
    assert run(world, text) == Totals(rows=1, unchanged=1)
    assert run(world, text + f"{NUMBER},a,9999,\n") == Totals(rows=2, written=1, unchanged=1)
    record = stored(world)
    assert record is not None
    assert record.since_min is None
    assert record.id_digest == world.pseudonyms.id_digest(NUMBER, "9999")


def test_an_import_keeps_a_block_and_ends_being_forgotten(world: World) -> None:
    """The operator's block is his; who is imported again begins anew."""
    who = world.pseudonyms.of(NUMBER)
    text = f"msisdn,carrier,id_last4\n{NUMBER},a,1234\n"
    world.store.set_blocked(who, blocked=True)
    run(world, text)
    record = stored(world)
    assert record is not None
    assert (record.imported, record.blocked) == (True, True)
    world.store.forget(who)
    run(world, text)
    record = stored(world)
    assert record is not None
    assert (record.imported, record.blocked, record.forgotten) == (True, False, False)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("12,a,1234,,", "msisdn"),
        (f"{NUMBER},c,1234,,", "carrier"),
        (f"{NUMBER},,1234,,", "carrier"),
        (f"{NUMBER},a,12345,,", "id_last4"),
        (f"{NUMBER},a,X234,,", "id_last4"),
        (f"{NUMBER},a,123,,", "id_last4"),
        (f"{NUMBER},a,1234,2026-01-31T00:00:00,", "since"),
        (f"{NUMBER},a,1234,2026-02-31,", "since"),
        (f"{NUMBER},a,1234,2199-01-01,", "since"),
        (f"{NUMBER},a,1234,yesterday,", "since"),
        (f"{NUMBER},a,1234,,fr", "language"),
        (f"{NUMBER},a,1234", "fields"),
    ],
)
def test_bad_rows_are_set_aside_without_the_id_digits(world: World, row: str, reason: str) -> None:
    """Whatever is wrong with a row, what may be somebody's ID is not copied anywhere."""
    totals = run(world, f"msisdn,carrier,id_last4,since,language\n{row}\n{OTHER},a,1234,,\n")
    assert totals == Totals(rows=2, written=1, rejected=totals.rejected)
    assert totals.rejected == {reason: 1}
    assert stored(world) is None
    rejects = (world.folder / "rejects" / "in.csv").read_text()
    assert f"\n2,{reason}," in rejects
    for digits in (row.split(",")[2], "1234"):
        assert f",{digits}," not in rejects.split("\n")[1]


def test_a_subscriber_without_id_digits(world: World) -> None:
    """Carriers that do not ask for them have subscribers without."""
    assert run(world, f"msisdn,carrier,id_last4\n{NUMBER},plain,\n").written == 1
    record = stored(world)
    assert record is not None
    assert record.id_digest == b""


def test_parquet(world: World) -> None:
    """Numbers as integers."""
    path = world.folder / "in.parquet"
    pl.DataFrame(
        {"msisdn": [int(NUMBER), 1], "carrier": ["a", "a"], "id_last4": ["1234", "5678"]}
    ).write_parquet(path)
    totals = enrol([path], world.store, world.pseudonyms, PROFILES, data_dir=world.folder)
    assert (totals.written, totals.rejected) == (1, {"msisdn": 1})
    assert "5678" not in (world.folder / "rejects" / "in.parquet.csv").read_text()


def test_a_wrong_header_is_refused(world: World) -> None:
    """By name, with what it must be."""
    with pytest.raises(BadInput, match=r"lacks id_last4 and has unknown 'id'"):
        run(world, "msisdn,carrier,id\n")


def test_progress_counts_the_bytes_of_all_files(world: World) -> None:
    """Bytes read, of how many."""
    paths = []
    for name in ("a.csv", "b.csv"):
        paths.append(world.folder / name)
        paths[-1].write_text(f"msisdn,carrier,id_last4\n{NUMBER},a,1234\n")
    size = paths[0].stat().st_size
    seen: list[tuple[int, int | None]] = []
    enrol(
        paths,
        world.store,
        world.pseudonyms,
        PROFILES,
        data_dir=world.folder,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(size, 2 * size), (2 * size, 2 * size)]


def test_since_erases_the_former_owner(world: World) -> None:
    """What lies over 12 h before it leaves the store with the import, and rows from before it that come
    later are not written; an import without `since` erases nothing.
    """
    begin = int(china_s("2026-03-10 00:00") // 60)
    days = [(NUMBER, Point(begin + 60 * hour, 1100)) for hour in range(72)]
    ingest([write_csv(world.folder / "a.csv", days)], world.ingester(), data_dir=world.folder)
    run(world, f"msisdn,carrier,id_last4\n{NUMBER},plain,123X\n")
    assert world.stays(NUMBER)[0].first_min == begin
    since = begin + 60 * 36
    run(world, f"msisdn,carrier,id_last4,since\n{NUMBER},plain,123X,2026-03-11T12:00:00+08:00\n")
    assert world.stays(NUMBER)[0].first_min == since - 720
    ingester = world.ingester()
    ingest(
        [write_csv(world.folder / "b.csv", [("8613800000009", days[0][1])])], ingester, data_dir=world.folder
    )
    run(world, "msisdn,carrier,id_last4,since\n8613800000009,plain,123X,2026-03-11\n")
    ingest(
        [write_csv(world.folder / "c.csv", [("8613800000009", days[1][1])])], ingester, data_dir=world.folder
    )
    assert world.stays("8613800000009") == []
