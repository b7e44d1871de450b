"""location_store.given_back on a real Redis: numbers that are nobody's any more."""

from pathlib import Path

import pytest

from location_store.given_back import Totals, remove
from location_store.record import Record, pack
from location_store.store import Update
from location_store.subscribers import Subscriber
from tests.location_store.support import World, china_s

ONE, TWO, THREE = "8613800000001", "8613800000002", "8613800000003"


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> World:
    world = World(redis_url, tmp_path, china_s("2026-03-20T10:00"))
    record = pack(Record(Subscriber(1, b"abc", blocked=True, imported=True)), 1)
    world.store.put([Update(world.pseudonyms.of(number), None, record) for number in (ONE, TWO)])
    return world


def run(world: World, text: str) -> Totals:
    path = world.folder / "gone.csv"
    path.write_text(text)
    return remove([path], world.store, world.pseudonyms, data_dir=world.folder)


def test_nothing_is_left_of_a_number(world: World) -> None:
    """Not even a block; the others stay; bad rows are set aside, unknown numbers counted."""
    totals = run(world, f"msisdn\n+86 138 0000 0001\n{ONE}\n{THREE}\n12\n")
    assert (totals.rows, totals.removed, totals.unknown, totals.rejected) == (4, 1, 2, {"msisdn": 1})
    left = world.store.read([world.pseudonyms.of(number) for number in (ONE, TWO, THREE)])
    assert [record is not None for record in left] == [False, True, False]
    assert (world.folder / "rejects" / "gone.csv").read_text().splitlines()[1:] == ["5,msisdn,12"]


def test_the_same_list_again_changes_nothing(world: World) -> None:
    run(world, f"msisdn\n{ONE}\n")
    assert run(world, f"msisdn\n{ONE}\n") == Totals(rows=1, unknown=1)
