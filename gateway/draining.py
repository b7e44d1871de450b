"""The end of one gateway process: no new work, what is in flight is answered or parked, then unbind, then
close.

Invariant: whatever has no ESME_ROK when it ends is still the SMSC's, and whatever has one is answered or
parked. The budget is `drain.timeout_s`; unbinding and closing take `CLOSING_S` more at most. Called by
`gateway.app`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from location_store.errors import StoreError

if TYPE_CHECKING:  # it loads Twisted, which wants its reactor first
    from gateway.assembly import Parts

#: The last part of the budget is for parking what could not be answered before; longer than a call to a store
#: takes that does not answer.
PARKING_SHARE, PARKING_S = 0.3, 3.0
#: For unbinding (5 s for peers that do not answer) and for closing the store's connections.
CLOSING_S = 8.0


@dataclass(frozen=True, slots=True)
class Left:
    """What a process left when it ended."""

    unanswered: int  # requests without a response: the SMSC keeps them
    parked: int  # by the drain, since their answers took too long
    put_off: int  # told a temporary error, since it was ending
    waiting: dict[str, int] | None  # in the park by route, of all processes; None: the store is away

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


async def drain(parts: Parts, budget_s: float) -> Left:
    """Ends with every part stopped."""
    receiving = parts.receiving
    deadline_s = time.monotonic() + budget_s
    receiving.draining = True
    parts.sweeping.stop()
    shards = asyncio.ensure_future(parts.park_worker.stop())
    await _none_in_flight(parts, deadline_s - min(PARKING_S, PARKING_SHARE * budget_s))
    parking = parts.pipeline.park_the_rest()
    await within(deadline_s, *parking)
    parked = sum(1 for task in parking if task.done() and task.result() is not None)
    unanswered = receiving.unanswered
    closed_s = deadline_s + CLOSING_S
    await within(closed_s, *(link.stop() for link in parts.links), *(one.stop() for one in parts.listeners))
    # Without links every attempt ends, and what it parked is free for whoever works it off.
    await _none_in_flight(parts, min(closed_s, time.monotonic() + 1.0))
    await within(min(closed_s, time.monotonic() + 1.0), shards)
    await within(closed_s, parts.deliveries.stop())
    waiting = await _waiting(parts)
    await within(closed_s, parts.calls.close())
    return Left(unanswered, parked, receiving.put_off, waiting)


async def _none_in_flight(parts: Parts, deadline_s: float) -> None:
    while parts.receiving.in_flight and time.monotonic() < deadline_s:
        await asyncio.sleep(0.02)


async def _waiting(parts: Parts) -> dict[str, int] | None:
    if not parts.calls.up:
        return None
    try:
        async with asyncio.timeout(1.0):
            await parts.look_at_park()
    except (StoreError, TimeoutError):
        return None
    return {queue["route"]: queue["waiting"] for queue in parts.queues if queue["waiting"]}


async def within(deadline_s: float, *work: Awaitable[Any]) -> None:
    """Wait for all of it, until then at the longest; what is not ready goes on."""
    tasks = [asyncio.ensure_future(each) for each in work]
    if tasks:
        await asyncio.wait(tasks, timeout=max(0.1, deadline_s - time.monotonic()))
