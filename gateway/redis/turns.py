"""The flow's `Turns` and the joining of long messages, over Redis."""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.flow.intake import Incomplete
from gateway.flow.ports import Answered, Begun, Behind, Busy, Then, Turn, awaited
from gateway.redis.calls import Calls
from gateway.redis.keys import (
    LEASE,
    LINE,
    PARKED,
    STATE,
    lease_key,
    line_key,
    mark_key,
    parts_key,
    place_of,
    state_key,
)
from gateway.redis.library import function
from gateway.redis.node import pack
from gateway.redis.packing import Hole, template
from gateway.redis.sealing import opened
from location_store.errors import StoreError
from location_store.pseudonyms import Pseudonym, bucket_key

# All that stays the same is encoded once: a command of bytes is packed in half the time.
BEGIN, WAIT, KEEP, MARK, FINISH, EXTEND, JOIN = (
    function(name).encode() for name in ("begin", "wait", "keep", "mark", "finish", "lease", "join")
)

#: The parts of a long message are seconds apart; the SMSC redelivers for much longer than a phone sends.
PARTS_TTL_S = 600
#: Of one sender at most so many long messages, sealed octets of them all together. Beyond, the oldest goes.
MAX_MESSAGES, MAX_OCTETS = 16, 64 * 1024
MARK_OCTETS = 8
KIND_OCTETS = len(STATE)
#: A place in line outlasts the time after which a message is parked by so much: what parking may take.
PARKING_S = 0.5


