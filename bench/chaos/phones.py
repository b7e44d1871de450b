"""The subscribers: one conversation after another, and the thread in which they and their SMSC live.

A thread of its own, so that whatever the faults wait for holds up no PDU. Called by `run`.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from bench.chaos.judging import Ledger
from bench.chaos.people import Subscriber
from bench.chaos.smsc import Smsc

_T = TypeVar("_T")


class Traffic:
    """SMSC and phones, running from `start` to `stop`."""

    def __init__(self, people: Sequence[Subscriber], port: int, rate_per_s: float, seed: int) -> None:
        self.ledger = Ledger()
        self.smsc = Smsc(self.ledger, port, seed)
        self._people = iter(people)
        self._rate_per_s = rate_per_s
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._talks: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._thread.start()
        self.wait(self.smsc.listen())

    def start(self) -> None:
        """Begin to talk."""
        self.wait(self._start())

    async def _start(self) -> None:
        self._tasks = [asyncio.create_task(each) for each in (self.smsc.tend(), self._talk())]

    def hush(self) -> None:
        """No new conversations; those under way go on."""
        self.do(self._tasks[1].cancel)

    def is_settled(self) -> bool:
        """Everything that was asked is acknowledged and answered, and all conversations are over."""
        return self.do(lambda: not self._talks and not self.ledger.open())

    def end(self) -> None:
        self.do(lambda: [talk.cancel() for talk in self._talks])

    def under_way(self) -> int:
        return self.do(lambda: len(self.ledger.open()))

    def do(self, call: Callable[[], _T]) -> _T:
        """Call it where the SMSC lives."""

        async def called() -> _T:
            return call()

        return self.wait(called())

    def wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _talk(self) -> None:
        """Begin conversations, at random times."""
        for who in self._people:
            await asyncio.sleep(self._chance.expovariate(self._rate_per_s))
            task = asyncio.create_task(self._converse(who))
            self._talks.add(task)
            task.add_done_callback(self._talks.discard)

    async def _converse(self, who: Subscriber) -> None:
        for step in who.steps:
            question = self.ledger.asked(who, step, time.monotonic())
            self.smsc.send(question)
            if step.waits:
                await question.answered.wait()
