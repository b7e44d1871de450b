"""How fast a link may send: a configured rate, and what the SMSC's answers say of its own.

Pure. Invariants: whatever the SMSC says, no second holds more requests than `rate_per_s`, over all binds and
reconnections that share the throttle; a pause holds for all of them. Called by the links before each request
and with each response.

The SMSC's own rate is not known before it has refused something (ESME_RTHROTTLED, ESME_RMSGQFUL), let
requests wait too long, or said that it is congested (congestion_state, 5.0). Such a sign cuts the rate; from
there it returns to where it was, stays near for a while, and then grows faster and faster, as in CUBIC (RFC
9438), but by a factor and not by a number, since links carry anything between one message a second and
thousands:

    rate(t) = peak * exp(((t - return_s) / spread_s) ** 3)         rate(0) = peak * share left by the cut

Where requests leave more slowly than the rate allows, t stands still: what was not tried is not known.
"""

from collections import deque
from math import cbrt, exp, floor, inf, log

from gateway.smpp.constants import CommandStatus

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
#: Each pause after the one before, while nothing is accepted.
LONGER = 1.5
#: A second, and what the network may shorten it by between us and the SMSC.
SECOND_S = 1.02
#: Requests that were late may catch up by so much, or timers would make the rate lower than it need be.
SLACK_S = 0.005
#: At slow links longer, so that the next try comes after some messages there too.
SPREAD_S, SPREAD_MESSAGES = 3.0, 15
#: Where an SMSC refuses whatever the rate, a lower one does not help; with one that is slower than this the
#: pauses grow with each refusal in a row.
LOWEST_PER_S = 3.0
#: What is accepted tells how much the SMSC takes while there is work only: a pause so long begins anew.
IDLE_S = 0.5
#: Fewer accepted in a row than this tell little; then this is the first guess, if more was not seen.
FEW, GUESS_PER_S = 20, 20.0
#: At this exponent, 1,000 times the rate of the last cut, nothing is left of what was learnt.
FORGOTTEN = 7.0
#: What a cut leaves: of the first refusal, and of those that follow within a second each.
REFUSED_LEAVES = (0.9, 0.7, 0.5)
SLOW_LEAVES, EXPIRED_LEAVES = 0.8, 0.5
#: congestion_state (5.0, 4.8.4.18): 80 to 89 is the load to aim at, 90 near congestion, 100 congested.
AT_OPTIMUM, NEAR_CONGESTION, CONGESTED = 80, 90, 100
_GRAIN_S = 0.001

#: The SMSC takes nothing more just now (3.4, 5.1.3): the same request may be sent again, a little later.
THROTTLED = frozenset({int(CommandStatus.ESME_RTHROTTLED), int(CommandStatus.ESME_RMSGQFUL)})


def share(rate_per_s: float, index: int, total: int) -> float:
    """What the worker `index` of `total` may send, so that all together keep to the rate: whole messages a
    second, as a second has no halves of them. 0: there is nothing for this worker.
    """
    if total == 1 or not rate_per_s:
        return rate_per_s
    whole, rest = divmod(floor(rate_per_s), total)
    return float(whole + (index < rest))


