"""Time as the simulated SMSC is given it, so that it also runs on a simulated clock.

`now_s` never goes backwards and serves both for display and for durations. `server` brings `LoopClock`;
tests and the deterministic simulation bring their own.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> object: ...


class Clock(Protocol):
    """Unix seconds, and calls after a delay."""

    def now_s(self) -> float: ...

    def call_later(self, delay_s: float, call: Callable[[], object]) -> Timer: ...


class LoopClock:
    """The running asyncio loop's clock; a step of the wall clock does not move it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._offset_s = time.time() - self._loop.time()

    def now_s(self) -> float:
        return self._loop.time() + self._offset_s

    def call_later(self, delay_s: float, call: Callable[[], object]) -> Timer:
        return self._loop.call_later(delay_s, call)
