"""Several ingesters share the shards of their feeds (a stream, a folder), and take over those of a dead one.

Every process that was started with the same shards is a member for as long as it says so: a sorted set in
Redis holds when each will be taken for dead. Each may hold ceil(shards / members) shards, by a lease
(`lease`) for each; whoever holds more gives back, whoever holds fewer takes what is free.

Invariant: a shard has one holder at a time, except for one that slept longer than its lease: then two read
the same, which costs time and changes nothing, since merging is idempotent. Called by `run`.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

from location_store.lease import Lease, Notice
from location_store.nodes import Command, Nodes

TAKEOVER_S = 30.0


class Shares:
    """The shards of one process. Methods raise StoreUnavailable, StoreRefused."""

    def __init__(
        self,
        nodes: Nodes,
        shards: Iterable[str],
        data_dir: Path,
        *,
        notice: Notice,
        takeover_s: float = TAKEOVER_S,
    ) -> None:
        """`takeover_s`: silence after which a member is taken for dead and its leases end."""
        self.held: set[str] = set()
        self._nodes = nodes
        self._leases = {name: Lease(nodes, name, data_dir, ttl_s=takeover_s) for name in sorted(shards)}
        group = hashlib.blake2b("\0".join(self._leases).encode(), digest_size=8).hexdigest()
        self._key = f"cxmyd:feeders:{group}".encode()
        self._member = secrets.token_hex(8)
        self._takeover_s = takeover_s
        self._notice = notice
        self._told = False
        self._next_s = 0.0

    def update(self) -> list[str]:
        """Keep what is held, take what is free, up to our fair share; every sixth of `takeover_s`.

        Returns what we hold beyond it: to be flushed, committed and given to `release`. A shard that another
        has taken meanwhile leaves `held`.
        """
        if not self._leases or time.monotonic() < self._next_s:
            return []
        fair = -(-len(self._leases) // self._members())
        refusals = [self._try(shard) for shard in sorted(self.held)]
        for shard in self._free():
            if len(self.held) >= fair:
                break
            refusals.append(self._try(shard))
        self._tell(next(filter(None, refusals), None))
        self._next_s = time.monotonic() + self._takeover_s / 6
        return sorted(self.held)[fair:]

    def release(self, shard: str) -> None:
        """Give a shard back."""
        self.held.discard(shard)
        self._leases[shard].release()

    def leave(self) -> None:
        """Give everything back, and be no member any more."""
        for shard in sorted(self.held):
            self.release(shard)
        if self._leases:
            self._nodes.call(self._key, "ZREM", self._key, self._member)

    def _members(self) -> int:
        """How many are alive, ourselves among them, by the clock of the server."""
        seconds, microseconds = self._nodes.call(self._key, "TIME")
        now_ms = 1000 * int(seconds) + int(microseconds) // 1000
        ttl_ms = round(1000 * self._takeover_s)
        _, _, count, _ = self._nodes.run(
            [
                Command(self._key, words)
                for words in (
                    ("ZADD", self._key, now_ms + ttl_ms, self._member),
                    ("ZREMRANGEBYSCORE", self._key, "-inf", now_ms),
                    ("ZCARD", self._key),
                    ("PEXPIRE", self._key, 10 * ttl_ms),
                )
            ]
        )
        return max(1, int(count))

    def _free(self) -> list[str]:
        """What we do not hold, from another start in every process, so that they do not all try the same."""
        names = [name for name in self._leases if name not in self.held]
        start = int(self._member, 16) % len(names) if names else 0
        return names[start:] + names[:start]

    def _try(self, shard: str) -> str | None:
        """Take a shard or keep it; else who has it."""
        lease = self._leases[shard]
        holder = lease.take()
        if holder is None:
            self.held.add(shard)
            return None
        self.held.discard(shard)
        lease.release()  # of the folder's lock, which is another's to take now
        return holder

    def _tell(self, refusal: str | None) -> None:
        if refusal and not self.held and not self._told:
            self._notice(f"another ingest is at work ({refusal}): standing by")
            self._told = True
        elif self.held and self._told:
            self._notice("the other ingest has ended: going on")
            self._told = False
