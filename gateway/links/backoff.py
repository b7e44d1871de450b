"""How long to wait before the next bind: exponential with jitter, slower where the SMSC said no. Pure;
never gives up.
"""

from gateway.smpp.constants import CommandStatus

FIRST_S = 0.1
#: A peer that refuses us for a cause that staff must mend is not asked at the pace of a broken cable.
FIRST_REFUSED_S = 2.0
#: A bind that held for so long was a good one: begin anew.
GOOD_AFTER_S = 10.0

#: Refusals that pass by themselves: our old bind has not been noticed as dead yet, or the SMSC is starting.
PASSING = frozenset(
    {int(CommandStatus.ESME_RALYBND), int(CommandStatus.ESME_RSYSERR), int(CommandStatus.ESME_RTHROTTLED)}
)


class Backoff:
    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._next_s = 0.0

    def ended(self, bound_for_s: float, refused_with: int | None, chance: float) -> float:
        """Seconds to wait after a connection that was bound for `bound_for_s` (0: never); `chance` in [0,
        1) is the jitter.
        """
        if bound_for_s >= GOOD_AFTER_S:
            self._next_s = 0.0
        first_s = FIRST_S if refused_with is None or refused_with in PASSING else FIRST_REFUSED_S
        base_s = min(self._longest_s, max(first_s, self._next_s))
        self._next_s = base_s * 2
        return base_s * (0.5 + chance / 2)
