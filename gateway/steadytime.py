"""Unix time that does not jump: what limits, prompts and times to live are reckoned by.

The system's clock is stepped by whoever sets it; nothing that was promised for ten minutes may end, or last
an hour, because of that. So a step is followed slowly, by at most one second in ten; in ordinary days, when
the clock is slewed, this is the system's own time. A step of more than a day is no correction of an hour's
length but a clock that had not been set at all: it is believed at once, or every calendar day would be wrong
for weeks.

Invariant: it never goes back, except by such a step. Workers that are forked go on with their parent's.
Called by the composition.
"""

import time
from collections.abc import Callable

SLEWED = 0.1
#: As fine as it is.
FINE_S = 0.001
BELIEVED_S = 86_400.0
#: Between two looks at the clock; what was not looked at for longer is not known to have been slewed.
LONGEST_LOOK_S = 5.0


class SteadyTime:
    """`now` is to be called now and then, at least every few seconds."""

    def __init__(
        self, system: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._system = system
        self._monotonic = monotonic
        self._now_s = system()
        self._looked_s = monotonic()

    def now(self) -> float:
        """Unix seconds."""
        looked_s = self._monotonic()
        elapsed_s = looked_s - self._looked_s
        if elapsed_s < FINE_S:  # it is asked several times for each message
            return self._now_s
        self._looked_s = looked_s
        self._now_s += elapsed_s
        system_s = self._system()
        behind_s = system_s - self._now_s
        if abs(behind_s) > BELIEVED_S:
            self._now_s = system_s
        else:
            most_s = SLEWED * min(elapsed_s, LONGEST_LOOK_S)
            self._now_s += max(-most_s, min(most_s, behind_s))
        return self._now_s

    @property
    def behind_s(self) -> float:
        """How far the system's clock is ahead: what is still to be followed of a step."""
        return self._system() - self._now_s - (self._monotonic() - self._looked_s)
