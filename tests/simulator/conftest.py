"""The simulator on real sockets, on a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from gateway.simulator.server import Simulator

T = TypeVar("T")


class Running:
    """A started simulator; what it offers is called from the test's thread."""

    def __init__(self, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        addresses = {"smpp": "127.0.0.1:0", "http": "127.0.0.1:0"}
        self.simulator = Simulator(**(addresses | options))
        self.run(self.simulator.start())

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = 20) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        async def work() -> T:
            return function(*arguments)

        return self.run(work())

    def until(self, condition: Callable[[], object], timeout_s: float = 10) -> None:
        """Wait, on the simulator's thread, until something holds there."""

        async def work() -> None:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await asyncio.sleep(0.005)

        self.run(work())

    def stop(self) -> None:
        self.run(self.simulator.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Starts simulators with options of `Simulator`; all are stopped after the test."""
    running: list[Running] = []

    def begin(**options: Any) -> Running:
        running.append(Running(**options))
        return running[-1]

    yield begin
    for one in running:
        one.stop()
