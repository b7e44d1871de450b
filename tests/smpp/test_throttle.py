"""How fast a link may send, against a simulated SMSC with a token bucket and a clock of the test's own."""

import heapq
from collections.abc import Callable
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.constants import CommandStatus
from gateway.smpp.throttle import FIRST_PAUSE_S, LONGER, LONGEST_PAUSE_S, Throttle, share

THROTTLED = CommandStatus.ESME_RTHROTTLED
Answered = list[tuple[float, int]]  # when a request arrived at the SMSC, and with what it was answered


class Smsc:
    """Takes `capacity(now_s)` requests a second, `burst_s` seconds' worth of them at once."""

    def __init__(self, capacity: Callable[[float], float], burst_s: float) -> None:
        self._capacity, self._burst_s = capacity, burst_s
        self._tokens, self._at_s = 1.0, 0.0

    def take(self, now_s: float) -> int:
        per_s = self._capacity(now_s)
        tokens = self._tokens + (now_s - self._at_s) * per_s
        self._tokens, self._at_s = min(max(1.0, per_s * self._burst_s), tokens), now_s
        if self._tokens < 1:
            return THROTTLED
        self._tokens -= 1
        return 0


def flood(throttle: Throttle, smsc: Smsc, *, round_trip_s: float, until_s: float) -> Answered:
    """Always more to send, over a window of 100."""
    now_s, number, in_flight = 0.0, 0, 0
    ahead: list[tuple[float, int, int | None, float]] = []  # arrivals (None) and responses
    answered: Answered = []
    while now_s < until_s:
        wait_s = 0.0
        while in_flight < 100 and not (wait_s := throttle.wait_s(now_s)):
            throttle.sent(now_s)
            in_flight, number = in_flight + 1, number + 1
            heapq.heappush(ahead, (now_s + round_trip_s / 2, number, None, now_s))
        next_s = ahead[0][0] if ahead else inf
        if in_flight < 100:
            next_s = min(next_s, now_s + max(wait_s, 1e-6))
        now_s = max(now_s, next_s)
        while ahead and ahead[0][0] <= now_s:
            at_s, order, status, sent_s = heapq.heappop(ahead)
            if status is None:
                status = smsc.take(at_s)
                answered.append((at_s, status))
                heapq.heappush(ahead, (at_s + round_trip_s / 2, order, status, sent_s))
            else:
                in_flight -= 1
                throttle.answered(status, sent_s, now_s)
    return answered


def accepted(answered: Answered, from_s: float, to_s: float) -> int:
    return sum(from_s <= at_s < to_s and not status for at_s, status in answered)


def refused(answered: Answered, from_s: float, to_s: float) -> int:
    return sum(from_s <= at_s < to_s and status != 0 for at_s, status in answered)


@pytest.mark.parametrize("capacity", [20, 200, 2000])
@pytest.mark.parametrize("round_trip_s", [0.001, 0.02, 0.1])
@pytest.mark.parametrize("burst_s", [0.1, 1.0])
def test_it_finds_the_rate_of_an_smsc(capacity: int, round_trip_s: float, burst_s: float) -> None:
    """At least 90 % of what the SMSC can do (or the window), and fewer than 5 % refused, from the fifth
    second on.
    """
    smsc = Smsc(lambda _: capacity, burst_s)
    answered = flood(Throttle(), smsc, round_trip_s=round_trip_s, until_s=15.0)
    possible = min(capacity, 100 / round_trip_s) * 10
    assert accepted(answered, 5, 15) >= 0.9 * possible
    assert refused(answered, 5, 15) < 0.05 * accepted(answered, 5, 15)


@pytest.mark.parametrize(("low", "high"), [(20, 200), (200, 2000)])
def test_it_follows_an_smsc_that_becomes_slower_and_faster_again(low: int, high: int) -> None:
    """A tenth is found within a second; all of it is used again within six seconds of its return."""
    smsc = Smsc(lambda now_s: low if 10 <= now_s < 20 else high, 0.1)
    answered = flood(Throttle(), smsc, round_trip_s=0.02, until_s=30.0)
    assert accepted(answered, 11, 20) >= 0.85 * 9 * low
    assert refused(answered, 11, 20) < 0.1 * accepted(answered, 11, 20)
    assert accepted(answered, 26, 30) >= 0.85 * 4 * high


