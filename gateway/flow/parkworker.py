"""Works off what is parked: for each shard of a route that this process can serve, in order per subscriber.

Invariant: an entry leaves the park only answered, dead or expired, and each of these is recorded. One
process at a time works on a shard (a lease that it renews); the shards of a process that died are taken
over when its lease ends.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress

from gateway.flow.messages import Result, Work
from gateway.flow.pipeline import Pipeline
from gateway.flow.ports import Clock, Entry, Outbox, Park, Recorder
from location_store.errors import StoreError

#: Looked at in one pass over a shard, and worked on at once.
BATCH, AT_ONCE = 256, 32
IDLE_S = 0.25
#: Attempts that were the message's own fault (it raises, the SMSC does not answer for it), before it is dead.
MAX_TRIES = 5
#: Attempts of any kind: an entry that takes whole processes with it never gets as far as being judged.
MAX_STARTS = 1000
MAX_BACKOFF_S = 60.0


class ParkWorker:
    def __init__(
        self,
        *,
        park: Park,
        pipeline: Pipeline,
        outbox: Outbox,
        clock: Clock,
        recorder: Recorder,
        routes: Sequence[str],
        on_error: Callable[[BaseException], None],
        idle_s: float = IDLE_S,
    ) -> None:
        self._park = park
        self._pipeline = pipeline
        self._outbox = outbox
        self._clock = clock
        self._recorder = recorder
        self._on_error = on_error
        self._idle_s = idle_s
        self._not_before_s: dict[bytes, float] = {}
        self._wakes: dict[str, list[asyncio.Event]] = {route: [] for route in routes}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._at_once = asyncio.Semaphore(AT_ONCE)

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        for route, wakes in self._wakes.items():
            for shard in self._park.shards(route):
                wake = asyncio.Event()
                wakes.append(wake)
                self._tasks.append(loop.create_task(self._work(route, shard, wake)))

    def wake(self, route: str) -> None:
        """Something was parked here, or a bind came up: do not wait for the next look."""
        for wake in self._wakes.get(route, ()):
            wake.set()

    async def stop(self) -> None:
        """Finish the entries under way and give the shards back."""
        self._stopping = True
        for wakes in self._wakes.values():
            for wake in wakes:
                wake.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self, route: str, shard: int, wake: asyncio.Event) -> None:
        owned = False
        while not self._stopping:
            wake.clear()
            again = False
            try:
                if self._outbox.can_send(route):
                    owned = await self._park.own(route, shard)
                    again = owned and await self._pass(route, shard)
            except StoreError:
                owned = False  # the store says so itself in its own events
            except Exception as error:  # noqa: BLE001 - the boundary of one shard's worker: it must go on
                self._on_error(error)
            if not again:
                await _wait(wake, self._idle_s)
        if owned:
            with suppress(StoreError):  # then the lease ends by itself
                await self._park.disown(route, shard)

    async def _pass(self, route: str, shard: int) -> bool:
        """Attempt what is due, subscribers side by side. Whether anything left the park (then look again at
        once).
        """
        queues: dict[bytes, list[Entry]] = defaultdict(list)
        for entry in await self._park.entries(route, shard, BATCH):
            queues[entry.tag].append(entry)
        if not queues:
            return False
        passes = [asyncio.ensure_future(self._one_subscriber(route, shard, q)) for q in queues.values()]
        renewing = asyncio.ensure_future(self._renew(route, shard))
        try:
            left = await asyncio.gather(*passes)
        finally:
            renewing.cancel()
        return any(left)

    async def _renew(self, route: str, shard: int) -> None:
        while True:
            await self._clock.sleep(1.0)
            try:
                await self._park.own(route, shard)
            except StoreError:
                continue

    async def _one_subscriber(self, route: str, shard: int, queue: list[Entry]) -> bool:
        left = False
        async with self._at_once:
            for entry in queue:
                if (
                    self._stopping
                    or entry.held
                    or self._clock.monotonic() < self._not_before_s.get(entry.id, 0)
                ):
                    break
                if not await self._one(route, shard, entry):
                    break
                left = True
        return left

    async def _one(self, route: str, shard: int, entry: Entry) -> bool:
        """One entry; whether it left the park."""
        mo, who = entry.mo, entry.who
        if self._clock.wall() >= entry.expires_s:
            await self._park.bury(who, mo, entry.id, "expired")
            self._recorder.ended(mo.carrier.name, "expired", "expired", 0.0)
            return True
        tries = await self._park.count_try(route, shard, entry.id)
        if tries > MAX_STARTS:
            result = Result(Work.DEAD, "too_many_tries")
        else:
            result = await self._pipeline.attempt(mo)
        if result.work is Work.LATER and result.counts and tries >= MAX_TRIES:
            result = Result(Work.DEAD, result.reason)
        if result.work is Work.LATER:
            # Five tries shall outlast an SMSC that starts anew; a link that is away is looked at more often.
            longest_s, factor = (MAX_BACKOFF_S, 4) if result.counts else (5.0, 2)
            backoff_s = min(longest_s, self._idle_s * factor ** min(tries, 10))
            self._not_before_s[entry.id] = self._clock.monotonic() + backoff_s
            return False
        self._not_before_s.pop(entry.id, None)
        if result.work is Work.DEAD:
            await self._park.bury(who, mo, entry.id, result.reason)
            self._recorder.ended(mo.carrier.name, "dead", result.reason, 0.0)
        else:
            await self._park.remove(who, mo, entry.id)
        return True


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
