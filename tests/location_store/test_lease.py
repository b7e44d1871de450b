"""The turn of an ingest, on a real Redis: one at a time, and never stuck behind a dead one."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from location_store.lease import Lease
from tests.location_store.support import World, china_s

NAME = "ingest"


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> World:
    return World(redis_url, tmp_path, china_s("2026-03-20T10:00"))


class Waiting:
    """A lease in a thread of its own; `said` is set as soon as it has told that it waits."""

    def __init__(self, world: World, folder: Path, *, ttl_s: float = 60) -> None:
        self.lines: list[str] = []
        self.said = threading.Event()
        self.told_to_stop = threading.Event()
        self.lease = Lease(
            world.store.nodes,
            NAME,
            folder,
            notice=self._note,
            stop=self.told_to_stop.is_set,
            ttl_s=ttl_s,
        )

    def _note(self, line: str) -> None:
        self.lines.append(line)
        self.said.set()


@pytest.mark.parametrize("folder", ["", "other"])
def test_the_second_waits_for_the_first_and_says_so(world: World, tmp_path: Path, folder: str) -> None:
    """In the same data folder, and in another one (another machine)."""
    second = Waiting(world, tmp_path / folder)
    with ThreadPoolExecutor() as pool:
        with Lease(world.store.nodes, NAME, tmp_path) as first:
            assert first.hold()
            assert first.hold()  # extended
            holding = pool.submit(second.lease.hold)
            assert second.said.wait(60)
            assert not holding.done()
        assert holding.result(60)
    with second.lease:
        assert len(second.lines) == 2
        assert "another ingest is at work" in second.lines[0]
        assert "going on" in second.lines[1]


def test_waiting_ends_when_told(world: World, tmp_path: Path) -> None:
    """Ctrl-C of a stream's stand-by."""
    second = Waiting(world, tmp_path / "other")
    second.told_to_stop.set()
    with Lease(world.store.nodes, NAME, tmp_path) as first, second.lease:
        first.hold()
        assert not second.lease.hold()
        assert not second.lease.wait()
        assert first.hold()


DOOMED = """
import os, signal, sys
from pathlib import Path
from location_store.lease import Lease
from tests.location_store.support import World
world = World(sys.argv[1], Path(sys.argv[2]), 1e9)
Lease(world.store.nodes, "ingest", world.folder, ttl_s=float(sys.argv[3])).hold()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("folder", "ttl_s"), [("", "60"), ("other", "1")])
def test_a_dead_ones_turn_is_taken_over(
    world: World, redis_url: str, tmp_path: Path, folder: str, ttl_s: str
) -> None:
    """At once in its own folder, elsewhere when its lease has run out."""
    killed = subprocess.run([sys.executable, "-c", DOOMED, redis_url, tmp_path, ttl_s], check=False)
    assert killed.returncode == -signal.SIGKILL
    heir = Waiting(world, tmp_path / folder)
    with heir.lease:
        assert heir.lease.hold()
    assert len(heir.lines) == (2 if folder else 0)


def test_a_lost_lease_is_waited_for_and_not_taken_back(world: World, tmp_path: Path) -> None:
    """Who slept longer than his lease finds another at work; his end does not end the other's turn."""
    sleeper, other = (Waiting(world, tmp_path / name) for name in ("a", "b"))
    nodes = world.store.nodes
    with sleeper.lease, other.lease:
        sleeper.lease.hold()
        nodes.call(b"cxmyd:turn:ingest", "DEL", b"cxmyd:turn:ingest")  # as if it had run out
        other.lease.hold()
        sleeper.told_to_stop.set()
        assert not sleeper.lease.hold()
        with sleeper.lease:
            pass
        assert nodes.call(b"cxmyd:turn:ingest", "EXISTS", b"cxmyd:turn:ingest") == 1


def test_locks_of_different_names_are_independent(world: World, tmp_path: Path) -> None:
    """Two streams, a stream and files; a name may be that of any key."""
    names = ["ingest", "ingest-feed", "ingest-a/../b"]
    leases = [Lease(world.store.nodes, name, tmp_path) for name in names]
    for lease in leases:
        assert lease.hold()
    for lease in leases:
        with lease:
            pass
    assert {path.name for path in tmp_path.glob("*.lock")} == {
        "ingest.lock",
        "ingest-feed.lock",
        "ingest-a_.._b.lock",
    }
