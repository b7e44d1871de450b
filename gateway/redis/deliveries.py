"""The flow's `Ledger` in Redis: what became of the parts that SMSCs accepted.

A record is 9 octets in a hash: six of the digest of the canonical message id as the field, state and time of
its acceptance as the value. Each link has `SHARDS` times `BUCKETS` hashes for every day (UTC), which expire
whole, so no record has a time limit of its own; at ten million parts a day a bucket holds some 150, and up
to 256 Redis packs a hash where it is laid out for the histories. The sums of a shard and day are one more
hash in the same slot, moved with the records by one call. No message id, number or text is stored.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import Struct

from gateway.flow.deliveries import Settled
from gateway.redis.calls import Calls
from gateway.redis.keys import delivery_key, delivery_sums_key
from gateway.redis.library import function
from gateway.smpp.receipts import FINAL, FOLLOWS, MessageState

NOTE, SETTLE = (function(name).encode() for name in ("note", "settle"))

DAY_S = 86_400
#: Besides the day of a receipt: whose messages it may be of.
DAYS_BEFORE = 2
SHARDS, BUCKETS = 4, 16_384
#: Distinct sums of a shard and day, which the SMSC's words make; beyond, these are "other".
MAX_SUMS = 100
#: Records in one call.
_AT_ONCE = 500
_TTL_S = (DAYS_BEFORE + 1) * DAY_S

_VALUE = Struct(">cH")  # the state, and the time of day in
_UNIT_S = 2
_STATE = {None: b"-"} | {state: b"%d" % state for state in MessageState}
_NAME = {None: "no_word"} | {state: state.name for state in MessageState}
_BY_CODE = {code: state for state, code in _STATE.items()}
#: For functions.lua: which states a state may follow, and what they are called in the sums.
_FOLLOWS = {
    state: " ".join(f"{_STATE[before].decode()}{_NAME[before]}" for before in befores)
    for state, befores in FOLLOWS.items()
}


class RedisLedger:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def note(self, link: str, message_ids: Sequence[str], now_s: float) -> None:
        day, second = divmod(int(now_s), DAY_S)
        keys: defaultdict[int, list[bytes]] = defaultdict(list)
        fields: defaultdict[int, list[bytes]] = defaultdict(list)
        for message_id in message_ids:
            shard, bucket, field = _place(message_id)
            keys[shard].append(_prefixes(link, shard, day)[0] + bucket)
            fields[shard].append(field)
        value = _VALUE.pack(b"-", second // _UNIT_S)
        ttl_s = b"%d" % (_TTL_S + DAY_S - second)
        await asyncio.gather(  # in one write
            *(
                self._note(
                    delivery_sums_key(link, shard, day),
                    keys[shard][at : at + _AT_ONCE],
                    (ttl_s, value, *fields[shard][at : at + _AT_ONCE]),
                )
                for shard in keys
                for at in range(0, len(keys[shard]), _AT_ONCE)
            )
        )

    async def _note(self, sums: bytes, keys: Sequence[bytes], args: Sequence[bytes]) -> None:
        await self._calls.call(sums, b"FCALL", NOTE, b"%d" % (len(keys) + 1), sums, *keys, *args)

    async def settle(
        self, link: str, message_id: str, state: MessageState, error: str, now_s: float
    ) -> Settled | None:
        shard, bucket, field = _place(message_id)
        today = int(now_s) // DAY_S
        keys = [prefix + bucket for prefix in _prefixes(link, shard, today)]
        sums = [delivery_sums_key(link, shard, day) for day in _days(today)]
        failure = f"failed:{state.name}:{error}" if state in FINAL - {MessageState.DELIVERED} else b""
        found = await self._calls.call(
            keys[0], b"FCALL", SETTLE, b"%d" % (2 * len(keys)), *keys, *sums,
            field, _STATE[state], state.name, _FOLLOWS[state], failure, MAX_SUMS,
        )  # fmt: skip
        if found is None:
            return None
        index, value, moved = found
        code, units = _VALUE.unpack(value)
        accepted_s = float(_days(today)[index - 1] * DAY_S + units * _UNIT_S)
        return Settled(_BY_CODE[code], bool(moved), accepted_s)

    async def unmatched(self, link: str, now_s: float) -> None:
        key = delivery_sums_key(link, 0, int(now_s) // DAY_S)
        await self._calls.call(key, b"HINCRBY", key, b"unmatched", b"1")
        await self._calls.call(key, b"EXPIRE", key, _TTL_S + DAY_S, b"NX")

    async def sums(self, link: str, now_s: float) -> Mapping[str, int]:
        today = int(now_s) // DAY_S
        keys = [delivery_sums_key(link, shard, day) for shard in range(SHARDS) for day in _days(today)]
        sums: defaultdict[str, int] = defaultdict(int)
        for flat in await asyncio.gather(*(self._calls.call(key, b"HGETALL", key) for key in keys)):
            for name, count in zip(flat[::2], flat[1::2], strict=True):
                sums[name.decode()] += int(count)
        return sums


def _days(today: int) -> list[int]:
    """The newest first, since most receipts come within seconds; last the one to come, in which a process
    may be whose clock is ahead.
    """
    return [*range(today, today - DAYS_BEFORE - 1, -1), today + 1]


@lru_cache(1024)
def _prefixes(link: str, shard: int, today: int) -> list[bytes]:
    """Of the keys of each day, but for the bucket."""
    return [delivery_key(link, shard, day, b"") for day in _days(today)]


def _place(message_id: str) -> tuple[int, bytes, bytes]:
    """Shard, bucket and field of a canonical id."""
    digest = hashlib.blake2b(message_id.encode(), digest_size=8).digest()
    number = int.from_bytes(digest[:2], "big")
    return number // BUCKETS, b"%d" % (number % BUCKETS), digest[2:]
