"""An ingest that kills itself with SIGKILL at a step of its third block. Run by test_ingest as a process."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from location_store.ingest import ingest
from location_store.store import Store, Update
from tests.location_store.support import World

BLOCK = 3


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Doomed(Store):
    """Dies at `step` of block 3."""

    step = ""
    puts = 0

    def put(self, updates: Sequence[Update]) -> list[int]:
        self.puts += 1
        if self.puts == BLOCK and self.step == "put":
            die()
        if self.puts == BLOCK and self.step == "half a put":
            super().put(updates[::2])
            die()
        return super().put(updates)

    def save_checkpoint(self, name: str, value: bytes) -> None:
        if self.puts == BLOCK and self.step == "checkpoint":
            die()
        super().save_checkpoint(name, value)
        if self.puts == BLOCK:
            die()


def main(redis_url: str, path: str, now_s: str, step: str) -> None:
    world = World(redis_url, Path(path).parent, float(now_s))
    world.store = Doomed(world.store.nodes, checkpoint_ttl_s=86_400)
    world.store.step = step
    ingest([path], world.ingester(), data_dir=world.folder, block_bytes=2_000)


main(*sys.argv[1:])
