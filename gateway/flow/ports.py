"""What the flow needs of the world. Adapters: gateway/redis (turns, park), gateway/links (outbox),
gateway/web (recorder).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from gateway.flow.messages import Mo, Mt, Outcome
from location_store.errors import StoreError
from location_store.pseudonyms import Pseudonym

_Result = TypeVar("_Result")
#: Called once with the outcome of a call, at once or later, and never raises: what happens for every message
#: waits so, since a task and its futures cost more than a message's own work.
Then = Callable[[_Result | StoreError], None]


async def awaited(call: Callable[[Then[Any]], None]) -> Any:
    """The outcome of a `_then` call, for coroutines."""
    future: Any = asyncio.get_running_loop().create_future()
    outcome = None
    call(partial(_tell, future))
    try:
        outcome = await future
        if isinstance(outcome, StoreError):
            raise outcome
        return outcome
    finally:
        outcome = future = None  # the error's traceback holds this frame: no circle for the collector


def _tell(future: asyncio.Future[Any], outcome: Any) -> None:
    if not future.done():  # else its caller was cancelled
        future.set_result(outcome)


@dataclass(slots=True, init=False)
class Turn:
    """A subscriber's turn: what the store knows, and the lease under which we may answer.

    `state` is the packed dialog state (empty: none), `record` the subscriber's packed record (None: none);
    `older` is the record under the older key, during a rotation.
    """

    token: bytes
    state: bytes
    record: bytes | None
    good_until_s: float  # monotonic; an answer that has not left by then belongs to whoever has the turn next
    older: bytes | None = None

    def __init__(
        self,
        token: bytes,
        state: bytes,
        record: bytes | None,
        good_until_s: float,
        older: bytes | None = None,
    ) -> None:
        self.token = token
        self.state = state
        self.record = record
        self.good_until_s = good_until_s
        self.older = older


class Answered(NamedTuple):
    """A redelivery: this very message has been answered, or (if it comes from the SMSC) is parked or dead."""


class Busy(NamedTuple):
    """Another message of the same subscriber has the turn, in another process, or comes before this one."""


class Behind(NamedTuple):
    """Earlier messages of the subscriber are parked: this one has to go behind them."""


Begun = Turn | Answered | Busy | Behind


class Turns(Protocol):
    """One turn at a time for each subscriber, across all processes. All raise StoreUnavailable when the
    store is away; those that end in `_then` hand it over.
    """

    def begin_then(self, who: Pseudonym, digest: bytes, fresh: bool, then: Then[Begun], /) -> None:
        """`fresh`: the message comes from the SMSC, not from the park."""

    async def begin(self, who: Pseudonym, digest: bytes, *, fresh: bool) -> Begun: ...

    def wait(self, who: Pseudonym, digest: bytes) -> None:
        """A fresh message waits in this process for one before it: it has its place before those that come
        later, in any process. So has one that was told Busy.
        """

    async def begin_rotating(self, who: Pseudonym, older: Pseudonym, digest: bytes, *, fresh: bool) -> Begun:
        """The same with what lies under the older key, where he is `older`."""

    def keep_then(self, who: Pseudonym, token: bytes, state: bytes, ttl_s: int, then: Then[int], /) -> None:
        """Store the state (empty: none) while the turn goes on; 0 when the lease had ended, else 1."""

    async def keep(self, who: Pseudonym, token: bytes, state: bytes, ttl_s: int) -> bool: ...

    async def seen(self, who: Pseudonym, digest: bytes) -> bool:
        """Whether the message is a redelivery; without a turn."""

    async def mark(self, who: Pseudonym, digest: bytes, *, answered: bool) -> bool:
        """Mark the message beside its turn: as answered, or as one in good hands, parked or dead; False when
        it was in good hands already.
        """

    def finish_then(  # noqa: PLR0917 -- what a turn ends with
        self,
        who: Pseudonym,
        digest: bytes,
        token: bytes,
        state: bytes | None,
        ttl_s: int,
        then: Then[int],
        /,
    ) -> None:
        """Mark the message as answered, store the state (None: unchanged; ttl_s 0: none any more), end the
        lease; 0 when that had ended, else 1.
        """

    async def finish(
        self, who: Pseudonym, digest: bytes, token: bytes, state: bytes | None, ttl_s: int
    ) -> bool: ...

    async def extend(self, who: Pseudonym, token: bytes, lease_s: float) -> None: ...

    async def abandon(self, who: Pseudonym, token: bytes) -> None: ...


class Entry(NamedTuple):
    """A parked message. `tag` groups the entries of one subscriber, in whose order they are worked off. `who`
    he was when it was parked: another one than now, if the key was rotated meanwhile.
    """

    id: bytes
    who: Pseudonym
    tag: bytes
    mo: Mo
    expires_s: float
    held: bool


class Park(Protocol):
    """Messages that were acknowledged and are not answered yet, durable. `shard` is part of a route."""

    def shards(self, route: str) -> Sequence[int]: ...

    async def add(self, who: Pseudonym, mo: Mo, hold_s: float) -> bytes:
        """Durably keep `mo`; for `hold_s` nobody works it off (its first attempt is still under way here).

        Raises StoreError when it is not kept, or not known to be: then the SMSC has to keep it.
        """

    async def unhold(self, who: Pseudonym, mo: Mo, entry_id: bytes) -> None: ...

    async def remove(self, who: Pseudonym, mo: Mo, entry_id: bytes) -> None: ...

    async def bury(self, who: Pseudonym, mo: Mo, entry_id: bytes | None, reason: str) -> None:
        """Move it to the dead letters (entry_id None: it was never parked)."""

    async def own(self, route: str, shard: int) -> bool: ...

    async def disown(self, route: str, shard: int) -> None: ...

    async def tidy(self, route: str, shard: int) -> None:
        """Remove what was to leave the shard and could not, before anybody here works on it. Raises
        StoreError.
        """

    async def entries(self, route: str, shard: int, limit: int, after: bytes = b"") -> list[Entry]:
        """The oldest, or those that follow the entry `after`."""

    async def count(self, route: str, shard: int, entry_id: bytes, *, fault: bool) -> int:
        """Attempts that were begun, or (`fault`) that failed by the message's own fault; with this one."""


class Outbox(Protocol):
    """Where answers leave."""

    def can_send(self, route: str) -> bool: ...

    def send_then(self, route: str, mt: Mt, then: Callable[[Outcome], None], /) -> None:
        """Send every part and wait for every response. Never raises for what an SMSC does."""


class Timer(Protocol):
    def cancel(self) -> object: ...


class Clock(Protocol):
    """Time as the flow sees it; a simulated one in tests."""

    def monotonic(self) -> float: ...

    def wall(self) -> float: ...

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer: ...

    async def sleep(self, delay_s: float) -> None: ...


class Recorder(Protocol):
    """Counts and events. Never given a number, a text or a city."""

    def ended(self, carrier: str, result: str, reason: str, elapsed_s: float) -> None: ...

    def parked(self, carrier: str, reason: str) -> None: ...

    def guessing(self, carrier: str, subscribers: int) -> None: ...

    def failed(self, where: str, error: BaseException) -> None: ...
