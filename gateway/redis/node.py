"""One multiplexed connection to one Redis node.

Every call made in one turn of the event loop leaves in one write, and every answer that has arrived is handed
out in one read: this is where the gateway's round trips become cheap. redis-py's own pipeline costs three to
five times as much per call (see docs/performance.md).

Invariants: answers are matched to calls by order alone, so a call that times out closes the connection (a
late answer could otherwise be taken for another call's). A call is sent at most once; whether it took
effect when the connection is lost is unknown, and the caller is told so by `StoreSilent`.

It is a circuit breaker too. A node is *up* while calls are worth making: connected and let in, answering,
and not refusing writes. Else each call fails at once, instead of thousands that wait out their time:

    away      no connection, or not let in           until a connection is made, tried every 1/4 s
    slow      the oldest call is `slow_s` old        until it is answered; at `timeout_s` it is dropped: away
    refusing  a probe was refused (READONLY, OOM,    until a probe, every 1/5 s, is not refused
              NOREPLICAS, MISCONF, LOADING, ...)

Nothing here takes the loop for long: answers and failures are handed out a slice in each turn.
"""

import asyncio
import random
import ssl as ssl_module
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import hiredis

from gateway.redis.wire import Wire
from location_store.errors import StoreError, StoreSilent, StoreUnavailable
from location_store.replies import AccessError, SlotMovingError, error_of

Argument = bytes | str | int | float
#: Given a call's reply, or the StoreError that stands for it; never raises.
Take = Callable[[Any], None]

#: A call this old: nobody else is to wait for the node until it answers.
SLOW_S = 0.5
#: Within one turn of the loop: each wakes a message, which works for some 0.1 ms.
SLICE = 100
#: A connection is made within this, or tried again: a lost SYN would be sent again after 1 s only.
CONNECT_TIMEOUT_S = 0.5
RECONNECT_MAX_S = 0.25
#: Between two probes of a node that refuses.
PROBE_S = 0.2
#: A timer this late means that it was we who stood still: what has arrived meanwhile is read first.
LATE_S, GRACE_S = 0.05, 0.01


#: What waits for its answer: with when it was sent; where it may go elsewhere, with its key and command.
_Call = tuple[Take, float, bytes | None, bytes]


def pack(args: tuple[Argument, ...]) -> bytes:
    """A command as it is sent."""
    packed: bytes = hiredis.pack_command(args)  # type: ignore[arg-type]  # the stub lacks an ellipsis
    return packed


def fulfil(future: asyncio.Future[Any], reply: Any) -> None:
    """A `Take` for those who wait with a future; nothing where its caller was cancelled."""
    if future.done():
        return
    if isinstance(reply, StoreError):
        future.set_exception(reply)
        future.exception()  # a caller that is cancelled now does not collect it: no warning for that
    else:
        future.set_result(reply)


def _give_up(_node: "Node", _key: bytes, _command: bytes, take: Take, error: StoreError) -> None:
    take(error)


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


