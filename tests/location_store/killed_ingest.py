"""An ingest that kills itself with SIGKILL at a step of its third flush. Run by test_ingest as a process."""

import os
import signal
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from location_store.ingest import ingest
from location_store.nodes import Flight
from location_store.store import Store
from tests.location_store.support import World

FLUSH = 3


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Doomed(Store):
    """Dies at `step` of flush 3."""

    step = ""
    puts = 0

    def start_put(self, batches: Iterable[tuple[bytes, Sequence[bytes]]]) -> Flight:
        self.puts += 1
        if self.puts == FLUSH and self.step == "put":
            die()
        if self.puts == FLUSH and self.step == "half a put":
            self.nodes.finish(super().start_put(islice(batches, 0, None, 2)))
            die()
        return super().start_put(batches)

    def save_checkpoints(self, values: Iterable[tuple[str, bytes]]) -> None:
        if self.puts == FLUSH and self.step == "checkpoint":
            die()
        super().save_checkpoints(values)
        if self.puts == FLUSH:
            die()


def main(redis_url: str, path: str, now_s: str, step: str) -> None:
    world = World(redis_url, Path(path).parent, float(now_s))
    world.store = Doomed(world.store.nodes, checkpoint_ttl_s=86_400)
    world.store.step = step
    ingest([path], world.ingester(), data_dir=world.folder, block_bytes=2_000, flush_rows=1)


main(*sys.argv[1:])
