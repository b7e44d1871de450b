"""Messages whose answer was accepted while the store went away: they are marked as answered once it is back.

Until then this process alone knows them for redeliveries, and no other can take them: it would need the
store. Bounded by what was under way when the store went. Called by the pipeline.
"""

import asyncio
from collections.abc import Sequence

from gateway.flow.ports import Clock, Timer, Turns
from location_store.errors import StoreError
from location_store.pseudonyms import Pseudonym

#: Short, since a redelivery may come to another process as soon as the store is back.
PAUSE_S = 0.01


class Unmarked:
    def __init__(self, turns: Turns, clock: Clock) -> None:
        self._turns = turns
        self._clock = clock
        self._names: dict[bytes, Sequence[Pseudonym]] = {}  # by digest, those that it is to be marked under
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._names

    def add(self, digest: bytes, names: Sequence[Pseudonym]) -> None:
        """Mark it, trying until the store takes it."""
        self._names[digest] = names
        self._mark_soon()

    def discard(self, digest: bytes) -> None:
        """It was marked otherwise."""
        self._names.pop(digest, None)

    def _mark_soon(self) -> None:
        if self._timer is None and self._names:
            self._timer = self._clock.call_later(PAUSE_S, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._mark())

    async def _mark(self) -> None:
        try:
            for digest, names in list(self._names.items()):
                for name in names:
                    await self._turns.mark(name, digest, answered=True)
                self.discard(digest)
        except StoreError:
            pass  # it is still away
        self._timer = None
        self._mark_soon()