class Throttle:
    """One for a link. `rate_per_s` 0: only the SMSC's own word counts. A response later than `slow_s` counts
    as a sign of overload.
    """

    def __init__(self, rate_per_s: float = 0.0, slow_s: float = inf) -> None:
        self._limit: _Limit | None = None
        self.limit_to(rate_per_s)
        self._slow_s = slow_s
        self.refusals = 0  # since the start, for metrics
        self._free_at_s = 0.0
        self._sent_s = 0.0
        self._paused_until_s = -inf
        self._pause_s = 0.0
        self._cut_s = -inf
        self._cuts = 0  # one soon after the other
        self._peak_per_s = inf  # no limit has been learnt
        self._spread_s = SPREAD_S
        self._return_s = 0.0
        self._grown_s = 0.0
        self._accepted = 0  # since the mark, without a pause
        self._accepted_s = -inf  # the last one
        self._mark_s = 0.0
        self._accepted_per_s = 0.0  # before the mark

    def limit_to(self, rate_per_s: float) -> None:
        """Another configured rate (0: none), at once: what has left in this second counts."""
        before = self._limit
        self._limit = _Limit(rate_per_s, before) if rate_per_s else None

    @property
    def rate_per_s(self) -> float:
        """What it allows now, but for a pause; inf: anything."""
        limit = inf if self._limit is None else self._limit.rate_per_s
        return limit if self._peak_per_s == inf else min(limit, self._learnt_per_s())

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next request may leave; 0: now."""
        at_s = self._free_at_s
        if self._limit is not None:
            at_s = max(at_s, self._limit.free_at_s(now_s))
        return at_s - now_s if at_s > now_s else 0.0

    def sent(self, now_s: float) -> None:
        if self._limit is not None:
            self._limit.sent(now_s)
        elif self._peak_per_s == inf:
            return
        behind_s = now_s - self._free_at_s
        if self._peak_per_s != inf and behind_s < SLACK_S:  # it was the rate that held it up
            self._grown_s += now_s - max(self._sent_s, self._paused_until_s, self._cut_s)
            if self._grown_s > self._return_s + cbrt(FORGOTTEN) * self._spread_s:
                self._peak_per_s = inf
        self._sent_s = now_s
        rate_per_s = self.rate_per_s
        if rate_per_s != inf:
            self._free_at_s = max(self._free_at_s, now_s - SLACK_S) + 1 / rate_per_s

    def answered(
        self, command_status: int, sent_s: float, now_s: float, congestion_state: int | None = None
    ) -> None:
        """Learn from the response to a request that left at `sent_s`. What left before the last cut tells
        nothing new: refusals of one burst count as one.
        """
        if not command_status:
            self._accept(now_s)
        elif command_status in THROTTLED:
            self.refusals += 1
            if sent_s >= self._cut_s and now_s >= self._paused_until_s:
                self._refused(now_s)
            return
        if sent_s < self._cut_s:
            return
        self._pause_s = 0.0
        if now_s - sent_s > self._slow_s:
            self._cut(SLOW_LEAVES, min(self.rate_per_s, self._measured_per_s()), now_s)
        elif congestion_state is not None and congestion_state >= AT_OPTIMUM:
            self._congested(congestion_state, now_s)

    def expired(self, sent_s: float, now_s: float) -> None:
        """No response came in time."""
        if sent_s >= self._cut_s:
            self._cut(EXPIRED_LEAVES, min(self.rate_per_s, self._measured_per_s()), now_s)

    def _learnt_per_s(self) -> float:
        grown = exp(((self._grown_s - self._return_s) / self._spread_s) ** 3)
        return max(LOWEST_PER_S, self._peak_per_s * grown)

    def _refused(self, now_s: float) -> None:
        """Too fast, or, where nothing was accepted since the last refusal, not taking anything: then a lower
        rate would not help, and the one that was right before is right afterwards.
        """
        rate_per_s = self.rate_per_s
        if not self._pause_s:
            soon = now_s - self._paused_until_s < max(1.0, 5 / rate_per_s)
            self._cuts = self._cuts + 1 if soon else 0
            leaves = REFUSED_LEAVES[min(self._cuts, len(REFUSED_LEAVES) - 1)]
            if self._peak_per_s != inf:
                self._cut(leaves, rate_per_s, now_s)
            else:  # a first guess, from which it searches upwards at once
                self._cut(leaves, min(rate_per_s, self._measured_per_s()), now_s)
                self._grown_s = self._return_s + self._spread_s / 2
        self._pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 1 / rate_per_s, self._pause_s * LONGER))
        self._cut_s = now_s
        self._paused_until_s = self._free_at_s = now_s + self._pause_s

    def _congested(self, congestion_state: int, now_s: float) -> None:
        if congestion_state >= NEAR_CONGESTION:
            leaves = REFUSED_LEAVES[congestion_state >= CONGESTED]
            self._cut(leaves, min(self.rate_per_s, self._measured_per_s()), now_s)
        elif self._peak_per_s != inf:  # neither more nor less
            self._peak_per_s, self._return_s, self._grown_s = self._learnt_per_s(), 0.0, 0.0

    def _cut(self, leaves: float, rate_per_s: float, now_s: float) -> None:
        self._peak_per_s = max(LOWEST_PER_S, rate_per_s)
        self._spread_s = max(SPREAD_S, SPREAD_MESSAGES / self._peak_per_s)
        self._return_s = self._spread_s * cbrt(-log(leaves))
        self._grown_s = 0.0
        self._cut_s = now_s

    def _accept(self, now_s: float) -> None:
        if now_s - self._accepted_s > IDLE_S:
            self._accepted, self._mark_s, self._accepted_per_s = 0, now_s, 0.0
        self._accepted += 1
        self._accepted_s = now_s
        if now_s - self._mark_s >= 1.0:
            self._accepted_per_s = self._accepted / (now_s - self._mark_s)
            self._accepted, self._mark_s = 0, now_s

    def _measured_per_s(self) -> float:
        """How much the SMSC has accepted lately, or a guess where there was little to accept."""
        per_s = max(self._accepted_per_s, self._accepted / max(self._accepted_s - self._mark_s, 0.1))
        return per_s if self._accepted_per_s or self._accepted >= FEW else max(per_s, GUESS_PER_S)


class _Limit:
    """A sliding window: at most `rate_per_s` requests in any second, or one in 1/rate_per_s seconds."""

    def __init__(self, rate_per_s: float, before: "_Limit | None" = None) -> None:
        self._most = max(1, floor(rate_per_s))
        self._window_s = SECOND_S * max(1.0, 1 / rate_per_s)
        self.rate_per_s = self._most / self._window_s
        # what left from when on, a grain each
        self._log: deque[tuple[float, int]] = deque() if before is None else before._log
        self._count: int = 0 if before is None else before._count

    def free_at_s(self, now_s: float) -> float:
        log = self._log
        gone_s = now_s - self._window_s - _GRAIN_S
        while log and log[0][0] <= gone_s:
            self._count -= log.popleft()[1]
        return log[0][0] + self._window_s + _GRAIN_S if self._count >= self._most else 0.0

    def sent(self, now_s: float) -> None:
        log = self._log
        self._count += 1
        if log and now_s - log[-1][0] < _GRAIN_S:
            log[-1] = log[-1][0], log[-1][1] + 1
        else:
            log.append((now_s, 1))