def test_an_smsc_that_takes_nothing_for_a_while_is_asked_seldom_and_used_at_once() -> None:
    """Its queue was full: the rate that was right before is right afterwards."""
    smsc = Smsc(lambda now_s: 0.0 if 10 <= now_s < 40 else 200.0, 0.1)
    answered = flood(Throttle(), smsc, round_trip_s=0.02, until_s=55.0)
    assert refused(answered, 15, 40) <= 40
    assert accepted(answered, 46, 55) >= 0.9 * 9 * 200


def test_what_was_never_refused_is_not_held_up() -> None:
    answered = flood(Throttle(), Smsc(lambda _: 1e6, 1.0), round_trip_s=0.1, until_s=5.0)
    assert accepted(answered, 0, 5) >= 0.97 * 5 * 1000


def test_fewer_requests_than_the_rate_do_not_raise_it() -> None:
    """What was not tried is not known: after a quiet hour the rate is what it was."""
    throttle = Throttle()
    flood(throttle, Smsc(lambda _: 200, 0.1), round_trip_s=0.02, until_s=10.0)
    before_per_s, now_s = throttle.rate_per_s, 11.0
    for _ in range(3600):
        throttle.sent(now_s)
        throttle.answered(0, now_s, now_s + 0.02)
        now_s += 1
    assert throttle.rate_per_s == pytest.approx(before_per_s)


def through_after_a_quiet_minute(status_of: Callable[[int, float], int], texts: int = 20) -> float:
    """Seconds until so many texts, all there at once, were accepted: one a quarter of an hour came before.
    `status_of(number, seconds since they came)` is the SMSC's answer to its number-th submit_sm.
    """
    throttle, now_s = Throttle(slow_s=10.0), 0.0
    for _ in range(4):
        throttle.sent(now_s)
        throttle.answered(0, now_s, now_s + 0.02)
        now_s += 15
    start_s, number, left = now_s, 0, texts
    while left:
        now_s += throttle.wait_s(now_s) or 0.001
        throttle.sent(now_s)
        number += 1
        status = status_of(number, now_s - start_s)
        throttle.answered(status, now_s, now_s + 0.001)
        left -= not status
    return now_s - start_s


def test_a_refusal_after_a_quiet_time_is_no_reason_to_crawl() -> None:
    """What was not asked for in that time was not refused either."""
    assert through_after_a_quiet_minute(lambda number, _: THROTTLED if number == 1 else 0) < 3
    assert through_after_a_quiet_minute(lambda number, _: THROTTLED if number % 2 else 0) < 15
    assert through_after_a_quiet_minute(lambda _, passed_s: THROTTLED if passed_s < 2 else 0) < 7


def test_silence_after_a_quiet_time_is_no_reason_to_crawl() -> None:
    throttle = Throttle()
    throttle.sent(0.0)
    throttle.answered(0, 0.0, 0.02)
    throttle.sent(100.0)
    throttle.expired(100.0, 110.0)
    assert throttle.rate_per_s >= 10


rates = st.floats(0.3, 500)
sendings = st.lists(
    st.tuples(st.floats(0, 0.3), st.sampled_from([0, 0, 0, THROTTLED, 0x45])), min_size=1, max_size=200
)


@given(rates, sendings)
def test_no_second_holds_more_than_the_rate(rate_per_s: float, sendings: list[tuple[float, int]]) -> None:
    """Wherever the second begins, whatever the SMSC answers, and where the network shortens it by 20 ms."""
    throttle, now_s, sent = Throttle(rate_per_s), 0.0, []
    for pause_s, status in sendings:
        now_s += pause_s
        now_s += throttle.wait_s(now_s)
        throttle.sent(now_s)
        sent.append(now_s)
        throttle.answered(status, now_s, now_s)
    for start_s in sent:
        assert sum(start_s <= at_s <= start_s + 1.0 for at_s in sent) <= max(1, rate_per_s)


@given(rates)
def test_a_configured_rate_is_used(rate_per_s: float) -> None:
    """All but a fiftieth of its whole messages."""
    answered = flood(Throttle(rate_per_s), Smsc(lambda _: 1e6, 1.0), round_trip_s=0.01, until_s=11.0)
    whole = int(rate_per_s) if rate_per_s >= 1 else rate_per_s
    assert accepted(answered, 0, 11) >= int(0.97 * 10 * whole)


