"""The alarm for somebody who tries the same digits on many numbers.

Each number locks after three tries, so a guesser goes sideways: one likely pattern, many numbers. Only
*wrong* digits are counted: a family whose digits are the same, all of them right, is no attack. Digits are
kept only in memory and only as dictionary keys, for an hour.
"""

#: Distinct numbers that gave the same wrong digits within the span, from which on it is an alarm.
ALARM_SUBSCRIBERS = 20
SPAN_S = 3600.0
#: 11,000 endings exist; a bound all the same.
_MAX_ENTRIES = 20_000


class GuessAlarm:
    def __init__(self) -> None:
        self._since_s = 0.0
        self._tried: dict[str, set[str]] = {}

    def wrong(self, digits: str, msisdn: str, now_s: float) -> int:
        """Note one wrong try. The number of distinct subscribers when the alarm is to be raised now, else 0.

        It is raised at the threshold and at each doubling, not once a message.
        """
        if now_s - self._since_s > SPAN_S or len(self._tried) > _MAX_ENTRIES:
            self._since_s = now_s
            self._tried.clear()
        numbers = self._tried.setdefault(digits, set())
        before = len(numbers)
        numbers.add(msisdn)
        count = len(numbers)
        doubled = count >= ALARM_SUBSCRIBERS and count & (count - 1) == 0
        return count if count > before and (count == ALARM_SUBSCRIBERS or doubled) else 0
