"""How long to wait before the next bind: exponential with jitter, by the cause of the last failure. Pure;
never gives up.
"""

from enum import Enum

from gateway.smpp.constants import CommandStatus

#: A bind that held for so long was a good one: begin anew.
GOOD_AFTER_S = 10.0


class Cause(Enum):
    """Why there is no bind."""

    BROKEN = "broken"  # no connection, or one that ended, or a bind that was never answered
    ALREADY_BOUND = "already bound"
    BUSY = "busy"  # throttled, or not in order: it passes by itself
    REFUSED = "refused"  # staff must mend it
    BARRED = "barred"  # who we say we are is refused, and so would be every bind of the link


FIRST_S = {
    Cause.BROKEN: 0.1,
    Cause.ALREADY_BOUND: 0.5,
    Cause.BUSY: 1.0,
    Cause.REFUSED: 2.0,
    Cause.BARRED: 2.0,
}
#: The SMSC has not noticed yet that our last connection is gone. No unbind can be sent for it, being valid
#: on a bound session only (3.4, 2.3), and that one is lost; it passes with the SMSC's own timers.
LONGEST_ALREADY_BOUND_S = 5.0

_CAUSES: dict[int, Cause] = {
    CommandStatus.ESME_RALYBND: Cause.ALREADY_BOUND,
    CommandStatus.ESME_RSYSERR: Cause.BUSY,
    CommandStatus.ESME_RTHROTTLED: Cause.BUSY,
    CommandStatus.ESME_RMSGQFUL: Cause.BUSY,
    CommandStatus.ESME_RX_T_APPN: Cause.BUSY,
    CommandStatus.ESME_RINVPASWD: Cause.BARRED,
    CommandStatus.ESME_RINVSYSID: Cause.BARRED,
    CommandStatus.ESME_RINVSYSTYP: Cause.BARRED,
}


def cause_of(refused_with: int | None, *, others_bound: bool = False) -> Cause:
    """`refused_with`: the command_status of the bind_resp, None without one. With `others_bound`, "already
    bound" means that the SMSC grants fewer binds than are configured, and who we are is not the cause.
    """
    if refused_with is None:
        return Cause.BROKEN
    cause = _CAUSES.get(refused_with, Cause.REFUSED)
    return Cause.REFUSED if others_bound and cause in (Cause.ALREADY_BOUND, Cause.BARRED) else cause


class Backoff:
    """Each cause has its own pause, so that a broken cable is no reason to ask a busy SMSC slowly, nor a
    quick reconnection one to send a wrong password often.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._next_s: dict[Cause, float] = {}

    def ended(self, bound_for_s: float, cause: Cause, chance: float) -> float:
        """Seconds to wait after a connection that was bound for `bound_for_s` (0: never); `chance` in [0, 1)
        is the jitter, so that binds and processes that failed together do not come again together.
        """
        if bound_for_s >= GOOD_AFTER_S:
            self._next_s.clear()
        base_s = min(self._longest_s, self._next_s.get(cause, FIRST_S[cause]))
        if cause is Cause.ALREADY_BOUND:
            base_s = min(base_s, LONGEST_ALREADY_BOUND_S)
        self._next_s[cause] = base_s * 2
        return base_s * (0.5 + chance / 2)
