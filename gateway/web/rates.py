"""Events a second over the last few seconds: a ring of per-second counts. Pure; the caller gives the time."""


class Rate:
    """`add` on the hot path, `per_s` for whoever looks."""

    def __init__(self, span_s: int = 10) -> None:
        self._span_s = span_s
        self._counts = [0] * (span_s + 1)
        self._second = 0

    def add(self, now_s: float, count: int = 1) -> None:
        second = int(now_s)
        if second != self._second:
            self._roll(second)
        self._counts[second % len(self._counts)] += count

    def per_s(self, now_s: float) -> float:
        """The mean of the last full seconds; the one under way does not count."""
        second = int(now_s)
        self._roll(second)
        under_way = self._counts[second % len(self._counts)]
        return (sum(self._counts) - under_way) / self._span_s

    def _roll(self, second: int) -> None:
        if second > self._second:
            for passed in range(max(self._second + 1, second - self._span_s), second + 1):
                self._counts[passed % len(self._counts)] = 0
            self._second = second
