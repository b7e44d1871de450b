"""The flow's `Turns` and the joining of long messages, over Redis."""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from itertools import count

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.flow.intake import Incomplete
from gateway.flow.ports import Answered, Behind, Busy, Turn
from gateway.redis.calls import Calls
from gateway.redis.keys import lease_key, mark_key, parked_key, parts_key, state_key
from gateway.redis.library import function
from gateway.redis.sealing import opened
from location_store.pseudonyms import Pseudonym
from location_store.store import bucket_key

# All that stays the same is encoded once: a command of bytes is packed in half the time.
BEGIN, KEEP, MARK, FINISH, LEASE, JOIN = (
    function(name).encode() for name in ("begin", "keep", "mark", "finish", "lease", "join")
)

#: The parts of a long message are seconds apart; the SMSC redelivers for much longer than a phone sends.
PARTS_TTL_S = 600
#: Of one sender at most so many long messages, sealed octets of them all together. Beyond, the oldest goes.
MAX_MESSAGES, MAX_OCTETS = 16, 64 * 1024
MARK_OCTETS = 8


class RedisTurns:
    """One turn at a time for each subscriber (functions.lua). The token names this process and the turn."""

    def __init__(
        self, calls: Calls, *, dedup_window_s: float, lease_s: float, monotonic: Callable[[], float]
    ) -> None:
        self._calls = calls
        self.reconfigure(dedup_window_s, lease_s)
        self._monotonic = monotonic
        self._process = secrets.token_hex(6).encode()
        self._count = count()

    def reconfigure(self, dedup_window_s: float, lease_s: float) -> None:
        """Of the turns that begin, and the marks that are written, from now on."""
        self._mark_ms = b"%d" % (dedup_window_s * 1000)
        self._lease_s = lease_s
        self._lease_ms = b"%d" % (lease_s * 1000)

    async def begin(self, who: Pseudonym, digest: bytes, *, fresh: bool) -> Turn | Answered | Busy | Behind:
        token = b"%s-%x" % (self._process, next(self._count))
        state = state_key(who)
        good_until_s = self._monotonic() + self._lease_s * 0.9
        reply = await self._calls.call(
            state,
            b"FCALL",
            BEGIN,
            b"5",
            state,
            lease_key(who),
            mark_key(who, digest),
            bucket_key(who),
            parked_key(who),
            who.field,
            token,
            self._lease_ms,
            self._process,
            b"1" if fresh else b"0",
        )
        if reply[0] == 3:
            return Behind()
        if reply[0] == 2:
            return Answered()
        if reply[0] == 1:
            return Busy()
        _, state_blob, record = reply
        return Turn(token, state_blob or b"", record, good_until_s)

    async def begin_rotating(
        self, who: Pseudonym, older: Pseudonym, digest: bytes, *, fresh: bool
    ) -> Turn | Answered | Busy | Behind:
        key, bucket, mark = state_key(older), bucket_key(older), mark_key(older, digest)
        turn, state, record, marked = await asyncio.gather(
            self.begin(who, digest, fresh=fresh),
            self._calls.call(key, b"GET", key),
            self._calls.call(bucket, b"HGET", bucket, older.field),
            self._calls.call(mark, b"GET", mark),
        )
        if not isinstance(turn, Turn):
            return turn
        if marked == b"1" or (marked and fresh):  # by a process that does not know the new key yet
            await self.abandon(who, turn.token)
            return Answered()
        # A lock outlasts the rotation: the old state holds until there is a new one.
        return turn._replace(state=turn.state or state or b"", older=record)

    async def keep(self, who: Pseudonym, token: bytes, state: bytes, ttl_s: int) -> bool:
        key = state_key(who)
        ours = await self._calls.call(key, b"FCALL", KEEP, 2, key, lease_key(who), token, state, ttl_s)
        return bool(ours)

    async def seen(self, who: Pseudonym, digest: bytes) -> bool:
        key = mark_key(who, digest)
        return await self._calls.call(key, b"GET", key) is not None

    async def mark(self, who: Pseudonym, digest: bytes, *, answered: bool) -> bool:
        key = mark_key(who, digest)
        return bool(await self._calls.call(key, b"FCALL", MARK, b"1", key, b"%d" % answered, self._mark_ms))

    async def finish(
        self,
        who: Pseudonym,
        digest: bytes,
        token: bytes,
        state: bytes | None,
        ttl_s: int,
        *,
        answered: bool = True,
    ) -> bool:
        key = state_key(who)
        # An empty blob with a time limit means "unchanged", so only an explicit ttl of 0 removes a state.
        ttl = b"1" if state is None else b"%d" % ttl_s
        ours = await self._calls.call(
            key,
            b"FCALL",
            FINISH,
            b"3",
            key,
            lease_key(who),
            mark_key(who, digest),
            token,
            self._mark_ms,
            state or b"",
            ttl,
            b"%d" % answered,
        )
        return bool(ours)

    async def extend(self, who: Pseudonym, token: bytes, lease_s: float) -> None:
        key = lease_key(who)
        await self._calls.call(key, b"FCALL", LEASE, 1, key, token, int(lease_s * 1000))

    async def abandon(self, who: Pseudonym, token: bytes) -> None:
        key = lease_key(who)
        await self._calls.call(key, b"FCALL", LEASE, 1, key, token, 0)


class RedisParts:
    """The parts of long messages, from any bind and any process, sealed (they may hold ID digits), bounded
    and expiring.
    """

    def __init__(
        self, calls: Calls, seal_keys: Sequence[bytes], on_event: Callable[[str, int], None]
    ) -> None:
        """`seal_keys`: as the park's. `on_event` counts parts `kept` and `refused`, messages `joined`, and
        messages of which what had come was `given_up` for a newer one.
        """
        self._calls = calls
        self._aeads = [AESGCM(key) for key in seal_keys]
        self._mark_key = seal_keys[-1]
        self._on_event = on_event

    async def add(
        self, who: Pseudonym, digest: bytes, *, index: int, total: int, payload: bytes
    ) -> list[bytes] | Incomplete:
        """Keep part `index` (from 1) of `total`; all payloads in order once they are all there."""
        key = parts_key(who)
        context = key + digest
        nonce = secrets.token_bytes(12)
        # Two sealings of one content differ: the mark tells the server a repeated part from another one.
        mark = hashlib.blake2b(payload, digest_size=MARK_OCTETS, key=self._mark_key).digest()
        sealed = mark + nonce + self._aeads[-1].encrypt(nonce, payload, context)
        given_up, *parts = await self._calls.call(
            key,
            b"FCALL",
            JOIN,
            1,
            key,
            digest,
            index,
            total,
            sealed,
            MARK_OCTETS,
            PARTS_TTL_S * 1000,
            MAX_MESSAGES,
            MAX_OCTETS,
        )
        if given_up < 0:
            self._on_event("refused", 1)
            return Incomplete.REFUSED
        if given_up:
            self._on_event("given_up", given_up)
        if not parts:
            self._on_event("kept", 1)
            return Incomplete.PART_KEPT
        try:
            payloads = [opened(self._aeads, part[MARK_OCTETS:], context) for part in parts]
        except InvalidTag:  # parts of an older key: the message cannot be read any more
            return Incomplete.REFUSED
        self._on_event("joined", 1)
        return payloads
