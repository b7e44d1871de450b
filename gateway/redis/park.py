"""The flow's `Park`: acknowledged and unanswered messages in Redis streams, sealed.

Each route (an SMSC or a listener's client) has a few shards; a shard is a stream of waiting entries, one of
dead ones, a lease for the process that works it off, and the number of tries of each entry. A subscriber's
entries are all in one shard, in their order. Nothing readable is stored: number, text and addresses are one
AEAD-sealed value, bound to the shard; expired sealed values are removed with their entry.
"""

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.dialog.carrier import Carrier
from gateway.flow.messages import Mo
from gateway.flow.ports import Clock, Entry
from gateway.redis.calls import Calls
from gateway.redis.keys import PARK_SHARDS, hold_key, of_tag, park_key, parked_key, shard_of, tag_of
from gateway.redis.library import function
from gateway.smpp.pdu import Address
from location_store.errors import StoreError
from location_store.pseudonyms import Pseudonym

OWN, MOVE, LEASE, TALLY = map(function, ("own", "move", "lease", "tally"))

#: A worker that stops renewing is taken over after this long.
OWNER_LEASE_S = 3.0
#: The dead are kept for an operator to see, at most so many in a shard.
DEAD_LIMIT = 10_000


class UnreadableEntryError(StoreError):
    """A parked entry that cannot be opened: another key file, or damage."""


def seal(aead: AESGCM, mo: Mo, context: bytes) -> bytes:
    """The message as one sealed value, bound to `context`."""
    nonce = secrets.token_bytes(12)
    plain = json.dumps(
        [
            mo.carrier.name,
            mo.msisdn,
            list(mo.source),
            list(mo.destination),
            mo.text,
            mo.digest.hex(),
            mo.received_s,
        ]
    ).encode()
    return nonce + aead.encrypt(nonce, plain, context)


def unseal(
    aeads: Sequence[AESGCM], sealed: bytes, context: bytes, route: str, carriers: Mapping[str, Carrier]
) -> Mo:
    """The message again, under whichever key it was sealed. Raises UnreadableEntryError."""
    try:
        plain = opened(aeads, sealed, context)
        carrier, msisdn, source, destination, text, digest, received_s = json.loads(plain)
        return Mo(
            route=route,
            carrier=carriers[carrier],
            msisdn=msisdn,
            source=Address(*source),
            destination=Address(*destination),
            text=text,
            digest=bytes.fromhex(digest),
            received_s=received_s,
        )
    except (InvalidTag, ValueError, TypeError) as error:
        raise UnreadableEntryError("a parked message cannot be opened: was the key file replaced?") from error
    except KeyError as error:
        raise UnreadableEntryError(
            f"a parked message belongs to carrier {error}, which is not configured"
        ) from error


def opened(aeads: Sequence[AESGCM], sealed: bytes, context: bytes) -> bytes:
    """What was sealed under one of the keys. Raises InvalidTag."""
    for aead in aeads[:-1]:
        with suppress(InvalidTag):
            return aead.decrypt(sealed[:12], sealed[12:], context)
    return aeads[-1].decrypt(sealed[:12], sealed[12:], context)


