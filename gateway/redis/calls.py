"""Calls by key: one node, or the primary of a cluster that serves the key's slot.

`Calls` takes any `[redis] url`. What a node says it did not carry out is sent again: after
MOVED and ASK to where the slot is, after TRYAGAIN (half of the keys have moved) when the rest has followed,
after "Function not found" when the library was loaded there. A call of which nothing is known (StoreSilent)
is never repeated.

Invariant: only primaries are asked, and no reply but a primary's own is an answer: nobody is told "nothing
there" by a node that does not serve the key.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.crc import key_slot

from gateway.redis.confirming import Confirming, Copies
from gateway.redis.library import function
from gateway.redis.node import Argument, Node, NodeAddress, Take, fulfil, pack
from location_store.errors import StoreError, StoreRefused, StoreUnavailable
from location_store.replies import AccessError, FunctionMissingError, RedirectError, SlotMovingError

#: Between two tries at a slot of which half has moved, and at a connection that is being made.
PAUSE_S = 0.01
#: For a node to say who serves the slots: another one knows it as well.
ASK_TIMEOUT_S = 0.5
#: However many calls fail, the slots are asked for no more often.
REFRESH_PAUSE_S = 0.05

ALIVE = function("alive")

_NOT_CARRIED_OUT = (RedirectError, FunctionMissingError, SlotMovingError)

StateWatcher = Callable[[bool, str], None]
#: One call to one node; whether ASKING goes before it.
Send = Callable[[Node, bytes, bool], Awaitable[Any]]


def addresses_of(url: str) -> tuple[bool, list[NodeAddress]]:
    """(is it a cluster, its nodes) of redis://, rediss://, unix:// and redis+cluster://host:port,host:port."""
    parts = urlsplit(url)
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    if parts.scheme == "unix":
        return False, [NodeAddress(path=unquote(parts.path), username=username, password=password)]
    if parts.scheme == "redis+cluster":
        hosts = parts.netloc.rpartition("@")[2].split(",")
        nodes = [h.rpartition(":") for h in hosts if h]
        return True, [
            NodeAddress(
                host=host or port, port=int(port) if host else 6379, username=username, password=password
            )
            for host, _, port in nodes
        ]
    if parts.scheme not in {"redis", "rediss"}:
        raise StoreRefused(f"redis.url {url!r}: the scheme is not one of redis, rediss, unix, redis+cluster")
    tls = ssl.create_default_context() if parts.scheme == "rediss" else None
    db = int(parts.path.strip("/") or 0)
    return False, [
        NodeAddress(parts.hostname or "127.0.0.1", parts.port or 6379, None, username, password, db, tls)
    ]


