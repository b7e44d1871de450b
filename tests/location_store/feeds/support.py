"""What the tests of feeds share: waiting without a fixed time, and ingesters that are processes."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from location_store.ingest import Ingester
from location_store.stays import Point
from tests.location_store.support import CITIES, PLACES, World, cell_table

AnyIngester = TypeVar("AnyIngester", bound=Ingester)
ROOT = Path(__file__).parents[3]


def until(done: Callable[[], bool], what: str, timeout_s: float = 90.0) -> None:
    """Poll until `done()`."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, f"not after {timeout_s:g} s: {what}"
        time.sleep(0.02)


def ingester_of(world: World, kind: type[AnyIngester]) -> AnyIngester:
    """`world.ingester()` of another class."""
    return kind(
        world.store, cell_table(), PLACES, world.pseudonyms, world.settings, clock=lambda: world.now_s
    )


class Crash(BaseException):
    """The process is gone, as far as `run` can see."""


class Member:
    """One `member` process, with a data folder of its own unless it is given one: another machine."""

    def __init__(self, world: World, name: str, redis_url: str, **asked: Any) -> None:
        folder = world.folder / name
        folder.mkdir(exist_ok=True)
        shutil.copy(world.folder / "keys.json", folder)
        asked |= {"redis_url": redis_url, "folder": str(folder), "now_s": world.now_s}
        command = [sys.executable, "-m", "tests.location_store.feeds.member", json.dumps(asked)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.rows = 0
        threading.Thread(target=self._read, daemon=True).start()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """SIGTERM; it must end well."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.rows = int(line)


@contextmanager
def members() -> Iterator[list[Member]]:
    """Whoever is put into the list is dead afterwards."""
    started: list[Member] = []
    try:
        yield started
    finally:
        for member in started:
            member.kill()


def fields_of(number: str, point: Point) -> dict[str, str]:
    """A sighting by the names of its columns."""
    values = (60 * point.minute, number, 460, 0, 1, CITIES.index(point.place) + 1)
    return dict(zip(("time", "msisdn", "mcc", "mnc", "area", "cell"), map(str, values), strict=True))


def add_entries(world: World, stream: str, sightings: Iterable[tuple[str, Point]]) -> None:
    """Sightings as entries of a stream."""
    for number, point in sightings:
        words = [word for pair in fields_of(number, point).items() for word in pair]
        world.store.nodes.call(stream.encode(), "XADD", stream.encode(), "*", *words)
