"""Calls by key: one node, or the node of a cluster that serves the key's slot.

`connect` gives a `Calls` for any `[redis] url`. MOVED and ASK are followed, the slot table is read again
after a MOVED, and a function library that a node lacks is loaded there and the call repeated (nothing had
run).
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.crc import key_slot

from gateway.redis.node import Argument, FunctionMissingError, Node, NodeAddress, RedirectError
from location_store.errors import StoreError, StoreRefused, StoreUnavailable

#: A slot can move again while we follow; more than this is a cluster that does not agree with itself.
MAX_REDIRECTS = 4

StateWatcher = Callable[[bool, str], None]


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
        self, url: str, *, library: str, timeout_s: float = 2.0, on_state: StateWatcher | None = None
    ) -> None:
        self.is_cluster, self._seeds = addresses_of(url)
        self._library = library
        self._timeout_s = timeout_s
        self._on_state = on_state
        self._nodes: dict[tuple[str, int], Node] = {}
        self._slots: list[Node | None] = [None] * 16384
        self._refreshing: asyncio.Task[None] | None = None
        self._single = self._node(self._seeds[0])
        for seed in self._seeds[1:]:
            self._node(seed)

    @property
    def up(self) -> bool:
        """Whether any call can be served: the node, or (in a cluster) every slot."""
        if not self.is_cluster:
            return self._single.up
        if self._slots[0] is None:
            self._refresh_soon()
        return all(node is not None and node.up for node in set(self._slots))

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
        node = self._route(key)
        asking = False
        for _ in range(MAX_REDIRECTS):
            try:
                if asking:
                    node.call("ASKING").add_done_callback(_collect)
                return await node.call(*args)
            except FunctionMissingError:
                await load_library(node, self._library)
            except RedirectError as redirect:
                node = self._node(self._seeds[0], redirect.host, redirect.port)
                asking = redirect.kind == "ASK"
                if not asking:
                    self._slots[redirect.slot] = node
                    self._refresh_soon()
                if not node.up:
                    await asyncio.sleep(0.05)
        raise StoreUnavailable("the Redis cluster sends us in circles: its nodes do not agree on the slots")

    def _route(self, key: bytes) -> Node:
        if not self.is_cluster:
            return self._single
        node = self._slots[key_slot(key)]
        if node is None:
            self._refresh_soon()
            raise StoreUnavailable("the Redis cluster's slot table is not known yet")
        if not node.up:
            self._refresh_soon()
        return node

    def _node(self, like: NodeAddress, host: str = "", port: int = 0) -> Node:
        address = NodeAddress(host, port, None, like.username, like.password, 0, like.tls) if host else like
        place = (address.path or address.host, address.port)
        if place not in self._nodes:
            self._nodes[place] = Node(
                address, timeout_s=self._timeout_s, on_connect=self._prepare, on_state=self._on_state
            )
        return self._nodes[place]

    async def _prepare(self, node: Node) -> None:
        try:
            await load_library(node, self._library)
        except StoreUnavailable:
            if not self.is_cluster:  # a replica refuses to load, and gets the library from its primary
                raise

    def _refresh_soon(self) -> None:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())

    async def _refresh(self) -> None:
        for node in list(self._nodes.values()):
            if not node.up:
                continue
            try:
                table: Sequence[Any] = await node.call("CLUSTER", "SLOTS")
            except StoreError:
                continue
            for first, last, primary, *_replicas in table:
                host = primary[0].decode() or node.address.host
                owner = self._node(self._seeds[0], host, int(primary[1]))
                self._slots[first : last + 1] = [owner] * (last - first + 1)
            return
        await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Close every connection for good."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        await asyncio.gather(*(node.close() for node in self._nodes.values()))


async def load_library(node: Node, library: str) -> None:
    """FUNCTION LOAD; a library of that name (its name holds its digest) that is there already is the same
    one.
    """
    try:
        await node.handshake_call("FUNCTION", "LOAD", library)
    except StoreUnavailable:
        raise
    except StoreError as error:
        if "already exists" not in str(error):
            raise StoreRefused(f"Redis 7.0 or newer is needed (its FUNCTION LOAD says: {error})") from error


def _collect(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