class Calls:
    """What the adapters use. All keys of one call share a slot (they carry the same `{tag}`)."""

    def __init__(
        self,
        url: str,
        *,
        library: str,
        timeout_s: float = 2.0,
        copies: Copies | None = None,
        on_state: StateWatcher | None = None,
    ) -> None:
        """`copies`: what `call_and_wait` waits for."""
        self.is_cluster, self._seeds = addresses_of(url)
        self._library = library
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._on_state = on_state
        self._copies = copies
        self._nodes: dict[tuple[str, int], Node] = {}
        self._confirming: dict[Node, Confirming] = {}
        self._slots: list[Node | None] = [None] * 16384
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshes = 0
        self._redoing: set[asyncio.Task[None]] = set()
        self._single = self._node(self._seeds[0])
        for seed in self._seeds[1:]:
            self._node(seed)

    @property
    def up(self) -> bool:
        """Whether any call can be served: the node, or (in a cluster) every slot."""
        if not self.is_cluster:
            return self._is_up(self._single)
        up = all(node is not None and self._is_up(node) for node in set(self._slots))
        if not up:
            self._refresh_soon()
        return up

    @property
    def problem(self) -> str:
        """Why not every call can be served; "" when it can."""
        for node in dict.fromkeys(self._slots) if self.is_cluster else (self._single,):
            if node is None:
                return "nobody is known to serve some slots of the Redis cluster"
            if not self._is_up(node):
                return f"Redis at {node.address}: {node.why_down or self._confirming[node].why_down}"
        return ""

    def _is_up(self, node: Node) -> bool:
        return node.up and (self._copies is None or self._confirming[node].up)

    async def wait_up(self, timeout_s: float) -> bool:
        """Wait for the store; False when it is still away after `timeout_s`."""
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while not self.up:
            if asyncio.get_running_loop().time() >= deadline_s:
                return False
            await asyncio.sleep(0.02)
        return True

    async def call(self, key: bytes, *args: Argument) -> Any:
        """One command whose keys live in the slot of `key`. Raises `StoreUnavailable` or `StoreError`."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.call_then(key, pack(args), partial(fulfil, future))
        try:
            return await future
        finally:
            # An error's traceback holds this frame, which would hold the future that holds the error. Of
            # thousands of calls that fail while the store is away, the collector would stop the loop.
            del future

    def call_then(self, key: bytes, command: bytes, take: Take) -> None:
        """As `call`, of a packed command: `take` is called once, with the reply or the error."""
        node = self._slots[key_slot(key)] if self.is_cluster else self._single
        if node is None:
            self._refresh_soon()
            take(StoreUnavailable("nobody is known to serve this slot of the Redis cluster"))
        else:
            node.call_then(key, command, take)

    async def call_and_wait(self, key: bytes, *args: Argument) -> Any:
        """As `call`, for a write that counts only once the configured `copies` exist (none: at once).

        Raises `Unconfirmed`, with the reply, when it was carried out and there are not as many copies.
        """
        if self._copies is None:
            return await self.call(key, *args)
        node, command = self._route(key), pack(args)
        try:
            return await self._confirmed(node, command, False)
        except _NOT_CARRIED_OUT as error:
            refusal = error
        except StoreUnavailable:
            self._refresh_soon()
            raise
        return await self._again(key, command, node, refusal, self._confirmed)

    def _troubled(self, node: Node, key: bytes, command: bytes, take: Take, error: StoreError) -> None:
        """A call has failed at this node."""
        if isinstance(error, _NOT_CARRIED_OUT):
            task = self._loop.create_task(self._redo(node, key, command, take, error))
            self._redoing.add(task)
            task.add_done_callback(self._redoing.discard)
            return
        if isinstance(error, StoreUnavailable):  # it may not be the primary any more
            self._refresh_soon()
        take(error)

    async def _redo(self, node: Node, key: bytes, command: bytes, take: Take, refusal: StoreError) -> None:
        try:
            reply = await self._again(key, command, node, refusal, _plainly)
        except StoreError as error:
            reply = error
        take(reply)

    def _confirmed(self, node: Node, command: bytes, asking: bool) -> Awaitable[Any]:
        return self._confirming[node].call(command, asking=asking)

    async def _again(self, key: bytes, command: bytes, node: Node, refusal: StoreError, send: Send) -> Any:
        """A call that was not carried out, to where it belongs now, for as long as a call may take."""
        until_s = self._loop.time() + self._timeout_s
        while self._loop.time() < until_s:
            if isinstance(refusal, FunctionMissingError):
                await load_library(node, self._library)
            elif isinstance(refusal, RedirectError):
                node = self._redirected(refusal, node)
                while not self._is_up(node) and self._loop.time() < until_s:
                    await asyncio.sleep(PAUSE_S)
            else:
                await asyncio.sleep(PAUSE_S)
                node = self._route(key)
            try:
                return await send(node, command, isinstance(refusal, RedirectError) and refusal.kind == "ASK")
            except _NOT_CARRIED_OUT as again:
                refusal = again
        raise StoreUnavailable(f"the Redis cluster has not settled for {self._timeout_s:g} s: {refusal}")

    def _redirected(self, redirect: RedirectError, asked: Node) -> Node:
        if not self.is_cluster:
            raise StoreRefused(
                f"Redis at {asked.address} is a node of a cluster: use redis+cluster://host:port,host:port"
            )
        node = self._node(self._seeds[0], redirect.host or asked.address.host, redirect.port)
        if redirect.kind == "MOVED":
            self._slots[redirect.slot] = node
            self._refresh_soon()
        return node

    def _route(self, key: bytes) -> Node:
        if not self.is_cluster:
            return self._single
        node = self._slots[key_slot(key)]
        if node is None:
            self._refresh_soon()
            raise StoreUnavailable("nobody is known to serve this slot of the Redis cluster")
        return node

    def _node(self, like: NodeAddress, host: str = "", port: int = 0) -> Node:
        address = NodeAddress(host, port, None, like.username, like.password, 0, like.tls) if host else like
        place = (address.path or address.host, address.port)
        if place not in self._nodes:
            self._nodes[place] = Node(
                address,
                timeout_s=self._timeout_s,
                on_connect=self._prepare,
                on_state=partial(self._told, address),
                on_error=self._troubled,
            )
            if self._copies is not None:
                self._confirming[self._nodes[place]] = Confirming(
                    address, self._copies, timeout_s=self._timeout_s, on_state=partial(self._told, address)
                )
        return self._nodes[place]

    def _told(self, address: NodeAddress, up: bool, why: str) -> None:
        node = self._nodes.get((address.path or address.host, address.port))
        if up and node is not None and not self._is_up(node):
            return  # one of its two connections is; the other will say so
        if self._on_state is not None:
            self._on_state(up, f"{address}: {why}" if self.is_cluster and why else why)

    async def _prepare(self, node: Node) -> None:
        try:
            await ask_whether_alive(node, self._library)
        except StoreUnavailable as error:
            # A replica in a cluster takes no write, and gets the library from its primary.
            if not self.is_cluster or not any(word in str(error) for word in ("READONLY", "MASTERDOWN")):
                raise

    def _refresh_soon(self) -> None:
        if self.is_cluster and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = self._loop.create_task(self._refresh())

    async def _refresh(self) -> None:
        """Ask the nodes that are up until one tells, each time from another one on: what one said last may be
        what was wrong.
        """
        up = [node for node in self._nodes.values() if node.up]
        self._refreshes += 1
        for number in range(len(up)):
            node = up[(self._refreshes + number) % len(up)]
            try:
                async with asyncio.timeout(ASK_TIMEOUT_S):
                    table: Sequence[Any] = await node.call("CLUSTER", "SLOTS")
            except (StoreError, TimeoutError):
                continue
            if table:
                self._take(table, node.address.host)
                await self._forget_the_gone()
                break
        await asyncio.sleep(REFRESH_PAUSE_S)

    def _take(self, table: Sequence[Any], asked: str) -> None:
        for first, last, (host, port, *_), *_replicas in table:
            # A node that does not know its own name leaves it empty: it is the one that was asked.
            owner = self._node(self._seeds[0], (host or b"").decode() or asked, int(port))
            self._slots[first : last + 1] = [owner] * (last - first + 1)

    async def _forget_the_gone(self) -> None:
        """Nodes that are away, serve nothing and are not in the URL: nobody waits for them to come back."""
        kept = {id(node) for node in self._slots} | {id(self._node(seed)) for seed in self._seeds}
        for place, node in list(self._nodes.items()):
            if node.was_up and not node.up and id(node) not in kept:
                del self._nodes[place]
                await node.close()
                if node in self._confirming:
                    await self._confirming.pop(node).close()

    async def close(self) -> None:
        """Close every connection for good."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        await asyncio.gather(*(node.close() for node in self._nodes.values()))
        await asyncio.gather(*(confirming.close() for confirming in self._confirming.values()))


async def ask_whether_alive(node: Node, library: str) -> None:
    """Whether the node would take a call of ours now; with our library, which is loaded where it lacks."""
    try:
        await node.handshake_call("FCALL", ALIVE, 0)
        return
    except FunctionMissingError:
        pass
    except StoreRefused as error:
        if "unknown command" in str(error):
            raise StoreRefused(f"Redis 7.0 or newer is needed (its FCALL says: {error})") from error
        raise
    await load_library(node, library)


async def load_library(node: Node, library: str) -> None:
    """FUNCTION LOAD; a library of that name (its name holds its digest) that is there already is the same
    one.
    """
    try:
        await node.handshake_call("FUNCTION", "LOAD", library)
    except (StoreUnavailable, AccessError):
        raise
    except StoreError as error:
        if "already exists" not in str(error):
            raise StoreRefused(f"Redis 7.0 or newer is needed (its FUNCTION LOAD says: {error})") from error


def _plainly(node: Node, command: bytes, asking: bool) -> Awaitable[Any]:
    if asking:  # good for the one call that follows
        node.call("ASKING").add_done_callback(_collect)
    return node.call_packed(command)


def _collect(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
