"""Works off what is parked: for each shard of a route that this process can serve, in order per subscriber.

Invariant: an entry leaves the park only answered, dead or expired, and each of these is recorded. One
process at a time works on a shard (a lease that it renews); the shards of a process that died are taken
over when its lease ends.

Tries are counted in the store, the pauses between them are this process's own: who takes a shard over begins
without pauses, and the bound of tries holds.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf

from gateway.flow.messages import Work
from gateway.flow.pipeline import Pipeline
from gateway.flow.ports import Clock, Entry, Outbox, Park, Recorder
from location_store.errors import StoreError

#: Looked at together, such looks in one pass over a shard, and worked on at once.
BATCH, LOOKS, AT_ONCE = 256, 4, 32
IDLE_S = 0.25
#: Where nothing waits, or another process works, a look is that much rarer: most shards are empty, in every
#: process. What this process parks, and a bind that comes up, wake its workers at once.
RARER = 4
#: While nothing can be sent: between two looks for what has expired.
EXPIRED_S = 5.0
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
        # When to try an entry again; past times are forgotten, so that nothing stays of those that have left.
        self._not_before_s: dict[tuple[str, int], dict[bytes, float]] = {}
        self._wakes: dict[str, list[asyncio.Event]] = {route: [] for route in routes}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        # Of each route, so that an SMSC which does not respond holds nobody else's up.
        self._at_once = {route: asyncio.Semaphore(AT_ONCE) for route in routes}

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
        owned, look_s = False, -inf
        while not self._stopping:
            wake.clear()
            next_look_s = self._idle_s
            try:
                await self._park.tidy(route, shard)
                sends, now_s = self._outbox.can_send(route), self._clock.monotonic()
                if sends or now_s >= look_s:
                    look_s = now_s + EXPIRED_S
                    owned = await self._park.own(route, shard)
                    next_look_s = await self._pass(route, shard) if owned else RARER * self._idle_s
                    if owned and not sends:  # it is for who can send
                        await self._park.disown(route, shard)
                        owned = False
            except StoreError:
                owned = False  # the store says so itself in its own events
            except Exception as error:  # noqa: BLE001 - the boundary of one shard's worker: it must go on
                self._on_error(error)
            if next_look_s:
                await _wait(wake, next_look_s)
        if owned:
            with suppress(StoreError):  # then the lease ends by itself
                await self._park.disown(route, shard)

    async def _pass(self, route: str, shard: int) -> float:
        """Attempt what is due, subscribers side by side. Seconds until the next look: at once when anything
        left the park.
        """
        now_s, pauses = self._clock.monotonic(), self._not_before_s.get((route, shard), {})
        pauses = self._not_before_s[route, shard] = {
            id_: when for id_, when in pauses.items() if when > now_s
        }
        waiting: set[bytes] = set()  # whose first entry is not due: nothing of theirs is
        after = b""
        for _ in range(LOOKS):
            entries = await self._park.entries(route, shard, BATCH, after)
            if not entries:
                return self._idle_s if waiting else RARER * self._idle_s
            after = entries[-1].id
            queues: dict[bytes, list[Entry]] = defaultdict(list)
            for entry in entries:
                queues[entry.tag].append(entry)
            due = []
            for tag, queue in queues.items():
                if tag not in waiting and self._is_due(route, queue[0], pauses):
                    due.append(queue)
                waiting.add(tag)  # behind whatever becomes of these
            if await self._work_off(route, shard, due, pauses):
                return 0.0
        return self._idle_s

    def _is_due(self, route: str, entry: Entry, pauses: Mapping[bytes, float]) -> bool:
        """What has expired is, whether or not it could leave."""
        if self._stopping or entry.held or self._clock.monotonic() < pauses.get(entry.id, -inf):
            return False
        return self._outbox.can_send(route) or self._clock.wall() >= entry.expires_s

    async def _work_off(
        self, route: str, shard: int, queues: Sequence[Sequence[Entry]], pauses: dict[bytes, float]
    ) -> bool:
        """Whether anything left."""
        if not queues:
            return False
        passes = [asyncio.ensure_future(self._one_subscriber(route, shard, q, pauses)) for q in queues]
        renewing = asyncio.ensure_future(self._renew(route, shard))
        try:
            left = await asyncio.gather(*passes, return_exceptions=True)  # all of them, before the next pass
        finally:
            renewing.cancel()
        for each in left:
            if isinstance(each, BaseException):
                raise each
        return any(left)

    async def _renew(self, route: str, shard: int) -> None:
        while True:
            await self._clock.sleep(1.0)
            try:
                await self._park.own(route, shard)
            except StoreError:
                continue

    async def _one_subscriber(
        self, route: str, shard: int, queue: Sequence[Entry], pauses: dict[bytes, float]
    ) -> bool:
        left = False
        async with self._at_once[route]:
            for entry in queue:
                if not self._is_due(route, entry, pauses) or not await self._one(route, shard, entry, pauses):
                    break
                left = True
        return left

    async def _one(self, route: str, shard: int, entry: Entry, pauses: dict[bytes, float]) -> bool:
        """One entry; whether it left the park."""
        mo, who = entry.mo, entry.who
        if self._clock.wall() >= entry.expires_s:
            await self._pipeline.bury(mo, who, entry.id, "expired")
            self._recorder.ended(mo.carrier.name, "expired", "expired", 0.0)
            return True
        starts = await self._park.count(route, shard, entry.id, fault=False)
        if starts > MAX_STARTS:
            return await self._died(entry, "too_many_tries")
        result = await self._pipeline.attempt(mo)
        if result.work is Work.DONE:
            await self._park.remove(who, mo, entry.id)
            return True
        if result.work is Work.DEAD:  # the pipeline has recorded its end
            await self._pipeline.bury(mo, who, entry.id, result.reason)
            return True
        # Five tries shall outlast an SMSC that starts anew; a link that is away is looked at more often.
        if result.counts:
            tries = await self._park.count(route, shard, entry.id, fault=True)
            if tries >= MAX_TRIES:
                return await self._died(entry, result.reason)
            pause_s = min(MAX_BACKOFF_S, self._idle_s * 4 ** min(tries, 10))
        else:
            pause_s = min(5.0, self._idle_s * 2 ** min(starts, 10))
        pauses[entry.id] = self._clock.monotonic() + pause_s
        return False

    async def _died(self, entry: Entry, reason: str) -> bool:
        await self._pipeline.bury(entry.mo, entry.who, entry.id, reason)
        self._recorder.ended(entry.mo.carrier.name, "dead", reason, 0.0)
        return True


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
