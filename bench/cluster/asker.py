"""The query load of the chaos bench, a process of its own: turns of known subscribers, as the gateway takes
them.

`asker URL START_S RATE LOG`: at so many a second, whether or not earlier ones were answered. Each begins a
turn (dialog state, record and lease in one call, `gateway.redis.turns`) and gives it back. A line for each in
LOG: `begun seconds slot outcome` with the outcome `answer`, `older` (one that lacks sightings which an
earlier one had), `temporary` (StoreUnavailable), or what is wrong: `empty`, `damaged`, `busy`, or the name of
an error. SIGTERM ends it.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

import uvloop
from redis.crc import key_slot

from bench.cluster.people import SUBSCRIBERS, People, msisdn, names, read_back
from gateway.flow.ports import Turn
from gateway.redis.calls import Calls
from gateway.redis.library import LIBRARY
from gateway.redis.turns import RedisTurns
from location_store.errors import RecordError, StoreError, StoreUnavailable
from location_store.pseudonyms import bucket_key

STRIDE = 7_919
"""Coprime to the number of subscribers: all are asked for, neighbours long after one another."""


class Asker:
    def __init__(self, calls: Calls, start_s: int, log: TextIO) -> None:
        self._turns = RedisTurns(calls, dedup_window_s=30, lease_s=3, after_s=1.0, monotonic=time.monotonic)
        self._log = log
        self._people = People(start_s)
        self._names = names()
        self._newest: dict[int, int] = {}

    async def ask(self, number: int) -> None:
        who = number * STRIDE % SUBSCRIBERS
        pseudonym = self._names.of(msisdn(who))
        began, started_s = time.time(), time.monotonic()
        try:
            turn = await self._turns.begin(pseudonym, b"%d" % number, fresh=True)
            outcome = self._judged(who, turn) if isinstance(turn, Turn) else type(turn).__name__.lower()
        except StoreUnavailable:
            outcome = "temporary"
        except StoreError as error:
            outcome = type(error).__name__
        took_s = time.monotonic() - started_s
        print(f"{began:.4f} {took_s:.4f} {key_slot(bucket_key(pseudonym))} {outcome}", file=self._log)
        if outcome in {"answer", "older"} and isinstance(turn, Turn):
            try:
                await self._turns.abandon(pseudonym, turn.token)
            except StoreError:
                return  # the lease ends by itself

    def _judged(self, who: int, turn: Turn) -> str:
        try:
            known = read_back(turn.record)
        except RecordError:
            return "damaged"
        if self._people.sightings(who, 1)[0] not in known:
            return "empty"
        newest = known[-1][0]
        if newest < self._newest.get(who, 0):
            return "older"
        self._newest[who] = newest
        return "answer"


async def main(url: str, start_s: int, rate: float, log: TextIO) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    calls = Calls(url, library=LIBRARY)
    if not await calls.wait_up(20):
        raise SystemExit("the cluster is not there")
    asker = Asker(calls, start_s, log)
    print(f"{time.time():.4f} ready", file=log, flush=True)
    asked: set[asyncio.Task[None]] = set()
    first_s = loop.time()
    number = 0
    while not told.is_set():
        while number < (loop.time() - first_s) * rate:
            task = loop.create_task(asker.ask(number))
            asked.add(task)
            task.add_done_callback(asked.discard)
            number += 1
        await asyncio.sleep(0.002)
    await asyncio.gather(*asked)
    await calls.close()


if __name__ == "__main__":
    with Path(sys.argv[4]).open("w") as opened:
        uvloop.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), opened))