class Node:
    """A connection that is kept: `call` while it is up, and by itself up again after it was lost.

    `on_connect` (a coroutine function) runs after each log-in, before anybody's calls are taken: it loads
    the functions. It is the probe as well: it raises StoreError where a write would be refused.
    """

    def __init__(
        self,
        address: NodeAddress,
        *,
        timeout_s: float,
        slow_s: float = SLOW_S,
        on_connect: Callable[["Node"], Any] | None = None,
        on_state: Callable[[bool, str], None] | None = None,
        on_error: "Callable[[Node, bytes, bytes, Take, StoreError], None] | None" = None,
    ) -> None:
        """`on_error` is given node, key, command, `take` and error of a failed `call_then`, to see to it that
        `take` is called.
        """
        self.address = address
        self.up = False
        self.was_up = False
        self.why_down = self._away = "not connected yet"
        self._slow = self._refusing = ""
        self._timeout_s = timeout_s
        self._slow_s = min(slow_s, timeout_s)
        self._on_connect = on_connect
        self._on_state = on_state
        self._on_error = on_error or _give_up
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._out: list[bytes] = []
        self._waiting: deque[_Call] = deque()
        self._lost = asyncio.Event()
        self._watch: asyncio.TimerHandle | None = None
        self._watch_s = 0.0  # when it is due
        self._excused = False
        self._reading_on = False  # more answers have arrived than were handed out
        self._closing = False
        self._told: set[str] = set()  # since the last change, "" for up
        self._probing: asyncio.Task[None] | None = None
        self._keeper = self._loop.create_task(self._keep())

    # calls

    def call(self, *args: Argument) -> asyncio.Future[Any]:
        """Queue one command; the future has its reply. Raises `StoreUnavailable` at once while the node is
        away.
        """
        if not self.up:
            raise StoreUnavailable(f"Redis at {self.address} is away: {self.why_down}")
        return self._send(pack(args))

    def call_packed(self, command: bytes) -> asyncio.Future[Any]:
        """As `call`, of what `pack` made."""
        if not self.up:
            raise StoreUnavailable(f"Redis at {self.address} is away: {self.why_down}")
        return self._send(command)

    def call_then(self, key: bytes, command: bytes, take: Take) -> None:
        """As `call_packed`, with no future: `take` is called as soon as the answer has arrived, or now with
        StoreUnavailable. Of errors `on_error` hears first, with `key`.
        """
        if self.up:
            self._queue(command, (take, self._loop.time(), key, command))
        else:
            error = StoreUnavailable(f"Redis at {self.address} is away: {self.why_down}")
            self._on_error(self, key, command, take, error)

    def _send(self, command: bytes) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue(command, (partial(fulfil, future), self._loop.time(), None, b""))
        return future

    def _queue(self, command: bytes, call: "_Call") -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(command)
        self._waiting.append(call)
        if self._watch is None:
            self._look_at(call[1] + self._slow_s)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self._transport is not None:
            self._transport.write(b"".join(out))

    def _look_at(self, when_s: float) -> None:
        self._watch_s = when_s
        self._watch = self._loop.call_at(when_s, self._check)

    def _check(self) -> None:
        """The oldest call tells how the node does: slow, or past its time."""
        self._watch = None
        if not self._waiting:
            return
        now_s, sent_s = self._loop.time(), self._waiting[0][1]
        self._excused = not self._excused and now_s - self._watch_s > LATE_S
        if self._excused:
            self._look_at(now_s + GRACE_S)
        elif now_s >= sent_s + self._timeout_s:  # as the timer was set, or it comes again at once
            self._drop(f"no answer within {self._timeout_s:g} s")
        elif now_s >= sent_s + self._slow_s:
            self._slow = f"no answer for {self._slow_s:g} s"
            self._judge()
            self._look_at(sent_s + self._timeout_s)
        else:
            self._look_at(sent_s + self._slow_s)

    # from the wire

    def connected(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
        except hiredis.ProtocolError as error:
            self._drop(f"not the Redis protocol: {error}")
            return
        if not self._reading_on:
            self._hand_out(self._reader)

    def _hand_out(self, reader: hiredis.Reader) -> None:
        """Answers to their calls, in their order, a slice of them now and the rest in the next turns."""
        if reader is not self._reader:  # that connection was lost
            return
        waiting, self._reading_on = self._waiting, False
        for _ in range(SLICE):
            try:
                reply = reader.gets()
            except hiredis.ProtocolError as error:
                self._drop(f"not the Redis protocol: {error}")
                return
            if reply is False:
                break
            if not waiting:
                self._drop("not the Redis protocol: an answer to no call")
                return
            call = waiting.popleft()
            if isinstance(reply, hiredis.ReplyError):
                self._refused(call, error_of(reply))
            else:
                call[0](reply)
            if reader is not self._reader:  # whoever took the reply closed us
                return
        else:
            self._reading_on = True
            self._loop.call_soon(self._hand_out, reader)
        if self._slow and not (waiting and self._loop.time() - waiting[0][1] >= self._slow_s):
            self._slow = ""
            self._judge()
            if self._watch is not None:  # it was set for the time-out
                self._watch.cancel()
                self._watch = None
            if waiting:
                self._look_at(waiting[0][1] + self._slow_s)

    def _refused(self, call: "_Call", error: StoreError) -> None:
        self._ended(call, error)
        if isinstance(error, (StoreUnavailable, AccessError)) and not isinstance(error, SlotMovingError):
            self._doubt()

    def _ended(self, call: "_Call", error: StoreError) -> None:
        take, _sent_s, key, command = call
        if key is None:
            take(error)
        else:
            self._on_error(self, key, command, take, error)

    def lost(self, error: Exception | None) -> None:
        if self._transport is not None:  # else we ended it ourselves, and said why
            self._drop(str(error) if error else "the server closed the connection")

    # whether it is up

    def _judge(self) -> None:
        self.why_down = self._away or self._slow or self._refusing
        self.up = not self.why_down
        self.was_up = self.was_up or self.up
        # Each change once, the first try's failure too, and while it is down each reason once.
        if self.up != ("" in self._told):
            self._told.clear()
        if self.why_down not in self._told and not self._closing:
            self._told.add(self.why_down)
            if self._on_state is not None:
                self._on_state(self.up, self.why_down)

    def _doubt(self) -> None:
        """A call was refused: find out whether all are."""
        if self._probing is None and self._on_connect is not None and not (self._away or self._closing):
            self._probing = self._loop.create_task(self._probe())

    async def _probe(self) -> None:
        assert self._on_connect is not None, "there is something to ask"
        try:
            while not self._away:
                try:
                    await self._on_connect(self)
                except (AccessError, StoreSilent) as error:  # to be let in again takes a new connection
                    if not self._away:
                        self._drop(str(error))
                    return
                except StoreError as refusal:
                    self._refusing = str(refusal)
                else:
                    self._refusing = ""
                self._judge()
                await asyncio.sleep(PROBE_S)  # also when all is well: one refusal in so long is looked into
                if not self._refusing:
                    return
        finally:
            self._probing = None

    # keeping it up

    def _drop(self, why: str) -> None:
        self._away, self._slow, self._refusing = why, "", ""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self._out.clear()
        self._reader, self._reading_on = hiredis.Reader(), False
        waiting, self._waiting = self._waiting, deque()
        self._lost.set()
        self._judge()
        self._fail(waiting, why)  # last: whoever waited may call again

    def _fail(self, waiting: "deque[_Call]", why: str) -> None:
        """Calls whose answers will not come any more."""
        for _ in range(min(SLICE, len(waiting))):
            error = StoreSilent(f"Redis at {self.address}: {why}; whether the call took effect is unknown")
            self._ended(waiting.popleft(), error)
        if waiting:
            self._loop.call_soon(self._fail, waiting, why)

    async def _keep(self) -> None:
        delay_s = 0.05
        while not self._closing:
            self._lost.clear()
            try:
                await self._connect()
            except StoreSilent:  # it was lost again, and told why
                pass
            except (OSError, StoreError, TimeoutError) as error:
                self._drop(str(error) or f"no connection within {CONNECT_TIMEOUT_S:g} s")
            if self._transport is not None:
                self._away, delay_s = "", 0.05
                self._judge()
                await self._lost.wait()
            # Back within a moment of the node's return, without all gateways knocking in step.
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            delay_s = min(delay_s * 2, RECONNECT_MAX_S)

    async def _connect(self) -> None:
        a = self.address
        async with asyncio.timeout(self._timeout_s if a.tls else CONNECT_TIMEOUT_S):
            if a.path is not None:
                await self._loop.create_unix_connection(lambda: Wire(self), a.path)
            else:
                await self._loop.create_connection(lambda: Wire(self), a.host, a.port, ssl=a.tls)
        # The log-in is pipelined and fails as a whole by the first reply that is an error.
        logins: list[asyncio.Future[Any]] = []
        if a.password is not None:
            logins.append(self.handshake_call("AUTH", *((a.username,) if a.username else ()), a.password))
        if a.db:
            logins.append(self.handshake_call("SELECT", a.db))
        logins.append(self.handshake_call("CLIENT", "SETNAME", "cxmyd-gateway"))
        for reply in await asyncio.gather(*logins, return_exceptions=True):
            if isinstance(reply, BaseException):
                raise reply
        if self._on_connect is not None:
            await self._on_connect(self)

    def handshake_call(self, *args: Argument) -> asyncio.Future[Any]:
        """For `on_connect` only: a call before the node counts as up, or while it does not."""
        return self._send(pack(args))

    async def close(self) -> None:
        """Close for good; calls still open fail."""
        self._closing = True
        self._drop("closed")
        if self._watch is not None:
            self._watch.cancel()
        tasks = [task for task in (self._keeper, self._probing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
