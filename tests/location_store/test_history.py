"""What is shown of a number: the window, since, forgotten, the rules of its carrier."""

import json
from pathlib import Path
from typing import Any

import pytest

from location_store.enrol import enrol
from location_store.errors import StoreError
from location_store.history import subscriber_view
from location_store.ingest import ingest
from location_store.stays import Point
from location_store.store import Update
from tests.location_store.support import CITIES, PLACES, World, china_s, write_csv
from tests.location_store.test_enrol import Rules

NOW = "2026-01-03T10:00"
NUMBER = "8613800000001"
OTHER = "8613800000002"
BEIJING, TIANJIN, SHANGHAI, _ = CITIES
PROFILES = {
    "plain": Rules(),
    "now": Rules(through="now"),
    "week": Rules(window_days=7, stay_hours=2),
    "abroad": Rules(timezone="UTC"),
    "days": Rules(stay_rule="daily-span"),
}


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> World:
    return World(redis_url, tmp_path, china_s(NOW))


def seen(*spans: tuple[int, str, str]) -> list[tuple[str, Point]]:
    """A sighting every half hour from one local time to another, in a place."""
    points = []
    for place, first, last in spans:
        minutes = range(int(china_s(first) // 60), int(china_s(last) // 60) + 1, 30)
        points += [(NUMBER, Point(minute, place)) for minute in minutes]
    return points


def put(world: World, *spans: tuple[int, str, str]) -> None:
    path = write_csv(world.folder / "in.csv", seen(*spans))
    assert ingest([path], world.ingester(), data_dir=world.folder).usable


def record(world: World, carrier: str, *, since: str = "", language: str = "") -> None:
    path = world.folder / "subscribers.csv"
    path.write_text(f"msisdn,carrier,id_last4,since,language\n{NUMBER},{carrier},1234,{since},{language}\n")
    assert enrol([path], world.store, world.pseudonyms, PROFILES, data_dir=world.folder).usable


def view(world: World, *numbers: str, now: str = NOW) -> Any:
    views = subscriber_view(
        world.store, world.pseudonyms, PLACES, PROFILES, numbers or (NUMBER,), now_s=china_s(now)
    )
    shown = [json.loads(json.dumps(each)) for each in views]
    return shown if numbers else shown[0]


def cities(shown: Any) -> list[str]:
    return [each["city"] for each in shown["visited"]]


def test_the_contract(world: World) -> None:
    """Every key, visited most recent first, stays oldest first, times in the carrier's zone; New Year."""
    put(
        world,
        (BEIJING, "2025-12-30T08:00", "2025-12-31T20:00"),
        (TIANJIN, "2025-12-31T21:00", "2026-01-02T09:00"),
        (SHANGHAI, "2026-01-02T12:00", "2026-01-02T13:00"),
    )
    record(world, "plain", language="en")
    assert view(world) == {
        "msisdn": NUMBER,
        "known": True,
        "language": "en",
        "blocked": False,
        "locked_until": None,
        "visited": [
            {
                "city": "120000",
                "name_zh": "天津市",
                "name_en": "Tianjin",
                "first": "2025-12-31T21:00:00+08:00",
                "last": "2026-01-02T09:00:00+08:00",
                "longest_stay_h": 37.0,
            },
            {
                "city": "110000",
                "name_zh": "北京市",
                "name_en": "Beijing",
                "first": "2025-12-30T08:00:00+08:00",
                "last": "2025-12-31T20:00:00+08:00",
                "longest_stay_h": 36.5,
            },
        ],
        "stays": [
            {
                "city": "110000",
                "name_zh": "北京市",
                "name_en": "Beijing",
                "first": "2025-12-30T08:00:00+08:00",
                "last": "2025-12-31T20:00:00+08:00",
                "dwell_h": 36.0,
            },
            {
                "city": "120000",
                "name_zh": "天津市",
                "name_en": "Tianjin",
                "first": "2025-12-31T21:00:00+08:00",
                "last": "2026-01-02T09:00:00+08:00",
                "dwell_h": 36.0,
            },
            {
                "city": "310000",
                "name_zh": "上海市",
                "name_en": "Shanghai",
                "first": "2026-01-02T12:00:00+08:00",
                "last": "2026-01-02T13:00:00+08:00",
                "dwell_h": 1.0,
            },
        ],
    }


def test_a_number_without_record_is_shown_under_the_rules_of_plain(world: World) -> None:
    """Known by its sightings; one never seen is not known."""
    put(world, (BEIJING, "2026-01-01T08:00", "2026-01-01T14:00"))
    known, unknown = view(world, NUMBER, OTHER)
    assert (known["known"], cities(known), known["language"]) == (True, ["110000"], "zh")
    assert unknown == {
        "msisdn": OTHER,
        "known": False,
        "language": "zh",
        "blocked": False,
        "locked_until": None,
        "visited": [],
        "stays": [],
    }


def test_a_record_is_known_without_a_sighting(world: World) -> None:
    """And answers "nowhere"."""
    record(world, "plain")
    assert (view(world)["known"], view(world)["visited"]) == (True, [])


def test_a_block_makes_nobody_known(world: World) -> None:
    """A mark is no record."""
    world.store.set_blocked(world.pseudonyms.of(NUMBER), blocked=True)
    assert (view(world)["known"], view(world)["blocked"]) == (False, True)


def test_forgotten_until_imported_again(world: World) -> None:
    """No place is shown, though new sightings make it known; the import is a new beginning."""
    put(world, (BEIJING, "2026-01-01T08:00", "2026-01-01T14:00"))
    record(world, "plain")
    world.store.forget(world.pseudonyms.of(NUMBER))
    assert (view(world)["known"], view(world)["stays"]) == (False, [])
    put(world, (SHANGHAI, "2026-01-02T08:00", "2026-01-02T14:00"))
    assert (view(world)["known"], view(world)["visited"], view(world)["stays"]) == (True, [], [])
    record(world, "plain")
    assert (view(world)["known"], cities(view(world))) == (True, ["310000"])


def test_a_lock_is_told_in_the_carriers_time(world: World) -> None:
    """As all other times."""
    until_s = china_s("2026-01-04T00:00")
    for carrier, shown in (("plain", "2026-01-04T00:00:00+08:00"), ("abroad", "2026-01-03T16:00:00+00:00")):
        record(world, carrier)
        (found,) = subscriber_view(
            world.store,
            world.pseudonyms,
            PLACES,
            PROFILES,
            [NUMBER],
            now_s=china_s(NOW),
            locked_until_s=[until_s],
        )
        assert found["locked_until"] == shown


def test_since_hides_what_was_before(world: World) -> None:
    """The former owner's days are invisible, and a stay that crosses the moment is clipped."""
    put(
        world,
        (BEIJING, "2026-01-01T00:00", "2026-01-01T12:00"),
        (TIANJIN, "2026-01-01T14:00", "2026-01-02T00:00"),
    )
    record(world, "plain", since="2026-01-01T21:00:00+08:00")
    assert cities(view(world)) == []
    assert [(stay["city"], stay["first"]) for stay in view(world)["stays"]] == [
        ("120000", "2026-01-01T21:00:00+08:00")
    ]


@pytest.mark.parametrize(
    ("now", "shown"),
    [
        ("2026-01-15T23:59", ["110000"]),  # the 14th day after
        ("2026-01-16T00:00", []),  # the 15th
    ],
)
def test_a_day_is_shown_for_fourteen_days(world: World, now: str, shown: list[str]) -> None:
    """Retention on reading, whatever still lies in the store."""
    put(world, (BEIJING, "2026-01-01T00:00", "2026-01-01T23:30"))
    assert cities(view(world, now=now)) == shown
    assert view(world, now=now)["known"] == bool(shown)


def test_rules_are_those_of_the_carrier(world: World) -> None:
    """Window, hours, "now", time zone and rule; a carrier no longer configured counts as plain."""
    put(
        world,
        (TIANJIN, "2025-12-26T08:00", "2025-12-26T10:00"),
        (BEIJING, "2026-01-01T08:00", "2026-01-01T10:30"),
        (SHANGHAI, "2026-01-01T15:00", "2026-01-01T15:30"),
        (BEIJING, "2026-01-01T17:00", "2026-01-01T18:00"),
        (SHANGHAI, "2026-01-03T03:00", "2026-01-03T09:30"),
    )
    found = {}
    for carrier in PROFILES:
        record(world, carrier)
        found[carrier] = cities(view(world))
    assert found == {
        "plain": [],
        "now": ["310000"],
        "week": ["110000"],
        "abroad": ["310000"],
        "days": ["110000"],
    }
    record(world, "now")
    profiles = {"plain": PROFILES["plain"]}
    (shown,) = subscriber_view(world.store, world.pseudonyms, PLACES, profiles, [NUMBER], now_s=china_s(NOW))
    assert shown["visited"] == []


def test_a_damaged_record_is_an_error_and_not_nowhere(world: World) -> None:
    """Nobody is told "no cities" because the store is damaged."""
    world.store.put([Update(world.pseudonyms.of(NUMBER), None, b"\x01\x80garbage")])
    with pytest.raises(StoreError, match="damaged"):
        view(world)
    world.store.put([Update(world.pseudonyms.of(OTHER), None, b"?")])
    with pytest.raises(StoreError, match="damaged"):
        view(world, OTHER)
