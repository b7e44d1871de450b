"""How fast a link may send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.constants import CommandStatus
from gateway.smpp.throttle import FIRST_PAUSE_S, LONGEST_PAUSE_S, Throttle


@given(st.floats(0.5, 500), st.lists(st.floats(0, 0.3), min_size=1, max_size=200))
def test_no_second_holds_more_than_the_rate(rate_per_s: float, pauses: list[float]) -> None:
    """Any second holds at most `rate` requests, whenever they arrive (and one at its edge)."""
    throttle, now_s, sent = Throttle(rate_per_s), 0.0, []
    for pause in pauses:
        now_s += pause
        now_s += throttle.wait_s(now_s)
        throttle.sent(now_s)
        sent.append(now_s)
    for start in sent:
        assert sum(start <= at < start + 0.999 for at in sent) <= rate_per_s + 1


def test_the_pause_doubles_to_its_limit_and_shrinks_with_success() -> None:
    throttle, now_s = Throttle(), 0.0
    waits = []
    for _ in range(8):
        throttle.answered(CommandStatus.ESME_RTHROTTLED, now_s)
        waits.append(throttle.wait_s(now_s))
        now_s += throttle.wait_s(now_s)
    assert waits[:3] == pytest.approx([FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S])
    assert max(waits) == pytest.approx(LONGEST_PAUSE_S)
    for _ in range(12):
        throttle.answered(CommandStatus.ESME_ROK, now_s)
    throttle.answered(CommandStatus.ESME_RTHROTTLED, now_s)
    assert throttle.wait_s(now_s) == pytest.approx(FIRST_PAUSE_S)


def test_a_burst_of_refusals_counts_once() -> None:
    """A full window that is refused as a whole is one word of the SMSC, not a hundred."""
    throttle = Throttle()
    for _ in range(100):
        throttle.answered(CommandStatus.ESME_RMSGQFUL, 1.0)
    assert throttle.wait_s(1.0) == pytest.approx(FIRST_PAUSE_S)
