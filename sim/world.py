"""Simulated time, chance, and processes.

A process is an asyncio event loop whose steps are taken by the world. Nothing else takes time: between two
events the clock jumps. Invariant: the same seed gives the same order of steps; a process that was killed runs
nothing any more, and nothing of what it does while it is collected reaches the world.
"""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from itertools import count
from typing import Any

#: The simulation begins here, in unix seconds: at noon in China, 2026-03-10.
EPOCH_S = 1_773_115_200.0


class Due:
    """Something that happens at a time, unless it is cancelled."""

    __slots__ = ("call", "cancelled")

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def active(self) -> bool:
        return not self.cancelled


class World:
    def __init__(self, seed: int | str) -> None:
        self.chance = random.Random(seed)
        self.now_s = 0.0
        self.faults: list[str] = []
        """What must never happen in a run: an exception that nobody took."""
        self._due: list[tuple[float, int, Due]] = []
        self._count = count()
        self._ready: deque[Process] = deque()

    @property
    def wall_s(self) -> float:
        """Unix seconds, where no clock was set wrong."""
        return EPOCH_S + self.now_s

    def after(self, delay_s: float, call: Callable[[], object]) -> Due:
        return self.at(self.now_s + delay_s, call)

    def at(self, at_s: float, call: Callable[[], object]) -> Due:
        due = Due(call)
        heapq.heappush(self._due, (max(at_s, self.now_s), next(self._count), due))
        return due

    def wake(self, process: "Process") -> None:
        """It has something to run."""
        self._ready.append(process)

    def run(self, until_s: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Take steps until the time has come, or what is asked for; whether it has. `done` is asked twice a
        second.
        """
        next_look_s = self.now_s
        while True:
            while self._ready:
                self._ready.popleft().turn()
            if self.now_s >= next_look_s:
                if done():
                    return True
                next_look_s = self.now_s + 0.5
            if not self._due or self._due[0][0] > until_s:
                self.now_s = until_s
                return done()
            at_s, _, due = heapq.heappop(self._due)
            if not due.cancelled:
                self.now_s = at_s
                due.cancelled = True  # it is no longer to come
                due.call()


class Process(asyncio.AbstractEventLoop):
    """One operating system process, as far as asyncio is concerned. `connect(host, port, factory)` makes its
    connections.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.steps = 0
        self.dies_at_step: int | None = None
        self.wall_offset_s = 0.0
        self.on_death: list[Callable[[], object]] = []
        self._handles: deque[asyncio.Handle] = deque()
        self._awake = False
        self._paused_until_s: float | None = None

    # the world's side

    def post(self, call: Callable[[], object]) -> None:
        """Something from outside: octets, the end of a connection."""
        if self.alive:
            self.call_soon(call)

    def pause(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT so much later."""
        until_s = self._paused_until_s = self.world.now_s + seconds

        def resume() -> None:
            if self._paused_until_s == until_s:
                self._paused_until_s = None
                self._wake()

        self.world.after(seconds, resume)

    def kill(self) -> None:
        """SIGKILL: memory is gone, what had reached the kernel has left."""
        if self.alive:
            self.alive = False
            self._handles.clear()
            for tell in self.on_death:
                tell()

    def turn(self) -> None:
        """What is ready now; what that makes ready has the next turn, after the others."""
        self._awake = False
        if not self.alive or self._paused_until_s is not None:
            return
        asyncio._set_running_loop(self)
        try:
            for _ in range(len(self._handles)):
                handle = self._handles.popleft()
                self.steps += 1
                if self.steps == self.dies_at_step:
                    self.kill()
                    return
                if not handle.cancelled():
                    handle._run()
                if not self.alive:
                    return
        finally:
            asyncio._set_running_loop(None)
        if self._handles:
            self._wake()

    def _wake(self) -> None:
        if not self._awake and self._handles:
            self._awake = True
            self.world.wake(self)

    # asyncio's side

    def time(self) -> float:
        return self.world.now_s

    def call_soon(  # type: ignore[override]  # as asyncio's own loops have it
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if self.alive:
            self._handles.append(handle)
            self._wake()
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.world.now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if self.alive:
            self.world.at(when, lambda: self._due(handle))
        return handle

    def _due(self, handle: asyncio.TimerHandle) -> None:
        if self.alive and not handle.cancelled():
            self._handles.append(handle)
            self._wake()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asked for by asyncio.TimerHandle; it is skipped when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **kwargs: Any) -> asyncio.Task[Any]:  # type: ignore[override]
        return asyncio.Task(coro, loop=self, **kwargs)

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int, **_: Any
    ) -> tuple[Any, asyncio.Protocol]:
        made: tuple[Any, asyncio.Protocol] = await self.connect(host, port, protocol_factory)
        return made

    connect: Callable[[str, int, Callable[[], asyncio.Protocol]], Any]

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.alive:
            error = context.get("exception")
            self.world.faults.append(f"{self.name}: {context['message']}: {error!r}")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return not self.alive
