"""Where a subscriber stands in the dialog, as it is kept between two messages.

Pure. Invariant: `unpack(pack(state)) == state`, and bytes that `pack` did not write raise StateError, never
become a state by chance of length. No text and no ID digits are in it. The conversation makes states, the
pipeline keeps their bytes (with `expires_s` as the time limit), the operator's `unlock` clears what locks.
"""

import struct
from datetime import tzinfo
from enum import IntEnum
from typing import NamedTuple

from gateway.dialog.localday import local_day

UNTIL_UNLOCKED_S = 0xFFFF_FFFF
"""`locked_until_s` of a lock that only the carrier's staff can open: the last second that fits (2106)."""

_VERSION = 1
_PACKED = struct.Struct(">BB?11I")  # version, then the fields of State in their order
_LONG_DAYS = 30
_GRACE_S = 3600  # so that a pause or the loop guard's window reaches over midnight


class StateError(ValueError):
    """Stored bytes that are no state of this version: damaged, or written by a newer gateway."""


class Stage(IntEnum):
    """What the subscriber was last asked for. EXPIRED and LOCKED follow from the clock and are not stored."""

    IDLE = 0
    DIGITS = 1
    CONSENT = 2
    EXPIRED = 3
    LOCKED = 4


class State(NamedTuple):
    """A subscriber's dialog. Times are unix seconds, 0 for never; `day` is a LocalDay's number.

    `queries` and `wrong_tries` count on `day`, `wrong_tries_30_days` from the day `wrong_since_day` on.
    """

    stage: Stage = Stage.IDLE
    english: bool = False
    stage_until_s: int = 0
    day: int = 0
    queries: int = 0
    wrong_tries: int = 0
    wrong_tries_30_days: int = 0
    wrong_since_day: int = 0
    locked_until_s: int = 0
    help_at_s: int = 0
    refused_at_s: int = 0
    loop_since_s: int = 0
    loop_count: int = 0


EMPTY = State()
"""Of a subscriber who has not been heard of, or whose state has expired."""


def pack(state: State) -> bytes:
    """The bytes to keep, of one fixed length."""
    return _PACKED.pack(_VERSION, *state)


def unpack(blob: bytes) -> State:
    """The state of `pack`'s bytes. Raises StateError on anything else."""
    if len(blob) != _PACKED.size or blob[0] != _VERSION:
        raise StateError(
            f"no dialog state of version {_VERSION}: {len(blob)} bytes, first {blob[:1].hex()!r}"
        )
    _, stage, english, *rest = _PACKED.unpack(blob)
    if stage > Stage.CONSENT or blob[2] > 1:
        raise StateError(f"damaged dialog state: stage {stage}, language {blob[2]}")
    return State(Stage(stage), english, *rest)


def on_day(state: State, today: int) -> State:
    """`state` without the counts of an earlier day or earlier 30 days; a clock set back drops nothing."""
    if state.wrong_since_day and today >= state.wrong_since_day + _LONG_DAYS:
        state = state._replace(wrong_tries_30_days=0, wrong_since_day=0)
    if today > state.day and (state.queries or state.wrong_tries):
        state = state._replace(day=today, queries=0, wrong_tries=0)
    return state


def locked_until(state: State, now_s: float) -> int | None:
    """The unix second until which wrong digits have locked the subscriber, None when they have not."""
    return state.locked_until_s if now_s < state.locked_until_s else None


def unlocked(state: State) -> State:
    """`state` after the carrier's staff unlocked it: no lock, no wrong tries, everything else as it was."""
    return state._replace(wrong_tries=0, wrong_tries_30_days=0, wrong_since_day=0, locked_until_s=0)


def expires_s(state: State, now_s: float, tz: tzinfo) -> int:
    """The unix second after which nothing in `state` matters, always ahead of `now_s`: the time limit to
    keep it by.

    `tz` is the carrier's zone, in which the day's counts end.
    """
    until = max(state.stage_until_s, state.locked_until_s, local_day(now_s, tz).ends_s + _GRACE_S)
    if state.wrong_since_day:
        until = max(until, (state.wrong_since_day + _LONG_DAYS + 1) * 86_400)
    return until
