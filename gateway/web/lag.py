"""How late the event loop is: the worst delay of a timer that is due every 50 ms, over the last 10 to 20 s.

What blocks the loop (a long computation, a write to a terminal that stands still) makes every link, timer
and answer wait so long. Called by the composition; read by the metric and by /status.
"""

import asyncio

TICK_S = 0.05
SPAN_S = 10.0


class LoopLag:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._worst_s = self._worst_before_s = 0.0
        self._span_ends_s = loop.time() + SPAN_S
        self._due_s = 0.0

    def start(self) -> None:
        """From now on; what making the process took is no delay of anybody's."""
        self._wait()

    @property
    def worst_s(self) -> float:
        return max(self._worst_s, self._worst_before_s)

    def _wait(self) -> None:
        self._due_s = self._loop.time() + TICK_S
        self._loop.call_at(self._due_s, self._tick)

    def _tick(self) -> None:
        now_s = self._loop.time()
        if now_s >= self._span_ends_s:
            self._worst_before_s, self._worst_s = self._worst_s, 0.0
            self._span_ends_s = now_s + SPAN_S
        self._worst_s = max(self._worst_s, now_s - self._due_s)
        self._wait()