@given(st.floats(0, 10_000), st.integers(1, 64))
def test_the_workers_shares_are_never_more_than_the_rate(rate_per_s: float, total: int) -> None:
    shares = [share(rate_per_s, index, total) for index in range(total)]
    assert sum(shares) <= rate_per_s
    assert total == 1 or sum(shares) > rate_per_s - 1


@given(sendings)
def test_it_never_stops_a_link_for_good(sendings: list[tuple[float, int]]) -> None:
    throttle, now_s = Throttle(), 0.0
    for pause_s, status in sendings:
        now_s += pause_s + throttle.wait_s(now_s + pause_s)
        throttle.sent(now_s)
        throttle.answered(status, now_s, now_s)
        assert throttle.wait_s(now_s) <= LONGEST_PAUSE_S


def test_the_pause_grows_to_its_limit_while_nothing_is_accepted() -> None:
    throttle, now_s, waits = Throttle(), 0.0, []
    for _ in range(100):
        throttle.sent(now_s)
        throttle.answered(0, now_s, now_s)
    for _ in range(12):
        throttle.answered(THROTTLED, now_s, now_s)
        waits.append(throttle.wait_s(now_s))
        now_s += throttle.wait_s(now_s)
    assert waits[:3] == pytest.approx([FIRST_PAUSE_S, FIRST_PAUSE_S * LONGER, FIRST_PAUSE_S * LONGER**2])
    assert max(waits) == pytest.approx(LONGEST_PAUSE_S)


def test_a_burst_of_refusals_counts_once() -> None:
    """A full window that is refused as a whole is one word of the SMSC, not a hundred, also where the
    responses come after the pause is over.
    """
    throttle = Throttle()
    throttle.answered(CommandStatus.ESME_RMSGQFUL, 0.9, 1.0)
    rate_per_s, wait_s = throttle.rate_per_s, throttle.wait_s(1.0)
    for late_s in range(99):
        throttle.answered(CommandStatus.ESME_RMSGQFUL, 0.9, 1.0 + late_s)
    assert throttle.rate_per_s == rate_per_s
    assert throttle.wait_s(1.0) == wait_s
    assert throttle.refusals == 100


def steady(throttle: Throttle, per_s: int, **answer: int) -> float:
    """Ten seconds of accepted requests; the time after."""
    for n in range(10 * per_s):
        throttle.sent(n / per_s)
        throttle.answered(0, n / per_s, (n + 1) / per_s, **answer)
    return 10.0


def test_a_slow_peer_is_sent_less() -> None:
    """It answers, but so late that requests will soon expire: less than it has answered lately."""
    throttle = Throttle(slow_s=2.0)
    now_s = steady(throttle, 50)
    assert throttle.rate_per_s == inf
    throttle.answered(0, now_s - 1.9, now_s)
    assert throttle.rate_per_s == inf
    throttle.answered(0, now_s - 2.1, now_s)
    assert throttle.rate_per_s == pytest.approx(0.8 * 50, rel=0.05)


def test_an_expired_request_halves_the_rate_once() -> None:
    throttle = Throttle()
    now_s = steady(throttle, 50)
    for _ in range(100):
        throttle.expired(now_s - 5, now_s)
    assert throttle.rate_per_s == pytest.approx(0.5 * 50, rel=0.05)


@pytest.mark.parametrize(("state", "share_left"), [(79, inf), (85, inf), (95, 0.9), (100, 0.7)])
def test_congestion_state_is_honoured(state: int, share_left: float) -> None:
    """5.0, 4.8.4.18: up to 79 there is room, 80 to 89 is the optimum, from 90 on it is congested."""
    throttle = Throttle()
    now_s = steady(throttle, 50)
    throttle.answered(0, now_s, now_s, congestion_state=state)
    assert throttle.rate_per_s == (inf if share_left == inf else pytest.approx(share_left * 50, rel=0.05))


def test_at_the_optimal_load_the_rate_stays() -> None:
    """It neither falls nor grows for as long as the SMSC says 80 to 89."""
    throttle = Throttle()
    now_s = steady(throttle, 50)
    throttle.answered(0, now_s, now_s, congestion_state=100)
    rate_per_s = throttle.rate_per_s
    for _ in range(2_000):
        now_s += throttle.wait_s(now_s)
        throttle.sent(now_s)
        throttle.answered(0, now_s, now_s, congestion_state=85)
    assert throttle.rate_per_s == pytest.approx(rate_per_s, rel=0.01)
