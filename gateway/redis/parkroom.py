"""How much room a carrier's park has left: a limit over all shards of all its routes, kept without a counter.

The shard's own length is known to the server function that appends; those of the others are asked for once a
second at most. So the limit is exceeded by what all processes park in one second, and never by more. Called
by `RedisPark`.
"""

import asyncio
from collections.abc import Sequence

from gateway.flow.ports import Clock
from gateway.redis.calls import Calls
from gateway.redis.keys import PARK_SHARDS, park_key
from location_store.errors import StoreError

LOOK_S = 1.0


class ParkFullError(StoreError):
    """There are as many parked messages as may be: of the carrier, or of one subscriber."""


class Room:
    """Of one carrier, whose messages come by `routes`."""

    def __init__(
        self, calls: Calls, clock: Clock, *, carrier: str, limit: int, routes: Sequence[str]
    ) -> None:
        self.carrier = carrier
        self._calls = calls
        self._clock = clock
        self._limit = limit
        self._lengths = {(route, shard): 0 for route in routes for shard in range(PARK_SHARDS)}
        self._total = 0
        self._looked_s = -LOOK_S

    async def most(self, route: str, shard: int) -> int:
        """How many entries this shard may hold. Raises ParkFullError when it is none."""
        now_s = self._clock.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s  # before the look, so that one of all that come now does it
            await self._look()
        most = self._limit - self._total + self._lengths[route, shard]
        if most <= 0:
            raise self.full()
        return most

    def counted(self, route: str, shard: int, length: int) -> None:
        """What the server said of a shard."""
        self._total += length - self._lengths[route, shard]
        self._lengths[route, shard] = length

    def full(self) -> ParkFullError:
        return ParkFullError(f"{self.carrier}: {self._limit} messages are parked, the limit")

    async def _look(self) -> None:
        shards = list(self._lengths)
        keys = [park_key(b"q", route, shard) for route, shard in shards]
        lengths = await asyncio.gather(*(self._calls.call(key, "XLEN", key) for key in keys))
        for (route, shard), length in zip(shards, lengths, strict=True):
            self.counted(route, shard, length)
