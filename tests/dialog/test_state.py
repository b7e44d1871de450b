"""A dialog's state as it is kept."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialog.localday import local_day
from gateway.dialog.state import (
    EMPTY,
    UNTIL_UNLOCKED_S,
    Stage,
    State,
    StateError,
    expires_s,
    locked_until,
    on_day,
    pack,
    unlocked,
    unpack,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON_S = 1_770_000_000
U32 = st.integers(0, 0xFFFF_FFFF)
STATES = st.builds(
    State, st.sampled_from([Stage.IDLE, Stage.DIGITS, Stage.CONSENT]), st.booleans(), *[U32] * 11
)


@given(STATES)
def test_unpack_gives_back_what_pack_took(state: State) -> None:
    """Packing loses nothing, and stays small enough for millions of open dialogs."""
    assert unpack(pack(state)) == state
    assert len(pack(state)) < 50


@given(st.binary(max_size=60))
def test_other_bytes_are_refused(blob: bytes) -> None:
    """Bytes that are no state raise StateError; whatever is accepted packs to the same bytes again."""
    try:
        state = unpack(blob)
    except StateError:
        return
    assert pack(state) == blob


@given(STATES, st.data())
def test_damaged_bytes_are_refused(state: State, data: st.DataObject) -> None:
    """A state cut short, of another version, at a stage or in a language that is none, raises StateError."""
    blob = bytearray(pack(state))
    with pytest.raises(StateError):
        unpack(bytes(blob[: data.draw(st.integers(0, len(blob) - 1))]))
    for position, wrong in ((0, 99), (1, Stage.LOCKED), (2, 2)):
        damaged = bytearray(blob)
        damaged[position] = wrong
        with pytest.raises(StateError):
            unpack(bytes(damaged))


def test_a_new_day_drops_the_counts_of_the_old() -> None:
    """Queries and tries of a day go with it; those of 30 days stay until 30 days are over."""
    state = EMPTY._replace(day=100, queries=7, wrong_tries=2, wrong_tries_30_days=4, wrong_since_day=90)
    assert on_day(state, 100) == state
    assert on_day(state, 101) == state._replace(day=101, queries=0, wrong_tries=0)
    assert on_day(state, 119).wrong_tries_30_days == 4
    assert on_day(state, 120).wrong_tries_30_days == 0
    assert on_day(EMPTY, 120) == EMPTY


def test_a_clock_set_back_drops_nothing() -> None:
    """The counts of a day that seems to lie ahead stay."""
    state = EMPTY._replace(day=100, queries=7, wrong_tries=2)
    assert on_day(state, 99) == state


def test_unlock_clears_only_what_locks() -> None:
    """After the operator's unlock nothing locks and no try is counted; the queries of the day still are."""
    state = EMPTY._replace(
        day=100,
        queries=7,
        wrong_tries=3,
        wrong_tries_30_days=10,
        wrong_since_day=90,
        locked_until_s=UNTIL_UNLOCKED_S,
    )
    assert locked_until(state, NOON_S) == UNTIL_UNLOCKED_S
    assert unlocked(state) == EMPTY._replace(day=100, queries=7)
    assert locked_until(unlocked(state), NOON_S) is None


def test_a_lock_ends_on_its_second() -> None:
    """Locked until is exclusive."""
    state = EMPTY._replace(locked_until_s=NOON_S)
    assert locked_until(state, NOON_S - 1) == NOON_S
    assert locked_until(state, NOON_S) is None


@given(STATES, st.integers(1, 4_000_000_000))
def test_a_state_is_kept_while_it_matters(state: State, now_s: int) -> None:
    """The time limit lies ahead, and behind every time at which something in the state ends."""
    until = expires_s(state, now_s, SHANGHAI)
    assert until > local_day(now_s, SHANGHAI).ends_s
    assert until >= max(state.stage_until_s, state.locked_until_s)
    if state.wrong_since_day:
        day_after_30 = (state.wrong_since_day + 30) * 86_400 - 8 * 3600  # that midnight in Shanghai
        assert until >= day_after_30
