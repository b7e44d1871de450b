"""Unix time that does not jump: how far a step of the system's clock is felt, and when it is taken in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.steadytime import BELIEVED_S, FINE_S, SteadyTime

HOUR_S = 3600.0
NOON_S = 1_800_000_000.0


class Clocks:
    """The host's two clocks; `step` sets the one that can be set."""

    def __init__(self) -> None:
        self.system_s, self.monotonic_s = NOON_S, 1000.0
        self.time = SteadyTime(lambda: self.system_s, lambda: self.monotonic_s)

    def step(self, by_s: float) -> None:
        self.system_s += by_s

    def pass_by(self, seconds: float, look_s: float = 1.0) -> float:
        """Time passes, looked at every `look_s`; what it has become."""
        for _ in range(round(seconds / look_s)):
            self.system_s += look_s
            self.monotonic_s += look_s
            self.time.now()
        return self.time.now()


def test_without_steps_it_is_the_systems() -> None:
    clocks = Clocks()
    assert clocks.pass_by(86_400, look_s=7.0) == pytest.approx(clocks.system_s, abs=1e-3)


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_ten_minutes_stay_ten_minutes(step_s: float) -> None:
    """Within one: a question's time to live, whichever way the clock was set."""
    clocks = Clocks()
    clocks.step(step_s)
    assert clocks.pass_by(600) - NOON_S == pytest.approx(600, abs=60)


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_an_hour_is_taken_in_within_ten(step_s: float) -> None:
    clocks = Clocks()
    clocks.step(step_s)
    clocks.pass_by(10 * HOUR_S)
    assert clocks.time.now() == pytest.approx(clocks.system_s, abs=1)


def test_a_clock_that_had_not_been_set_is_believed_at_once() -> None:
    clocks = Clocks()
    clocks.step(BELIEVED_S + 1)
    clocks.pass_by(2 * FINE_S, look_s=2 * FINE_S)
    assert clocks.time.now() == clocks.system_s


def test_what_nobody_looked_at_is_not_taken_in_at_once() -> None:
    """A step right before the first look in ten hours."""
    clocks = Clocks()
    clocks.pass_by(10 * HOUR_S, look_s=10 * HOUR_S)
    clocks.step(HOUR_S)
    assert clocks.pass_by(10 * HOUR_S, look_s=10 * HOUR_S) == pytest.approx(clocks.system_s - HOUR_S, abs=1)


@given(st.lists(st.tuples(st.floats(-HOUR_S * 10, HOUR_S * 10), st.floats(2 * FINE_S, 100)), max_size=30))
def test_it_never_goes_back(steps: list[tuple[float, float]]) -> None:
    """Nor faster than by one second in ten, while no step is of a day."""
    clocks = Clocks()
    before_s = clocks.time.now()
    for step_s, passed_s in steps:
        clocks.step(max(-HOUR_S, min(HOUR_S, NOON_S + clocks.monotonic_s - 1000 + step_s - clocks.system_s)))
        clocks.system_s += passed_s
        clocks.monotonic_s += passed_s
        now_s = clocks.time.now()
        assert 0.899 * passed_s <= now_s - before_s <= 1.101 * passed_s
        before_s = now_s