class RedisPark:
    def __init__(
        self,
        calls: Calls,
        *,
        clock: Clock,
        seal_keys: Sequence[bytes],
        answer_ttl_s: float,
        carriers: Mapping[str, Carrier],
    ) -> None:
        """`seal_keys`: newest first. Sealed under the oldest, which processes have that do not know of a
        rotation yet, and read under any.
        """
        self._calls = calls
        self._clock = clock
        self._aeads = [AESGCM(key) for key in seal_keys]
        self._ttl_s = answer_ttl_s
        self._carriers = carriers
        self._token = secrets.token_hex(8).encode()

    def shards(self, route: str) -> Sequence[int]:
        return range(PARK_SHARDS)

    async def add(self, who: Pseudonym, mo: Mo, hold_s: float) -> bytes:
        shard = shard_of(who)
        # Counted before it is there and until after it is gone: if we die in between, his messages take the
        # longer way through the park until the count expires, but never overtake one another.
        await self._tally(who, 1)
        entry_id: bytes = await self._append(b"q", who, mo, "h", "1" if hold_s > 0 else "0")
        if hold_s > 0:
            key = hold_key(mo.route, shard, entry_id)
            await self._calls.call(key, "SET", key, self._token, "PX", int(hold_s * 1000))
        return entry_id

    async def _append(self, kind: bytes, who: Pseudonym, mo: Mo, *more: str) -> Any:
        key = park_key(kind, mo.route, shard_of(who))
        limit = ("MAXLEN", "~", DEAD_LIMIT) if kind == b"x" else ()
        return await self._calls.call(
            key,
            "XADD",
            key,
            *limit,
            "*",
            "s",
            tag_of(who),
            "t",
            int(mo.received_s * 1000),
            "x",
            int((mo.received_s + self._ttl_s) * 1000),
            "c",
            seal(self._aeads[-1], mo, park_key(b"q", mo.route, shard_of(who))),
            *more,
        )

    async def _tally(self, who: Pseudonym, change: int) -> None:
        key = parked_key(who)
        await self._calls.call(key, "FCALL", TALLY, 1, key, change, int(self._ttl_s) + 1)

    async def unhold(self, who: Pseudonym, mo: Mo, entry_id: bytes) -> None:
        key = hold_key(mo.route, shard_of(who), entry_id)
        await self._calls.call(key, "DEL", key)

    async def remove(self, who: Pseudonym, mo: Mo, entry_id: bytes) -> None:
        shard = shard_of(who)
        key = park_key(b"q", mo.route, shard)
        await self._calls.call(key, "XDEL", key, entry_id)
        tries = park_key(b"n", mo.route, shard)
        await self._calls.call(tries, "HDEL", tries, entry_id)
        await self.unhold(who, mo, entry_id)
        await self._tally(who, -1)

    async def bury(self, who: Pseudonym, mo: Mo, entry_id: bytes | None, reason: str) -> None:
        died_ms = int(self._clock.wall() * 1000)
        if entry_id is None:
            await self._append(b"x", who, mo, "r", reason, "d", str(died_ms))
            return
        await self.bury_id(mo.route, shard_of(who), entry_id, reason)
        await self._tally(who, -1)

    async def bury_id(self, route: str, shard: int, entry_id: bytes, reason: str) -> None:
        """Bury an entry by its id alone (one that cannot be opened has no sender we could know)."""
        waiting, dead = park_key(b"q", route, shard), park_key(b"x", route, shard)
        await self._calls.call(
            waiting,
            "FCALL",
            MOVE,
            2,
            waiting,
            dead,
            entry_id,
            "r",
            reason,
            "d",
            int(self._clock.wall() * 1000),
        )
        tries = park_key(b"n", route, shard)
        await self._calls.call(tries, "HDEL", tries, entry_id)

    async def depths(self, route: str) -> tuple[int, int]:
        """How many of the route's entries wait, and how many are dead."""
        keys = [park_key(kind, route, shard) for kind in (b"q", b"x") for shard in range(PARK_SHARDS)]
        lengths = await asyncio.gather(*(self._calls.call(key, "XLEN", key) for key in keys))
        return sum(lengths[:PARK_SHARDS]), sum(lengths[PARK_SHARDS:])

    async def own(self, route: str, shard: int) -> bool:
        key = park_key(b"o", route, shard)
        owned = await self._calls.call(key, "FCALL", OWN, 1, key, self._token, int(OWNER_LEASE_S * 1000))
        return bool(owned)

    async def disown(self, route: str, shard: int) -> None:
        key = park_key(b"o", route, shard)
        await self._calls.call(key, "FCALL", LEASE, 1, key, self._token, 0)

    async def entries(self, route: str, shard: int, limit: int) -> list[Entry]:
        key = park_key(b"q", route, shard)
        found = []
        for entry_id, flat in await self._calls.call(key, "XRANGE", key, "-", "+", "COUNT", limit):
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            try:
                mo = unseal(self._aeads, fields[b"c"], key, route, self._carriers)
            except UnreadableEntryError:
                await self.bury_id(route, shard, entry_id, "unreadable")
                continue
            held = False
            if fields.get(b"h") == b"1":
                hold = hold_key(route, shard, entry_id)
                held = bool(await self._calls.call(hold, "EXISTS", hold))
            who = of_tag(fields[b"s"].decode())
            found.append(Entry(entry_id, who, fields[b"s"], mo, int(fields[b"x"]) / 1000, held))
        return found

    async def count_try(self, route: str, shard: int, entry_id: bytes) -> int:
        key = park_key(b"n", route, shard)
        tries: int = await self._calls.call(key, "HINCRBY", key, entry_id, 1)
        return tries
