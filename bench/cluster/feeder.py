"""The ingest load of the chaos bench, a process of its own: batch after batch through the project's ingester.

`feeder URL START_S RATE REPLICAS LOG`: writes a line to LOG for each batch that is acknowledged (flushed, and
with REPLICAS waited for), and for each failure: `time word number text`. SIGTERM: ends after the batch under
way.
"""

import signal
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

from bench.cluster.people import BATCH_ROWS, BATCHES_A_ROUND, MOST_ROUNDS, People, ingester_of, names
from location_store.errors import StoreUnavailable
from location_store.store import Store

WAIT_MS = 500
RETRY_S = 0.05


def main(url: str, start_s: int, rate: float, replicas: int, log: TextIO) -> None:
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    store = Store.connect(url, names(), wait_replicas=replicas, wait_ms=WAIT_MS)
    ingester = ingester_of(store)
    people = People(start_s)
    due_s = time.monotonic()
    for number in range(MOST_ROUNDS * BATCHES_A_ROUND):
        if told.is_set():
            break
        while True:
            try:
                ingester.add(people.batch(number))
                ingester.flush()
            except StoreUnavailable as error:
                print(f"{time.time():.4f} failed {number} {error}", file=log, flush=True)
                time.sleep(RETRY_S)
            else:
                break
        print(f"{time.time():.4f} done {number}", file=log, flush=True)
        if number >= BATCHES_A_ROUND:  # the first round is the preparation
            due_s = max(due_s + BATCH_ROWS / rate, time.monotonic() - 1)
            told.wait(max(0.0, due_s - time.monotonic()))
        else:
            due_s = time.monotonic()


if __name__ == "__main__":
    with Path(sys.argv[5]).open("w") as opened:
        main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), opened)