class RedisTurns:
    """One turn at a time for each subscriber (functions.lua). The token names this process and the turn."""

    def __init__(
        self,
        calls: Calls,
        *,
        dedup_window_s: float,
        lease_s: float,
        after_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        """`after_s`: how long a message waits for its turn, until it is parked."""
        self._calls = calls
        self._monotonic = monotonic
        self._process = secrets.token_hex(6).encode()
        self._count = count()
        self.reconfigure(dedup_window_s, lease_s, after_s)

    def reconfigure(self, dedup_window_s: float, lease_s: float, after_s: float) -> None:
        """Of the turns that begin, and the marks that are written, from now on."""
        self._lease_s = lease_s
        self._mark_ms = mark_ms = b"%d" % (dedup_window_s * 1000)
        lease_ms = b"%d" % (lease_s * 1000)
        self._waits_ms = waits_ms = b"%d" % ((after_s + PARKING_S) * 1000)
        any_ = Hole()
        subscriber = Hole(STATE), Hole(LEASE)
        begin = b"FCALL", BEGIN, b"6", *subscriber, any_, any_, Hole(PARKED), Hole(LINE), any_, any_
        rest = lease_ms, waits_ms, self._process
        self._begin = {fresh: template(*begin, *rest, b"%d" % fresh) for fresh in (False, True)}
        self._finish = template(b"FCALL", FINISH, b"3", *subscriber, any_, any_, mark_ms, any_, any_, b"1")
        self._keep = template(b"FCALL", KEEP, b"2", *subscriber, any_, any_, any_)

    def begin_then(self, who: Pseudonym, digest: bytes, fresh: bool, then: Then[Begun]) -> None:
        place, bucket, mark = place_of(who), bucket_key(who), mark_key(who, digest)
        token = b"%b-%x" % (self._process, next(self._count))
        good_until_s = self._monotonic() + self._lease_s * 0.9
        length, field = len(place) + KIND_OCTETS, who.field
        command = self._begin[fresh] % (
            length, place, length, place, len(mark), mark, len(bucket), bucket, length, place,
            length, place, len(field), field, len(token), token,
        )  # fmt: skip
        self._calls.call_then(place, command, partial(_begun, token, good_until_s, then))

    def wait(self, who: Pseudonym, digest: bytes) -> None:
        line, mark = line_key(who), mark_key(who, digest)
        command = pack((b"FCALL", WAIT, b"2", line, mark, self._waits_ms))
        self._calls.call_then(line, command, _ignored)

    def keep_then(self, who: Pseudonym, token: bytes, state: bytes, ttl_s: int, then: Then[int]) -> None:
        place, ttl = place_of(who), b"%d" % ttl_s
        length = len(place) + KIND_OCTETS
        command = self._keep % (
            length, place, length, place, len(token), token, len(state), state, len(ttl), ttl,
        )  # fmt: skip
        self._calls.call_then(place, command, then)

    def finish_then(  # noqa: PLR0917 -- what a turn ends with
        self,
        who: Pseudonym,
        digest: bytes,
        token: bytes,
        state: bytes | None,
        ttl_s: int,
        then: Then[int],
    ) -> None:
        place, mark = place_of(who), mark_key(who, digest)
        length = len(place) + KIND_OCTETS
        # An empty blob with a time limit means "unchanged", so only an explicit ttl of 0 removes a state.
        ttl, state = (b"1", b"") if state is None else (b"%d" % ttl_s, state)
        command = self._finish % (
            length, place, length, place, len(mark), mark, len(token), token,
            len(state), state, len(ttl), ttl,
        )  # fmt: skip
        self._calls.call_then(place, command, then)

    async def begin(self, who: Pseudonym, digest: bytes, *, fresh: bool) -> Begun:
        begun: Begun = await awaited(partial(self.begin_then, who, digest, fresh))
        return begun

    async def begin_rotating(
        self, who: Pseudonym, older: Pseudonym, digest: bytes, *, fresh: bool
    ) -> Turn | Answered | Busy | Behind:
        key, bucket, mark = state_key(older), bucket_key(older), mark_key(older, digest)
        calls: list[Awaitable[Any]] = [
            self.begin(who, digest, fresh=fresh),
            self._calls.call(key, b"GET", key),
            self._calls.call(bucket, b"HGET", bucket, older.field),
            self._calls.call(mark, b"GET", mark),
        ]
        turn: Begun
        turn, state, record, marked = await asyncio.gather(*calls)
        if not isinstance(turn, Turn):
            return turn
        if marked == b"1" or (marked and fresh):  # by a process that does not know the new key yet
            await self.abandon(who, turn.token)
            return Answered()
        # A lock outlasts the rotation: the old state holds until there is a new one.
        return replace(turn, state=turn.state or state or b"", older=record)

    async def keep(self, who: Pseudonym, token: bytes, state: bytes, ttl_s: int) -> bool:
        return bool(await awaited(partial(self.keep_then, who, token, state, ttl_s)))

    async def seen(self, who: Pseudonym, digest: bytes) -> bool:
        key = mark_key(who, digest)
        return await self._calls.call(key, b"GET", key) is not None

    async def mark(self, who: Pseudonym, digest: bytes, *, answered: bool) -> bool:
        key, line = mark_key(who, digest), line_key(who)
        command = b"FCALL", MARK, b"2", key, line, b"%d" % answered, self._mark_ms
        return bool(await self._calls.call(key, *command))

    async def finish(
        self, who: Pseudonym, digest: bytes, token: bytes, state: bytes | None, ttl_s: int
    ) -> bool:
        return bool(await awaited(partial(self.finish_then, who, digest, token, state, ttl_s)))

    async def extend(self, who: Pseudonym, token: bytes, lease_s: float) -> None:
        key = lease_key(who)
        await self._calls.call(key, b"FCALL", EXTEND, 1, key, token, int(lease_s * 1000))

    async def abandon(self, who: Pseudonym, token: bytes) -> None:
        key = lease_key(who)
        await self._calls.call(key, b"FCALL", EXTEND, 1, key, token, 0)


def _ignored(reply: Any) -> None:
    """Without a place in line a message takes one when it asks for its turn."""


def _begun(token: bytes, good_until_s: float, then: Then[Begun], reply: Any) -> None:
    if isinstance(reply, StoreError):
        then(reply)
    elif reply[0] == 0:
        _, state, record = reply
        then(Turn(token, state or b"", record, good_until_s))
    else:
        then(_NO_TURN[reply[0]])


_NO_TURN: dict[int, Answered | Busy | Behind] = {1: Busy(), 2: Answered(), 3: Behind()}


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
