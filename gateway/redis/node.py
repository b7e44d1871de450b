"""One multiplexed connection to one Redis node.

Every call made in one turn of the event loop leaves in one write, and every answer that has arrived is handed
out in one read: this is where the gateway's round trips become cheap. redis-py's own pipeline costs three to
five times as much per call (see docs/performance.md).

Invariants: answers are matched to calls by order alone, so a call that times out closes the connection (a
late answer could otherwise be taken for another call's). A call is sent at most once; whether it took
effect when the connection is lost is unknown, and the caller is told so by `StoreUnavailable`.
"""

import asyncio
import random
import ssl as ssl_module
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import hiredis

from location_store.errors import StoreError, StoreUnavailable
from location_store.replies import error_of

Argument = bytes | str | int | float


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Where a node is and how to log in. `path` is a unix socket and excludes host and port."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str | None = None
    username: str | None = None
    password: str | None = None
    db: int = 0
    tls: ssl_module.SSLContext | None = None

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class Node(asyncio.Protocol):
    """A connection that is kept: `call` while it is up, and by itself up again after it was lost.

    `on_connect` (a coroutine function) runs after each log-in, before anybody's calls are taken: it loads
    the functions.
    """

    def __init__(
        self,
        address: NodeAddress,
        *,
        timeout_s: float,
        on_connect: Callable[["Node"], Any] | None = None,
        on_state: Callable[[bool, str], None] | None = None,
    ) -> None:
        self.address = address
        self.up = False
        self.was_up = False
        self.why_down = "not connected yet"
        self._timeout_s = timeout_s
        self._on_connect = on_connect
        self._on_state = on_state
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._out: list[bytes] = []
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._lost = asyncio.Event()
        self._watch: asyncio.TimerHandle | None = None
        self._closing = False
        self._told: bool | None = None  # what `on_state` said last
        self._keeper = self._loop.create_task(self._keep())

    # calls

    def call(self, *args: Argument) -> asyncio.Future[Any]:
        """Queue one command; the future has its reply. Raises `StoreUnavailable` at once while the node is
        away.
        """
        if not self.up:
            raise StoreUnavailable(f"Redis at {self.address} is away: {self.why_down}")
        return self._send(args)

    def _send(self, args: tuple[Argument, ...]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(hiredis.pack_command(args))  # type: ignore[arg-type]  # the stub lacks an ellipsis
        self._waiting.append((future, self._loop.time() + self._timeout_s))
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout_s, self._check)
        return future

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self._transport is not None:
            self._transport.write(b"".join(out))

    def _check(self) -> None:
        """The oldest call has the earliest deadline; one that is past means a stalled node."""
        self._watch = None
        if not self._waiting:
            return
        left_s = self._waiting[0][1] - self._loop.time()
        if left_s > 0:
            self._watch = self._loop.call_later(left_s, self._check)
        else:
            self._drop(f"no answer within {self._timeout_s:g} s")

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not of that class

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                future, _ = waiting.popleft()
                if future.done():  # the caller was cancelled; the reply still had to be taken in order
                    continue
                if isinstance(reply, hiredis.ReplyError):
                    future.set_exception(error_of(reply))
                else:
                    future.set_result(reply)
        except (hiredis.ProtocolError, IndexError) as error:
            self._drop(f"not the Redis protocol: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:  # else we ended it ourselves, and said why
            self._drop(str(exc) if exc else "the server closed the connection")

    # keeping it up

    def _tell(self, up: bool, why: str) -> None:
        """Each change once, the first try's failure too."""
        if up is not self._told and self._on_state is not None and not self._closing:
            self._told = up
            self._on_state(up, why)

    def _drop(self, why: str) -> None:
        self.up, self.why_down = False, why
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self._out.clear()
        waiting, self._waiting = self._waiting, deque()
        for future, _ in waiting:
            if not future.done():
                future.set_exception(
                    StoreUnavailable(
                        f"Redis at {self.address}: {why}; whether the call took effect is unknown"
                    )
                )
                future.exception()  # a caller that was cancelled does not collect it: no warning for that
        self._lost.set()
        self._tell(False, why)

    async def _keep(self) -> None:
        delay_s = 0.05
        while not self._closing:
            self._reader = hiredis.Reader()
            self._lost.clear()
            try:
                await self._connect()
            except (OSError, StoreError, TimeoutError) as error:
                self._drop(str(error) or type(error).__name__)
            else:
                self.up, self.was_up, self.why_down, delay_s = True, True, "", 0.05
                self._tell(True, "")
                await self._lost.wait()
            # Back within half a second of the node's return, without all gateways knocking in step.
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            delay_s = min(delay_s * 2, 0.5)

    async def _connect(self) -> None:
        a = self.address
        async with asyncio.timeout(self._timeout_s):
            if a.path is not None:
                await self._loop.create_unix_connection(lambda: self, a.path)
            else:
                await self._loop.create_connection(lambda: self, a.host, a.port, ssl=a.tls)
        # The log-in is pipelined and fails as a whole by the first reply that is an error.
        logins: list[asyncio.Future[Any]] = []
        if a.password is not None:
            logins.append(self._send(("AUTH", *((a.username,) if a.username else ()), a.password)))
        if a.db:
            logins.append(self._send(("SELECT", a.db)))
        logins.append(self._send(("CLIENT", "SETNAME", "cxmyd-gateway")))
        for reply in await asyncio.gather(*logins, return_exceptions=True):
            if isinstance(reply, BaseException):
                raise reply
        if self._on_connect is not None:
            await self._on_connect(self)

    def handshake_call(self, *args: Argument) -> asyncio.Future[Any]:
        """For `on_connect` only: a call before the node counts as up."""
        return self._send(args)

    async def close(self) -> None:
        """Close for good; calls still open fail."""
        self._closing = True
        self._drop("closed")
        if self._watch is not None:
            self._watch.cancel()
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
