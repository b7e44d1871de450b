"""The rate an ESME may send at: a bucket of tokens, one second's worth. Pure; called by `smsc`."""


class Bucket:
    """Fills at `per_s` up to what one second brings, one at least."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._holds = max(1.0, per_s)
        self._tokens = self._holds
        self._at_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Take one; False when there is none."""
        if self._at_s is not None:
            self._tokens = min(self._holds, self._tokens + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    @property
    def used_percent(self) -> int:
        """How far it was emptied when last asked."""
        return round(100 * (1 - self._tokens / self._holds))
