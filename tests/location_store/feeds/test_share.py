"""Several ingesters on the same feeds: fair shares, and what a dead one read is taken over."""

from pathlib import Path

import pytest

from location_store.feeds.share import Shares
from tests.location_store.feeds.support import Member, add_entries, members, until
from tests.location_store.support import World, write_csv
from tests.location_store.test_ingest import NOW_S, NUMBERS, expected, journeys

STREAMS = ["probe-a", "probe-b", "probe-c"]


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> World:
    return World(redis_url, tmp_path, NOW_S)


class Person:
    """A member without feeds; every call of `turn` is due."""

    def __init__(self, world: World, folder: str, shards: list[str], takeover_s: float = 60) -> None:
        self.lines: list[str] = []
        self.shares = Shares(
            world.store.nodes, shards, world.folder / folder, notice=self.lines.append, takeover_s=takeover_s
        )

    def turn(self) -> set[str]:
        """One update, and what it asks to give back given back."""
        self.shares._next_s = 0
        for shard in self.shares.update():
            self.shares.release(shard)
        return set(self.shares.held)


@pytest.mark.parametrize("folders", [("", ""), ("x", "y")], ids=["one machine", "two machines"])
def test_shares_are_fair(world: World, folders: tuple[str, str]) -> None:
    """The first takes all, gives back when a second comes, and takes again when it leaves."""
    shards = ["a", "b", "c"]
    first, second = (Person(world, folder, shards) for folder in folders)
    assert first.turn() == {"a", "b", "c"}
    assert second.turn() == set()
    assert "standing by" in second.lines[0]
    assert len(first.turn()) == 2
    assert len(second.turn()) == 1
    assert first.turn() | second.turn() == {"a", "b", "c"}
    assert "going on" in second.lines[1]
    first.shares.leave()
    assert second.turn() == {"a", "b", "c"}
    assert first.lines == []


def test_more_members_than_shards(world: World) -> None:
    """One holds it, the others stand by, and say so once."""
    first, second, third = (Person(world, str(n), ["a"]) for n in range(3))
    assert [each.turn() for each in (first, second, third, second, third)] == [{"a"}, *[set()] * 4]
    assert [len(each.lines) for each in (first, second, third)] == [0, 1, 1]
    first.shares.leave()
    assert [third.turn(), second.turn()] == [{"a"}, set()]


def test_different_sets_of_shards_do_not_count_each_other(world: World) -> None:
    """Nor do two hold the same."""
    first, second = Person(world, "x", ["a", "b"]), Person(world, "y", ["b", "c"])
    assert first.turn() == {"a", "b"}
    assert second.turn() == {"c"}
    assert first.turn() == {"a", "b"}


def test_who_slept_too_long_has_lost_his_shards(world: World) -> None:
    """He finds another at work, and does not take them back."""
    sleeper, other = (Person(world, name, ["a"]) for name in "xy")
    assert sleeper.turn() == {"a"}
    world.store.nodes.on_primaries("FLUSHALL")  # as if all had run out
    assert other.turn() == {"a"}
    assert sleeper.turn() == set()
    assert other.turn() == {"a"}


def read_to_the_end(world: World, streams: list[str]) -> bool:
    nodes = world.store.nodes
    for stream in streams:
        key = stream.encode()
        pairs = nodes.call(key, "XINFO", "GROUPS", key)[0]
        group = dict(zip(pairs[::2], pairs[1::2], strict=True))
        if group[b"lag"] or group[b"pending"]:
            return False
    return True


def test_a_killed_ingester_is_taken_over(world: World, redis_url: str, tmp_path: Path) -> None:
    """kill -9 of one that has read streams and files and written nothing: the histories are as without it."""
    sightings = journeys(31, 900)
    shard_of = {number: at % 4 for at, number in enumerate(NUMBERS)}
    of_shard = [[each for each in sightings if shard_of[each[0]] == shard] for shard in range(4)]
    folder = tmp_path / "probe-d"
    folder.mkdir()
    for stream, part in zip(STREAMS, of_shard, strict=False):
        add_entries(world, stream, part[: len(part) // 2])
    write_csv(folder / "1.csv", of_shard[3][:100])
    asked = {"streams": STREAMS, "folders": [str(folder)]}
    with members() as started:
        started.append(Member(world, "doomed", redis_url, flush_s=600, **asked))
        until(lambda: started[0].rows == sum(len(part) // 2 for part in of_shard[:3]) + 100, "all is read")
        started.append(Member(world, "heir", redis_url, flush_s=0.1, **asked))
        # the first writes and gives two of four to the second; what comes now it reads, and does not write
        until(lambda: read_to_the_end(world, STREAMS), "the first has written before it gave back")
        for stream, part in zip(STREAMS, of_shard, strict=False):
            add_entries(world, stream, part[len(part) // 2 :])
        write_csv(folder / "2.csv", of_shard[3][100:])
        until(lambda: started[0].rows + started[1].rows >= len(sightings), "both have read all")
        assert not read_to_the_end(world, STREAMS) or not (folder / "done/2.csv").exists()
        started[0].kill()
        until(
            lambda: read_to_the_end(world, STREAMS) and (folder / "done/2.csv").exists(), "the heir has all"
        )
        started[1].end()
    assert world.histories(NUMBERS) == expected(sightings)
    assert sorted(path.name for path in (folder / "done").iterdir()) == ["1.csv", "2.csv"]
