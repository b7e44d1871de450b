"""Where a URL leads: how its nodes are connected to, and which of a cluster's nodes serves which slot.

Invariant: only primaries are ever named, so nobody reads from a replica that lags behind. Raises redis-py's
errors, which `nodes` translates. Called by `nodes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import redis
from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

SLOTS = 16384
CONNECT_TIMEOUT_S = 5.0
ASK_TIMEOUT_S = 1.0
"""For a node to say who serves the slots: another one knows it as well."""

_DEFAULT_PORT = 6379

Connection = Any  # redis-py has types for half of it


class Address(NamedTuple):
    """A node as the others call it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class OneNode:
    """redis://, rediss:// and unix://: whatever the key, it is there."""

    def __init__(self, url: str) -> None:
        """Raises ValueError for a URL that is none."""
        client = redis.Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=CONNECT_TIMEOUT_S,
            protocol=2,
        )
        self._pool: Any = client.connection_pool

    @property
    def known(self) -> bool:
        return True

    def learn(self) -> None:
        """Nothing: a name is resolved anew with each connection."""

    def of(self, _key: bytes) -> Address:
        return Address("", 0)

    def primaries(self) -> list[Address]:
        return [Address("", 0)]

    def key_at(self, _address: Address, name: bytes) -> bytes:
        return name

    def moved(self, slot: int, address: Address) -> None:
        raise AssertionError("one node has no slots")

    def connection(self, _address: Address) -> Connection:
        """Not opened yet."""
        return self._pool.make_connection()


class Cluster:
    """redis+cluster://: the slots of its primaries, as one of its nodes told them last."""

    def __init__(self, url: str) -> None:
        """Raises ValueError for a URL that is none."""
        parts = urlsplit(url)
        self._seeds: list[Address] = []
        for address in filter(None, parts.netloc.rpartition("@")[2].split(",")):
            host, _, port = address.rpartition(":")
            self._seeds.append(Address(host or port, int(port) if host else _DEFAULT_PORT))
        if not self._seeds:
            raise ValueError("it names no node")
        self._login = {
            "username": unquote(parts.username) if parts.username else None,
            "password": unquote(parts.password) if parts.password else None,
        }
        self._slots: list[Address | None] = []
        self._nodes: list[Address] = []
        """All that were named, replicas too; whoever is asked next comes first."""

    @property
    def known(self) -> bool:
        return bool(self._slots)

    def of(self, key: bytes) -> Address | None:
        """The primary that serves the key's slot, None while nobody does."""
        return self._slots[key_slot(key)]

    def primaries(self) -> list[Address]:
        return sorted({address for address in self._slots if address is not None})

    def key_at(self, address: Address, name: bytes) -> bytes:
        """A key of this name that is in a slot of this primary."""
        keys = (b"%s:{%d}" % (name, number) for number in count())
        return next(key for key in keys if self._slots[key_slot(key)] == address)

    def moved(self, slot: int, address: Address) -> None:
        self._slots[slot] = address

    def learn(self) -> None:
        """Ask one node after another until one tells. Raises the last one's error when none does."""
        error: Exception | None = None
        for asked in self._to_ask():
            try:
                self._take(asked, self._slots_told_by(asked))
            except (redis_errors.ConnectionError, redis_errors.TimeoutError) as failure:
                if isinstance(failure, redis_errors.AuthenticationError):
                    raise
                error = failure
            else:
                return
        assert error is not None, "a cluster has nodes"
        raise error

    def connection(self, address: Address) -> Connection:
        """Not opened yet."""
        return self._connection(address, CONNECT_TIMEOUT_S)

    def _connection(self, address: Address, timeout_s: float) -> Connection:
        new_connection: Connection = redis.Connection
        return new_connection(
            host=address.host,
            port=address.port,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=timeout_s,
            socket_timeout=timeout_s,
            protocol=2,
            **self._login,
        )

    def _to_ask(self) -> Iterator[Address]:
        """Each node once. The one that told last comes last: what it says may be what was wrong."""
        return iter(dict.fromkeys((*self._nodes, *self._seeds)))

    def _slots_told_by(self, address: Address) -> Any:
        connection = self._connection(address, ASK_TIMEOUT_S)
        connection.connect()
        try:
            connection.send_command("CLUSTER", "SLOTS")
            return connection.read_response()
        finally:
            connection.disconnect()

    def _take(self, asked: Address, table: Any) -> None:
        slots: list[Address | None] = [None] * SLOTS
        nodes = []
        for first, last, *servers in table:
            # A node that does not know its own name leaves it empty: it is the one that was asked.
            named = [Address((host or b"").decode() or asked.host, port) for host, port, *_ in servers]
            slots[first : last + 1] = named[:1] * (last - first + 1)
            nodes += named
        if not nodes:
            raise redis_errors.ConnectionError(f"{asked} knows of no node that serves a slot")
        self._slots = slots
        self._nodes = [*(node for node in dict.fromkeys(nodes) if node != asked), asked]
