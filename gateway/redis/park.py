"""The flow's `Park`: acknowledged and unanswered messages in Redis streams, sealed.

Each route (an SMSC or a listener's client) has a few shards; a shard is a stream of waiting entries, one of
dead ones, a lease for the process that works it off, and the number of tries of each entry. A subscriber's
entries are all in one shard, in their order. Nothing readable is stored: number, text and addresses are one
AEAD-sealed value, bound to the shard; expired sealed values are removed with their entry.

A message is in two places, which in a cluster are two slots: its entry in the shard's stream, and its name in
its subscriber's list of parked ones, by which a later message of his knows that it has to go behind. So no
call can change both, and the order of the calls is what keeps the promise:

    add     1. name into the list   2. entry, hold (and the copies asked for)   then the SMSC is told
    leave   1. entry, tries, hold   2. name out of the list

The name is there from before the entry is until after it is gone, so nothing overtakes. All of it may be
said twice: a name is set and deleted, not counted, and an entry is deleted by its id.

- A crash between the two calls leaves a name without an entry: his messages take the longer way through the
  park until the message's time to live is over, which the name carries. Nothing else happens: after the
  first of `add` the SMSC was told nothing and keeps the message; after the first of `leave` it is answered.
- A crash after `add` and before the SMSC was told: it is parked and comes again. That goes behind it, and is
  known by its mark when its turn comes: one answer.
- `add` refused (full, OOM, READONLY, ...): the name is taken back, the SMSC keeps the message.
- `add` without an answer (StoreSilent): the entry may be there or not; the SMSC is told to keep the message.
  Once the store is back the entry is looked for by its name and removed (`tidy`), before this process works
  on the shard. Where another one was faster, its answer's mark knows the redelivery that comes within
  [dedup] window_s; one that comes later is answered once more: at most one extra for each message that was
  in flight.
- `add` with too few copies (Unconfirmed): the entry is held until it is confirmed, so nobody has begun with
  it; it is removed, by `tidy` if need be, and the SMSC keeps the message.
- `leave` without an answer, or refused: the message is answered and would be again once its mark is over.
  `tidy` repeats it before this process works on the shard again. If the process dies before that: one extra.
- The store comes back without its newest writes (a failover, a restart): each shard counts what was ever
  parked in it, and a count below one that was seen tells how many are lost (`on_lost`). Nothing brings them
  back; `copies` make it improbable.
- A process that worked on an entry dies: its lease ends, another one takes over, and the entry is tried once
  more: one extra answer at most, since the turn was its own.

Its own first? No: an entry has nothing that binds it to who parked it, the answer leaves by any process's
binds, and his order forbids two processes on one shard. Who has the lease works off all, the oldest first.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.dialog.carrier import Carrier
from gateway.flow.messages import Mo
from gateway.flow.ports import Clock, Entry
from gateway.redis.calls import Calls
from gateway.redis.confirming import Unconfirmed
from gateway.redis.keys import PARK_SHARDS, hold_key, of_tag, park_key, parked_key, shard_of, tag_of
from gateway.redis.library import function
from gateway.redis.parkroom import ParkFullError, Room
from gateway.redis.sealing import UnreadableEntryError, seal, unseal
from location_store.errors import StoreError, StoreSilent
from location_store.pseudonyms import Pseudonym

OWN, LEASE, TALLY, PARK, UNPARK, BURY = map(function, ("own", "lease", "tally", "park", "unpark", "bury"))

#: A worker that stops renewing is taken over after this long.
OWNER_LEASE_S = 3.0
#: Parked messages of one subscriber, so that one who floods leaves the others their room.
MOST_OF_ONE = 50
#: The dead are kept for an operator to see, at most so many in a shard.
DEAD_LIMIT = 10_000
#: Clocks of gateway and store may be so far apart, an hour's step of either included: where one's time is
#: compared with the other's.
SKEW_S = 7200.0
PAGE = 500
#: The id of no entry.
NOWHERE = b"0-1"


class _Left(NamedTuple):
    """An entry that has to go and perhaps has not. `stream_id` None: it may never have been there."""

    who: Pseudonym
    stream_id: bytes | None
    since_s: float


class RedisPark:
    def __init__(
        self,
        calls: Calls,
        *,
        clock: Clock,
        seal_keys: Sequence[bytes],
        answer_ttl_s: float,
        carriers: Mapping[str, Carrier],
        rooms: Mapping[str, Room] = MappingProxyType({}),
        unconfirmed_s: float = 0.0,
        on_refused: Callable[[str, str], None] = lambda _route, _reason: None,
        on_lost: Callable[[str, int], None] = lambda _route, _messages: None,
    ) -> None:
        """`seal_keys`: newest first. Sealed under the oldest, which processes have that do not know of a
        rotation yet, and read under any. `rooms`: of each route that has a limit. `unconfirmed_s`: with
        copies to wait for, how long until they are there or known to be too few. `on_refused` counts, by
        route, what was not parked; `on_lost`, what was parked and is not in the store any more.
        """
        self._calls = calls
        self._clock = clock
        self._aeads = [AESGCM(key) for key in seal_keys]
        self._ttl_s = answer_ttl_s
        self._carriers = carriers
        self._rooms = rooms
        self._unconfirmed_s = unconfirmed_s
        self._on_refused = on_refused
        self._on_lost = on_lost
        self._counts: dict[tuple[str, int], int] = {}  # of all that were ever parked, as last seen
        self._token = secrets.token_hex(8).encode()
        self._left: dict[tuple[str, int], dict[bytes, _Left]] = defaultdict(dict)  # by the entry's name

    def reconfigure(
        self, answer_ttl_s: float, carriers: Mapping[str, Carrier], rooms: Mapping[str, Room]
    ) -> None:
        """Of what is parked, and the carriers of what is worked off, from now on."""
        self._ttl_s = answer_ttl_s
        self._carriers = carriers
        self._rooms = rooms

    def shards(self, route: str) -> Sequence[int]:
        return range(PARK_SHARDS)

    async def add(self, who: Pseudonym, mo: Mo, hold_s: float) -> bytes:
        """Its handle, `<stream id>/<name>`, once it is parked. Raises StoreError when it is not."""
        name = secrets.token_hex(8).encode()
        try:
            return await self._add(who, mo, name, hold_s)
        except ParkFullError:
            self._on_refused(mo.route, "full")
            raise
        except Unconfirmed as short:
            self._on_refused(mo.route, "unconfirmed")
            stream_id = short.reply[1] if len(short.reply) > 1 else NOWHERE  # none: it was full
            with suppress(StoreError):  # then `tidy` does it; the hold keeps everybody off until then
                await self.remove(who, mo, stream_id + b"/" + name)
            raise
        except StoreSilent:
            self._on_refused(mo.route, "unknown")
            self._left[mo.route, shard_of(who)][name] = _Left(who, None, self._clock.wall() - SKEW_S)
            raise
        except StoreError:
            self._on_refused(mo.route, "store")
            raise

    async def _add(self, who: Pseudonym, mo: Mo, name: bytes, hold_s: float) -> bytes:
        shard = shard_of(who)
        room = self._rooms.get(mo.route)
        most: int | str = "" if room is None else await room.most(mo.route, shard)
        if await self._list(who, name, mo.received_s + self._ttl_s + SKEW_S) > MOST_OF_ONE:
            await self._unlist(mo.route, who, name)
            raise ParkFullError(f"{MOST_OF_ONE} messages of one subscriber are parked, the limit")
        key = park_key(b"q", mo.route, shard)
        keys = [key, hold_key(mo.route, shard, name), park_key(b"v", mo.route, shard)]
        hold_ms = int(max(hold_s, self._unconfirmed_s) * 1000)
        fields = self._fields(who, mo, name, "h", "1" if hold_ms else "0")
        try:
            seen = self._counts.get((mo.route, shard), 0)
            length, *parked = await self._calls.call_and_wait(
                key, "FCALL", PARK, len(keys), *keys, most, self._token, hold_ms, *fields
            )
        except (Unconfirmed, StoreSilent):
            raise
        except StoreError:
            await self._unlist(mo.route, who, name)
            raise
        if room is not None:
            room.counted(mo.route, shard, length)
            if not parked:
                await self._unlist(mo.route, who, name)
                raise room.full()
        stream_id, count = parked
        self._judge(mo.route, shard, seen + 1, count)
        entry_id: bytes = stream_id + b"/" + name
        if hold_ms and not hold_s:
            with suppress(StoreError):  # it ends by itself
                await self.unhold(who, mo, entry_id)
        return entry_id

    def _fields(self, who: Pseudonym, mo: Mo, name: bytes, *more: str) -> list[bytes | str | int]:
        sealed = seal(self._aeads[-1], mo, park_key(b"q", mo.route, shard_of(who)))
        received_ms, expires_ms = int(mo.received_s * 1000), int((mo.received_s + self._ttl_s) * 1000)
        return ["s", tag_of(who), "u", name, "t", received_ms, "x", expires_ms, "c", sealed, *more]

    async def _list(self, who: Pseudonym, name: bytes, expires_s: float) -> int:
        """Name a message among its subscriber's parked ones, until then by the store's clock; how many they
        are.
        """
        key = parked_key(who)
        expires_ms, ttl_s = int(expires_s * 1000), int(self._ttl_s + SKEW_S) + 1
        count: int = await self._calls.call(key, "FCALL", TALLY, 1, key, name, max(1, expires_ms), ttl_s)
        return count

    async def _unlist(self, route: str, who: Pseudonym, name: bytes) -> None:
        """Nothing was parked under this name."""
        key = parked_key(who)
        try:
            await self._calls.call(key, "FCALL", TALLY, 1, key, name, 0, 0)
        except StoreError:
            self._left[route, shard_of(who)][name] = _Left(who, NOWHERE, 0.0)

    async def unhold(self, who: Pseudonym, mo: Mo, entry_id: bytes) -> None:
        _, name = _parts(entry_id)
        key = hold_key(mo.route, shard_of(who), name)
        await self._calls.call(key, "DEL", key)

    async def remove(self, who: Pseudonym, mo: Mo, entry_id: bytes) -> None:
        stream_id, name = _parts(entry_id)
        shard = shard_of(who)
        try:
            await self._unpark(mo.route, shard, who, stream_id, name)
        except StoreError:
            self._left[mo.route, shard][name] = _Left(who, stream_id, 0.0)
            raise

    async def _unpark(self, route: str, shard: int, who: Pseudonym, stream_id: bytes, name: bytes) -> None:
        keys = [park_key(b"q", route, shard), park_key(b"n", route, shard), hold_key(route, shard, name)]
        await self._calls.call(keys[0], "FCALL", UNPARK, len(keys), *keys, stream_id)
        key = parked_key(who)
        await self._calls.call(key, "FCALL", TALLY, 1, key, name, 0, 0)

    async def tidy(self, route: str, shard: int) -> None:
        """Remove what has to go and may still be there. Raises StoreError when that is not certain."""
        left = self._left.get((route, shard))
        if not left:
            return
        nowhere = [name for name, entry in left.items() if entry.stream_id is None]
        if nowhere:
            since_ms = max(0, int(min(left[name].since_s for name in nowhere) * 1000))
            found = await self._find(route, shard, set(nowhere), b"%d" % since_ms)
            for name in nowhere:
                left[name] = left[name]._replace(stream_id=found.get(name, NOWHERE))
        for name, entry in list(left.items()):
            assert entry.stream_id is not None, "found, or nowhere"
            await self._unpark(route, shard, entry.who, entry.stream_id, name)
            left.pop(name, None)

    async def _find(self, route: str, shard: int, names: set[bytes], start: bytes) -> dict[bytes, bytes]:
        """The stream ids of the entries of these names."""
        key = park_key(b"q", route, shard)
        found: dict[bytes, bytes] = {}
        while True:
            page = await self._calls.call(key, "XRANGE", key, start, "+", "COUNT", PAGE)
            for stream_id, flat in page:
                name = _dict(flat).get(b"u")
                if name in names:
                    found[name] = stream_id
            if len(page) < PAGE:
                return found
            start = b"(" + page[-1][0]

    async def bury(self, who: Pseudonym, mo: Mo, entry_id: bytes | None, reason: str) -> None:
        if entry_id is not None:
            await self._bury(mo.route, shard_of(who), who, entry_id, reason)
            return
        key = park_key(b"x", mo.route, shard_of(who))
        name = secrets.token_hex(8).encode()
        fields = self._fields(who, mo, name, "r", reason, "d", str(int(self._clock.wall() * 1000)))
        await self._calls.call(key, "XADD", key, "MAXLEN", "~", DEAD_LIMIT, "*", *fields)

    async def _bury(self, route: str, shard: int, who: Pseudonym, entry_id: bytes, reason: str) -> None:
        stream_id, name = _parts(entry_id)
        keys = [park_key(kind, route, shard) for kind in (b"q", b"n")]
        keys += [hold_key(route, shard, name), park_key(b"x", route, shard)]
        died_ms = int(self._clock.wall() * 1000)
        fields = ("r", reason, "d", died_ms)
        await self._calls.call(keys[0], "FCALL", BURY, len(keys), *keys, stream_id, DEAD_LIMIT, *fields)
        key = parked_key(who)
        await self._calls.call(key, "FCALL", TALLY, 1, key, name, 0, 0)

    async def depths(self, route: str) -> tuple[int, int]:
        """How many of the route's entries wait, and how many are dead."""
        keys = [park_key(kind, route, shard) for kind in (b"q", b"x") for shard in range(PARK_SHARDS)]
        lengths = await asyncio.gather(*(self._calls.call(key, "XLEN", key) for key in keys))
        return sum(lengths[:PARK_SHARDS]), sum(lengths[PARK_SHARDS:])

    async def own(self, route: str, shard: int) -> bool:
        key, counting = park_key(b"o", route, shard), park_key(b"v", route, shard)
        seen, lease_ms = self._counts.get((route, shard), 0), int(OWNER_LEASE_S * 1000)
        owned, count = await self._calls.call(key, "FCALL", OWN, 2, key, counting, self._token, lease_ms)
        self._judge(route, shard, seen, count)
        return bool(owned)

    def _judge(self, route: str, shard: int, least: int, count: int) -> None:
        """`count` was said in answer to a call before which it had to be `least` already."""
        seen = self._counts.get((route, shard), 0)
        if count >= least:
            self._counts[route, shard] = max(seen, count)
        elif seen >= least - 1:  # else another call has told it
            self._counts[route, shard] = count
            self._on_lost(route, least - count)

    async def disown(self, route: str, shard: int) -> None:
        key = park_key(b"o", route, shard)
        await self._calls.call(key, "FCALL", LEASE, 1, key, self._token, 0)

    async def entries(self, route: str, shard: int, limit: int, after: bytes = b"") -> list[Entry]:
        key = park_key(b"q", route, shard)
        start = b"(" + _parts(after)[0] if after else b"-"
        page = await self._calls.call(key, "XRANGE", key, start, "+", "COUNT", limit)
        read = [(stream_id, _dict(flat)) for stream_id, flat in page]
        held = await self._held(route, shard, [fields for _, fields in read if fields.get(b"h") == b"1"])
        found = []
        for stream_id, fields in read:
            name, expires_s = fields.get(b"u", stream_id), int(fields[b"x"]) / 1000
            entry_id = stream_id + b"/" + name
            who = of_tag(fields[b"s"].decode())
            try:
                mo = unseal(self._aeads, fields[b"c"], key, route, self._carriers)
            except UnreadableEntryError:
                await self._bury(route, shard, who, entry_id, "unreadable")
                continue
            if b"g" in fields:  # put back by an operator, with a new time to live for its answer as well
                mo = replace(mo, received_s=expires_s - self._ttl_s)
            found.append(Entry(entry_id, who, fields[b"s"], mo, expires_s, name in held))
        return found

    async def _held(self, route: str, shard: int, entries: Sequence[Mapping[bytes, bytes]]) -> set[bytes]:
        """Of these entries, the names of those whose first attempt is still under way."""
        names = [fields[b"u"] for fields in entries if b"u" in fields]
        keys = [hold_key(route, shard, name) for name in names]
        there = await asyncio.gather(*(self._calls.call(key, "EXISTS", key) for key in keys))
        return {name for name, exists in zip(names, there, strict=True) if exists}

    async def count(self, route: str, shard: int, entry_id: bytes, *, fault: bool) -> int:
        key = park_key(b"n", route, shard)
        stream_id, _name = _parts(entry_id)
        field = stream_id if fault else stream_id + b"/s"
        count: int = await self._calls.call(key, "HINCRBY", key, field, 1)
        return count


def _parts(entry_id: bytes) -> tuple[bytes, bytes]:
    """The stream id and the name in an entry's handle."""
    stream_id, _, name = entry_id.partition(b"/")
    return stream_id, name


def _dict(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
