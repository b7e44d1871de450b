"""How fast a link may send: a configured rate, and pauses when the SMSC says that it is too fast.

Pure. Invariant: requests leave at least 1/rate apart, so no second ever holds more than `rate_per_s`; a
pause holds for the whole link, so what waits keeps its order. Called by the links before each request and
with each response.
"""

from gateway.smpp.constants import CommandStatus

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0

#: The SMSC takes nothing more just now (3.4, 5.1.3): the same request may be sent again, a little later.
THROTTLED = frozenset({int(CommandStatus.ESME_RTHROTTLED), int(CommandStatus.ESME_RMSGQFUL)})


class Throttle:
    """One for a connection. `rate_per_s` 0: only the SMSC's own word counts."""

    def __init__(self, rate_per_s: float = 0.0) -> None:
        self._step_s = 1 / rate_per_s if rate_per_s else 0.0
        self._free_at_s = 0.0
        self._pause_s = 0.0
        self._paused_until_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next request may leave; 0: now."""
        free_at_s = max(self._free_at_s, self._paused_until_s) if self._pause_s else self._free_at_s
        return free_at_s - now_s if free_at_s > now_s else 0.0

    def sent(self, now_s: float) -> None:
        if self._step_s:
            self._free_at_s = max(now_s, self._free_at_s) + self._step_s

    def answered(self, command_status: int, now_s: float) -> None:
        """Learn from a response: refusals of one burst count as one and double the pause, an ESME_ROK
        halves it.
        """
        if not command_status and not self._pause_s:
            return
        if command_status in THROTTLED:
            if now_s >= self._paused_until_s:
                self._pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, self._pause_s * 2))
                self._paused_until_s = now_s + self._pause_s
        elif command_status == CommandStatus.ESME_ROK and now_s >= self._paused_until_s:
            self._pause_s = self._pause_s / 2 if self._pause_s > FIRST_PAUSE_S / 4 else 0.0
