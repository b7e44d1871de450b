"""Writes that count only once enough copies of them exist: WAIT and WAITAOF, on the connection of the write.

A connection of its own to each node, since the server reads nothing more of a connection that waits: on the
one of all other calls it would hold these up. All writes that come while one batch waits make up the next
batch, and one WAIT behind them speaks for all (it reckons from the connection's last write), so that
hundreds of messages share the way to the replica.

Invariant: a reply is handed out only when the counts that WAIT and WAITAOF returned, behind the write and on
the same connection, were as asked for. Called by `Calls`.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.redis.node import SLOW_S, Argument, Node, NodeAddress
from location_store.errors import StoreError, StoreRefused, StoreUnavailable

#: Writes of one batch at most.
BATCH = 500


class Copies(NamedTuple):
    """What must have a write within `wait_ms`: so many `replicas`, and with `aof` the node's own disk."""

    replicas: int = 0
    aof: int = 0
    wait_ms: int = 1000

    @property
    def commands(self) -> list[tuple[Argument, ...]]:
        waits: list[tuple[Argument, ...]] = []
        if self.replicas:
            waits.append(("WAIT", self.replicas, self.wait_ms))
        if self.aof:
            waits.append(("WAITAOF", self.aof, 0, self.wait_ms))
        return waits


class Unconfirmed(StoreUnavailable):
    """The write was carried out, with this reply, but there are not as many copies as asked for."""

    def __init__(self, reply: Any, why: str) -> None:
        super().__init__(why)
        self.reply = reply


class Confirming:
    """One node's connection for such writes."""

    def __init__(
        self,
        address: NodeAddress,
        copies: Copies,
        *,
        timeout_s: float,
        on_state: Callable[[bool, str], None],
    ) -> None:
        self._copies = copies
        waits_s = copies.wait_ms / 1000 * len(copies.commands)
        self._node = Node(
            address,
            timeout_s=timeout_s + waits_s,
            slow_s=SLOW_S + waits_s,
            on_connect=self._ask_for_waitaof,
            on_state=on_state,
        )
        self._queued: list[tuple[bytes, bool, asyncio.Future[Any]]] = []
        self._sending: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        return self._node.up

    @property
    def why_down(self) -> str:
        return self._node.why_down

    async def call(self, command: bytes, *, asking: bool) -> Any:
        """Carry out one write; its reply once it is confirmed. Raises Unconfirmed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queued.append((command, asking, future))
        if self._sending is None:
            self._sending = loop.create_task(self._send())
        try:
            return await future
        finally:
            del future  # as in `Calls.call`

    async def _send(self) -> None:
        try:
            while self._queued:
                batch, self._queued = self._queued[:BATCH], self._queued[BATCH:]
                await self._one_batch(batch)
        finally:
            self._sending = None

    async def _one_batch(self, batch: list[tuple[bytes, bool, asyncio.Future[Any]]]) -> None:
        writes: list[asyncio.Future[Any]] = []
        try:
            for command, asking, _ in batch:
                if asking:
                    self._node.call("ASKING").add_done_callback(_collect)
                writes.append(self._node.call_packed(command))
            waits = [self._node.call(*wait) for wait in self._copies.commands]
        except StoreUnavailable as away:  # before anything was sent: no turn of the loop lies between
            for _, _, future in batch:
                _end(future, error=away)
            return
        replies = await asyncio.gather(*writes, return_exceptions=True)
        short = self._shortage(await asyncio.gather(*waits, return_exceptions=True))
        for (_, _, future), reply in zip(batch, replies, strict=True):
            if isinstance(reply, BaseException):
                _end(future, error=reply)
            elif short:
                _end(future, error=Unconfirmed(reply, short))
            else:
                _end(future, reply=reply)

    def _shortage(self, replies: list[Any]) -> str:
        """What is missing, by the replies to `Copies.commands`; "" when nothing is."""
        for (command, *_), reply in zip(self._copies.commands, replies, strict=True):
            where = f"Redis at {self._node.address}"
            if isinstance(reply, BaseException):
                return f"{where}: {command!s} failed: {reply}"
            if command == "WAIT" and reply < self._copies.replicas:
                had = f"{reply} of {self._copies.replicas} replicas had it"
                return f"{where}: {had} after {self._copies.wait_ms} ms"
            if command == "WAITAOF" and reply[0] < self._copies.aof:
                return f"{where}: it was not on the disk after {self._copies.wait_ms} ms"
        return ""

    async def _ask_for_waitaof(self, node: Node) -> None:
        """Raises StoreRefused where [park] wait_aof cannot be kept."""
        if not self._copies.aof:
            await node.handshake_call("PING")
            return
        try:
            await node.handshake_call("WAITAOF", self._copies.aof, 0, 1)
        except StoreUnavailable:
            raise
        except StoreError as error:
            if "replica instances" in str(error):  # of a cluster: it is not asked before it is promoted
                return
            raise StoreRefused(
                f"[park] wait_aof = {self._copies.aof} needs Redis 7.2 or newer, or Valkey, and appendonly "
                f"yes there (WAITAOF says: {error})"
            ) from error

    async def close(self) -> None:
        await self._node.close()
        if self._sending is not None:
            await asyncio.gather(self._sending, return_exceptions=True)


def _end(future: asyncio.Future[Any], *, reply: Any = None, error: BaseException | None = None) -> None:
    if future.done():  # its caller was cancelled
        return
    if error is None:
        future.set_result(reply)
    else:
        future.set_exception(error)


def _collect(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
