"""One ingester of several, a process of its own to be killed; the tests of sharing start it.

    python -m tests.location_store.feeds.member '{"redis_url": …, "folder": …, "now_s": …, …}'

Each line on its stdout is how many rows it has read so far. SIGTERM ends it in order.
"""

import json
import signal
import sys
import threading
from pathlib import Path

from location_store.feeds.feed import Feed
from location_store.feeds.folder import FolderFeed
from location_store.feeds.kafka import KafkaFeed, KafkaSettings
from location_store.feeds.run import Pace, State, run
from location_store.feeds.stream import StreamFeed
from tests.location_store.support import World


def notice(line: str) -> None:
    """pytest shows it where a test has failed."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    asked = json.loads(sys.argv[1])
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    world = World(asked["redis_url"], Path(asked["folder"]), asked["now_s"])
    ingester = world.ingester()
    feeds: list[Feed] = [StreamFeed(name, world.store.nodes) for name in asked.get("streams", [])]
    feeds += [
        FolderFeed(Path(folder), ingester.first_time_s, settle_s=0.1, block_bytes=2000)
        for folder in asked.get("folders", [])
    ]
    if "kafka" in asked:
        feeds.append(KafkaFeed(KafkaSettings(**asked["kafka"]), notice))
    shown = -1

    def show(state: State) -> None:
        nonlocal shown
        if state.totals.rows != shown:
            shown = state.totals.rows
            print(shown, flush=True)

    pace = Pace(flush_s=asked["flush_s"], takeover_s=asked.get("takeover_s", 1.0))
    run(feeds, ingester, data_dir=world.folder, pace=pace, stop=told.is_set, progress=show, notice=notice)


main()
